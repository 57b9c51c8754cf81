/** A cgroup of an instance as cgroupfs shows it: who is in it, and its end. */
import {existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync} from 'node:fs';

/** The pids in a cgroup and below it. */
export function pidsBelow(path: string): number[] {
	if (!existsSync(path)) return [];
	const own = readPids(`${path}/cgroup.procs`);
	return [...own, ...children(path).flatMap(pidsBelow)];
}

/** The cgroups directly below, as paths. */
export function children(path: string): string[] {
	try {
		return readdirSync(path, {withFileTypes: true})
			.filter(entry => entry.isDirectory())
			.map(entry => `${path}/${entry.name}`);
	} catch {
		return [];
	}
}

/** Kills what is in a cgroup and removes it; false: not yet. */
export function endCgroup(path: string): boolean {
	if (!existsSync(path)) return true;
	try {
		writeFileSync(`${path}/cgroup.kill`, '1', {flag: 'r+'});
	} catch {
		for (const pid of pidsBelow(path)) killQuietly(pid);
	}
	return removeTree(path);
}

function removeTree(path: string): boolean {
	for (const child of children(path)) removeTree(child);
	try {
		rmdirSync(path);
	} catch {
		// Not empty yet, or gone: existence says which.
	}
	return !existsSync(path);
}

function readPids(path: string): number[] {
	try {
		return readFileSync(path, 'utf8').split('\n').filter(Boolean).map(Number);
	} catch {
		return [];
	}
}

function killQuietly(pid: number): void {
	try {
		process.kill(pid, 'SIGKILL');
	} catch {
		// It has just ended.
	}
}
