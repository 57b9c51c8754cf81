/**
 * Goal: whatever of daemon and broker is killed comes back, once, and what was asked to end does not.
 * Method: real daemons with fake brokers; each test kills by pid and watches what the instance does about it.
 */
import {existsSync, readFileSync} from 'node:fs';
import {readFile, rm, stat, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {
	brokersRecordPath,
	daemonLogPath,
	daemonPidPath,
	startRecordPath,
	type StartRecord,
} from '../../src/broker/daemon-protocol.ts';
import {spawnDaemon} from '../../src/broker/real/spawn-daemon.ts';
import {superviseDaemon} from '../../src/broker/real/supervise-daemon.ts';
import {shutDown} from '../../src/cli/real/start-command.ts';
import {call, clock, makeFixture, transport, until} from './start-fixture.ts';

test('a broker that was killed comes back at once, by SIGKILL as by SIGTERM', async t => {
	const {start, brokerPid, daemonPid, kill, isAlive} = await makeFixture(t);
	const {uri} = await start();
	const daemon = await daemonPid();
	for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL'] as const) {
		const before = await brokerPid();
		kill(before, signal);
		await until(`another broker after ${signal}`, async () => (await brokerPid()) !== before);
		await until('it answers', async () => call(uri, 'state-machine.get').catch(() => null));
		t.false(isAlive(before));
	}
	t.is(await daemonPid(), daemon);
	await until('it knows its daemon', async () => {
		return (await call(uri, 'attr.get', {name: 'daemon.pid'}))['value'] === String(daemon);
	});
});

test('a broker that panics backs off; one that refuses is not started again, and says why', async t => {
	const {start, setMode, lives} = await makeFixture(t);
	await setMode('exit:1');
	const startMs = performance.now();
	await t.throwsAsync(start(), {
		code: 'ECONNABORTED',
		message: /rank 0 .* ended [5-9] times in a row, at last by exit status 1/,
	});
	// 100 + 200 + 400 + 800 ms, each less up to a half for jitter.
	t.true(performance.now() - startMs > 750);
	const {length} = await lives();
	t.true(length >= 5 && length <= 9);
	await setMode('refuse');
	await t.throwsAsync(start(), {code: 'ECONNABORTED', message: /refuses to run: EINVAL: told to refuse/});
	t.is((await lives()).length, length + 1);
	await setMode('');
	await t.notThrowsAsync(start());
});

test('a start that was held up until its daemon had come and gone says why all the same', async t => {
	const {start, setMode, rundir} = await makeFixture(t);
	await setMode('refuse');
	const outcome = t.throwsAsync(start(), {code: 'ECONNABORTED', message: /rank 0 .*refuses to run: EINVAL/});
	await until('a daemon', async () => existsSync(daemonPidPath(rundir)));
	// Nothing else runs in this process meanwhile, the start neither.
	const endMs = performance.now() + 20_000;
	const log = () => readFileSync(daemonLogPath(rundir), 'utf8');
	while (!log().includes('the daemon ends') && performance.now() < endMs);
	await outcome;
});

test('an unhandled rejection is a panic: it is logged with its stack, and the broker comes back', async t => {
	const {start, setMode, lives, brokerPid, rundir} = await makeFixture(t);
	await start();
	await setMode('throw');
	process.kill(await brokerPid(), 'SIGKILL');
	await until('three lives', async () => (await lives()).length >= 3);
	await setMode('');
	const log = await readFile(join(rundir, 'broker-0.log'), 'utf8');
	t.regex(log, /panic: Error: told to throw\n\s+at /);
});

test('a daemon that was killed is replaced, and the new one adopts the very same broker and restarts it', async t => {
	const {start, brokerPid, daemonPid, kill, lives} = await makeFixture(t);
	const {uri} = await start();
	const [broker, daemon] = [await brokerPid(), await daemonPid()];
	kill(daemon, 'SIGKILL');
	const successor = await daemonPid();
	t.not(successor, daemon);
	t.is(await brokerPid(), broker);
	await until('the broker knows it', async () => {
		const {value} = await call(uri, 'attr.get', {name: 'daemon.pid'});
		return value === String(successor);
	});
	kill(broker, 'SIGKILL');
	await until('another broker', async () => (await lives()).length === 2);
	t.not(await brokerPid(), broker);
	t.is(await daemonPid(), successor);
});

test('a daemon that hangs is killed and replaced, and one that is idle is left alone', async t => {
	const {start, daemonPid, brokerPid, rundir, kill, isAlive} = await makeFixture(t);
	const {info} = await start();
	const [broker, daemon] = [await brokerPid(), await daemonPid()];
	const lines: string[] = [];
	const watch = superviseDaemon({
		instance: info.instance,
		rundir,
		rank: null,
		log: line => lines.push(line),
		silenceMsMax: 1500,
	});
	t.teardown(() => watch.close());
	await until('it has found the daemon', async () => watch.pid === daemon);
	await new Promise(resolve => setTimeout(resolve, 3000));
	t.is(watch.pid, daemon);
	kill(daemon, 'SIGSTOP');
	const successor = await until('another daemon', async () => {
		return watch.pid !== null && watch.pid !== daemon ? watch.pid : null;
	});
	t.false(isAlive(daemon));
	t.is(await daemonPid(), successor);
	t.is(await brokerPid(), broker);
	t.regex(
		lines[0] ?? '',
		new RegExp(`the daemon \\(pid ${daemon}\\) gave no sign of life for \\d+ s: it is killed`),
	);
});

