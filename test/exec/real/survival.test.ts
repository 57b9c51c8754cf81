/**
 * Goal: whatever is killed, a running task goes on, starts once, and its true end is reported once.
 * Method: real processes; SIGKILL to the shell, the launcher, shims and all of them at moments that matter. Each task
 * appends to a ledger file of its own when it starts, so that a second start can't hide.
 */

import {execFileSync, spawn} from 'node:child_process';
import {existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import type {LaunchSpec} from '../../../src/ports/process-host.ts';
import {partMark, rankCgroup} from '../../../src/exec/part-paths.ts';
import {makePartCgroup} from '../../../src/exec/real/cgroup.ts';
import {decodePart, encodePart} from '../../../src/exec/launch-record.ts';
import {readClaim} from '../../../src/exec/real/part-dir.ts';
import {isAlive} from '../../../src/exec/real/proc.ts';
import {
	exitOf,
	live,
	relive,
	reportsFor,
	specOf,
	taskPid,
	untilExited,
	untilReady,
	untilStarted,
	type Life,
} from '../process-host-contract.ts';
import {createRealSite, eachTracking, type RealSite} from './real-site.ts';

const TERM = 15;

function withLedger({dir}: RealSite, id: bigint, script: string, more: Partial<LaunchSpec> = {}): LaunchSpec {
	return specOf(id, `echo $COPPICE_TASK_RANK >> ${dir}/ledger.${id}; ${script}`, more);
}

function ledger({dir}: RealSite, id: bigint): string[] {
	return readFileSync(`${dir}/ledger.${id}`, 'utf8').trim().split('\n');
}

function launcherPid({host}: Life): number | null {
	return host.attributes().launcherPid;
}

eachTracking(
	'a job that exits 42 while broker, shell and launcher are dead is reported with its true end',
	async t => {
		const site = createRealSite(t);
		const before = await live(site);
		const spec = withLedger(site, 1n, 'sleep 0.5; date +%s%3N > $LEDGER.end; exit 42', {
			env: {PATH: '/usr/bin:/bin', LEDGER: `${site.dir}/ledger`},
		});
		before.host.launch(spec);
		await untilStarted(site, before, spec);
		const launcher = launcherPid(before)!;
		await before.host.close({stop: false});
		await site.kill(site.shellPid()!);
		await site.until('the launcher ends with its shell', () => !isAliveNow(launcher));
		await site.until('the task has ended', () => !isAliveNow(taskPid(before, spec)));
		await site.pass(300);
		const after = await live(site);
		const [part] = (await after.host.inventory()).parts;
		const last = part!.reports.at(-1);
		if (last?.kind !== 'exited') return t.fail(`state ${part!.state}`);
		t.is(last.tasks[0]!.waitStatus, 42 << 8);
		const wroteMs = Number(readFileSync(`${site.dir}/ledger.end`, 'utf8'));
		t.true(Math.abs(last.tasks[0]!.endMs - wroteMs) < 100);
		t.deepEqual(ledger(site, 1n), ['0']);
		t.deepEqual(part!.reports[0], reportsFor(before, spec)[0]);
	},
);

eachTracking('tasks start exactly once while the launcher is killed again and again', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const specs = Array.from({length: 30}, (_, index) =>
		withLedger(site, BigInt(index + 1), 'exit 5', {tasks: [0, 1]}),
	);
	for (const spec of specs) life.host.launch(spec);
	for (let kills = 0; kills < 4; kills++) {
		await site.until('a launcher', () => launcherPid(life) !== null || allExited(life, specs));
		const pid = launcherPid(life);
		await site.pass(15);
		if (pid !== null && isAliveNow(pid)) await site.kill(pid);
		await site.until('it was noticed', () => launcherPid(life) !== pid || allExited(life, specs));
	}
	for (const spec of specs) {
		const reports = await untilExited(site, life, spec);
		t.like(reports.at(-1), {tasks: [{waitStatus: 5 << 8}, {waitStatus: 5 << 8}]});
		t.deepEqual(ledger(site, spec.id).sort(), ['0', '1']);
	}
});

