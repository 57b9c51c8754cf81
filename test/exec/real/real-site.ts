/**
 * A node of its own for a test with real processes: fresh directories, an instance id of its own, and a teardown that
 * ends everything below the instance's cgroup, and nothing else.
 */

import {randomBytes, randomUUID} from 'node:crypto';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {SystemError} from '../../../src/formats/errno.ts';
import type {PartKey, ProcessHost} from '../../../src/ports/process-host.ts';
import {
	partCgroup,
	partDir,
	rankCgroup,
	shellLogPath,
	shellPidPath,
	type RankSite,
} from '../../../src/exec/part-paths.ts';
import {findCgroupBase, isPopulated, killCgroup, removeCgroup} from '../../../src/exec/real/cgroup.ts';
import {SystemClock} from '../../../src/ports/real/system-clock.ts';
import {readClaim} from '../../../src/exec/real/part-dir.ts';
import {isAlive} from '../../../src/exec/real/proc.ts';
import {RealProcessHost} from '../../../src/exec/real/process-host.ts';
import type {HostSite} from '../process-host-contract.ts';

const UNTIL_MS_MAX = 20_000;
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
	shimPid(key: PartKey, task: number): number;
}

export const random = {
	float: () => Math.random(),
	bytes: (length: number) => new Uint8Array(randomBytes(length)),
	uuid: () => randomUUID(),
};

/** @throws where this machine has no cgroups to give: these tests are not skipped in silence. */
export function createRealSite(
	t: ExecutionContext,
	{clock = new SystemClock(), jobdir}: {clock?: SystemClock; jobdir?: string} = {},
): RealSite {
	const cgroupBase = findCgroupBase();
	if (cgroupBase instanceof SystemError)
		throw new Error(`tests with real processes need cgroups: ${cgroupBase.toString()}`);
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

async function endAll(site: RankSite): Promise<void> {
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
