/**
 * Goal: broker, shell, launcher and daemon may be killed in any combination under 50 running, 500 pending and 200
 * finished jobs: the very same tasks go on, and every job ends as its task did.
 * Method: one instance, all fifteen combinations one after the other, then all jobs are let go. The oracle is what the
 * command line says, beside /proc and the ledgers that the tasks write.
 */
import test from 'ava';
import {countStates, Instance, isInactive, ROLES, type Role} from '../chaos/instance.ts';
import {isAlive, type ProcessName} from '../chaos/processes.ts';
import type {Gate} from '../chaos/gate.ts';

const RUNNING = 50;
const PENDING = 500;
const FINISHED = 200;

const instance = new Instance({cores: 60});
let gate: Gate;
let tasks: ProcessName[];
let restarts = 0;
let extra = 0;

test.before(async () => {
	gate = instance.newGate();
	await instance.start();
	await instance.submit(['--cc', `0-${FINISHED - 1}`], 'exit', 'COPPICE_JOB_CC % 4');
	const finished = await instance.allInactive();
	await instance.submit(['--cc', `0-${RUNNING - 1}`], 'gate', gate.path, 'COPPICE_JOB_CC');
	// Too wide for the ten cores that are left.
	await instance.submit(['-c', '11', '--cc', `0-${PENDING - 1}`], 'exit', 'COPPICE_JOB_CC % 7');
	const jobs = await instance.jobsUntil('they run', all => countStates(all)['RUN'] === RUNNING);
	tasks = await instance.tasksStarted(jobs.filter(({state}) => state === 'RUN'));
	if (finished.length !== FINISHED || tasks.length !== RUNNING) throw new Error('wrong number of jobs');
});

test.after.always(() => instance.destroy());

for (const roles of combinations(ROLES)) {
	const isOffline = roles.includes('broker') && roles.includes('daemon');
	const how = isOffline ? 'the next start' : 'the automatic restart';
	test.serial(`after a SIGKILL of ${roles.join(', ')} and ${how} all jobs are as before`, async t => {
		// A launcher is there from the first start on that needs one: hence a job before each round.
		await instance.submit(['--urgency', 'expedite', '--wait'], 'exit', '0');
		extra += 1;
		const processes = await instance.processes();
		await instance.kill(roles.map(role => processes[role]));
		if (isOffline) await instance.start();
		if (roles.includes('broker')) restarts += 1;
		const jobs = await instance.jobsUntil('they are found again', all =>
			all.every(({state, reattached}) => state !== 'RUN' || reattached >= restarts),
		);
		t.deepEqual(countStates(jobs), {RUN: RUNNING, SCHED: PENDING, INACTIVE: FINISHED + extra});
		t.deepEqual(tasks.filter(isAlive), tasks, 'the same tasks run');
		t.deepEqual(await instance.check(jobs), []);
	});
}

test.serial('at last every job has the exit status of its task, and no task ran twice', async t => {
	await gate.open();
	const jobs = await instance.allInactive(240_000);
	t.is(jobs.length, RUNNING + PENDING + FINISHED + extra);
	t.deepEqual(await instance.check(jobs), []);
	t.true(jobs.every(isInactive));
	t.is(instance.tasksOf(jobs).length, jobs.length);
	const codes = jobs.map(({returncode}) => returncode!).sort((a, b) => a - b);
	const expected = [
		...Array.from({length: extra}, () => 0),
		...Array.from({length: FINISHED}, (_, cc) => cc % 4),
		...Array.from({length: RUNNING}, (_, cc) => cc),
		...Array.from({length: PENDING}, (_, cc) => cc % 7),
	].sort((a, b) => a - b);
	t.deepEqual(codes, expected);
	const verdict = await instance.json<{ok: boolean; illegal: number}>('log', 'verify');
	t.like(verdict, {ok: true, illegal: 0});
	t.like(await instance.json('log', 'replay'), {match: true});
});

/** All selections of at least one, the smaller ones first. */
function combinations(roles: readonly Role[]): Role[][] {
	return Array.from({length: 2 ** roles.length - 1}, (_, bits) =>
		roles.filter((_role, index) => (((bits + 1) >> index) & 1) === 1),
	).sort((a, b) => a.length - b.length);
}
