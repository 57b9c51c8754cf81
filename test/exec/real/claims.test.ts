/**
 * Goal: whenever a shim is killed on the way to its task, the task is started once all the same, and at once.
 * Method: shims are held before their claim, by a fifo in place of the file that they read first, and killed there, with the files
 * of the claim as a killed one would leave them.
 */

import {execFileSync} from 'node:child_process';
import {existsSync, linkSync, readFileSync, readdirSync, renameSync, writeFileSync} from 'node:fs';
import type {LaunchSpec} from '../../../src/ports/process-host.ts';
import {eventsPath, rankCgroup, rankDir, shellLogPath} from '../../../src/exec/part-paths.ts';
import {Launcher} from '../../../src/exec/real/launcher.ts';
import {exitOf, live, reportsFor, specOf, taskPid, untilExited, type Life} from '../process-host-contract.ts';
import {createRealSite, eachTracking, type RealSite} from './real-site.ts';

/** Launches a part whose shims come as far as its file. Returns what lets those begin that come next. */
async function hold(site: RealSite, life: Life, spec: LaunchSpec): Promise<() => void> {
	const launcher = await launcherPid(site, life);
	process.kill(launcher, 'SIGSTOP');
	try {
		life.host.launch(spec);
		await site.until('it is laid out', () => existsSync(`${site.dirOf(spec)}/part`));
		return block(site, spec);
	} finally {
		process.kill(launcher, 'SIGCONT');
	}
}

function block(site: RealSite, spec: LaunchSpec): () => void {
	const path = `${site.dirOf(spec)}/part`;
	renameSync(path, `${path}.kept`);
	execFileSync('mkfifo', [path]);
	return () => renameSync(`${path}.kept`, path);
}

/** Has a first part run, so that there is one. */
async function launcherPid(site: RealSite, life: Life): Promise<number> {
	const first = specOf(99n, 'true');
	life.host.launch(first);
	await untilExited(site, life, first);
	const shell = site.shellPid()!;
	return Number(readFileSync(`/proc/${shell}/task/${shell}/children`, 'utf8').trim().split(' ')[0]);
}

async function killHeld(site: RealSite, spec: LaunchSpec, known: readonly number[] = []): Promise<number> {
	const pid = await newShim(site, spec, known);
	await site.kill(pid);
	return pid;
}

/** The shims that wait for somebody to write to the fifo. */
function heldShims(site: RealSite, spec: LaunchSpec): number[] {
	return site.pids(spec, 'shim').filter(pid => wchanOf(pid) === 'wait_for_partner');
}

function wchanOf(pid: number): string {
	try {
		return readFileSync(`/proc/${pid}/wchan`, 'utf8');
	} catch {
		return ''; // It has ended.
	}
}

/** Waits for one that is held, other than these. */
async function newShim(site: RealSite, spec: LaunchSpec, known: readonly number[] = []): Promise<number> {
	let found: number | undefined;
	await site.until('there is another shim', () => {
		found = heldShims(site, spec).find(pid => !known.includes(pid));
		return found !== undefined;
	});
	return found!;
}

function waitStatusesOf(life: Life, spec: LaunchSpec): (number | null)[] {
	return exitOf(life, spec)!.tasks.map(({waitStatus}) => waitStatus);
}

eachTracking(
	'a shim that is killed before it took its task is followed by another, from the same launcher',
	async t => {
		const site = createRealSite(t);
		const life = await live(site);
		const env = {PATH: '/usr/bin:/bin', D: site.dir};
		const spec = specOf(1n, 'echo here >> $D/starts', {env});
		const letGo = await hold(site, life, spec);
		const killed: number[] = [];
		for (let count = 0; count < 6; count++) killed.push(await killHeld(site, spec, killed));
		const last = await newShim(site, spec, killed);
		letGo();
		await site.kill(last);
		await untilExited(site, life, spec);
		t.deepEqual(waitStatusesOf(life, spec), [0]);
		t.is(readFileSync(`${site.dir}/starts`, 'utf8'), 'here\n');
		t.notRegex(readFileSync(shellLogPath(site.site), 'utf8'), /replacing/);
	},
);

