/**
 * Goal: what a disk does to the log is detected and named, running jobs are not touched by it, `log salvage` leads out,
 * and what was acknowledged is there again wherever its bytes are; an outcome whose bytes are lost is an explicit unknown,
 * never another one, and nothing runs twice.
 * Method: an instance with running and finished jobs is killed, a file of its database is damaged by hand, and it is
 * started again. A full disk is a small tmpfs that is filled while jobs run.
 */
import {
	closeSync,
	ftruncateSync,
	openSync,
	readdirSync,
	readSync,
	rmSync,
	statSync,
	unlinkSync,
	writeSync,
} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {countStates, ROLES, startedInstance, type Instance} from '../chaos/instance.ts';
import type {JobRow} from '../chaos/ledger.ts';
import {isAlive, type ProcessName} from '../chaos/processes.ts';
import {proveLog} from '../chaos/prove-log.ts';
import {until} from '../chaos/until.ts';

const RUNNING = 10;
const FINISHED = 30;

interface Case {
	readonly what: string;
	readonly damage: (database: string) => void;
	/** What `log verify` and the refusal of a submission say. */
	readonly named: RegExp;
	/** Whether every byte that was written is still somewhere. */
	readonly isWhole: boolean;
}

const CASES: readonly Case[] = [
	{
		what: 'a flipped bit',
		damage: database =>
			withLogFile(database, (file, sizeBytes) => {
				const byte = Buffer.alloc(1);
				const at = Math.floor(sizeBytes / 2);
				readSync(file, byte, 0, 1, at);
				byte[0]! ^= 4;
				writeSync(file, byte, 0, 1, at);
			}),
		named: /facts are missing: \d+ to \d+/,
		isWhole: true,
	},
	{
		what: 'a zeroed block',
		damage: database =>
			withLogFile(database, (file, sizeBytes) =>
				writeSync(file, Buffer.alloc(4096), 0, 4096, Math.floor(sizeBytes * 0.6)),
			),
		named: /facts are missing: \d+ to \d+/,
		isWhole: false,
	},
	{
		what: 'a tail that was cut off',
		damage: database =>
			withLogFile(database, (file, sizeBytes) => ftruncateSync(file, Math.floor(sizeBytes * 0.8))),
		named: /ends at \d+, but \d+ was acknowledged/,
		isWhole: false,
	},
	{
		what: 'a missing CURRENT',
		damage: database => unlinkSync(join(database, 'CURRENT')),
		named: /cannot be opened/,
		isWhole: true,
	},
];

for (const {what, damage, named, isWhole} of CASES) {
	test.serial(`${what} is named, leaves jobs untouched, and salvage leads out of safe mode`, async t => {
		const {instance, gate, tasks} = await withJobs(t);
		const processes = await instance.processes();
		await instance.kill(ROLES.map(role => processes[role]));
		damage(join(instance.statedir, 'db'));
		const dead = await instance.run(['log', 'verify', instance.statedir]);
		t.is(dead.status, 1);
		t.regex(dead.stdout, named);

		await instance.start();
		await assertSafe(t, instance, named);
		t.deepEqual(tasks.filter(isAlive), tasks);
		const plan = await instance.json<{plan: string[]; done: boolean}>('log', 'salvage');
		t.true(plan.plan.length > 0 && !plan.done);
		t.like(await instance.json('log', 'salvage', '--yes'), {done: true});
		await untilNormal(instance);

		const found = await instance.jobsUntil(
			'its jobs are found',
			jobs => countStates(jobs)['RUN'] === RUNNING,
		);
		t.deepEqual(countStates(found), {RUN: RUNNING, INACTIVE: FINISHED});
		t.deepEqual(tasks.filter(isAlive), tasks);
		await gate.open();
		const jobs = await instance.allInactive();
		// What ended before the damage may be among what was lost with it, and its directory is deleted by then.
		const isOfBefore = ({id}: JobRow) => !found.some(job => job.id === id && job.state === 'RUN');
		const wrong = await instance.check(jobs, job => ({
			ends: 'itself',
			mayBeUnknown: !isWhole && isOfBefore(job),
		}));
		t.deepEqual(wrong, []);
		t.is(await instance.ok('run', 'echo', 'goes on'), 'goes on');
		await proveLog(t, instance);
	});
}

