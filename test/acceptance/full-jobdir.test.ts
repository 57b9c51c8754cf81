/** Goal: a full disk below the job directory loses no job and no byte without a word. Method: a small tmpfs there, filled and emptied. */
import {execFileSync} from 'node:child_process';
import {mkdirSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {Instance, isInactive} from '../chaos/instance.ts';
import {until} from '../chaos/until.ts';

test.serial('a node whose job directory is full is drained, and its job waits', async t => {
	t.timeout(180_000);
	const instance = new Instance({cores: 4});
	mkdirSync(instance.jobdir, {recursive: true});
	execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', instance.jobdir]);
	t.teardown(async () => {
		await instance.ok('shutdown').catch(() => undefined);
		execFileSync('umount', ['-l', instance.jobdir]);
		await instance.destroy();
	});
	await instance.start();
	await instance.ok('run', 'true');
	// The directory of that one, emptied: until then its deletion would make room again.
	await until('its directory is a spare', () =>
		readdirSync(instance.jobdir, {recursive: true}).some(name => /\/spare-\d+$/.test(String(name))),
	);
	const ballast = join(instance.jobdir, 'ballast');
	t.throws(() => writeFileSync(ballast, Buffer.alloc(3 * 1024 * 1024)), {code: 'ENOSPC'});

	// A directory that is there already takes a job, but not what it writes.
	const first = await instance.run(['run', 'sh', '-c', 'echo hi']);
	t.is(first.status, 0);
	t.regex(first.stderr, /^coppice: 3 bytes of output were lost: they could not be written in \S+\n$/);

	// It has the only directory that is left; for the next ones there is none.
	const gate = instance.newGate();
	const [holder] = await instance.submit([], 'gate', gate.path, '0');
	await instance.ok('job', 'wait-event', holder!, 'start');

	const running = instance.spawn(['run', 'sh', '-c', 'echo there']);
	const others = [await instance.ok('submit', 'true'), await instance.ok('submit', 'true')];
	await instance.jobsUntil('they wait', jobs => jobs.filter(({state}) => state === 'SCHED').length === 3);
	t.regex(
		await instance.ok('resource', 'drain', '-o', '{reason}'),
		/no job directory can be made: rank 0 \(\S+\): ENOSPC: lay out \S+/,
	);
	rmSync(ballast);
	await gate.open();
	await instance.ok('resource', 'undrain', '0');
	const {status, stdout} = await running.finished;
	t.deepEqual([status, stdout], [0, 'there\n']);
	const jobs = await instance.jobsUntil('all end', all => all.every(isInactive));
	t.deepEqual([...new Set(jobs.map(({result}) => result))], ['COMPLETED']);
	t.is(jobs.length, 4 + others.length);
	t.like(await instance.json('log', 'verify'), {ok: true, illegal: 0, problems: []});
	t.true((await instance.json<{match: boolean}>('log', 'replay')).match);
});
