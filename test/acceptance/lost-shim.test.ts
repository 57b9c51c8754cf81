/**
 * Goal: the death of a task's own shim costs the exit status and nothing else: the task goes on, can be canceled, and
 * the outcome is an explicit unknown.
 */
import test from 'ava';
import {countStates, startedInstance, type Instance} from '../chaos/instance.ts';
import {isAlive, processNamed} from '../chaos/processes.ts';
import {proveLog} from '../chaos/prove-log.ts';
import {until} from '../chaos/until.ts';

/** Kills the shim of a job that runs. */
async function loseShim(instance: Instance, id: string): Promise<void> {
	const shims = instance.pidsOf(await instance.job(id), 'shim');
	if (shims.length !== 1) throw new Error(`there are ${shims.length} shims`);
	await instance.kill([processNamed(shims[0]!)!]);
}

const UNKNOWN = {state: 'INACTIVE', result: 'FAILED', outcome: 'unknown'} as const;

for (const broker of ['', ' and the broker is killed too']) {
	test.serial(
		`a task whose shim was killed${broker} goes on, and its outcome is unknown when it ends`,
		async t => {
			const instance = await startedInstance(t);
			const gate = instance.newGate();
			const [id] = await instance.submit([], 'gate', gate.path, '0');
			await instance.jobsUntil('it runs', all => countStates(all)['RUN'] === 1);
			const [task] = await instance.tasksStarted(await instance.jobs());
			const attach = instance.spawn(['job', 'attach', id!]);
			await loseShim(instance, id!);
			if (broker !== '') await instance.kill([await instance.process('broker')]);
			t.is((await instance.jobs())[0]!.state, 'RUN');
			t.true(isAlive(task!));
			await gate.open();
			const [job] = await instance.allInactive();
			t.like(job, UNKNOWN);
			t.false('returncode' in job! || 'waitstatus' in job!);
			t.deepEqual(await instance.check([job!], () => ({ends: 'itself', mayBeUnknown: true})), []);
			const {status, stderr} = await attach.finished;
			t.is(status, 1);
			t.regex(stderr, /^coppice job attach: .*unknown.*\n$/);
			await proveLog(t, instance);
		},
	);
}

test.serial('a task whose shim was killed is found by its cgroup, and a cancel ends it', async t => {
	const instance = await startedInstance(t);
	const gate = instance.newGate();
	const [id] = await instance.submit([], 'gate', gate.path, '0');
	await instance.jobsUntil('it runs', all => countStates(all)['RUN'] === 1);
	const [task] = await instance.tasksStarted(await instance.jobs());
	await loseShim(instance, id!);
	t.deepEqual(instance.pidsOf(await instance.job(id!), 'payload'), [task!.pid]);
	await instance.ok('cancel', id!);
	const [job] = await instance.allInactive();
	t.false(isAlive(task!));
	t.like(job, {result: 'CANCELED', outcome: 'unknown'});
	await until('its cgroup is gone', () => instance.pidsOf(job!, 'payload').length === 0);
	await proveLog(t, instance);
});

test.serial('one of two shims killed: the other task is waited for, and the outcome is unknown', async t => {
	const instance = await startedInstance(t);
	const gate = instance.newGate();
	await instance.submit(['-n', '2'], 'gate', gate.path, '0');
	const [running] = await instance.jobsUntil('it runs', all => countStates(all)['RUN'] === 1);
	await instance.tasksStarted([running!]);
	const [shim] = instance.pidsOf(running!, 'shim');
	await instance.kill([processNamed(shim!)!]);
	await gate.open();
	const [job] = await instance.allInactive();
	t.like(job, UNKNOWN);
	await proveLog(t, instance);
});

test.serial(
	'everything killed at once, shims too: the tasks go on, are found by the next start, and end unknown',
	async t => {
		const instance = await startedInstance(t);
		const gate = instance.newGate();
		await instance.submit(['--cc', '0-9'], 'gate', gate.path, '0');
		const running = await instance.jobsUntil('they run', all => countStates(all)['RUN'] === 10);
		const tasks = await instance.tasksStarted(running);
		const shims = instance.shims().map(({pid}) => processNamed(pid)!);
		t.is(shims.length, 10);
		await instance.kill([...Object.values(await instance.processes()), ...shims]);
		await instance.start();
		const found = await instance.jobsUntil('they are found', all =>
			all.every(({reattached}) => reattached >= 1),
		);
		t.deepEqual(countStates(found), {RUN: 10});
		t.deepEqual(tasks.filter(isAlive), tasks);
		await instance.ok('cancel', found[0]!.f58);
		await instance.jobsUntil('one is canceled', all => countStates(all)['INACTIVE'] === 1);
		t.is(tasks.filter(isAlive).length, 9);
		await gate.open();
		const jobs = await instance.allInactive();
		t.true(jobs.every(({outcome}) => outcome === 'unknown'));
		t.deepEqual(jobs.map(({result}) => result).sort(), [
			'CANCELED',
			...Array.from({length: 9}, () => 'FAILED'),
		]);
		await proveLog(t, instance);
	},
);
