/**
 * Goal: `start -s N` brings up N brokers on one host, each with its own name, directories and share; whatever of them is
 * killed comes back, and after a shutdown nothing is left.
 */
import {existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {startedInstance, type Instance} from '../chaos/instance.ts';
import {isAlive, processesNaming, processNamed, type ProcessName} from '../chaos/processes.ts';
import {until} from '../chaos/until.ts';

const SIZE = 3;
const RANKS = [0, 1, 2];

/** All attributes of a rank, asked of the broker itself. */
async function attributes(instance: Instance, rank: number): Promise<Record<string, string | null>> {
	const env = {COPPICE_URI: `local://${instance.rundir}/local-${rank}`};
	const {status, stdout, stderr} = await instance.run(['lsattr', '--json'], {env, timeoutMs: 20_000});
	if (status !== 0) throw new Error(stderr);
	return JSON.parse(stdout) as Record<string, string | null>;
}

async function attribute(instance: Instance, rank: number, name: string): Promise<string | null> {
	return (await attributes(instance, rank))[name] ?? null;
}

async function brokers(instance: Instance): Promise<ProcessName[]> {
	return Promise.all(
		RANKS.map(async rank =>
			until(`rank ${rank} answers`, async () => {
				const pid = Number(await attribute(instance, rank, 'broker.pid'));
				return pid > 0 ? processNamed(pid) : null;
			}),
		),
	);
}

test.serial('brokers of one host have their own names, directories and resources', async t => {
	const instance = await startedInstance(t, {cores: 2, size: SIZE, topo: 'kary:1'});
	const names = [];
	for (const rank of RANKS) {
		const found = await attributes(instance, rank);
		names.push(found['hostname']);
		t.like(found, {
			rank: String(rank),
			size: String(SIZE),
			'tbon.topo': 'kary:1',
			'tbon.level': String(rank),
			...(rank === 0 ? {} : {'tbon.parent': String(rank - 1)}),
			statedir: rank === 0 ? instance.statedir : join(instance.statedir, `rank-${rank}`),
		});
		t.true(found['job-cgroup']?.endsWith(`.${rank}`));
	}
	const host = names[0]!.replace(/-0$/, '');
	t.deepEqual(
		names,
		RANKS.map(rank => `${host}-${rank}`),
	);
	t.is(await attribute(instance, 2, 'hostlist'), `${host}-[0-2]`);

	const pids = await brokers(instance);
	await instance.kill([pids[1]!]);
	const after = await until('rank 1 is back', async () => {
		const now = await brokers(instance);
		return now[1]!.pid === pids[1]!.pid ? null : now;
	});
	t.is(await attribute(instance, 1, 'broker.boot-count'), '2');
	t.deepEqual(after[0], pids[0]);

	const daemon = await instance.process('daemon');
	await instance.kill([daemon]);
	await until('the successor knows all brokers', () => {
		const log = readFileSync(join(instance.rundir, 'daemon.log'), 'utf8');
		return RANKS.every(rank => log.includes(`broker ${rank}: adopted`));
	});
	const adopted = await brokers(instance);
	t.is(adopted[1]?.pid, after[1]?.pid);
	await instance.kill([adopted[2]!]);
	await until('the successor brings rank 2 back', async () => {
		return (await brokers(instance))[2]!.pid !== adopted[2]!.pid;
	});

	const cgroups = readdirSync(instance.jobdir).map(name => join(instance.jobCgroup, '..', `coppice-${name}`));
	t.is(cgroups.length, SIZE);
	const {status, stderr} = await instance.run(['shutdown']);
	t.is(status, 0, stderr);
	await until('no process is left', () => processesNaming(instance.root).length === 0);
	t.false(existsSync(instance.rundir));
	t.deepEqual(cgroups.filter(existsSync), []);
});

test.serial(
	'a rank whose state directory is lost is refused by itself, and begins anew with --adopt',
	async t => {
		const instance = await startedInstance(t, {cores: 2, size: SIZE});
		const before = await brokers(instance);
		const lost = join(instance.statedir, 'rank-2');
		renameSync(lost, `${instance.disk}/aside`);
		await instance.kill([before[2]!]);
		await until('rank 2 refuses', () =>
			/rank-2 has neither instance\.json nor a log, but rank 2 of the instance/.test(
				readFileSync(join(instance.rundir, 'daemon.log'), 'utf8'),
			),
		);
		t.true(isAlive(before[0]!) && isAlive(before[1]!), 'the others are not concerned');
		t.is((await instance.run(['shutdown'])).status, 0);
		await until('all have ended', () => processesNaming(instance.root).length === 0);

		const refused = await instance.tryStart();
		t.is(refused.status, 1);
		t.regex(refused.stderr, /ENOENT: .*rank 2 \(.*-2\): .*\/rank-2; jobs are untouched/);
		const adopted = await instance.tryStart('--adopt');
		t.is(adopted.status, 0, adopted.stderr);
		t.regex(adopted.stderr, /rank 2 \(.*-2\) begins anew/);
		t.is(await attribute(instance, 2, 'broker.boot-count'), '1');
		t.is(await attribute(instance, 1, 'broker.boot-count'), '2');
		t.is((await instance.run(['shutdown'])).status, 0);
		rmSync(`${instance.disk}/aside`, {recursive: true});
	},
);

test.serial('a broker that does not come up is named, with the end of its log', async t => {
	const instance = await startedInstance(t, {cores: 2, size: 2});
	t.is((await instance.run(['shutdown'])).status, 0);
	await until('all have ended', () => processesNaming(instance.root).length === 0);
	const path = join(instance.statedir, 'rank-1/instance.json');
	const record = readFileSync(path, 'utf8');
	rmSync(path);
	writeFileSync(path, record.replace('"rank": 1', '"rank": 7'));
	const {status, stderr} = await instance.tryStart();
	t.is(status, 1);
	t.regex(stderr, /rank 1 \(.*-1\) refuses to run: .*EINVAL: .*rank-1 is that of rank 7, not of rank 1/);
	await until('what was started has ended', () => processesNaming(instance.root).length === 0);
});