eachTracking('tasks start exactly once while the shell is killed again and again', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const specs = Array.from({length: 30}, (_, index) => withLedger(site, BigInt(index + 1), 'exit 6'));
	for (const spec of specs) life.host.launch(spec);
	for (let kills = 0; kills < 4; kills++) {
		await site.until('a shell', () => site.shellPid() !== undefined);
		await site.pass(20);
		await site.kill(site.shellPid()!);
		await site.until('contact again', () => life.resets === kills + 1 || allExited(life, specs));
	}
	await site.until('all are over', async () => {
		const {parts} = await life.host.inventory();
		return parts.length === specs.length && parts.every(part => part.state === 'exited');
	});
	for (const part of (await life.host.inventory()).parts) {
		const last = part.reports.at(-1);
		t.like(last, {kind: 'exited', tasks: [{waitStatus: 6 << 8}]});
		t.deepEqual(
			part.reports.map(report => report.seq),
			part.reports.map((_, index) => index + 1),
		);
		t.deepEqual(ledger(site, part.id), ['0']);
	}
});

eachTracking('shell, launcher and shim killed at once: the task goes on, and ends as unknown', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = withLedger(site, 3n, 'read go < $D/go; echo late >> $D/ledger.3; exit 3', {
		env: {PATH: '/usr/bin:/bin', D: site.dir},
	});
	execFileSync('mkfifo', [`${site.dir}/go`]);
	life.host.launch(spec);
	await untilStarted(site, life, spec);
	const victims = [site.shellPid()!, launcherPid(life)!, site.shimPid(spec, 0)];
	for (const pid of victims) process.kill(pid, 'SIGKILL');
	writeFileSync(`${site.dir}/go`, 'go\n');
	const reports = await untilExited(site, life, spec);
	t.deepEqual(
		reports.map(report => report.kind),
		['started', 'exception', 'exited'],
	);
	t.like(reports[1], {type: 'supervisor-lost', severity: 1});
	t.like(reports[2], {tasks: [{task: 0, waitStatus: null}]});
	t.deepEqual(ledger(site, 3n), ['0', 'late']);
});

eachTracking('output goes on without loss after the shim is killed', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const script = 'i=0; while [ $i -lt 40000 ]; do i=$((i+1)); echo line $i; done; echo end >&2';
	const spec = specOf(17n, `read go < ${site.dir}/go; ${script}; read on < ${site.dir}/on`);
	execFileSync('mkfifo', [`${site.dir}/go`, `${site.dir}/on`]);
	life.host.launch(spec);
	await untilStarted(site, life, spec);
	// Without a launcher nobody can come to the rescue at first, while the task already writes.
	const launcher = launcherPid(life)!;
	process.kill(launcher, 'SIGSTOP');
	await site.kill(site.shimPid(spec, 0));
	writeFileSync(`${site.dir}/go`, 'go\n');
	await site.pass(200);
	t.true(isAliveNow(taskPid(life, spec)), 'the task waits for a reader');
	process.kill(launcher, 'SIGCONT');
	const rescuer = () => site.pids(spec, 'shim')[0];
	await site.until('a rescuer', () => rescuer() !== undefined);
	await site.until(
		'output flows',
		() => (statSync(`${site.dirOf(spec)}/stdout.0`, {throwIfNoEntry: false})?.size ?? 0) > 0,
	);
	const first = rescuer();
	if (first !== undefined) process.kill(first, 'SIGSTOP');
	t.false((await life.host.readOutput(spec, 0, 'stdout', 1_000_000, 1)).eof);
	if (first !== undefined) process.kill(first, 'SIGCONT');
	writeFileSync(`${site.dir}/on`, 'on\n');
	t.like((await untilExited(site, life, spec)).at(-1), {tasks: [{waitStatus: null}]});
	const {data, eof} = await life.host.readOutput(spec, 0, 'stdout', 0, 1_000_000);
	const lines = new TextDecoder().decode(data).trimEnd().split('\n');
	t.true(eof);
	t.is(lines.length, 40_000);
	t.is(lines.at(-1), 'line 40000');
	const errors = await life.host.readOutput(spec, 0, 'stderr', 0, 100);
	t.is(new TextDecoder().decode(errors.data), 'end\n');
});