eachTracking('a task whose every shim is killed before it can begin fails, and says so', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = specOf(1n, 'true');
	const letGo = await hold(site, life, spec);
	const killed: number[] = [];
	for (let count = 0; count < 9; count++) killed.push(await killHeld(site, spec, killed));
	const last = await newShim(site, spec, killed);
	letGo();
	await site.kill(last);
	await untilExited(site, life, spec);
	t.like(reportsFor(life, spec)[0], {
		kind: 'exception',
		type: 'exec',
		severity: 0,
		note: 'task 0 could not be started: 10 shims ended before they began it',
	});
	t.deepEqual(waitStatusesOf(life, spec), []);
});

eachTracking('what a shim wrote before it was killed at its claim is in nobody’s way', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = specOf(1n, 'exit 3');
	const letGo = await hold(site, life, spec);
	const first = await newShim(site, spec);
	writeFileSync(`${site.dirOf(spec)}/unclaimed.0`, `shim 1 1 ${'x'.repeat(60)}`);
	letGo();
	await site.kill(first);
	await untilExited(site, life, spec);
	t.deepEqual(waitStatusesOf(life, spec), [3 * 256]);
	t.deepEqual(
		reportsFor(life, spec).map(({kind}) => kind),
		['started', 'exited'],
	);
	t.false(existsSync(`${site.dirOf(spec)}/unclaimed.0`));
});

eachTracking(
	'a shim that comes late leaves the claim of a task as it is, though that has a second name',
	async t => {
		const site = createRealSite(t);
		const life = await live(site);
		const spec = specOf(1n, 'exec sleep 60', {killTimeoutMs: 100});
		life.host.launch(spec);
		await site.until('it runs', () => taskPid(life, spec) !== 0);
		const dir = site.dirOf(spec);
		const shim = site.shimPid(spec, 0);
		const shell = site.shellPid()!;
		t.teardown(() => site.shellPid() === shell && process.kill(shell, 'SIGCONT'));
		process.kill(shell, 'SIGSTOP'); // Else it has the output rescued, by processes of the same place.
		await site.kill(shim);
		// As a shim leaves it that is killed right after its claim.
		linkSync(`${dir}/claim.0`, `${dir}/unclaimed.0`);
		const before = readFileSync(`${dir}/claim.0`, 'latin1');
		const letGo = block(site, spec);
		const launcher = new Launcher({
			dir: rankDir(site.site),
			eventsPath: eventsPath(site.site),
			cgroup: rankCgroup(site.site),
			onReady: () => undefined,
			onExit: () => undefined,
		});
		t.teardown(() => launcher.close());
		launcher.feed(spec, [{task: 0, local: 0}]);
		await newShim(site, spec, [shim]);
		writeFileSync(`${dir}/part`, readFileSync(`${dir}/part.kept`)); // To the one that reads the fifo.
		letGo();
		await site.until('it has ended', () => site.pids(spec, 'shim').length === 0);
		t.is(readFileSync(`${dir}/claim.0`, 'latin1'), before);
		t.deepEqual(
			readdirSync(dir).filter(name => name.includes('claim')),
			['claim.0', 'unclaimed.0'],
		);
		process.kill(shell, 'SIGCONT');
		life.host.terminate(spec, 15);
		await untilExited(site, life, spec);
	},
);

eachTracking(
	'a task whose shim is killed before it named it is not waited for, and what became of it is unknown',
	async t => {
		const site = createRealSite(t);
		const life = await live(site);
		const spec = specOf(1n, 'exec sleep 60', {tasks: [0, 1], exitTimeoutMs: 1000});
		const letGo = await hold(site, life, spec);
		await site.until('both shims', () => heldShims(site, spec).length === 2);
		const held = heldShims(site, spec);
		const lines = [`shim 1 1 ${site.clock.bootId}`.padEnd(127), 'task'.padEnd(127), 'exit -'.padEnd(255), ''];
		writeFileSync(`${site.dirOf(spec)}/claim.0`, lines.join('\n'));
		letGo();
		for (const pid of held) await site.kill(pid);
		await untilExited(site, life, spec);
		t.like(reportsFor(life, spec), [
			{kind: 'exception', type: 'supervisor-lost'},
			{kind: 'started', tasks: [{task: 1}]},
			{kind: 'exception', type: 'exec', severity: 0},
			{kind: 'exited'},
		]);
		t.deepEqual(waitStatusesOf(life, spec), [null, 15]);
	},
);
