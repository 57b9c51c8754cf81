/**
 * Goal: whatever the outage, running jobs go on, waiting clients resume, and ends that happened meanwhile are recorded
 * with their true statuses and times.
 * Method: an instance for each outage; tasks are held by gates and keep ledgers.
 */
import test from 'ava';
import {countStates, isInactive, ROLES, startedInstance, type Instance} from '../chaos/instance.ts';
import {isAlive, signalProcess, type ProcessName} from '../chaos/processes.ts';
import {proveDeadLog, proveLog} from '../chaos/prove-log.ts';
import {pause, until} from '../chaos/until.ts';

/** Processes of all roles, at once; nobody is left who could bring another back. */
async function killAllButShims(instance: Instance): Promise<void> {
	const processes = await instance.processes();
	await instance.kill(ROLES.map(role => processes[role]));
}

async function runGated(instance: Instance, gate: string, count: number): Promise<ProcessName[]> {
	await instance.submit(['--cc', `0-${count - 1}`], 'gate', gate, 'COPPICE_JOB_CC');
	const jobs = await instance.jobsUntil('they run', all => (countStates(all)['RUN'] ?? 0) >= count);
	return instance.tasksStarted(jobs.filter(({state}) => state === 'RUN'));
}

test.serial(
	'clients that wait resume when all but the shims were killed and the instance is started again',
	async t => {
		const instance = await startedInstance(t);
		const gate = instance.newGate();
		const run = instance.spawn(
			['run', 'sh', '-c', 'echo before; read x < "$0"; echo after; exit 7', gate.path],
			{
				timeoutMs: 120_000,
			},
		);
		await until('the job runs', () => run.stdout === 'before\n');
		const [id] = await instance.submit([], 'gate', gate.path, '5');
		const waiting = [
			instance.spawn(['job', 'attach', id!], {timeoutMs: 120_000}),
			instance.spawn(['job', 'wait-event', id!, 'finish'], {timeoutMs: 120_000}),
			instance.spawn(['submit', '--wait', ...instance.task('gate', gate.path, '9')], {timeoutMs: 120_000}),
		];
		const jobs = await instance.jobsUntil('three run', all => countStates(all)['RUN'] === 3);
		await instance.tasksStarted(jobs.filter(({name}) => name === 'task'));
		await killAllButShims(instance);
		await proveDeadLog(t, instance);
		await instance.start();
		await gate.open();
		t.like(await run.finished, {status: 7, stdout: 'before\nafter\n', stderr: ''});
		const statuses = await Promise.all(waiting.map(async ({finished}) => (await finished).status));
		t.deepEqual(statuses, [5, 0, 9]);
		await proveLog(t, instance);
	},
);

test.serial(
	'jobs that end while nobody but their shims is there end when it happened, as it happened',
	async t => {
		const instance = await startedInstance(t);
		const gate = instance.newGate();
		const tasks = await runGated(instance, gate.path, 20);
		await killAllButShims(instance);
		await gate.open();
		await until('all tasks have ended', () => !tasks.some(isAlive));
		const endedS = Date.now() / 1000;
		await pause(3000); // So that the time of the end and that of the start differ by more than chance.
		await instance.start();
		const jobs = await instance.allInactive();
		t.deepEqual(await instance.check(jobs), []);
		t.true(jobs.every(({t_cleanup}) => t_cleanup! < endedS + 1));
		t.true(jobs.every(({reattached, result}) => reattached >= 0 && result !== undefined));
		await proveLog(t, instance);
	},
);

test.serial('a broker that is killed twice within a second finds its jobs again', async t => {
	const instance = await startedInstance(t);
	const gate = instance.newGate();
	const tasks = await runGated(instance, gate.path, 10);
	for (const round of [1, 2, 3]) {
		const first = await until('there is a broker', () => instance.find('broker'));
		const startMs = performance.now();
		await instance.kill([first]);
		const second = await until('it is restarted', () => instance.find('broker'), {pollMs: 5});
		await pause(300);
		await instance.kill([second]);
		t.true(performance.now() - startMs < 1000, `round ${round}: within a second`);
	}
	const jobs = await instance.jobsUntil('they are found', all =>
		all.every(({reattached}) => reattached >= 1),
	);
	t.deepEqual(countStates(jobs), {RUN: 10});
	t.deepEqual(tasks.filter(isAlive), tasks);
	await gate.open();
	t.deepEqual(await instance.check(await instance.allInactive()), []);
	await proveLog(t, instance);
});

