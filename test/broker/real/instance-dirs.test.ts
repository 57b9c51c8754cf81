/**
 * Goal: on a real file system the directories of instances are made, found again and kept apart.
 * Method: starts on temporary directories, with job directories as the job shell writes them.
 */
import {mkdir, mkdtemp, readFile, rename, rm, stat, symlink, writeFile} from 'node:fs/promises';
import {randomUUID} from 'node:crypto';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {encodePart} from '../../../src/exec/launch-record.ts';
import {daemonLockName, startRecordPath} from '../../../src/broker/daemon-protocol.ts';
import {rankStatedir, type InstanceInfo} from '../../../src/broker/instance.ts';
import {
	markLogMade,
	readInstance,
	readRankRecord,
	withPreparedInstance,
	type PreparedInstance,
	type PrepareOptions,
} from '../../../src/broker/real/instance-dirs.ts';
import {takeLock} from '../../../src/ports/real/kernel-lock.ts';

async function fixture(t: ExecutionContext) {
	const root = await mkdtemp(join(tmpdir(), 'coppice-dirs-'));
	t.teardown(async () => rm(root, {recursive: true, force: true}));
	const warnings: string[] = [];
	const start = async (change: Partial<PrepareOptions> = {}): Promise<PreparedInstance> =>
		withPreparedInstance(
			{
				statedir: join(root, 'state'),
				jobdir: join(root, 'jobs'),
				rundir: null,
				adopt: false,
				size: null,
				topo: 'kary:32',
				hostname: 'n1',
				env: {HOME: root, XDG_RUNTIME_DIR: join(root, 'run')},
				userid: 7,
				nowMs: 1,
				uuid: randomUUID,
				warn: text => warnings.push(text),
				...change,
			},
			async prepared => prepared,
		);
	return {root, start, warnings};
}

/** As the job shell leaves a part with one task. */
async function makePart(
	{jobdir, instance, cgroupBase}: InstanceInfo,
	exit: string,
	rank = 0,
): Promise<string> {
	const directory = join(jobdir, `${instance}.${rank}`, 'job-1234567.1');
	await mkdir(directory, {recursive: true});
	const spec = {
		id: 1234567n,
		attempt: 1,
		argv: ['true'],
		env: {},
		cwd: '/',
		tasks: [0],
		durationMs: 0,
		killTimeoutMs: 5000,
		stdout: null,
		stderr: null,
		record: '{}',
		bootId: 'of another boot',
		cgroup: `${cgroupBase}/coppice-${instance}.${rank}/job-1234567.1`,
	};
	await writeFile(join(directory, 'part'), encodePart(spec));
	const claim = ['shim 99 1 x', 'task 100 2 1700000000000 3.5'].map(line => `${line.padEnd(127)}\n`).join('');
	await writeFile(join(directory, 'claim.0'), `${claim}${exit}`);
	return directory;
}

const unwritten = ' '.repeat(128);
const written = 'exit 0 1700000000000 11 0 \n';

test('a fresh start makes directories for its owner alone, and a copy of the record that outlives the state', async t => {
	const {root, start} = await fixture(t);
	const {info, isKnown} = await start();
	t.false(isKnown);
	t.is(info.rundir, join(root, 'run/coppice', info.instance));
	for (const path of [info.rundir, info.statedir, info.jobdir]) t.is((await stat(path)).mode & 0o777, 0o700);
	t.is((await readRankRecord(info, 0))?.log, 'new');
	t.is(await readInstance(info.statedir), null); // The store takes it as the sign of a log.
	await markLogMade(info, 0);
	t.deepEqual(await readInstance(info.statedir), info);
	t.is((await readRankRecord(info, 0))?.log, 'made');
});

test('later starts have the same id and directories, also without the options of the first', async t => {
	const {start, root} = await fixture(t);
	const {info: first} = await start({rundir: join(root, 'r')});
	await markLogMade(first, 0);
	const {info: second, isKnown} = await start({jobdir: null, size: 1});
	t.deepEqual(second, first);
	t.true(isKnown);
});

test('a start that was cut off before its log was made is taken up again', async t => {
	const {start} = await fixture(t);
	const {info: first} = await start();
	const {info: second} = await start();
	t.is(second.instance, first.instance);
	t.is((await readRankRecord(second, 0))?.log, 'new');
});

test('a vanished state directory with unfinished jobs is refused, and taken over with --adopt', async t => {
	const {start} = await fixture(t);
	const {info} = await start();
	await markLogMade(info, 0);
	await makePart(info, unwritten);
	await rm(info.statedir, {recursive: true});
	const error = await t.throwsAsync(start(), {code: 'EEXIST'});
	t.regex(error?.message ?? '', /1234567\.1.* on rank 0: ended without a record, since 2023-11-14T/);
	await t.throwsAsync(stat(info.statedir), {code: 'ENOENT'}); // Nothing was made.
	const adopted = await start({adopt: true});
	t.is(adopted.info.instance, info.instance);
	t.true(adopted.isAdopted);
	t.is((await readRankRecord(info, 0))?.log, 'new');
});

