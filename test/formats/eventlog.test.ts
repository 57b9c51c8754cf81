/** Goal: events survive their line, damage is found and named by line, and text forms are Flux's. */
import test from 'ava';
import fc from 'fast-check';
import {eventFormatter, formatEvent} from '../../src/formats/event-text.ts';
import {encodeEvent, parseEvent, parseEventlog} from '../../src/formats/eventlog.ts';

const SUBMIT = {
	timestamp: 1700501129.045566,
	name: 'submit',
	context: {userid: 60943, urgency: 16, flags: 0, version: 1},
};

test('an event is one line of JSON', t => {
	t.is(
		encodeEvent(SUBMIT),
		'{"timestamp":1700501129.045566,"name":"submit","context":{"userid":60943,"urgency":16,"flags":0,"version":1}}\n',
	);
	t.is(encodeEvent({timestamp: 1, name: 'clean'}), '{"timestamp":1,"name":"clean"}\n');
	t.deepEqual(parseEvent(encodeEvent(SUBMIT)), SUBMIT);
	t.is(
		parseEvent('{"timestamp":1,"name":"a","context":{"id":14495537038360583}}').context?.['id'],
		14495537038360583n,
	);
	for (const event of [
		{timestamp: 0, name: 'a'},
		{timestamp: Number.NaN, name: 'a'},
		{timestamp: 1, name: 'a\n'},
	]) {
		t.throws(() => encodeEvent(event), {instanceOf: Error, message: /invalid event/});
	}
});

test('a damaged log names its line', t => {
	const good = encodeEvent(SUBMIT);
	const cases: readonly (readonly [string, RegExp])[] = [
		[`${good}${good.slice(0, 40)}`, /^eventlog line 2: cut off/],
		[`${good}\n`, /^eventlog line 2: invalid JSON/],
		[`${good}${good}{"timestamp":1}\n`, /^eventlog line 3: event\.name: must be a string, is missing/],
		['{"timestamp":0,"name":"a"}\n', /line 1: event\.timestamp: must be a number > 0, is 0/],
		['{"timestamp":"1","name":"a"}\n', /event\.timestamp: must be a number/],
		['{"timestamp":1,"name":""}\n', /event\.name: must be a word/],
		['{"timestamp":1,"name":"a b"}\n', /event\.name: must be a word/],
		['{"timestamp":1,"name":"a","context":[]}\n', /event\.context: must be an object/],
		['{"timestamp":1,"name":"a","more":1}\n', /event\.more: unknown member/],
		['[]\n', /event: must be an object/],
	];
	for (const [text, message] of cases) t.throws(() => parseEventlog(text), {code: 'EINVAL', message}, text);
	t.deepEqual(parseEventlog(''), []);
});

test('every log survives its text', t => {
	const event = fc.record(
		{
			timestamp: fc.double({min: 0, max: 1e12, minExcluded: true, noNaN: true}),
			name: fc.stringMatching(/^[a-z][a-z.-]{0,20}$/),
			context: fc.dictionary(
				fc.string(),
				fc.oneof(fc.string(), fc.bigInt({min: 2n ** 53n, max: 2n ** 64n}), fc.nat()),
				{
					noNullPrototype: true,
				},
			),
		},
		{requiredKeys: ['timestamp', 'name'], noNullPrototype: true},
	);
	fc.assert(
		fc.property(fc.array(event), events => {
			t.deepEqual(parseEventlog(events.map(encodeEvent).join('')), events);
		}),
	);
});

test('the text forms are those of Flux', t => {
	t.is(formatEvent(SUBMIT), '1700501129.045566 submit userid=60943 urgency=16 flags=0 version=1');
	const note = {timestamp: 2, name: 'exception', context: {type: 'exec', note: 'a "b"', x: {y: [1]}}};
	t.is(formatEvent(note), '2.000000 exception type="exec" note="a \\"b\\"" x={"y":[1]}');
	const clean = {timestamp: 1700501129.045566, name: 'clean'};
	t.is(formatEvent(clean, 'iso'), '2023-11-20T17:25:29.045566Z clean');
	t.is(formatEvent(clean, 'offset'), '0.000000 clean');
	const west = eventFormatter({style: 'iso', utcOffsetMinutes: () => -480});
	t.is(west(clean), '2023-11-20T09:25:29.045566-08:00 clean');
});

test('offsets count from the first event, human ones from the first of the minute', t => {
	const start = Date.UTC(2024, 1, 20, 10, 40, 12) / 1000;
	const times = [0, 0.087774, 1.5, 50, 50.25].map(offset => start + offset);
	const lines = (style: 'offset' | 'human') => {
		const format = eventFormatter({style});
		return times.map(timestamp => format({timestamp, name: 'e'}));
	};
	t.deepEqual(lines('offset'), ['0.000000 e', '0.087774 e', '1.500000 e', '50.000000 e', '50.250000 e']);
	t.deepEqual(lines('human'), [
		'[Feb20 10:40] e',
		'[  +0.087774] e',
		'[  +1.500000] e',
		'[Feb20 10:41] e',
		'[  +0.250000] e',
	]);
});
