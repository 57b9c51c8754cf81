/**
 * Goal: a job is told of its end in time, once; and tasks that go on long after others are ended, with the reason.
 * Method: tasks that count signals; the shell is killed before, between and after.
 */

import {readFileSync} from 'node:fs';
import test from 'ava';
import type {LaunchSpec} from '../../../src/ports/process-host.ts';
import {
	exitOf,
	live,
	reportsFor,
	specOf,
	taskPid,
	untilExited,
	untilReady,
	type Life,
} from '../process-host-contract.ts';
import {createRealSite} from './real-site.ts';

/** Notes each SIGUSR1, until it is ended. */
const COUNTER = 'trap "echo usr1 >> $D/signals" USR1; echo ready; while :; do sleep 0.05; done';

function exceptionsOf(life: Life, spec: LaunchSpec) {
	return reportsFor(life, spec).filter(report => report.kind === 'exception');
}

function textOf(path: string): string {
	try {
		return readFileSync(path, 'utf8');
	} catch {
		return '';
	}
}

test('the signal before the time limit comes once, though the shell is killed before and after it', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const env = {PATH: '/usr/bin:/bin', D: site.dir};
	const warning = {signum: 10, beforeMs: 4000};
	const spec = specOf(1n, COUNTER, {env, durationMs: 7000, killTimeoutMs: 500, warning});
	life.host.launch(spec);
	await untilReady(site, life, spec);
	await site.loseShell();
	await site.until('another shell', () => life.resets === 1);
	t.is(textOf(`${site.dir}/signals`), '');
	await site.until('the signal', () => textOf(`${site.dir}/signals`) !== '');
	t.deepEqual(exceptionsOf(life, spec), [], 'the limit is not reached yet');
	await site.loseShell();
	await site.until('another shell', () => life.resets === 2);
	await untilExited(site, life, spec);
	t.is(textOf(`${site.dir}/signals`), 'usr1\n');
	t.like(exceptionsOf(life, spec), [{type: 'timeout'}]);
});

test('a signal that would be due before the start is not sent', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const env = {PATH: '/usr/bin:/bin', D: site.dir};
	const warning = {signum: 10, beforeMs: 60_000};
	const spec = specOf(1n, COUNTER, {env, durationMs: 1500, killTimeoutMs: 300, warning});
	life.host.launch(spec);
	await untilExited(site, life, spec);
	t.is(textOf(`${site.dir}/signals`), '');
});

test('tasks that go on long after the first has ended are ended with the reason, also by another shell', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const script = 'echo ready; [ $COPPICE_TASK_RANK = 1 ] && exit 0; exec sleep 60';
	const spec = specOf(1n, script, {tasks: [0, 1], exitTimeoutMs: 1500});
	life.host.launch(spec);
	await untilReady(site, life, spec);
	await site.loseShell();
	const reports = await untilExited(site, life, spec);
	t.like(
		reports.find(report => report.kind === 'exception'),
		{type: 'exec', severity: 0, note: 'a task has ended, and others go on 1.5 s later (exit-timeout)'},
	);
	t.deepEqual(
		exitOf(life, spec)!.tasks.map(({waitStatus}) => waitStatus),
		[15, 0],
	);
	const patient = specOf(2n, '[ $COPPICE_TASK_RANK = 1 ] && exit 0; sleep 1', {
		tasks: [0, 1],
		exitTimeoutMs: 20_000,
	});
	life.host.launch(patient);
	await untilExited(site, life, patient);
	t.deepEqual(exceptionsOf(life, patient), []);
});

test('a task that ends without its shim is one that has ended: those that go on are ended in time', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = specOf(1n, 'exec sleep 60', {tasks: [0, 1], exitTimeoutMs: 1500});
	life.host.launch(spec);
	await site.until('both run', () => taskPid(life, spec) !== 0);
	await site.kill(site.shimPid(spec, 0));
	process.kill(taskPid(life, spec), 'SIGKILL');
	await untilExited(site, life, spec);
	t.like(exceptionsOf(life, spec), [
		{type: 'supervisor-lost'},
		{type: 'exec', note: 'a task has ended, and others go on 1.5 s later (exit-timeout)'},
	]);
	t.deepEqual(
		exitOf(life, spec)!.tasks.map(({waitStatus}) => waitStatus),
		[null, 15],
	);
});

test('with exit-on-error the first task that fails ends the part, and is named', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = specOf(1n, '[ $COPPICE_TASK_RANK = 1 ] && exit 3; exec sleep 60', {
		tasks: [0, 1],
		exitsOnError: true,
	});
	life.host.launch(spec);
	await site.until('the failure is told', () => exceptionsOf(life, spec).length > 0);
	t.like(exceptionsOf(life, spec), [
		{type: 'exec', severity: 0, note: 'task 1 exited with code 3 (exit-on-error)'},
	]);
	life.host.terminate(spec, 15); // As the root does when it hears of it.
	await untilExited(site, life, spec);
	t.is(exceptionsOf(life, spec).length, 1);
});
