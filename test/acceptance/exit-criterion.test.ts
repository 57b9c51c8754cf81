/**
 * Goal: the exit criterion of L2 resilience. A restart of the rank 0 broker with active jobs, both running and pending,
 * results in a restart of all brokers participating in the instance; after it, running and pending jobs are recovered. And
 * so after any other loss of brokers.
 * Method: one instance of 15 brokers, `kary:2`, with jobs held by a gate on all of its ranks, several of them spanning ranks
 * and with several tasks a rank, and with jobs that find no room before the gate is opened. The failures come one after the
 * other under the very same jobs. The oracle is /proc, the ledgers that the tasks write, and what the command line says.
 */
import test, {type ExecutionContext} from 'ava';
import {countStates, isInactive} from '../chaos/instance.ts';
import type {Gate} from '../chaos/gate.ts';
import type {JobRow} from '../chaos/ledger.ts';
import {isAlive, signalProcess, type ProcessName} from '../chaos/processes.ts';
import {restingFaults} from '../chaos/rest.ts';
import {ranksOf, STATE_RUN, Tree, type JobLook, type RankBoot} from '../chaos/tree.ts';
import {pause, until} from '../chaos/until.ts';

const SIZE = 15;
const tree = new Tree({size: SIZE, cores: 4});
let gate: Gate;
let running: JobRow[];
let tasks: ProcessName[];
let pending: number;

test.before(async () => {
	gate = tree.newGate();
	await tree.start();
	// Two tasks on each rank; some jobs of two and three ranks; some of one task.
	await tree.submit(['-N', '15', '-n', '30'], 'gate', gate.path, 'COPPICE_TASK_RANK % 2 * 3');
	await tree.submit(['--cc', '0-1', '-N', '3', '-n', '6'], 'gate', gate.path, 'COPPICE_TASK_RANK');
	await tree.submit(['--cc', '0-3', '-N', '2', '-n', '2'], 'gate', gate.path, '10 + COPPICE_JOB_CC');
	await tree.submit(['--cc', '0-7'], 'gate', gate.path, '20 + COPPICE_JOB_CC');
	// No node has so many cores left.
	const wide = await tree.submit(['-N', '15', '-n', '15', '-c', '4'], 'exit', 'COPPICE_TASK_RANK % 5');
	const more = await tree.submit(['--cc', '0-5', '-N', '2', '-n', '2', '-c', '3'], 'exit', 'COPPICE_JOB_CC');
	pending = wide.length + more.length;
	const jobs = await tree.jobsUntil('15 run', all => countStates(all)['RUN'] === 15);
	running = jobs.filter(({state}) => state === 'RUN');
	tasks = await tree.tasksStarted(running);
	const ranks = new Set((await tree.look()).filter(({state}) => state === STATE_RUN).flatMap(ranksOf));
	if (ranks.size !== SIZE || tasks.length !== 30 + 12 + 8 + 8) throw new Error('not as it was meant');
});

test.after.always(() => tree.destroy());

interface Failure {
	readonly what: string;
	/** Makes it happen; returns the ranks whose brokers are to be others afterwards. */
	readonly happens: () => Promise<readonly number[]>;
	/** A broker may have been restarted more than once. */
	readonly isRepeated?: true;
}

const ALL = Array.from({length: SIZE}, (_, rank) => rank);

const FAILURES: readonly Failure[] = [
	{what: 'kill -9 of rank 0', happens: async () => tree.killBrokers([0]).then(() => ALL)},
	{
		what: 'SIGTERM to rank 0',
		happens: async () => {
			signalProcess(tree.brokers().get(0)!, 'SIGTERM');
			return Promise.resolve(ALL);
		},
	},
	{what: 'kill -9 of all 15 brokers', happens: async () => tree.killBrokers(ALL).then(() => ALL)},
	{
		what: 'kill -9 of all 15 brokers and shells',
		happens: async () => {
			const shells = tree.shells();
			if (shells.length !== SIZE) throw new Error(`${shells.length} shells`);
			await tree.killBrokers(ALL, shells);
			return ALL;
		},
	},
	{
		what: 'kill -9 of an interior broker',
		happens: async () => tree.killBrokers([1]).then(() => tree.topology.subtreeOf(1)),
	},
	{what: 'kill -9 of a leaf', happens: async () => tree.killBrokers([14]).then(() => [14])},
	{
		what: 'kill -9 of rank 0, and again and again during the recovery',
		isRepeated: true,
		happens: async () => {
			for (const delayMs of [0, 150, 400, 800, 1600]) {
				await until('there is a root', () => tree.brokers().get(0), {pollMs: 5});
				await pause(delayMs);
				await tree.killBrokers([0]);
			}
			return ALL;
		},
	},
];

for (const {what, happens, isRepeated} of FAILURES) {
	test.serial(`after ${what} all is as before: the same tasks, the same jobs`, async t => {
		const boots = await tree.whole();
		const before = await tree.look();
		const startMs = performance.now();
		const restarted = await happens();
		const isBack = (now: readonly RankBoot[]) =>
			restarted.every(rank => now[rank]!.boots > boots[rank]!.boots);
		const after = await tree.whole(isBack);
		const found = await tree.allReattached(before, {restarted});
		t.log(`whole again after ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
		for (const rank of ALL) {
			const isRestarted = restarted.includes(rank);
			const grown = after[rank]!.boots - boots[rank]!.boots;
			if (!isRepeated) t.is(grown, isRestarted ? 1 : 0, `boots of rank ${rank}`);
			t.is(after[rank]!.pid === boots[rank]!.pid, !isRestarted, `process of rank ${rank}`);
		}
		await asBefore(t, found);
	});
}

/** The same tasks run, the same jobs wait, and nothing is said against any. */
async function asBefore(t: ExecutionContext, found: readonly JobLook[]): Promise<void> {
	t.deepEqual(tasks.filter(isAlive), tasks, 'the same tasks run');
	t.false(
		found.some(({hasException}) => hasException),
		'no exception',
	);
	const jobs = await tree.jobs();
	t.deepEqual(countStates(jobs), {RUN: running.length, SCHED: pending});
	t.true(jobs.every(({state, reattached}) => state !== 'RUN' || reattached >= 1));
	t.deepEqual(await tree.check(jobs), []);
}

test.serial(
	'at last every job ends as its tasks did, those that waited too, and nothing is left',
	async t => {
		await gate.open();
		const jobs = await tree.allInactive();
		t.is(jobs.length, running.length + pending);
		t.true(jobs.every(isInactive));
		t.deepEqual(await tree.check(jobs), []);
		t.is(
			tree.tasksOf(jobs).length,
			jobs.reduce((sum, {ntasks}) => sum + ntasks, 0),
		);
		t.deepEqual(
			jobs.filter(({exception}) => exception !== undefined),
			[],
		);
		t.deepEqual(await restingFaults(tree), [], 'nothing is allocated, pending or left');
		t.like(await tree.json('log', 'verify'), {ok: true, illegal: 0});
		t.like(await tree.json('log', 'replay'), {match: true});
	},
);