eachTracking(
	'what has left its session and its environment is ended with its job after its shim was killed',
	async t => {
		const site = createRealSite(t);
		const life = await live(site);
		const leave = 'setsid env -i /bin/sh -c "echo \\$\\$ > $D/bare; exec sleep 600" &';
		const spec = specOf(25n, `${leave} exec sleep 600`, {env: {PATH: '/usr/bin:/bin', D: site.dir}});
		life.host.launch(spec);
		await untilStarted(site, life, spec);
		await site.until(
			'it has left',
			() => existsSync(`${site.dir}/bare`) && readFileSync(`${site.dir}/bare`).length > 0,
		);
		const pid = Number(readFileSync(`${site.dir}/bare`, 'utf8'));
		await site.kill(site.shimPid(spec, 0));
		await site.until('supervisor-lost', () => reportsFor(life, spec).length === 2);
		life.host.terminate(spec, TERM);
		await untilExited(site, life, spec);
		t.false(isAliveNow(pid));
	},
);

eachTracking('shim and task killed at once end as unknown, never as 0', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = specOf(4n, 'sleep 60');
	life.host.launch(spec);
	await untilStarted(site, life, spec);
	for (const pid of [site.shimPid(spec, 0), taskPid(life, spec)]) process.kill(pid, 'SIGKILL');
	t.like((await untilExited(site, life, spec)).at(-1), {tasks: [{waitStatus: null}]});
});

eachTracking('a new shell goes on with an escalation by the original deadline', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = specOf(5n, "trap '' TERM; echo ready; sleep 60; exit 0", {killTimeoutMs: 1500});
	life.host.launch(spec);
	await untilReady(site, life, spec);
	const startMs = site.clock.monotonicMs();
	life.host.terminate(spec, TERM);
	await site.until('the order is in the journal', async () => {
		return (await life.host.readEventlog(spec)).includes('shell.ending');
	});
	await life.host.close({stop: false});
	await site.kill(site.shellPid()!);
	await site.pass(700);
	const after = await relive(site);
	t.like((await untilExited(site, after, spec)).at(-1), {tasks: [{waitStatus: 9}]});
	const tookMs = site.clock.monotonicMs() - startMs;
	t.true(tookMs > 1450, `SIGKILL after ${tookMs} ms`);
	// It is not a second order, which would have put the deadline off.
	const journal = await after.host.readEventlog(spec);
	t.is(journal.split('shell.ending').length, 2);
});

eachTracking(
	'the time limit goes on without a broker, and counts from the start after the shell was replaced',
	async t => {
		const site = createRealSite(t);
		const life = await live(site);
		const detached = specOf(6n, 'sleep 60', {durationMs: 400});
		const adopted = specOf(7n, 'sleep 60', {durationMs: 3000});
		life.host.launch(detached);
		life.host.launch(adopted);
		await untilStarted(site, life, detached);
		await untilStarted(site, life, adopted);
		const pid = taskPid(life, detached);
		await life.host.close({stop: false});
		await site.until('the limit ended it without a broker', () => !isAliveNow(pid));
		await site.kill(site.shellPid()!);
		const after = await relive(site);
		const replacedMs = site.clock.epochMs();
		t.deepEqual(
			reportsFor(after, detached).map(report => report.kind),
			['started', 'exception', 'exited'],
		);
		const reports = await untilExited(site, after, adopted);
		t.like(reports.at(-2), {kind: 'exception', type: 'timeout', severity: 0});
		t.like(reports.at(-1), {tasks: [{waitStatus: 14}]});
		const [started, , exited] = reports;
		if (started?.kind !== 'started' || exited?.kind !== 'exited') return t.fail();
		const [{startMs}, {endMs}] = [started.tasks[0]!, exited.tasks[0]!];
		t.true(endMs - startMs > 2950, `ended ${endMs - startMs} ms after its start`);
		t.true(endMs - replacedMs < 3000, `ended ${endMs - replacedMs} ms after the shell was replaced`);
	},
);

