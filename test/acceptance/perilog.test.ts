/**
 * Goal: prologs and epilogs of a real instance run exactly once, whichever processes are killed meanwhile; one that fails
 * drains its node, with the reason, and nothing else.
 */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {Instance, startedInstance, unstartedInstance, type Role} from '../chaos/instance.ts';
import {PerilogScript, type ScriptName} from '../chaos/perilog-script.ts';
import {isAlive, processNamed, type ProcessName} from '../chaos/processes.ts';
import {proveLog} from '../chaos/prove-log.ts';
import {until} from '../chaos/until.ts';

async function withScripts(t: import('ava').ExecutionContext, size = 1, confs: readonly string[] = []) {
	const instance = unstartedInstance(t, {size, cores: 4, confs});
	const scripts = new PerilogScript(instance);
	await instance.start();
	return {instance, scripts};
}

/** The process of a script that holds. */
async function runningScript(scripts: PerilogScript, script: ScriptName, id: string): Promise<ProcessName> {
	const pid = await until(
		`the ${script} of ${id} runs`,
		() => scripts.runsOf(script, id)[0]?.starts[0] ?? null,
	);
	return processNamed(pid)!;
}

async function namesOfEvents(instance: Instance, id: string): Promise<string[]> {
	const text = await instance.ok('job', 'eventlog', id);
	return text.split('\n').map(line => line.split(' ')[1]!);
}

const KILLS: readonly (readonly Role[])[] = [
	['broker'],
	['shell'],
	['launcher'],
	['broker', 'shell', 'launcher'],
	['broker', 'shell', 'launcher', 'daemon'],
];

for (const script of ['prolog', 'epilog'] as const) {
	test.serial(`a ${script} goes on under any kill, and ends once`, async t => {
		const {instance, scripts} = await withScripts(t);
		for (const roles of KILLS) {
			scripts.hold(script);
			const [id] = await instance.submit([], 'exit', '3');
			const running = await runningScript(scripts, script, id!);
			const names = await Promise.all(roles.map(async role => instance.process(role)));
			await instance.kill(names);
			if (roles.includes('daemon')) await instance.start();
			t.true(isAlive(running), roles.join());
			const state = script === 'prolog' ? 'RUN' : 'CLEANUP';
			await instance.jobsUntil(`it is in ${state}`, jobs => jobs.some(job => job.state === state));
			t.true(isAlive(running), roles.join());
			scripts.release(script);
			const jobs = await instance.allInactive();
			t.like(
				jobs.find(({f58}) => f58 === id),
				{result: 'FAILED', returncode: 3, outcome: 'exited'},
			);
			t.deepEqual(scripts.faults(), []);
			t.is(scripts.runsOf('prolog', id!).length, 1);
			t.is(scripts.runsOf('epilog', id!).length, 1);
			const events = (await namesOfEvents(instance, id!)).join(' ');
			t.regex(
				events,
				/alloc prolog-start prolog-finish start finish epilog-start epilog-finish release free clean$/,
			);
			t.deepEqual(await instance.check(jobs), []);
		}
		t.is(await instance.ok('resource', 'drain', '-n'), '');
		await proveLog(t, instance);
	});

	test.serial(`a ${script} whose shim is killed counts as failed, and drains the node`, async t => {
		const {instance, scripts} = await withScripts(t);
		scripts.hold(script);
		const [id] = await instance.submit([], 'exit', '0');
		const running = await runningScript(scripts, script, id!);
		const shims = instance.shimsOfScript(await instance.job(id!), script);
		t.is(shims.length, 1);
		await instance.kill(shims.map(pid => processNamed(pid)!));
		t.true(isAlive(running));
		scripts.release(script);
		const [job] = await instance.allInactive();
		t.is(job!.result, script === 'prolog' ? 'FAILED' : 'COMPLETED');
		t.deepEqual(scripts.faults(), []);
		const drained = await instance.ok('resource', 'drain', '-n', '-o', '{ranks} {reason}');
		t.regex(drained, new RegExp(`^0 ${script} failed for job ${id!.replace(/^ƒ/, 'f')}: .*unknown`));
	});
}

