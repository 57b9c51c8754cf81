/** Goal: the end of a job is that of the worst task, and one unknown end makes it unknown. Method: against a plain rule. */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import {exitCodeOf} from '../../src/formats/signal.ts';
import {accountReport, decisiveEnd, returnCodeOf, type RankPart} from '../../src/machines/job-report.ts';

const exited = fc.integer({min: 0, max: 255}).map(code => code << 8);
const signaled = fc
	.tuple(fc.integer({min: 1, max: 64}), fc.constantFrom(0, 0x80))
	.map(([signum, core]) => signum | core);
const known = fc.oneof(exited, signaled, fc.constantFrom(0, 0, 256));
const ATMS = 1_700_000_000_000;
const NEW: RankPart = {
	state: 'requested',
	seq: 0,
	bootId: '',
	startedMs: null,
	exitedMs: null,
	tasks: [],
	ends: [],
	released: false,
};

function partsOf(statuses: readonly (readonly (number | null)[])[]): RankPart[] {
	return statuses.map(ends => ({
		...NEW,
		ends: ends.map((waitStatus, task) => ({task, waitStatus, endMs: ATMS})),
	}));
}

test('the highest return code of all tasks of all ranks decides', t => {
	fc.assert(
		fc.property(fc.array(fc.array(known, {maxLength: 4}), {maxLength: 4}), statuses => {
			const all = statuses.flat();
			const {waitStatus, outcome} = decisiveEnd(partsOf(statuses));
			if (all.length === 0) {
				assert.deepEqual([waitStatus, outcome], [null, 'unknown']);
				return;
			}
			assert.ok(all.includes(waitStatus!));
			assert.equal(returnCodeOf(waitStatus!), Math.max(...all.map(returnCodeOf)));
			assert.equal(outcome, (waitStatus! & 0x7f) === 0 ? 'exited' : 'signaled');
		}),
	);
	t.pass();
});

test('one unknown end anywhere makes the whole unknown', t => {
	const mixed = fc.array(fc.array(fc.option(known), {maxLength: 4}), {minLength: 1, maxLength: 4});
	fc.assert(
		fc.property(mixed, fc.nat(), (statuses, n) => {
			const rank = n % statuses.length;
			const withUnknown = statuses.map((ends, index) => (index === rank ? [...ends, null] : ends));
			assert.deepEqual(decisiveEnd(partsOf(withUnknown)), {waitStatus: null, outcome: 'unknown'});
		}),
	);
	t.pass();
});

test('return codes are those of a shell, as in the formats', t => {
	fc.assert(fc.property(known, status => assert.equal(returnCodeOf(status), exitCodeOf(status))));
	t.is(returnCodeOf(9), 137);
	t.is(returnCodeOf(139), 139, 'a core dump is no part of it');
	t.is(returnCodeOf(0xff00), 255);
});

test('the earliest start and the latest end count, also with very many tasks', t => {
	const tasks = Array.from({length: 500_000}, (_, task) => ({
		task,
		pid: 1,
		startTicks: 1,
		startMs: ATMS + task,
	}));
	const report = {seq: 1, bootId: 'b', atMs: ATMS};
	const started = accountReport(NEW, {...report, body: {kind: 'started', tasks}});
	t.deepEqual([started.startedMs, started.state, started.bootId], [ATMS, 'started', 'b']);
	const ends = tasks.map(({task}) => ({task, waitStatus: 0, endMs: ATMS + task}));
	const over = accountReport(started, {...report, seq: 2, body: {kind: 'exited', tasks: ends}});
	t.deepEqual([over.exitedMs, over.state, over.ends.length], [ATMS + 499_999, 'exited', 500_000]);
});

test('a started task of which the end report says nothing has an unknown end', t => {
	const tasks = [0, 1].map(task => ({task, pid: 1, startTicks: 1, startMs: ATMS}));
	const report = {seq: 1, bootId: 'b', atMs: ATMS + 5};
	const started = accountReport(NEW, {...report, body: {kind: 'started', tasks}});
	const some = [{task: 0, waitStatus: 0, endMs: ATMS + 3}];
	const over = accountReport(started, {...report, seq: 2, body: {kind: 'exited', tasks: some}});
	t.deepEqual(over.ends, [...some, {task: 1, waitStatus: null, endMs: ATMS + 5}]);
	t.is(decisiveEnd([over]).outcome, 'unknown');
});
