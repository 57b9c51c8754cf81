/** Goal: nobody is refused without a word, and nobody can make us write without end. */
import test from 'ava';
import {RefusalLog, REFUSAL_LINES_MAX, REFUSAL_SPAN_MS} from '../../src/net/refusal-log.ts';
import {SystemError} from '../../src/formats/errno.ts';
import {ManualClock} from './clocks.ts';

const error = new SystemError('EPERM', 'it has another key');

test('a few refusals have a line each, with address and reason', t => {
	const lines: string[] = [];
	const log = new RefusalLog(new ManualClock(), line => lines.push(line));
	log.add({address: '10.0.0.9:4711', error});
	log.add({address: '[::1]:80', error});
	t.deepEqual(lines, [
		'refused a connection from 10.0.0.9:4711: EPERM: it has another key',
		'refused a connection from [::1]:80: EPERM: it has another key',
	]);
});

test('of many the rest is counted by host, and told when the span is over; then each has its line again', async t => {
	const lines: string[] = [];
	const clock = new ManualClock();
	const log = new RefusalLog(clock, line => lines.push(line));
	for (let count = 0; count < 1000; count += 1) log.add({address: `10.0.0.${count % 7}:${count + 1}`, error});
	t.is(lines.length, REFUSAL_LINES_MAX);
	await clock.advance(REFUSAL_SPAN_MS);
	t.is(lines.length, REFUSAL_LINES_MAX + 1);
	t.regex(
		lines.at(-1)!,
		/^refused 980 more connections within 10 s, from 10\.0\.0\.6 \(140\), .*, others \(280\)$/,
	);
	log.add({address: '10.0.0.1:1', error});
	t.regex(lines.at(-1)!, /^refused a connection from 10\.0\.0\.1:1: /);
	await clock.advance(REFUSAL_SPAN_MS);
	t.is(lines.length, REFUSAL_LINES_MAX + 2);
	t.is(clock.armedCount, 0);
});