test.serial('a broker that is killed again and again during its recovery finds its jobs at last', async t => {
	const instance = await startedInstance(t);
	const gate = instance.newGate();
	const tasks = await runGated(instance, gate.path, 10);
	await instance.submit(['--cc', '0-9', '-c', '51'], 'exit', 'COPPICE_JOB_CC');
	for (let delayMs = 0; delayMs <= 450; delayMs += 50) {
		const broker = await until('there is a broker', () => instance.find('broker'), {pollMs: 2});
		await pause(delayMs);
		await instance.kill([broker]);
	}
	const jobs = await instance.jobsUntil('they are found', all =>
		all.every(({state, reattached}) => state !== 'RUN' || reattached >= 1),
	);
	t.deepEqual(countStates(jobs), {RUN: 10, SCHED: 10});
	t.deepEqual(tasks.filter(isAlive), tasks);
	await gate.open();
	const ended = await instance.allInactive();
	t.deepEqual(await instance.check(ended), []);
	t.is(instance.tasksOf(ended).length, 20);
	await proveLog(t, instance);
});

test.serial(
	'after shutdown --keep-jobs and a new start the same tasks run, and those that ended are known',
	async t => {
		const instance = await startedInstance(t);
		const [kept, ended] = [instance.newGate(), instance.newGate()];
		const going = await runGated(instance, kept.path, 10);
		await instance.submit(['--cc', '0-4'], 'gate', ended.path, 'COPPICE_JOB_CC + 20');
		const [pending] = await instance.submit(['-c', '51'], 'exit', '3');
		const running = await instance.jobsUntil('15 run', all => countStates(all)['RUN'] === 15);
		await instance.tasksStarted(running.filter(({state}) => state === 'RUN'));
		const processes = await instance.processes();
		await instance.ok('shutdown', '--keep-jobs');
		await until('daemon and broker are gone', () => !isAlive(processes.daemon) && !isAlive(processes.broker));
		t.deepEqual(going.filter(isAlive), going);
		await proveDeadLog(t, instance);
		await ended.open();
		await until('five end', () => instance.tasksOf(running).filter(isAlive).length === 10);
		await instance.start();
		const jobs = await instance.jobsUntil('the five are known', all => all.filter(isInactive).length === 5);
		t.deepEqual(countStates(jobs), {RUN: 10, INACTIVE: 5, SCHED: 1});
		t.is((await instance.job(pending!)).state, 'SCHED');
		t.deepEqual(going.filter(isAlive), going);
		await kept.open();
		t.deepEqual(await instance.check(await instance.allInactive()), []);
		await proveLog(t, instance);
	},
);

test.serial(
	'a shell that is stopped is replaced after half a minute, which delays knowledge and changes nothing',
	async t => {
		t.timeout(180_000);
		const instance = await startedInstance(t);
		const [early, late] = [instance.newGate(), instance.newGate()];
		await instance.submit(['--cc', '0-4'], 'gate', early.path, 'COPPICE_JOB_CC + 1');
		await runGated(instance, late.path, 10);
		const tasks = instance.tasksOf(await instance.jobs());
		const shell = await instance.process('shell');
		const [broker, daemon] = [await instance.process('broker'), await instance.process('daemon')];
		const untilMs = performance.now() + 150_000;
		signalProcess(shell, 'SIGSTOP');
		await early.open();
		await until('five tasks end', () => tasks.filter(isAlive).length === 10);
		const [later] = await instance.submit([], 'exit', '6');
		const states = countStates(await instance.jobs());
		t.is((states['RUN'] ?? 0) + (states['SCHED'] ?? 0) + (states['INACTIVE'] ?? 0), 16);
		while (isAlive(shell) && performance.now() < untilMs) {
			t.is(await instance.ok('ping', '-c', '1', 'broker').then(() => 'answers'), 'answers');
			await pause(2000);
		}
		t.false(isAlive(shell));
		t.regex(
			await instance.ok('dmesg'),
			new RegExp(`the job shell \\(pid ${shell.pid}, state T\\) gave no sign of life`),
		);
		await instance.jobsUntil('all but the late ones end', all => all.filter(isInactive).length === 6);
		t.is((await instance.job(later!)).returncode, 6);
		t.true(isAlive(broker) && isAlive(daemon), 'nobody else had to end');
		t.is(tasks.filter(isAlive).length, 10);
		await late.open();
		t.deepEqual(await instance.check(await instance.allInactive()), []);
		await proveLog(t, instance);
	},
);