eachTracking('after a reboot nothing is adopted, signaled or started, and recorded ends count', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const ended = specOf(8n, 'exit 4');
	const running = specOf(9n, 'sleep 60');
	const untouched = withLedger(site, 10n, 'exit 0');
	life.host.launch(ended);
	life.host.launch(running);
	await untilStarted(site, life, running);
	await untilExited(site, life, ended);
	const pid = taskPid(life, running);
	await life.host.close({stop: false});
	await site.kill(site.shellPid()!);
	// A reboot, as far as the disk can tell; the journal's last lines were lost with the page cache.
	for (const spec of [ended, running]) {
		const path = `${site.dirOf(spec)}/part`;
		const {spec: stored, journal} = decodePart(readFileSync(path, 'utf8'), path);
		const left = spec === ended ? '' : journal;
		writeFileSync(path, `${encodePart({...stored, bootId: 'an-earlier-boot'})}${left}`);
	}
	const after = await live(site);
	const {parts} = await after.host.inventory();
	const stateOf = (id: bigint) => parts.find(part => part.id === id);
	t.like(stateOf(8n), {state: 'exited', bootId: 'an-earlier-boot'});
	t.like(stateOf(8n)?.reports.at(-1), {kind: 'exited', tasks: [{waitStatus: 4 << 8}]});
	t.like(stateOf(9n), {state: 'running', bootId: 'an-earlier-boot'});
	t.false(stateOf(9n)!.reports.some(report => report.kind === 'exited'));
	after.host.launch(running);
	after.host.launch(untouched);
	await untilExited(site, after, untouched);
	await t.throwsAsync(after.host.signal(running, 9), {code: 'ESRCH'});
	after.host.terminate(running, TERM);
	t.like((await untilExited(site, after, running)).at(-1), {tasks: [{waitStatus: null}]});
	t.true(isAliveNow(pid), 'a process that only carries the name of a dead one is left alone');
});

eachTracking('a pid that belongs to another process now is never signaled', async t => {
	const site = createRealSite(t);
	const decoy = spawn('/bin/sleep', ['60'], {detached: true, stdio: 'ignore'});
	t.teardown(() => decoy.kill('SIGKILL'));
	const life = await live(site);
	const spec = specOf(11n, 'sleep 60', {killTimeoutMs: 300});
	life.host.launch(spec);
	await untilStarted(site, life, spec);
	await life.host.close({stop: false});
	await site.kill(site.shellPid()!);
	const path = `${site.dirOf(spec)}/claim.0`;
	const claim = readFileSync(path, 'utf8');
	writeFileSync(path, claim.replace(/task \d+/, `task ${decoy.pid}`));
	t.like(readClaim(site.dirOf(spec), 0), {task: {pid: decoy.pid}});
	const after = await relive(site);
	after.host.terminate(spec, TERM);
	const [exited] = (await untilExited(site, after, spec)).slice(-1);
	// Its own process is reached by what its tracking tells instead.
	t.like(exited, {tasks: [{waitStatus: TERM}]});
	t.true(isAliveNow(decoy.pid!));
	t.is(decoy.exitCode, null);
});

eachTracking(
	'a directory that was not finished is removed; live processes without a directory are left alone',
	async t => {
		const site = createRealSite(t);
		const life = await live(site);
		const anchor = specOf(12n, 'sleep 60');
		life.host.launch(anchor);
		await untilStarted(site, life, anchor);
		await life.host.close({stop: false});
		await site.kill(site.shellPid()!);
		const half = {id: 13n, attempt: 1};
		mkdirSync(site.dirOf(half));
		writeFileSync(`${site.dirOf(half)}/part.tmp`, 'coppice-la');
		const stray = {id: 14n, attempt: 1};
		const env = {...process.env, COPPICE_PART: partMark(site.site, stray)};
		const orphan = spawn('/bin/sleep', ['60'], {detached: true, stdio: 'ignore', env});
		t.teardown(() => orphan.kill('SIGKILL'));
		if (site.site.cgroupBase !== '') {
			for (const part of [half, stray]) makePartCgroup(site.cgroupOf(part));
			writeFileSync(`${site.cgroupOf(stray)}/payload/cgroup.procs`, String(orphan.pid));
		}
		const after = await live(site);
		t.deepEqual(
			(await after.host.inventory()).parts.map(part => part.id),
			[12n],
		);
		t.false(readdirSync(`${site.site.jobdir}/${site.site.instance}.0`).includes('job-13.1'));
		t.true(isAliveNow(orphan.pid!));
		after.host.terminate(stray, TERM);
		await untilExited(site, after, stray);
		await site.until('it was ended', () => orphan.signalCode === 'SIGKILL');
		t.deepEqual(site.pids(stray, 'payload'), []);
	},
);

