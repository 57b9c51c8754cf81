/**
 * Goal: whatever facts arrive, in whatever order and however often, reports are numbered without gaps, `started`
 * comes once and `exited` last; and a ledger rebuilt from its journal has the same reports.
 * Method: random facts about three tasks, told to a ledger as the supervisor does; at each point a rebuild.
 */

import test from 'ava';
import fc from 'fast-check';
import type {PartReport} from '../../src/ports/process-host.ts';
import {decodeEvents} from '../../src/exec/journal.ts';
import {PartLedger} from '../../src/exec/part-ledger.ts';
import type {TaskProcess} from '../../src/exec/task-record.ts';
import {specOf} from './process-host-contract.ts';

const spec = specOf(5n, 'true', {tasks: [0, 1, 2]});
const processOf = (task: number): TaskProcess => ({
	pid: 100 + task,
	startTicks: 7,
	startMs: 1000 + task,
	startMonotonicMs: 50 - task,
});

type Fact = readonly [
	kind: 'claim' | 'start' | 'void' | 'end' | 'lost' | 'timeout' | 'fail' | 'conclude',
	task: number,
];
const facts: fc.Arbitrary<readonly Fact[]> = fc.array(
	fc.tuple(
		fc.constantFrom(
			'claim' as const,
			'start' as const,
			'void' as const,
			'end' as const,
			'lost' as const,
			'timeout' as const,
			'fail' as const,
			'conclude' as const,
		),
		fc.nat(2),
	),
	{maxLength: 40},
);

const ENDS: readonly Fact[] = [
	['end', 0],
	['end', 1],
	['end', 2],
	['conclude', 0],
];

function tell(ledger: PartLedger, [kind, task]: Fact): void {
	const entry = ledger.entry(task)!;
	const isOver = ledger.tasks.every(({phase}) => phase === 'ended' || phase === 'void');
	if (kind === 'claim') ledger.noteClaim(entry);
	else if (kind === 'start') ledger.noteStart(entry, processOf(task));
	else if (kind === 'void') ledger.noteVoid(entry);
	else if (kind === 'end') ledger.noteEnd(entry, {task, waitStatus: task, endMs: 2000});
	else if (kind === 'lost') ledger.noteShimLost(entry, 1500);
	else if (kind === 'timeout') ledger.noteTimeout(1600);
	else if (kind === 'fail') ledger.noteFailure('why', 1700);
	else if (isOver) ledger.conclude(3000);
}

test('any facts give numbered reports, one start, one end, and a journal that rebuilds them', t => {
	const reached = new Set<string>();
	fc.assert(
		fc.property(facts, fc.boolean(), (some, isToEnd) => {
			// Facts at random seldom end all tasks, so half of the lists are led to the end.
			const list = isToEnd ? [...some, ...ENDS] : some;
			const ledger = new PartLedger(spec, [], 1);
			let journal = '';
			const sent: PartReport[] = [];
			for (const fact of list) {
				if (ledger.isExited && fact[0] === 'start') continue; // The cgroup is gone: nothing can start.
				tell(ledger, fact);
				const news = ledger.takeNews();
				journal += news.lines;
				sent.push(...news.reports);
				for (const report of news.reports) reached.add(report.kind);
				t.deepEqual(new PartLedger(spec, decodeEvents(journal), 9).reports, ledger.reports);
			}
			t.deepEqual(sent, [...ledger.reports]);
			t.deepEqual(
				sent.map(report => report.seq),
				sent.map((_, index) => index + 1),
			);
			t.true(sent.filter(report => report.kind === 'started').length <= 1);
			const end = sent.findIndex(report => report.kind === 'exited');
			t.true(end === -1 || end === sent.length - 1);
		}),
		{numRuns: 500},
	);
	t.deepEqual([...reached].sort(), ['exception', 'exited', 'started']);
});

test('started waits for every task, and lists those that run', t => {
	const ledger = new PartLedger(spec, [], 1);
	const [first, second, third] = ledger.tasks;
	ledger.noteStart(first!, processOf(0));
	ledger.noteVoid(third!);
	t.deepEqual(ledger.reports, []);
	ledger.noteStart(second!, processOf(1));
	t.like(ledger.reports[0], {kind: 'started', seq: 1, atMs: 1001, tasks: [{task: 0}, {task: 1}]});
});

test('the time limit counts from the first start', t => {
	const ledger = new PartLedger(spec, [], 1);
	t.is(ledger.firstStart, null);
	ledger.noteStart(ledger.tasks[0]!, processOf(0));
	ledger.noteStart(ledger.tasks[2]!, processOf(2));
	t.is(ledger.firstStart?.startMonotonicMs, 48);
});

test('the loss of a shim is reported once, also after a restart', t => {
	const ledger = new PartLedger(spec, [], 1);
	ledger.noteClaim(ledger.tasks[1]!);
	ledger.noteShimLost(ledger.tasks[1]!, 5);
	const {lines} = ledger.takeNews();
	const next = new PartLedger(spec, decodeEvents(lines), 9);
	next.noteClaim(next.tasks[1]!);
	next.noteShimLost(next.tasks[1]!, 6);
	t.is(next.reports.length, 1);
	next.noteClaim(next.tasks[0]!);
	next.noteShimLost(next.tasks[0]!, 6);
	t.is(next.reports.length, 2);
});

test('a part with a task that is not over can not be concluded', t => {
	const ledger = new PartLedger(spec, [], 1);
	ledger.noteVoid(ledger.tasks[0]!);
	t.throws(() => ledger.conclude(2), {name: 'AssertionError'});
});
