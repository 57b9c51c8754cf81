/**
 * Goal: ranks that stay away for a minute are missed, not mourned: their jobs go on, what ended meanwhile is accounted when
 * they are back, as it happened and when it happened.
 * Method: 7 brokers, `kary:2`. Rank 2 is stopped (its children 5 and 6 lose their way up), rank 3 is killed and its restarts are
 * made to fail, by holding the lock of its state directory.
 */
import test from 'ava';
import {lockDirectory} from '../../src/store/real/store-lock.ts';
import {countStates, isInactive} from '../chaos/instance.ts';
import {isAlive, signalProcess} from '../chaos/processes.ts';
import {restingFaults} from '../chaos/rest.ts';
import {Tree} from '../chaos/tree.ts';
import {pause, until} from '../chaos/until.ts';

const AWAY_MS = 60_000;
const STOPPED = 2;
const HELD = 3;
const AWAY = [2, 3, 5, 6];
const HERE = [0, 1, 4];

test('ranks that were away for a minute come back with their jobs, and with the ends that they missed', async t => {
	const tree = new Tree({size: 7, cores: 4, confs: ['tbon.torpid=1s', 'tbon.lost-timeout=3s']});
	t.teardown(async () => {
		if (!t.passed) t.log(tree.logs());
		await tree.destroy();
	});
	await tree.start();
	const [early, late] = [tree.newGate(), tree.newGate()];
	const [ends] = await tree.submit(['-N', '7', '-n', '7'], 'gate', early.path, 'COPPICE_TASK_RANK + 1');
	await tree.submit(['-N', '7', '-n', '14'], 'gate', late.path, 'COPPICE_TASK_RANK');
	const [wide] = await tree.submit(['-N', '7', '-n', '7', '-c', '2'], 'exit', '5');
	const running = await tree.jobsUntil('two run', all => countStates(all)['RUN'] === 2);
	const tasks = await tree.tasksStarted(running.filter(({state}) => state === 'RUN'));
	const boots = await tree.whole();

	const untilMs = performance.now() + AWAY_MS;
	const lock = await (async () => {
		await tree.killBrokers([HELD]);
		return until('the lock is ours', async () =>
			lockDirectory(`${tree.statedir}/rank-${HELD}`).catch(() => null),
		);
	})();
	t.teardown(() => lock.release());
	signalProcess(tree.brokers().get(STOPPED)!, 'SIGSTOP');
	await until('four ranks are away', async () => {
		const now = await tree.boots();
		return AWAY.every(rank => now[rank] === null) && HERE.every(rank => now[rank] !== null);
	});
	await early.open();
	const endedS = Date.now() / 1000;
	await until('the tasks of the first job have ended', () => tasks.filter(isAlive).length === 14);
	// Those that are here take new work, and it is not held up by those that are away.
	const [next] = await tree.submit(['-N', '2', '-n', '2'], 'exit', '7');
	await tree.jobsUntil('new work is done', all => all.find(({f58}) => f58 === next)!.state === 'INACTIVE');
	t.is((await tree.job(next!)).returncode, 7);
	t.is((await tree.job(ends!)).state, 'RUN', 'those that are away have not said how it ended');
	while (performance.now() < untilMs) {
		const states = countStates(await tree.jobs());
		t.deepEqual(states, {RUN: 2, SCHED: 1, INACTIVE: 1});
		await pause(5000);
	}

	await lock.release();
	signalProcess(tree.brokers().get(STOPPED)!, 'SIGCONT');
	const back = await tree.whole(now => AWAY.every(rank => now[rank]!.boots > boots[rank]!.boots));
	for (const rank of HERE) t.is(back[rank]!.pid, boots[rank]!.pid, `rank ${rank} had no reason to restart`);
	const jobs = await tree.jobsUntil('what ended is known', all => all.filter(isInactive).length >= 2);
	const first = jobs.find(({f58}) => f58 === ends)!;
	t.like(first, {state: 'INACTIVE', returncode: 7, outcome: 'exited'});
	t.true(first.t_cleanup! < endedS + 5, 'it ended when its tasks did');
	t.is(tasks.filter(isAlive).length, 14);
	await late.open();
	const ended = await tree.allInactive();
	t.deepEqual(await tree.check(ended), []);
	t.deepEqual(
		ended.filter(({exception}) => exception !== undefined),
		[],
	);
	t.is(ended.find(({f58}) => f58 === wide)!.returncode, 5);
	t.deepEqual(await restingFaults(tree), [], 'nothing is allocated, pending or left');
});