test.serial(
	'a full disk means safe mode; jobs that end meanwhile keep their exit status, and it goes on by itself',
	async t => {
		const {instance, gate, tasks} = await withJobs(t, 24 * 1024 * 1024);
		const before = await instance.jobs();
		const filler = join(instance.disk, 'filler');
		fillDisk(filler);
		const acknowledged: string[] = [];
		// Until the log can't take it any more; what was answered before that counts.
		await until('the disk is found full', async () => {
			const {status, stdout} = await instance.run(['submit', '--cc', '0-19', ...instance.task('exit', '0')]);
			acknowledged.push(...stdout.split('\n').filter(Boolean));
			return status !== 0;
		});
		await assertSafe(t, instance, /disk of .* is full/);
		t.deepEqual(tasks.filter(isAlive), tasks);
		await gate.open();
		await until('the tasks have ended on a full disk', () => !tasks.some(isAlive));
		rmSync(filler);
		await untilNormal(instance);
		const jobs = await instance.allInactive();
		const known = new Set(jobs.map(({f58}) => f58));
		t.deepEqual(
			acknowledged.filter(id => !known.has(id)),
			[],
		);
		t.true(before.every(({f58}) => known.has(f58)));
		t.deepEqual(await instance.check(jobs), []);
		await proveLog(t, instance);
	},
);

/** An instance with jobs that run and jobs that have ended. */
async function withJobs(t: ExecutionContext, diskBytes?: number) {
	const instance = await startedInstance(t, diskBytes === undefined ? {} : {diskBytes});
	const gate = instance.newGate();
	await instance.submit(['--cc', `0-${FINISHED - 1}`], 'exit', 'COPPICE_JOB_CC % 4');
	await instance.submit(['--cc', `0-${RUNNING - 1}`], 'gate', gate.path, 'COPPICE_JOB_CC');
	const jobs = await instance.jobsUntil('they run and have ended', all => {
		const {RUN, INACTIVE} = countStates(all);
		return RUN === RUNNING && INACTIVE === FINISHED;
	});
	const tasks: ProcessName[] = await instance.tasksStarted(jobs.filter(({state}) => state === 'RUN'));
	return {instance, gate, tasks};
}

async function assertSafe(t: ExecutionContext, instance: Instance, named: RegExp): Promise<void> {
	await until(
		'it is in safe mode',
		async () => (await instance.run(['getattr', 'broker.mode'])).stdout === 'safe\n',
	);
	const refused = await instance.run(['submit', 'true']);
	t.is(refused.status, 1);
	t.regex(refused.stderr, /EROFS: safe mode/);
	t.regex(refused.stderr, named);
	t.is((await instance.run(['jobs', '-a'])).status, 0, 'it can be inspected');
	const health = await instance.run(['health', '-q']);
	t.is(health.status, 1);
	t.regex(health.stdout, /event-log +safe-mode/);
	t.regex(health.stdout, named);
}

async function untilNormal(instance: Instance): Promise<void> {
	await until('it has left safe mode', async () => {
		const {stdout} = await instance.run(['getattr', 'broker.mode']);
		return stdout === 'normal\n' && instance.find('broker') !== null;
	});
}

/** Opens the write-ahead log of a database: the largest, when there are several. */
function withLogFile(database: string, use: (file: number, sizeBytes: number) => void): void {
	const [path] = readdirSync(database)
		.filter(name => name.endsWith('.log'))
		.map(name => join(database, name))
		.sort((a, b) => statSync(b).size - statSync(a).size);
	const file = openSync(path!, 'r+');
	try {
		use(file, statSync(path!).size);
	} finally {
		closeSync(file);
	}
}

function fillDisk(path: string): void {
	const file = openSync(path, 'w');
	try {
		for (const sizeBytes of [64 * 1024, 1024, 1]) writeUntilFull(file, Buffer.alloc(sizeBytes));
	} finally {
		closeSync(file);
	}
}

function writeUntilFull(file: number, bytes: Buffer): void {
	try {
		while (writeSync(file, bytes) === bytes.length);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
	}
}
