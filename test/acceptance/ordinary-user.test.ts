/**
 * Goal: an ordinary user loses no job either, in a cgroup subtree that was delegated to it as without any cgroup.
 * Method: an instance under a user id of its own; everything of it is killed, tasks that try to get away are canceled.
 */
import {existsSync, readFileSync, renameSync, statSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {countStates, startedInstance, type Instance} from '../chaos/instance.ts';
import type {UserKind} from '../chaos/ordinary-user.ts';
import {commandLine, isAlive, processNamed, type ProcessName} from '../chaos/processes.ts';
import {proveLog} from '../chaos/prove-log.ts';
import {until} from '../chaos/until.ts';

const TRACKINGS: Readonly<Record<UserKind, string>> = {delegated: 'cgroup2', session: 'session'};
/** Processes that a fork bomb may have beside the others of its user. */
const BOMB_PROCESSES = 150;

/** Submits a shell script; its words may use $D, a directory that it may write. */
async function submitScript(instance: Instance, script: string, ...options: string[]): Promise<string> {
	const env = `--env=D=${instance.ledgers}`;
	return (await instance.ok('submit', env, '--env=PATH', ...options, '/bin/sh', '-c', script)).trim();
}

async function processIn(path: string): Promise<ProcessName> {
	const pid = await until(`${path} names a process`, () =>
		existsSync(path) ? Number(readFileSync(path, 'utf8')) || null : null,
	);
	const name = processNamed(pid);
	if (name === null) throw new Error(`process ${pid} of ${path} is gone`);
	return name;
}

for (const user of ['delegated', 'session'] as const) {
	test.serial(
		`${user}: whatever is killed, jobs are found again with the same processes, and end as they do`,
		async t => {
			const instance = await startedInstance(t, {user});
			t.is(await instance.getattr('process-tracking'), TRACKINGS[user]);
			t.is(statSync(instance.rundir).uid, instance.user!.userid);
			const gate = instance.newGate();
			await instance.submit(['--cc', '0-5'], 'gate', gate.path, '3');
			const running = await instance.jobsUntil('they run', all => countStates(all)['RUN'] === 6);
			const tasks = await instance.tasksStarted(running);
			for (const role of ['broker', 'shell', 'launcher', 'daemon'] as const) {
				await instance.kill([await instance.process(role)]);
			}
			const shim = instance.shims()[0]!;
			await instance.kill([...Object.values(await instance.processes()), processNamed(shim.pid)!]);
			await instance.start();
			const found = await instance.jobsUntil('they are found', all =>
				all.every(({reattached}) => reattached >= 1),
			);
			t.deepEqual(countStates(found), {RUN: 6});
			t.deepEqual(tasks.filter(isAlive), tasks);
			await gate.open();
			const jobs = await instance.allInactive();
			const problems = await instance.check(jobs, ({id}) => ({ends: 'itself', mayBeUnknown: id === shim.id}));
			t.deepEqual(problems, []);
			t.is(jobs.find(({id}) => id === shim.id)?.outcome, 'unknown');
			await proveLog(t, instance);
		},
	);

	test.serial(`${user}: a cancel ends what has left its session, its parent and its environment`, async t => {
		const instance = await startedInstance(t, {user});
		const leave = 'echo $$ > $0.tmp; mv $0.tmp $0; trap "" TERM HUP; while :; do sleep 1; done';
		const script =
			`(setsid sh -c '${leave}' $D/marked &) & ` +
			`(setsid env -i PATH="$PATH" sh -c '${leave}' $D/bare &) & ` +
			'while [ ! -s $D/bare ] || [ ! -s $D/marked ]; do sleep 0.05; done; echo $$ > $D/task; exec sleep 600';
		const id = await submitScript(instance, script);
		const escaped = [
			await processIn(join(instance.ledgers, 'task')),
			await processIn(join(instance.ledgers, 'marked')),
			await processIn(join(instance.ledgers, 'bare')),
		];
		await instance.kill([await instance.process('shell'), await instance.process('launcher')]);
		await instance.process('shell');
		t.deepEqual(escaped.filter(isAlive), escaped);
		await instance.ok('cancel', id);
		const [job] = await instance.allInactive();
		t.is(job!.result, 'CANCELED');
		t.deepEqual(escaped.filter(isAlive), []);
		await proveLog(t, instance);
	});

	test.serial(
		`${user}: jobs of a lost state directory are named by a start, and --adopt finds them`,
		async t => {
			const instance = await startedInstance(t, {user});
			const gate = instance.newGate();
			const ids = await instance.submit(['--cc', '0-2'], 'gate', gate.path, '4');
			const running = await instance.jobsUntil('they run', all => countStates(all)['RUN'] === 3);
			const tasks = await instance.tasksStarted(running);
			await instance.kill(Object.values(await instance.processes()));
			renameSync(instance.statedir, `${instance.statedir}.aside`);
			const refused = await instance.tryStart();
			t.is(refused.status, 1);
			for (const id of ids) t.true(refused.stderr.includes(id), `${id} is named in: ${refused.stderr}`);
			for (const {pid} of tasks) t.regex(refused.stderr, new RegExp(`pids [^)]*\\b${pid}\\b`));
			await instance.start('--adopt');
			await instance.jobsUntil('they run again', all => countStates(all)['RUN'] === 3);
			t.deepEqual(tasks.filter(isAlive), tasks);
			await gate.open();
			t.deepEqual(await instance.check(await instance.allInactive()), []);
			await proveLog(t, instance);
		},
	);

	test.serial(`${user}: a task that leaves a daemon behind ends, and the daemon with it`, async t => {
		const instance = await startedInstance(t, {user});
		const daemon = "setsid sh -c 'echo $$ > $D/pid; while :; do sleep 1; done' > /dev/null 2>&1 &";
		await submitScript(instance, `${daemon} while [ ! -s $D/pid ]; do sleep 0.05; done; exit 5`);
		const [job] = await instance.allInactive();
		t.like(job, {result: 'FAILED', returncode: 5});
		const pid = Number(readFileSync(join(instance.ledgers, 'pid'), 'utf8'));
		t.false(commandLine(pid).includes('$D/pid'), 'it is gone');
		await proveLog(t, instance);
	});

	test.serial(`${user}: a fork bomb is ended by a cancel, also when its shim was killed`, async t => {
		const instance = await startedInstance(t, {user});
		// Each in a session of its own, and none ends when it can't fork.
		const bomb =
			'echo $$ > $D/bomb; exec perl -MPOSIX -e "while (1) { POSIX::setsid() if fork == 0; select undef, undef, undef, 0.1 }"';
		const limit = `--rlimit=-*,nproc=${BOMB_PROCESSES}`;
		const id = await submitScript(instance, bomb, limit);
		const first = await processIn(join(instance.ledgers, 'bomb'));
		const isBomb = ({pid}: ProcessName) => commandLine(pid).startsWith('perl -MPOSIX');
		const bombs = () => instance.user!.processes().filter(isBomb);
		await until('it has grown', () => bombs().length > BOMB_PROCESSES / 3);
		for (const {pid} of instance.shims()) await instance.kill([processNamed(pid)!]);
		await until('it goes on', () => bombs().length > BOMB_PROCESSES / 3);
		await instance.ok('cancel', id);
		const [job] = await instance.allInactive();
		t.is(job!.result, 'CANCELED');
		t.deepEqual(bombs(), []);
		t.false(isAlive(first));
		await proveLog(t, instance);
	});
}