test.serial('a prolog that fails on one of three ranks drains that node, and others run on', async t => {
	const {instance, scripts} = await withScripts(t, 3);
	scripts.fail('prolog', 1);
	const [id] = await instance.submit(['-N3', '-n3'], 'exit', '0');
	const [job] = await instance.allInactive();
	t.is(job!.result, 'FAILED');
	const text = await instance.ok('job', 'eventlog', id!);
	t.regex(
		text,
		/exception note="rank 1 \(\S+\): prolog exited with exit code=7: the disk is full of eels" severity=0 type="prolog"/,
	);
	t.is(instance.tasksOf([job!]).length, 0, 'no task was started');
	t.deepEqual(
		scripts.faults().filter(text => !text.includes('"prolog"')),
		[],
	);
	t.is(scripts.runsOf('epilog', id!).length, scripts.runsOf('prolog', id!).length);
	const drained = await instance.ok('resource', 'drain', '-n', '-o', '{ranks} {reason}');
	t.regex(
		drained,
		/^1 prolog failed for job f\w+: rank 1 \(\S+\): \S+perilog\.sh exited with exit code=7: the disk is full of eels$/,
	);
	t.regex(await instance.ok('dmesg'), /prolog failed for job/);
	await instance.ok('run', '-N2', '-n2', 'true');
	scripts.fail('prolog', 1, false);
	await instance.ok('resource', 'undrain', '1');
	await instance.ok('run', '-N3', '-n3', 'true');
});

test.serial('an epilog that fails drains the node, and the job ends as its task did', async t => {
	const {instance, scripts} = await withScripts(t);
	scripts.fail('epilog', 0);
	const [id] = await instance.submit([], 'exit', '0');
	const [job] = await instance.allInactive();
	t.is(job!.result, 'COMPLETED');
	const text = await instance.ok('job', 'eventlog', id!);
	t.regex(
		text,
		/exception note="epilog exited with exit code=7: the disk is full of eels" severity=1 type="epilog"/,
	);
	t.regex(await instance.ok('resource', 'drain', '-n', '-o', '{ranks} {reason}'), /^0 epilog failed for job/);
});

test.serial('a cancel ends the prolog, no task starts, and the epilog runs to its own end', async t => {
	const {instance, scripts} = await withScripts(t);
	scripts.hold('prolog');
	scripts.hold('epilog');
	const [id] = await instance.submit([], 'exit', '0');
	const prolog = await runningScript(scripts, 'prolog', id!);
	await instance.ok('cancel', id!);
	const epilog = await runningScript(scripts, 'epilog', id!);
	t.false(isAlive(prolog));
	await instance.run(['cancel', id!]);
	t.true(isAlive(epilog), 'nothing ends an epilog');
	scripts.release('epilog');
	const [job] = await instance.allInactive();
	t.like(job, {result: 'CANCELED'});
	t.is(instance.tasksOf([job!]).length, 0);
	t.is(await instance.ok('resource', 'drain', '-n'), '');
});

test.serial(
	'a prolog that takes too long, or does not heed a cancel, is killed and drains the node',
	async t => {
		const confs = ['exec.kill-timeout=200ms', 'exec.prolog-timeout=1s'];
		const stubborn = 'exec.prolog=["/bin/sh","-c","trap : TERM; while :; do sleep 0.1; done"]';
		const instance = await startedInstance(t, {cores: 4, confs: [...confs, stubborn]});
		const [first] = await instance.submit([], 'exit', '0');
		t.is((await instance.allInactive())[0]!.result, 'FAILED');
		t.regex(
			await instance.ok('job', 'eventlog', first!),
			/note="prolog timed out after 1 s.*" severity=0 type="prolog"/,
		);
		const drained = async () => instance.ok('resource', 'drain', '-n', '-o', '{ranks} {reason}');
		t.regex(await drained(), /^0 prolog timed out for job .* timed out after 1 s/);
	},
);

test.serial('a prolog that does not heed a cancel is killed, and drains the node', async t => {
	const instance = unstartedInstance(t, {cores: 4, confs: ['exec.kill-timeout=200ms']});
	const started = join(instance.root, 'started');
	const stubborn = ['/bin/sh', '-c', `trap '' TERM; : > ${started}; while :; do sleep 0.1; done`];
	await instance.start('--conf', `exec.prolog=${JSON.stringify(stubborn)}`);
	const [id] = await instance.submit([], 'exit', '0');
	await until('its prolog runs', () => existsSync(started));
	await instance.ok('cancel', id!);
	t.is((await instance.allInactive())[0]!.result, 'CANCELED');
	t.regex(
		await instance.ok('resource', 'drain', '-n', '-o', '{ranks} {reason}'),
		/^0 prolog canceled then timed out for job/,
	);
});
