/**
 * Goal: `coppice start -- CMD` is as good as CMD itself to whoever runs it, and leaves nothing behind.
 * Method: the real program with the real broker, on temporary directories.
 */
import {execFileSync, spawn, type ChildProcess} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {lstat, mkdir, mkdtemp, readdir, readlink, rm, stat, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test, {type ExecutionContext} from 'ava';
import type {InstanceInfo} from '../../src/broker/instance.ts';
import {isNamedAlive, readPidFile} from '../../src/broker/real/pid-file.ts';
import {rankCgroup} from '../../src/exec/part-paths.ts';
import {isPopulated, killCgroup, removeCgroup} from '../../src/exec/real/cgroup.ts';
import {readInstance} from '../../src/broker/real/instance-dirs.ts';
import {lastLines, rotateLog} from '../../src/cli/real/daemon-log.ts';
import {PROGRAM_ENVIRONMENT, V8_FLAGS} from '../../src/ports/real/installation.ts';
import {placeDefaultLink} from '../../src/cli/real/daemon-rundir.ts';
import {call, endInstance, until} from './start-fixture.ts';

const coppice = fileURLToPath(new URL('../../../bin/coppice', import.meta.url));

interface Run {
	readonly child: ChildProcess;
	/** What it has written so far. */
	text(): string;
	readonly status: Promise<number>;
}

async function makeDirectories(t: ExecutionContext) {
	const root = await mkdtemp(join(tmpdir(), 'coppice-cmd-'));
	const rundir = join(root, 'run');
	const options = ['--statedir', join(root, 'state'), '--jobdir', join(root, 'jobs'), '--rundir', rundir];
	t.teardown(async () => {
		const info = await readInstance(join(root, 'state')).catch(() => null);
		await endInstance(rundir);
		if (info !== null) await endJobs(info);
		await rm(root, {recursive: true, force: true});
	});
	const run = (args: readonly string[]): Run => {
		const child = spawn(process.execPath, [coppice, ...args], {stdio: ['ignore', 'pipe', 'pipe']});
		let text = '';
		child.stdout.on('data', chunk => (text += String(chunk)));
		child.stderr.on('data', chunk => (text += String(chunk)));
		t.teardown(() => child.kill('SIGKILL'));
		const status = new Promise<number>(resolve => {
			child.once('close', (code, signal) => resolve(signal === null ? (code ?? -1) : -2));
		});
		return {child, text: () => text, status};
	};
	const start = (...args: string[]) => run(['start', ...options, ...args]);
	return {root, rundir, run, start};
}

/** Kills what is left of an instance's jobs by its own cgroup. */
async function endJobs(info: InstanceInfo): Promise<void> {
	if (info.cgroupBase === '') return;
	const cgroup = rankCgroup({...info, rank: 0});
	for (let count = 0; count < 100 && !removeCgroup(cgroup); count += 1) {
		if (isPopulated(cgroup)) killCgroup(cgroup);
		await new Promise(resolve => setTimeout(resolve, 20));
	}
}

test('a command runs in the instance, its status is the exit status, and nothing is left', async t => {
	const {root, rundir, start} = await makeDirectories(t);
	const script = 'coppice run echo "it ran at $COPPICE_URI"; coppice submit sleep 1000; exit 7';
	const run = start('--', 'sh', '-c', script);
	t.is(await run.status, 7);
	t.true(run.text().includes(`it ran at local://${rundir}/local-0\n`), run.text());
	await t.throwsAsync(stat(rundir), {code: 'ENOENT'});
	const info = await readInstance(join(root, 'state'));
	if (info !== null && info.cgroupBase !== '') {
		await t.throwsAsync(stat(rankCgroup({...info, rank: 0})), {code: 'ENOENT'});
	}
});

test('a signal is passed on to the command; 128+signal is the status, and the instance ends', async t => {
	const {rundir, start} = await makeDirectories(t);
	const run = start('--', 'sh', '-c', 'echo ready; exec sleep 60');
	await until('the command runs', async () => run.text().includes('ready'));
	run.child.kill('SIGTERM');
	t.is(await run.status, 143);
	await t.throwsAsync(stat(rundir), {code: 'ENOENT'});
});

test('the command goes on when the daemon is killed, and when the broker is', async t => {
	const {root, rundir, start} = await makeDirectories(t);
	const go = join(root, 'go');
	const script = `echo ready; for i in $(seq 600); do [ -e ${go} ] && break; sleep 0.05; done; coppice run --reconnect-timeout 10s echo ran; exit 5`;
	const run = start('--', 'sh', '-c', script);
	await until('the command runs', async () => run.text().includes('ready'));
	for (const file of ['daemon.pid', 'broker-0.pid']) {
		const before = await readPidFile(join(rundir, file));
		process.kill(before!.pid, 'SIGKILL');
		await until(`another ${file}`, async () => {
			const name = await readPidFile(join(rundir, file));
			return name !== null && name.pid !== before!.pid && isNamedAlive(name);
		});
	}
	await writeFile(go, '');
	t.is(await run.status, 5);
	t.regex(run.text(), /^ran$/m);
	await t.throwsAsync(stat(rundir), {code: 'ENOENT'});
});

test('daemon and broker that die together under a command come back while it runs', async t => {
	const {root, rundir, start} = await makeDirectories(t);
	const go = join(root, 'go');
	const run = start(
		'--',
		'sh',
		'-c',
		`echo ready; for i in $(seq 600); do [ -e ${go} ] && break; sleep 0.05; done; exit 6`,
	);
	await until('the command runs', async () => run.text().includes('ready'));
	const names = await Promise.all(
		['daemon.pid', 'broker-0.pid'].map(file => readPidFile(join(rundir, file))),
	);
	process.kill(names[0]!.pid, 'SIGSTOP'); // So that it restarts nothing in between.
	for (const name of names.toReversed()) process.kill(name!.pid, 'SIGKILL');
	await until('the instance answers', async () => {
		const state = call(`local://${rundir}/local-0`, 'state-machine.get').catch(() => null);
		return (await state)?.['state'] === 'run';
	});
	await writeFile(go, '');
	t.is(await run.status, 6);
	await t.throwsAsync(stat(rundir), {code: 'ENOENT'});
});

test('an instance that its own command shuts down is not brought back', async t => {
	const {rundir, start} = await makeDirectories(t);
	const run = start(
		'--',
		'sh',
		'-c',
		'coppice submit sleep 60; coppice shutdown --keep-jobs; sleep 1; exit 3',
	);
	t.is(await run.status, 3, run.text());
	for (const file of ['daemon.pid', 'broker-0.pid']) {
		const name = await readPidFile(join(rundir, file));
		t.true(name === null || !isNamedAlive(name), file);
	}
});

test('a command that is not there is 127, and what makes no sense is refused before anything is made', async t => {
	const {root, start} = await makeDirectories(t);
	const cases: readonly (readonly [args: string[], status: number, message: RegExp])[] = [
		[['-s', '0'], 2, /size/],
		[['--detach', '--', 'true'], 2, /--detach goes without a command/],
		[['--conf', 'tbon.torpid=soon'], 1, /EINVAL: --conf tbon\.torpid=soon: tbon\.torpid: must be/],
		[['-S', 'x'], 2, /'x' is not NAME=VALUE/],
		[['--frobnicate'], 2, /frobnicate/],
		[['--rundir', `/${'x'.repeat(120)}`], 1, /too long/],
	];
	for (const [args, status, message] of cases) {
		const run = start(...args);
		t.is(await run.status, status, args.join(' '));
		t.regex(run.text(), message);
	}
	t.deepEqual(await readdir(root), []);
	const run = start('--', join(root, 'nothing'));
	t.is(await run.status, 127);
	t.regex(run.text(), /^coppice start: ENOENT: .*nothing/m);
});

test('--detach prints the URI when the broker answers; shutdown ends it all', async t => {
	const {rundir, run, start} = await makeDirectories(t);
	const detached = start('--detach', '--conf', 'resource.cores=3');
	t.is(await detached.status, 0);
	const uri = detached.text().trim();
	t.is(uri, `local://${rundir}/local-0`);
	t.is(await run(['--uri', uri, 'uptime']).status, 0);
	t.is(await run(['--uri', uri, 'shutdown']).status, 0);
	await until('the run directory is gone', async () =>
		stat(rundir).then(
			() => false,
			() => true,
		),
	);
});

test('a broker in the foreground ends by the signal that asked, and leaves its job running', async t => {
	const {root, rundir, run} = await makeDirectories(t);
	const options = ['--statedir', join(root, 'state'), '--jobdir', join(root, 'jobs'), '--rundir', rundir];
	const uri = `local://${rundir}/local-0`;
	const broker = run(['broker', ...options]);
	await until('it answers', async () => (await run(['--uri', uri, 'uptime']).status) === 0);
	const second = run(['broker', ...options]);
	t.is(await second.status, 42);
	t.regex(second.text(), new RegExp(`broker 0 \\(pid ${broker.child.pid}\\)`));
	t.is(await run(['--uri', uri, 'submit', 'sleep', '1000']).status, 0);
	const info = (await readInstance(join(root, 'state')))!;
	const cgroup = rankCgroup({...info, rank: 0});
	await until('the job runs', async () => isPopulated(cgroup));
	broker.child.kill('SIGTERM');
	await broker.status;
	t.is(broker.child.signalCode, 'SIGTERM');
	t.true(isPopulated(cgroup));
});

test('bin/coppice gives a broker the flags and the environment of one that a daemon starts', t => {
	const text = readFileSync(coppice, 'utf8').split('\n')[1]!;
	const environment = Object.entries(PROGRAM_ENVIRONMENT).map(([name, value]) => `${name}=${value}`);
	t.true(text.includes(`f='${V8_FLAGS.broker.join(' ')}'; export ${environment.join(' ')};`));
	const help = execFileSync(coppice, ['broker', '--help'], {encoding: 'utf8'});
	t.regex(help, /Runs one broker in the foreground/);
});

test('a log that has grown too large is cut in place, and kept once', async t => {
	const {root} = await makeDirectories(t);
	const path = join(root, 'log');
	rotateLog(path, 10);
	await writeFile(path, 'one\ntwo\n');
	rotateLog(path, 10);
	t.deepEqual(lastLines(path, 5), ['one', 'two']);
	await writeFile(path, 'one\ntwo\nthree\n');
	rotateLog(path, 10);
	t.deepEqual(lastLines(path, 5), []);
	t.deepEqual(lastLines(`${path}.1`, 2), ['two', 'three']);
});

test('the default link is replaced in one step, and nothing but a link is', async t => {
	const {root} = await makeDirectories(t);
	const link = join(root, 'coppice/local');
	const info = {rundir: join(root, 'a')} as InstanceInfo;
	await placeDefaultLink(link, info);
	await placeDefaultLink(link, {...info, rundir: join(root, 'b')});
	t.is(await readlink(link), join(root, 'b/local-0'));
	t.deepEqual(await readdir(join(root, 'coppice')), ['local']);
	await rm(link);
	await mkdir(link);
	await t.throwsAsync(placeDefaultLink(link, info), {code: 'EEXIST'});
	t.true((await lstat(link)).isDirectory());
});
