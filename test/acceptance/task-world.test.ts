/** Goal: a task finds itself in the world that POSIX promises, and nothing of its supervisors leaks into it. */
import {readdirSync, readFileSync} from 'node:fs';
import test from 'ava';
import {Instance, isInactive} from '../chaos/instance.ts';
import {isAlive, statusField} from '../chaos/processes.ts';
import {proveLog} from '../chaos/prove-log.ts';
import {until} from '../chaos/until.ts';

const instance = new Instance({cores: 8});
test.before(() => instance.start());
test.after.always(() => instance.destroy());

/** The pid of a job's only process. */
async function payloadOf(id: string): Promise<number> {
	return until('its task runs', async () => {
		const job = await instance.job(id);
		const [pid] = job.state === 'RUN' ? instance.pidsOf(job, 'payload') : [];
		return pid !== undefined && readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n' ? pid : null;
	});
}

test.serial(
	'a task has default signal dispositions, a session of its own, and descriptors 0 to 2 only',
	async t => {
		const id = await instance.ok('submit', 'sleep', '1000');
		const pid = await payloadOf(id);
		t.is(Number(`0x${statusField(pid, 'SigIgn')}`), 0);
		t.is(Number(`0x${statusField(pid, 'SigBlk')}`), 0);
		t.is(Number(`0x${statusField(pid, 'SigCgt')}`), 0);
		const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
			.replace(/^.*\) /, '')
			.split(' ');
		t.is(Number(stat[3]), pid, 'its session');
		t.is(Number(stat[2]), pid, 'its process group');
		t.deepEqual(readdirSync(`/proc/${pid}/fd`).sort(), ['0', '1', '2']);
		await instance.ok('job', 'kill', '-s', 'INT', id);
		await instance.jobsUntil('it ends', jobs => jobs.every(isInactive));
		t.like(await instance.job(id), {result: 'FAILED', outcome: 'signaled', returncode: 130, waitstatus: 2});
	},
);

test.serial('kill 0 of a task reaches nobody else', async t => {
	const processes = await instance.processes();
	t.like(await instance.run(['run', 'sh', '-c', 'trap "" TERM; kill 0; echo lives; exit 5']), {
		status: 5,
		stdout: 'lives\n',
	});
	t.is((await instance.run(['run', 'sh', '-c', 'kill -9 0'])).status, 137);
	t.true(Object.values(processes).every(isAlive));
});

test.serial('a task that is killed by signal 9 and one that exits with 137 are told apart', async t => {
	const ids = [
		await instance.ok('submit', 'sh', '-c', 'kill -9 $$'),
		await instance.ok('submit', 'sh', '-c', 'exit 137'),
	];
	await instance.jobsUntil('they end', jobs => jobs.every(isInactive));
	const [killed, exited] = await Promise.all(ids.map(async id => instance.job(id)));
	t.like(killed, {outcome: 'signaled', returncode: 137, waitstatus: 9, result: 'FAILED'});
	t.like(exited, {outcome: 'exited', returncode: 137, waitstatus: 137 * 256, result: 'FAILED'});
	const runs = await Promise.all(
		['kill -9 $$', 'exit 137'].map(async script => instance.run(['run', 'sh', '-c', script])),
	);
	t.deepEqual(
		runs.map(({status}) => status),
		[137, 137],
	);
	t.is(runs[0]!.stderr.split('\n').length, 2, 'one line about the signal');
	t.is(runs[1]!.stderr, '');
});

test.serial(
	'a time limit ends what ignores SIGTERM, also when shell and broker are killed meanwhile',
	async t => {
		const gate = instance.newGate();
		const limit = await instance.submit(['-t', '4s'], 'sleep', '600', '0');
		await instance.tasksStarted(
			await instance.jobs().then(jobs => jobs.filter(({state}) => state === 'RUN')),
		);
		const processes = await instance.processes();
		await instance.kill([processes.shell, processes.broker]);
		const [stubborn] = await instance.submit([], 'trap', gate.path, '123');
		await instance.jobsUntil('the limited one ends', jobs =>
			jobs.every(({f58, state}) => f58 === stubborn || state === 'INACTIVE'),
		);
		const job = await instance.job(limit[0]!);
		t.like(job, {result: 'TIMEOUT'});
		t.true(
			job.t_cleanup! - job.t_run! > 3.9 && job.t_cleanup! - job.t_run! < 9,
			`${job.t_cleanup! - job.t_run!} s`,
		);
		await until('the other one runs', () => instance.ledgersOf({f58: stubborn!, ntasks: 1}).length === 1);
		await instance.ok('cancel', stubborn!);
		await instance.allInactive();
		t.like(await instance.job(stubborn!), {result: 'CANCELED', outcome: 'exited', waitstatus: 123 * 256});
		await proveLog(t, instance);
	},
);