test('the run directory tells of a vanished instance whose job directory was not the default', async t => {
	const {start, root} = await fixture(t);
	const {info} = await start();
	await markLogMade(info, 0);
	await makePart(info, unwritten);
	const record = {version: 1, info, brokerCommand: [], daemonCommand: [], defaultLink: null};
	await writeFile(startRecordPath(info.rundir), JSON.stringify(record));
	await rm(info.statedir, {recursive: true});
	await t.throwsAsync(start({jobdir: join(root, 'other-jobs')}), {code: 'EEXIST'});
});

test('a vanished state directory whose jobs are all over is a fresh start', async t => {
	const {start} = await fixture(t);
	const {info} = await start();
	await markLogMade(info, 0);
	await makePart(info, written);
	await rm(info.statedir, {recursive: true});
	const {info: next} = await start();
	t.not(next.instance, info.instance);
});

test('an instance whose daemon lock is held is refused with its pid, also with --adopt', async t => {
	const {start} = await fixture(t);
	const {info} = await start();
	const lock = await takeLock(daemonLockName(info.instance));
	t.teardown(async () => lock?.release());
	for (const adopt of [false, true]) {
		await t.throwsAsync(start({adopt}), {
			code: 'EBUSY',
			message: new RegExp(`daemon \\(pid ${process.pid}\\)`),
		});
	}
	await markLogMade(info, 0);
	await t.throwsAsync(start(), {code: 'EBUSY', message: new RegExp(`daemon \\(pid ${process.pid}\\)`)});
});

test('two starts on one state directory at a time: the second is refused, by whatever path it comes', async t => {
	const {start, root} = await fixture(t);
	await mkdir(join(root, 'state'));
	await symlink(join(root, 'state'), join(root, 'alias'));
	const results = await Promise.allSettled([start(), start({statedir: join(root, 'alias')})]);
	const refused = results.filter(result => result.status === 'rejected');
	t.is(refused.length, 1);
	t.is((refused[0]?.reason as {code?: string}).code, 'EBUSY');
});

test('a run directory of another instance, or with other files, is refused by name', async t => {
	const {start, root} = await fixture(t);
	const rundir = join(root, 'r');
	const {info} = await start({rundir});
	const record = {version: 1, info, brokerCommand: [], daemonCommand: [], defaultLink: null};
	await writeFile(startRecordPath(rundir), JSON.stringify(record));
	const other = join(root, 'state2');
	await t.throwsAsync(start({statedir: other, rundir}), {code: 'EEXIST', message: new RegExp(info.instance)});
	await mkdir(join(root, 'mine'));
	await writeFile(join(root, 'mine/thesis.tex'), '');
	await t.throwsAsync(start({statedir: other, rundir: join(root, 'mine')}), {
		code: 'ENOTEMPTY',
		message: /thesis\.tex/,
	});
	await t.throwsAsync(start({statedir: other, rundir: root}), {code: 'EINVAL', message: /holds the state/});
});

test('a moved state directory goes on, a copied one is refused', async t => {
	const {start, root} = await fixture(t);
	const {info} = await start();
	await markLogMade(info, 0);
	const moved = join(root, 'moved');
	await rename(info.statedir, moved);
	const next = await start({statedir: moved});
	t.is(next.info.instance, info.instance);
	t.is((await readInstance(moved))?.statedir, moved);
	await mkdir(info.statedir);
	await writeFile(join(info.statedir, 'instance.json'), await readFile(join(moved, 'instance.json')));
	await t.throwsAsync(start(), {code: 'EEXIST', message: /is a copy of/});
});

test('a damaged record in a job directory is passed over with a word, one in the state directory is refused', async t => {
	const {start, root, warnings} = await fixture(t);
	await mkdir(join(root, 'jobs/x.0'), {recursive: true});
	await writeFile(join(root, 'jobs/x.0/instance.json'), '{');
	const {info} = await start();
	t.regex(warnings.join('\n'), /jobs\/x\.0\/instance\.json: damaged/);
	await writeFile(join(info.statedir, 'instance.json'), '{');
	await t.throwsAsync(start(), {code: 'EBADMSG'});
});

