/**
 * Goal: reports survive a restart of the shell byte for byte, and a damaged journal costs only its damaged lines.
 * Method: properties over arbitrary reports, with lines cut and garbled.
 */

import test from 'ava';
import fc from 'fast-check';
import type {PartReport} from '../../src/ports/process-host.ts';
import {
	decodeEvents,
	encodeEvent,
	eventOf,
	eventOfOrder,
	ordersOf,
	reportOf,
	reportsOf,
} from '../../src/exec/journal.ts';

const key = {id: 7n, attempt: 2};
const atMs = fc.integer({min: 1, max: 4_000_000_000_000});
const natural = fc.nat();
const fact = fc.oneof(
	fc.record({
		kind: fc.constant('started' as const),
		atMs,
		tasks: fc.array(fc.record({task: natural, pid: natural, startTicks: natural, startMs: atMs})),
	}),
	fc.record({
		kind: fc.constant('exception' as const),
		atMs,
		type: fc.constantFrom('timeout' as const, 'exec' as const, 'supervisor-lost' as const),
		severity: fc.nat(7),
		note: fc.string(),
	}),
	fc.record({
		kind: fc.constant('exited' as const),
		atMs,
		tasks: fc.array(
			fc.record({task: natural, waitStatus: fc.option(fc.nat(65535)), endMs: atMs, error: fc.string()}),
		),
	}),
);
const reports = fc
	.array(fact)
	.map(facts => facts.map((each, index): PartReport => ({...key, seq: index + 1, ...each})));

test('a report read back from its event equals itself', t => {
	fc.assert(
		fc.property(reports, list => {
			for (const report of list) {
				const [event] = decodeEvents(encodeEvent(eventOf(report)));
				t.deepEqual(reportOf(key, event!), report);
			}
		}),
	);
});

test('a journal that was cut anywhere gives the reports of its whole lines', t => {
	fc.assert(
		fc.property(reports, natural, (list, at) => {
			const text = list.map(report => encodeEvent(eventOf(report))).join('');
			const cut = text.slice(0, text.length === 0 ? 0 : at % text.length);
			const lines = cut.split('\n');
			const last = list[lines.length - 1];
			const isLastWhole = last !== undefined && encodeEvent(eventOf(last)) === `${lines.at(-1)}\n`;
			const whole = lines.length - (isLastWhole ? 0 : 1);
			t.deepEqual(reportsOf(key, decodeEvents(cut)), list.slice(0, whole));
		}),
	);
});

test('lines that were written twice or garbled are left out, and nothing after a gap is trusted', t => {
	const line = (seq: number) =>
		encodeEvent(
			eventOf({...key, seq, atMs: seq, kind: 'exception', type: 'exec', severity: 1, note: `n${seq}`}),
		);
	const seqs = (text: string) => reportsOf(key, decodeEvents(text)).map(report => report.seq);
	t.deepEqual(seqs(`${line(1)}{"timest\n${line(1)}${line(2)}null\n\n`), [1, 2]);
	t.deepEqual(seqs(`${line(1)}${line(3)}`), [1]);
});

test('the last order to end a part is read back with its deadline', t => {
	const order = {signum: 15, killAt: {bootId: 'b', monotonicMs: 12.5, epochMs: 99}};
	const text = encodeEvent(eventOfOrder({...order, signum: 14}, 5)) + encodeEvent(eventOfOrder(order, 6));
	t.deepEqual(ordersOf(decodeEvents(text)).at(-1), order);
});
