import test from 'ava';
import fc from 'fast-check';
import type {Severity} from '../../src/formats/rfc5424.ts';
import {encodeLogLine, parseLogLine, SEVERITY_NAMES} from '../../src/formats/rfc5424.ts';

const LINE = '<56>1 2026-11-22T12:17:44.791118Z 0 broker 20057 - - text';
const RECORD = {
	severity: 7,
	atMs: Date.UTC(2026, 10, 22, 12, 17, 44) + 791.118,
	rank: 0,
	appname: 'broker',
	pid: 20057,
	message: 'text',
} as const;

test('a line captured from Flux is what we write and read', t => {
	t.is(encodeLogLine(RECORD), LINE);
	t.deepEqual(parseLogLine(LINE), RECORD);
	t.is(SEVERITY_NAMES[7], 'debug');
	t.is(parseLogLine(LINE.replace('.791118Z', '.5Z')).atMs % 1000, 500);
	t.is(parseLogLine(LINE.replace('.791118Z', 'Z')).atMs % 1000, 0);
});

test('a record without pid and message has dashes and nothing', t => {
	const {pid: _, ...rest} = {...RECORD, severity: 0 as const, message: ''};
	t.is(encodeLogLine(rest), '<0>1 2026-11-22T12:17:44.791118Z 0 broker - - - ');
	t.deepEqual(parseLogLine(encodeLogLine(rest)), rest);
});

test('a message stays one line, a component one word', t => {
	const line = encodeLogLine({...RECORD, appname: 'a b', message: 'one\ntwo\x1b[0m\r\n'});
	t.true(line.endsWith(' a_b 20057 - - one two [0m'));
	t.is(parseLogLine(encodeLogLine({...RECORD, appname: ''})).appname, '-');
});

test('every record survives its line', t => {
	const record = fc.record({
		severity: fc.integer({min: 0, max: 7}) as fc.Arbitrary<Severity>,
		atMs: fc.integer({min: 0, max: 4e12}),
		rank: fc.nat(),
		appname: fc.stringMatching(/^[!-~]{1,48}$/),
		pid: fc.nat(),
		message: fc.string({unit: 'grapheme'}).filter(text => !/\p{Cc}/u.test(text)),
	});
	fc.assert(
		fc.property(record, value => {
			t.deepEqual(parseLogLine(encodeLogLine(value)), {...value});
		}),
	);
});

test('what is no log line is refused', t => {
	const bad = [
		'',
		'text',
		LINE.slice(1),
		LINE.replace('>1 ', '>2 '),
		LINE.replace(' 0 ', ' host '),
		LINE.replace('Z', ''),
	];
	for (const text of [...bad, LINE.replace('56', '64'), LINE.replace('-11-', '-13-'), 'x'.repeat(10_000)]) {
		const error = t.throws(() => parseLogLine(text), {code: 'EINVAL', message: /^invalid log line "/}, text);
		t.true((error?.message.length ?? 0) < 300);
	}
});
