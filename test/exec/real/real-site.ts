/**
 * A node of its own for a test with real processes: fresh directories, an instance id of its own, and a teardown that
 * ends everything that carries the instance's id (below its cgroup, or by its mark), and nothing else.
 */

import {randomBytes, randomUUID} from 'node:crypto';
import {mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {partName, type PartKey, type ProcessHost} from '../../../src/ports/process-host.ts';
import {
	partCgroup,
	partDir,
	rankCgroup,
	rankDir,
	shellLogPath,
	shellPidPath,
	type RankSite,
} from '../../../src/exec/part-paths.ts';
import type {PartRole} from '../../../src/exec/process-table.ts';
import {
	findCgroupBase,
	isPopulated,
	killCgroup,
	pidsIn,
	removeCgroup,
} from '../../../src/exec/real/cgroup.ts';
import {ProcessScanner} from '../../../src/exec/real/process-scanner.ts';
import type {TrackingName} from '../../../src/exec/real/tracking.ts';
import {SystemClock} from '../../../src/ports/real/system-clock.ts';
import {readClaim} from '../../../src/exec/real/part-dir.ts';
import {isAlive} from '../../../src/exec/real/proc.ts';
import {RealProcessHost} from '../../../src/exec/real/process-host.ts';
import type {HostSite} from '../process-host-contract.ts';

const UNTIL_MS_MAX = 60_000;
const POLL_MS = 5;

export interface RealSite extends HostSite {
	readonly site: RankSite;
	readonly clock: SystemClock;
	/** A directory of the test's own, for ledgers and outputs. */
	readonly dir: string;
	/** The pid of the running shell, or undefined. */
	shellPid(): number | undefined;
	/** SIGKILL to a process of this site, and waits until it is dead. */
	kill(pid: number): Promise<void>;
	dirOf(key: PartKey): string;
	cgroupOf(key: PartKey): string;
	/** What is alive of a part, as its tracking tells. */
	pids(key: PartKey, role: PartRole): number[];
	shimPid(key: PartKey, task: number): number;
}

export const random = {
	float: () => Math.random(),
	bytes: (length: number) => new Uint8Array(randomBytes(length)),
	uuid: () => randomUUID(),
};

const foundBase = findCgroupBase();
/**
 * Root must have cgroups: these tests are not skipped in silence. An ordinary user has them where they were delegated
 * (`as-user.js`).
 */
if (typeof foundBase !== 'string' && process.getuid!() === 0) throw foundBase;
export const TRACKINGS: readonly TrackingName[] =
	typeof foundBase === 'string' ? ['cgroup2', 'session'] : ['session'];

/** Declares a test once for each way of tracking processes that there is here. */
export function eachTracking(title: string, run: (t: ExecutionContext) => Promise<void>): void {
	for (const tracking of TRACKINGS) {
		test(`${tracking}: ${title}`, async t => {
			trackings.set(t, tracking);
			await run(t);
		});
	}
}

const trackings = new WeakMap<ExecutionContext, TrackingName>();

export interface SiteOptions {
	readonly clock?: SystemClock;
	readonly jobdir?: string;
	/** Default: that of `eachTracking`, else the first that there is. */
	readonly tracking?: TrackingName;
}

export function createRealSite(
	t: ExecutionContext,
	{clock = new SystemClock(), jobdir, tracking = trackings.get(t) ?? TRACKINGS[0]!}: SiteOptions = {},
): RealSite {
	const cgroupBase = tracking === 'session' ? '' : (foundBase as string);
	const dir = mkdtempSync(join(tmpdir(), 'coppice-exec-'));
	const instance = `test-${randomBytes(6).toString('hex')}`;
	const site: RankSite = {
		instance,
		rank: 0,
		jobdir: jobdir ?? `${dir}/jobs`,
		rundir: `${dir}/run`,
		cgroupBase,
	};
	const log: string[] = [];
	let host: RealProcessHost | null = null;
	t.teardown(async () => {
		await host?.close({stop: false});
		await endAll(site);
		if (!t.passed) t.log(log.join('\n'), readText(shellLogPath(site)));
		rmSync(dir, {recursive: true, force: true});
	});
	const shellPid = () => {
		const text = readText(shellPidPath(site));
		if (text === '') return undefined;
		const who = JSON.parse(text) as {pid: number; startTicks: number};
		return isAlive(who) ? who.pid : undefined;
	};
	const kill = async (pid: number) => {
		process.kill(pid, 'SIGKILL');
		await until(`process ${pid} is dead`, () => !isRunning(pid));
	};
	const shimPid = (key: PartKey, task: number) => {
		const claim = readClaim(partDir(site, key), task);
		if (claim?.kind !== 'claimed' || claim.shim === null) throw new Error('the task has no shim');
		return claim.shim.pid;
	};
	return {
		site,
		clock,
		dir,
		shellPid,
		kill,
		shimPid,
		dirOf: key => partDir(site, key),
		cgroupOf: key => partCgroup(site, key),
		pids: (key, role) => pidsOf(site, key, role),
		host: async (): Promise<ProcessHost> => {
			await host?.close({stop: false});
			host = new RealProcessHost({...site, clock, random, log: text => log.push(text)});
			return host;
		},
		until,
		pass: async ms => new Promise(resolve => setTimeout(resolve, ms)),
		loseShell: async () => kill(shellPid()!),
		loseShim: async (key, task) => kill(shimPid(key, task)),
	};
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
	const start = process.hrtime.bigint();
	while (!(await condition())) {
		if (process.hrtime.bigint() - start > BigInt(UNTIL_MS_MAX) * 1_000_000n)
			throw new Error(`not reached within ${UNTIL_MS_MAX} ms: ${what}`);
		await new Promise(resolve => setTimeout(resolve, POLL_MS));
	}
}

function pidsOf(site: RankSite, key: PartKey, role: PartRole): number[] {
	if (site.cgroupBase !== '') return pidsIn(`${partCgroup(site, key)}/${role}`);
	const {members} = scannerOf(site).scan();
	return members.filter(member => member.part === partName(key) && member.role === role).map(({pid}) => pid);
}

function scannerOf(site: RankSite): ProcessScanner {
	return new ProcessScanner(`${site.instance}.${site.rank}`, new SystemClock());
}

/** Shell and launcher name the site's directories in their command lines; what they started carries its mark. */
async function endMarked(site: RankSite): Promise<void> {
	let quiet = 0;
	await until('nothing of the test is left', () => {
		const ours = [site.rundir, rankDir(site)];
		const pids = readdirSync('/proc').filter(name => {
			const args = /^\d+$/.test(name) ? readText(`/proc/${name}/cmdline`).split('\0') : [];
			return Number(name) !== process.pid && ours.some(path => args.some(arg => arg.includes(path)));
		});
		const shell = readText(shellPidPath(site));
		const who = shell === '' ? null : (JSON.parse(shell) as {pid: number; startTicks: number});
		if (who !== null && isAlive(who)) pids.push(String(who.pid));
		for (const pid of pids) killQuietly(Number(pid));
		const scanner = scannerOf(site);
		const {members} = scanner.scan();
		if (members.length > 0)
			scanner.sweep([...new Set(members.map(({part}) => part))].map(part => ({part, role: null})));
		quiet = pids.length + members.length === 0 ? quiet + 1 : 0;
		return quiet > 2;
	});
}

function killQuietly(pid: number): void {
	try {
		process.kill(pid, 'SIGKILL');
	} catch {
		// It has just ended.
	}
}

async function endAll(site: RankSite): Promise<void> {
	if (site.cgroupBase === '') return endMarked(site);
	const cgroup = rankCgroup(site);
	// Several rounds: a launcher may be between the fork of a shim and the next.
	await until('the cgroup of the test is gone', () => {
		if (isPopulated(cgroup)) killCgroup(cgroup);
		return removeCgroup(cgroup);
	});
}

function isRunning(pid: number): boolean {
	const text = readText(`/proc/${pid}/stat`);
	return text !== '' && !/^[ZX]/.test(text.slice(text.lastIndexOf(')') + 2));
}

function readText(path: string): string {
	try {
		return readFileSync(path, 'utf8');
	} catch {
		return '';
	}
}