eachTracking('a part that was launched but not started waits for the launch to be repeated', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const anchor = specOf(15n, 'sleep 60');
	life.host.launch(anchor);
	await untilStarted(site, life, anchor);
	// The launcher is stopped, so the next part is laid out, but no shim of it starts.
	process.kill(launcherPid(life)!, 'SIGSTOP');
	const spec = withLedger(site, 16n, 'read go < $GO', {
		env: {PATH: '/usr/bin:/bin', GO: `${site.dir}/go`},
	});
	execFileSync('mkfifo', [`${site.dir}/go`]);
	life.host.launch(spec);
	await site.until('it is laid out', () => readNames(site.dirOf(spec)).includes('part'));
	const stopped = launcherPid(life)!;
	await life.host.close({stop: false});
	await site.kill(site.shellPid()!);
	const after = await live(site);
	const {parts} = await after.host.inventory();
	t.is(parts.find(part => part.id === 16n)?.state, 'launching');
	await site.pass(300);
	t.false(readNames(site.dirOf(spec)).includes('claim.0'));
	after.host.launch(spec);
	await untilStarted(site, after, spec);
	// The late shim of the old launcher finds the claim taken, while the task runs.
	process.kill(stopped, 'SIGCONT');
	await site.until('the old launcher has ended', () => !isAliveNow(stopped));
	await site.until('one shim is left', () => site.pids(spec, 'shim').length === 1);
	await site.pass(200);
	writeFileSync(`${site.dir}/go`, 'go\n');
	t.like((await untilExited(site, after, spec)).at(-1), {tasks: [{waitStatus: 0}]});
	t.deepEqual(ledger(site, 16n), ['0']);
});

eachTracking(
	'a shell that is told to stop ends with its launcher once no part runs, and leaves what was not forgotten',
	async t => {
		const site = createRealSite(t);
		const life = await live(site);
		const kept = specOf(19n, 'exit 1');
		execFileSync('mkfifo', [`${site.dir}/go`]);
		const running = specOf(20n, `read go < ${site.dir}/go`);
		life.host.launch(kept);
		life.host.launch(running);
		await untilExited(site, life, kept);
		const [shell, launcher] = [site.shellPid()!, launcherPid(life)!];
		await life.host.close({stop: true});
		await site.pass(300);
		t.true(isAliveNow(shell), 'a part still runs');
		writeFileSync(`${site.dir}/go`, 'go\n');
		await site.until('shell and launcher are gone', () => !isAliveNow(shell) && !isAliveNow(launcher));
		t.false(site.site.cgroupBase !== '' && existsSync(rankCgroup(site.site)));
		const after = await relive(site);
		t.like(exitOf(after, kept), {tasks: [{waitStatus: 256}]});
		t.like(exitOf(after, running), {tasks: [{waitStatus: 0}]});
	},
);

eachTracking('a second shell of the same rank ends at once', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	life.host.launch(specOf(21n, 'sleep 60'));
	await untilStarted(site, life, specOf(21n, ''));
	const main = fileURLToPath(new URL('../../../src/exec/real/shell-main.js', import.meta.url));
	const {instance, rank, jobdir, rundir, cgroupBase} = site.site;
	const second = spawn(process.execPath, [
		main,
		JSON.stringify({instance, rank, jobdir, rundir, cgroupBase}),
	]);
	await site.until('it has ended', () => second.exitCode !== null);
	t.is(second.exitCode, 0);
	t.is((await life.host.inventory()).parts.length, 1);
});

function allExited(life: Life, specs: readonly LaunchSpec[]): boolean {
	return specs.every(spec => exitOf(life, spec) !== undefined);
}

function readNames(dir: string): string[] {
	try {
		return readdirSync(dir);
	} catch {
		return [];
	}
}

function isAliveNow(pid: number): boolean {
	try {
		const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
		const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
		return isAlive({pid, startTicks: Number(fields[19])});
	} catch {
		return false;
	}
}
