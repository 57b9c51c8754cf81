/**
 * Goal: a job whose facts break the broker at each start does not keep the instance down: it is set aside with the
 * evidence, and everything else goes on. Method: a clean log gets one more fact, chained and whole, with an allocation that nobody can read.
 */
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import type {Panic} from '../../src/broker/panic-evidence.ts';
import {parseJobid} from '../../src/cli/jobid-text.ts';
import {SystemClock} from '../../src/ports/real/system-clock.ts';
import {SystemRandom} from '../../src/ports/real/system-random.ts';
import {EventLog} from '../../src/store/event-log.ts';
import {LevelStoreDir} from '../../src/store/real/level-store-dir.ts';
import {isInactive, startedInstance} from '../chaos/instance.ts';
import {isAlive} from '../chaos/processes.ts';
import {until} from '../chaos/until.ts';

interface Health {
	readonly healthy: boolean;
	readonly problems: readonly {readonly service: string; readonly topic: string; readonly text: string}[];
}

async function appendFact(statedir: string, fact: object): Promise<void> {
	const log = await EventLog.open(new LevelStoreDir(statedir), {
		clock: new SystemClock(),
		random: new SystemRandom(),
		create: false,
	});
	log.append([fact], {durable: true});
	await log.flush(10_000);
	await log.close();
}

test.serial(
	'a job that panics the broker at each start is set aside after three, and the others go on',
	async t => {
		t.timeout(180_000);
		const instance = await startedInstance(t, {cores: 2});
		const gate = instance.newGate();
		const [running] = await instance.submit(['-n', '2'], 'gate', gate.path, '0');
		const [broken] = await instance.submit([], 'exit', '0');
		const [pending] = await instance.submit([], 'exit', '3');
		const tasks = await instance.tasksStarted([await instance.job(running!)]);
		await instance.ok('shutdown', '--keep-jobs');
		await until(
			'broker and daemon have gone',
			() => instance.brokers().size === 0 && instance.find('daemon') === null,
		);
		const id = parseJobid(broken!);
		await appendFact(instance.statedir, {
			type: 'job.alloc',
			id,
			R: {R_lite: 'unreadable'},
			ranks: [0],
			atMs: Date.now(),
		});

		await instance.start();
		const panics = join(instance.statedir, 'panics');
		t.deepEqual(readdirSync(panics).sort(), ['panic-1.json', 'panic-2.json', 'panic-3.json']);
		const panic = JSON.parse(readFileSync(join(panics, 'panic-3.json'), 'utf8')) as Panic;
		t.deepEqual(panic.culprit, {kind: 'job', id: String(id)});
		t.regex(panic.stack, /R can't be held/);
		t.deepEqual(tasks.filter(isAlive), tasks);
		t.regex(
			await instance.ok('dmesg'),
			new RegExp(`job ${id} made this broker panic 3 times and is set aside`),
		);
		const {problems} = JSON.parse((await instance.run(['health', '--json'])).stdout) as Health;
		const named = problems.find(({topic}) => topic === 'panic');
		t.regex(named?.text ?? '', /panic-3\.json/);
		const lost = await instance.ok('log', 'lost+found', '--json');
		t.true(lost.includes(String(id)), lost);
		const refusal = await instance.run(['cancel', broken!]);
		t.regex(refusal.stderr, /lost\+found/);
		await gate.open();
		await instance.jobsUntil('the others end', jobs => {
			return jobs.filter(({f58}) => f58 !== broken).every(isInactive);
		});
		t.is((await instance.job(pending!)).returncode, 3);

		// Set aside by a fact: it stays so, and the broker starts as any other.
		const before = await instance.process('broker');
		await instance.kill([before]);
		await until('another broker', async () => (await instance.process('broker')).pid !== before.pid);
		t.is(readdirSync(panics).length, 3);
		t.like(await instance.json('log', 'verify'), {ok: true, illegal: 0, problems: []});
		const replay = await instance.json<{match: boolean}>('log', 'replay');
		t.true(replay.match);
	},
);

test.serial('what a broker that ended itself said about it is in startlog', async t => {
	t.timeout(180_000);
	const instance = await startedInstance(t, {cores: 2, size: 2});
	await until('both are there', async () => (await instance.getattr('size')) === '2');
	const before = instance.brokers().get(1)!;
	await instance.ok('run', '-N', '2', 'true');
	await instance.ok('overlay', 'disconnect', '1');
	await until('another broker', () => {
		const now = instance.brokers().get(1);
		return now !== undefined && now.pid !== before.pid;
	});
	const lives = await until('its lives', async () => {
		const {status, stdout} = await instance.run(['startlog', '--rank', '1']);
		return status === 0 ? stdout : null;
	});
	t.regex(lives, / - crashed: \S.*disconnect.*\n.* - running/);
});