test('five daemons that race end as one', async t => {
	const {start, daemonPid, brokerPid, kill, lives, rundir} = await makeFixture(t);
	await start();
	const broker = await brokerPid();
	const record = JSON.parse(await readFile(startRecordPath(rundir), 'utf8')) as StartRecord;
	kill(await daemonPid(), 'SIGKILL');
	const racers = await Promise.all(Array.from({length: 5}, () => spawnDaemon(record, {adoptsBrokers: true})));
	// The broker may have brought one back before them: then it is the one, and all five end.
	const losers = async () => {
		const winner = await daemonPid();
		return racers.filter(({pid}) => pid !== winner);
	};
	await until('all but one have ended', async () =>
		(await losers()).every(({exitCode, signalCode}) => exitCode !== null || signalCode !== null),
	);
	t.deepEqual(new Set((await losers()).map(({exitCode}) => exitCode)), new Set([0]));
	t.is(await brokerPid(), broker);
	t.deepEqual(await lives(), [broker]);
});

test('daemon and broker killed together are recovered by the next start, as the same instance', async t => {
	const {start, brokerPid, daemonPid, kill, isAlive} = await makeFixture(t);
	const first = await start();
	const [broker, daemon] = [await brokerPid(), await daemonPid()];
	kill(daemon, 'SIGSTOP'); // So that it restarts nothing in between.
	kill(broker, 'SIGKILL');
	kill(daemon, 'SIGKILL');
	await until('both are gone', async () => !isAlive(broker) && !isAlive(daemon));
	const second = await start();
	t.is(second.info.instance, first.info.instance);
	t.is(second.uri, first.uri);
});

test('a second start is refused with uri and pid of the first, also of a stopped one', async t => {
	const {start, daemonPid, kill} = await makeFixture(t);
	const {uri} = await start();
	const message = new RegExp(`already running: daemon \\(pid ${await daemonPid()}\\).*${uri}`);
	await t.throwsAsync(start(), {code: 'EBUSY', message});
	kill(await daemonPid(), 'SIGSTOP');
	await t.throwsAsync(start(), {code: 'EBUSY', message});
});

for (const killsDaemon of [false, true]) {
	const when = killsDaemon ? ' after the daemon was killed too' : '';
	test(`shutdown leaves no process and no run directory${when}`, async t => {
		const {start, rundir, brokerPid, daemonPid, isAlive, kill, warnings} = await makeFixture(t);
		const started = await start();
		const pids = [await brokerPid(), await daemonPid()];
		if (killsDaemon) {
			kill(pids[1]!, 'SIGKILL');
			pids.push(await daemonPid());
		}
		await shutDown(started, {clock, transport, warn: text => warnings.push(text)});
		await until('all are gone', async () => !pids.some(isAlive));
		t.deepEqual(warnings, []);
		await t.throwsAsync(stat(rundir), {code: 'ENOENT'});
	});
}

test('a state directory that vanishes under a running instance is never begun anew', async t => {
	const {start, kill, brokerPid, daemonPid, isAlive, lives, rundir} = await makeFixture(t);
	const {info} = await start();
	const [broker, daemon] = [await brokerPid(), await daemonPid()];
	await rm(info.statedir, {recursive: true});
	kill(broker, 'SIGKILL');
	await until('the daemon gives up', async () => !isAlive(daemon));
	t.deepEqual(await lives(), [broker]);
	const log = await readFile(join(rundir, 'daemon.log'), 'utf8');
	t.regex(log, /ENOENT: .* has neither instance\.json nor a log, but the instance .* had one/);
});

test('a broker that never answers is named, and ended', async t => {
	const {start, setMode, lives, isAlive} = await makeFixture(t);
	await setMode('hang');
	await t.throwsAsync(start({timeoutMs: 1500}), {
		code: 'ETIMEDOUT',
		message: /rank 0 \(.*\) is not up within 1\.5 s: E/,
	});
	for (const pid of await lives()) t.false(isAlive(pid));
});

test('an interrupted start ends what it began', async t => {
	const {start, setMode, lives, isAlive} = await makeFixture(t);
	await setMode('hang');
	const controller = new AbortController();
	const started = start({signal: controller.signal});
	void until('a broker lives', async () => (await lives()).length > 0).then(() => controller.abort());
	await t.throwsAsync(started, {code: 'ECANCELED'});
	for (const pid of await lives()) t.false(isAlive(pid));
});

test('a damaged record of brokers is no obstacle to a new daemon', async t => {
	const {start, brokerPid, daemonPid, kill, rundir} = await makeFixture(t);
	await start();
	const broker = await brokerPid();
	const daemon = await daemonPid();
	await writeFile(brokersRecordPath(rundir), '{"brokers"');
	kill(daemon, 'SIGKILL');
	t.not(await daemonPid(), daemon);
	t.is(await brokerPid(), broker);
});
