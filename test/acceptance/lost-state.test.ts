/**
 * Goal: a state directory that vanished under running jobs is an error, never an empty start; with --adopt its jobs are
 * registered again from their directories and followed to their end.
 */
import {renameSync} from 'node:fs';
import test from 'ava';
import {countStates, isInactive, ROLES, startedInstance} from '../chaos/instance.ts';
import {isAlive} from '../chaos/processes.ts';
import {proveLog} from '../chaos/prove-log.ts';
import {until} from '../chaos/until.ts';

for (const when of ['while it runs', 'while it is down']) {
	test.serial(
		`a state directory that was moved away ${when} is missed, and --adopt finds the jobs again`,
		async t => {
			const instance = await startedInstance(t);
			const gate = instance.newGate();
			await instance.submit(['--cc', '0-4'], 'exit', 'COPPICE_JOB_CC');
			await instance.allInactive();
			const ids = await instance.submit(['--cc', '0-9'], 'gate', gate.path, 'COPPICE_JOB_CC + 30');
			const before = await instance.jobsUntil('they run', all => countStates(all)['RUN'] === 10);
			const running = before.filter(({state}) => state === 'RUN');
			const tasks = await instance.tasksStarted(running);
			const processes = await instance.processes();
			const aside = `${instance.statedir}.aside`;
			if (when === 'while it runs') {
				renameSync(instance.statedir, aside);
				await instance.kill([processes.broker]);
				await until('the daemon gives up', () => !isAlive(processes.daemon));
				await instance.kill([processes.shell, processes.launcher]);
			} else {
				await instance.kill(ROLES.map(role => processes[role]));
				renameSync(instance.statedir, aside);
			}
			const refused = await instance.tryStart();
			t.is(refused.status, 1);
			for (const id of ids) t.true(refused.stderr.includes(id), `${id} is named in: ${refused.stderr}`);
			t.regex(refused.stderr, /--adopt/);
			t.deepEqual(tasks.filter(isAlive), tasks, 'the jobs are untouched');

			await instance.start('--adopt');
			const adopted = await instance.jobsUntil('they run again', all => countStates(all)['RUN'] === 10);
			t.deepEqual(new Set(adopted.map(({id}) => id)), new Set(running.map(({id}) => id)));
			t.deepEqual(tasks.filter(isAlive), tasks);
			const [next] = await instance.submit([], 'exit', '0');
			const highest = before.map(({id}) => BigInt(id)).reduce((a, b) => (a > b ? a : b));
			t.true(BigInt((await instance.job(next!)).id) > highest, 'job ids go on above all that were seen');
			await gate.open();
			const ended = await instance.allInactive();
			t.is(ended.filter(isInactive).length, 11);
			t.deepEqual(await instance.check(ended), []);
			await proveLog(t, instance);
		},
	);
}

test.serial('a state directory that is brought back is started as if nothing had been', async t => {
	const instance = await startedInstance(t);
	const gate = instance.newGate();
	await instance.submit(['--cc', '0-4'], 'gate', gate.path, 'COPPICE_JOB_CC');
	const jobs = await instance.jobsUntil('they run', all => countStates(all)['RUN'] === 5);
	const tasks = await instance.tasksStarted(jobs);
	const processes = await instance.processes();
	await instance.kill(ROLES.map(role => processes[role]));
	renameSync(instance.statedir, `${instance.statedir}.aside`);
	t.is((await instance.tryStart()).status, 1);
	renameSync(`${instance.statedir}.aside`, instance.statedir);
	await instance.start();
	await instance.jobsUntil('they are found', all => all.every(({reattached}) => reattached >= 1));
	t.deepEqual(tasks.filter(isAlive), tasks);
	await gate.open();
	t.deepEqual(await instance.check(await instance.allInactive()), []);
	await proveLog(t, instance);
});
