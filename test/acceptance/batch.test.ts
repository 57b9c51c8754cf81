/** Goal: a batch script has an instance of its own, of what it asked for, and nothing of it outlives the job. */
import {existsSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {Instance, isInactive, startedInstance} from '../chaos/instance.ts';
import {statusField} from '../chaos/processes.ts';
import {until} from '../chaos/until.ts';

const instance = new Instance({cores: 8});
test.before(() => instance.start());
test.after.always(() => instance.destroy());

function isRunning(pid: number): boolean {
	const state = statusField(pid, 'State');
	return state !== '' && !state.startsWith('Z');
}

function writeScript(name: string, ...lines: readonly string[]): string {
	const path = join(instance.root, name);
	writeFileSync(path, ['#!/bin/sh', ...lines, ''].join('\n'));
	return path;
}

test.serial('a script runs its jobs within its allocation, and ends as it says', async t => {
	const path = writeScript(
		'camp.sh',
		'# coppice: -n2 -c2 --output=camp.out',
		'echo "args $*"',
		'coppice resource list -n -o "{state} {ncores}"',
		`coppice run -n4 -l sh -c 'echo $COPPICE_JOB_SIZE'`,
		'coppice --uri $COPPICE_PARENT_URI jobs -n -o "{name}"',
		'coppice submit sleep 1000 >/dev/null',
		'exit 7',
	);
	const id = await instance.ok('batch', path, 'x', 'y z');
	rmSync(path); // What was submitted counts.
	const {status} = await instance.run(['job', 'attach', id]);
	t.is(status, 7);
	t.deepEqual(readFileSync(join(instance.root, 'camp.out'), 'utf8').split('\n'), [
		'args x y z',
		'free 4',
		'allocated 0',
		'down 0',
		'0: 4',
		'1: 4',
		'2: 4',
		'3: 4',
		'camp.sh',
		'',
	]);
	t.like(await instance.job(id), {name: 'camp.sh', ntasks: 1, ncores: 4, returncode: 7});
});

test.serial(
	'a canceled batch job takes its instance and its jobs with it, though broker and shell died',
	async t => {
		const path = writeScript('long.sh', 'coppice submit sleep 1000', 'echo up', 'sleep 1000');
		const id = await instance.ok('batch', '-n2', path);
		const pids = await until('the script, its instance and its job run', async () => {
			const found = instance.pidsOf(await instance.job(id), 'payload');
			const names = found.map(pid => readFileSync(`/proc/${pid}/comm`, 'utf8').trim());
			return names.filter(name => name === 'sleep').length === 2 ? found : null;
		});
		t.true(pids.length >= 6, String(pids.length));
		const {broker, shell} = await instance.processes();
		for (const {pid} of [broker, shell]) process.kill(pid, 'SIGKILL');
		await instance.ok('cancel', id);
		await instance.jobsUntil('it ends', jobs => jobs.every(isInactive));
		t.like(await instance.job(id), {result: 'CANCELED'});
		await until('all its processes are gone', async () => !pids.some(isRunning));
		await until('its directory is gone', async () => {
			const [own] = readdirSync(instance.jobdir);
			return !readdirSync(join(instance.jobdir, own!)).some(name => name.startsWith('job-'));
		});
	},
);

test.serial('without cgroups, too, a canceled batch job takes all of its instance with it', async t => {
	const own = await startedInstance(t, {user: 'session'});
	const names = ['script', 'task', 'broker', 'shell', 'launcher', 'daemon'];
	const path = join(own.ledgers, 'batch.sh');
	const lines = [
		'#!/bin/sh',
		'echo $$ > $D/script',
		`coppice submit sh -c 'echo $$ > $D/task; exec sleep 1000'`,
		'while [ ! -s $D/task ]; do sleep 0.1; done',
		'for name in broker shell launcher daemon; do coppice getattr $name.pid > $D/$name; done',
		'echo > $D/ready; exec sleep 1000',
	];
	writeFileSync(path, `${lines.join('\n')}\n`);
	const id = await own.ok('batch', `--env=D=${own.ledgers}`, '--output=none', path);
	await until('all of it runs', async () => existsSync(join(own.ledgers, 'ready')));
	const pids = names.map(name => Number(readFileSync(join(own.ledgers, name), 'utf8')));
	t.deepEqual(pids.filter(isRunning), pids);
	await own.ok('cancel', id);
	await own.allInactive();
	await until('all its processes are gone', async () => !pids.some(isRunning));
});