test('ranks have directories of their own; each is marked, missed and adopted by itself', async t => {
	const {start} = await fixture(t);
	const {info} = await start({size: 3});
	for (const rank of [0, 1, 2]) {
		t.is((await stat(rankStatedir(info, rank))).mode & 0o777, 0o700);
		t.is((await readRankRecord(info, rank))?.log, 'new');
		await markLogMade(info, rank);
	}
	t.deepEqual((await start()).info, info, 'without a size it has as many as before');
	await rm(join(info.statedir, 'rank-2'), {recursive: true});
	await t.throwsAsync(start(), {code: 'ENOENT', message: /rank 2 \(n1-2\): .*rank-2; jobs are untouched/});
	t.is((await readRankRecord(info, 2))?.log, 'made');
	const adopted = await start({adopt: true});
	t.deepEqual([adopted.isAdopted, adopted.adoptedRanks], [false, [2]]);
	const logs = [0, 1, 2].map(async rank => (await readRankRecord(info, rank))?.log);
	t.deepEqual(await Promise.all(logs), ['made', 'made', 'new']);
});

test('a start that was cut off when other ranks had their log goes on as the same instance', async t => {
	const {start} = await fixture(t);
	const {info} = await start({size: 3});
	await markLogMade(info, 2);
	const second = await start();
	t.deepEqual(second.info, info);
	t.is((await readRankRecord(info, 0))?.log, 'new');
	t.is((await readRankRecord(info, 2))?.log, 'made');
});

test('an instance grows by new ranks, and shrinks only where no job is left', async t => {
	const {start} = await fixture(t);
	const {info} = await start();
	await markLogMade(info, 0);
	const grown = await start({size: 2});
	t.is(grown.info.size, 2);
	t.is(grown.info.instance, info.instance);
	t.is((await readRankRecord(info, 1))?.log, 'new');
	await markLogMade(grown.info, 1);
	await makePart(grown.info, unwritten, 1);
	await t.throwsAsync(start({size: 1}), {
		code: 'EBUSY',
		message: /had 2 brokers.* on rank 1: ended without a record/s,
	});
	t.is((await readInstance(info.statedir))?.size, 2, 'nothing was changed');
	await makePart(grown.info, written, 1);
	t.is((await start({size: 1})).info.size, 1);
	t.is((await start()).info.size, 1);
	t.is((await start({size: 2})).info.size, 2);
	t.is((await readRankRecord(info, 1))?.log, 'made', 'a rank that comes back goes on with its log');
});

const site = {rank: 2, instance: '3b2c0000-0000-4000-8000-000000000001'};
const onHost = {site, size: 3, hostname: 'n3'};

test('a host of a cluster has directories for its own rank, and the id that the key names', async t => {
	const {root, start} = await fixture(t);
	const {info} = await start(onHost);
	t.is(info.instance, site.instance);
	t.is(info.hostname, 'n3');
	t.is(info.soleRank, 2);
	t.is(rankStatedir(info, 2), join(root, 'state'));
	t.is((await readRankRecord(info, 2))?.log, 'new');
	t.is(await readRankRecord(info, 0), null);
	t.is(await readRankRecord(info, 1), null);
	await markLogMade(info, 2);
	t.deepEqual((await start(onHost)).info, info);
	t.is((await readRankRecord(info, 2))?.log, 'made');
	t.is((await start({...onHost, size: 5})).info.size, 5);
});

test('a host of a cluster refuses what its state directory is not', async t => {
	const {start} = await fixture(t);
	const {info} = await start(onHost);
	await markLogMade(info, 2);
	await t.throwsAsync(start({...onHost, site: {...site, rank: 1}}), {
		code: 'EINVAL',
		message: /as rank 2, and/,
	});
	await t.throwsAsync(start({...onHost, site: {...site, instance: 'x'}}), {
		code: 'EINVAL',
		message: /keygen/,
	});
	await t.throwsAsync(start(), {code: 'EINVAL', message: /coppice broker/});
	t.is((await readRankRecord(info, 2))?.log, 'made');
});

test('the lost state of a host of a cluster is noticed, and taken over with --adopt', async t => {
	const {start} = await fixture(t);
	const {info} = await start(onHost);
	await markLogMade(info, 2);
	await makePart(info, unwritten, 2);
	await rm(info.statedir, {recursive: true});
	await t.throwsAsync(start(onHost), {code: 'EEXIST', message: /on rank 2: ended without a record/});
	const adopted = await start({...onHost, adopt: true});
	t.true(adopted.isAdopted);
	t.is(adopted.info.instance, site.instance);
});

test('a run directory that a killed broker left is no other one’s, with or without a daemon', async t => {
	const {start, root} = await fixture(t);
	for (const change of [
		{rundir: join(root, 'r')},
		{...onHost, rundir: join(root, 'r2'), statedir: join(root, 's2')},
	]) {
		const {info} = await start(change);
		await markLogMade(info, info.soleRank ?? 0);
		await writeFile(join(info.rundir, 'local-0'), '');
		t.is((await start(change)).info.instance, info.instance);
	}
	await mkdir(join(root, 'r3'));
	await writeFile(join(root, 'r3', 'strange'), '');
	await t.throwsAsync(start({rundir: join(root, 'r3'), statedir: join(root, 's3')}), {code: 'ENOTEMPTY'});
});
