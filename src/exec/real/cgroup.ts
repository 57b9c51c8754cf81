/**
 * Control groups (version 2) of this machine: where ours may lie, and what is alive in one. Invariant: a cgroup is
 * removed from its leaves up, and only when the kernel agrees that it is empty.
 */

import {spawnSync} from 'node:child_process';
import {randomUUID} from 'node:crypto';
import {
	accessSync,
	closeSync,
	constants,
	mkdirSync,
	openSync,
	readFileSync,
	readdirSync,
	rmdirSync,
	writeFileSync,
	writeSync,
} from 'node:fs';
import {join} from 'node:path';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {
	ancestorsInUnit,
	parseCgroup2Mount,
	parseOwnCgroup,
	parsePopulated,
	parseProcs,
} from '../proc-text.ts';
import {sendSignal} from './proc.ts';

const REMOVE_DEPTH_MAX = 32;
const PROBE_MS_MAX = 5000;
const REMOVE_TRIES_MAX = 100;
const REMOVE_RETRY_MS = 2;
const SIGKILL = 9;

/**
 * The cgroup v2 directory below which this process may make cgroups and move its children into them, also below a hybrid
 * hierarchy: root's own one; for others the highest ancestor that was delegated to them. Or, as a value, a `SystemError` that
 * says what is missing and what to do.
 */
export function findCgroupBase(): string | SystemError {
	const mount = parseCgroup2Mount(readFileSync('/proc/self/mountinfo', 'utf8'));
	if (mount === undefined) {
		return new SystemError(
			'ENOTSUP',
			'no cgroup v2 hierarchy is mounted; mount one with: mount -t cgroup2 none /sys/fs/cgroup/unified',
		);
	}
	const own = parseOwnCgroup(readFileSync('/proc/self/cgroup', 'utf8'));
	if (own === undefined || own.includes('/../') || own.endsWith('/..')) {
		return new SystemError(
			'ENOTSUP',
			`the own cgroup (${own ?? 'no 0:: line in /proc/self/cgroup'}) lies outside of what is mounted at ${mount.mountPoint}`,
		);
	}
	const below = mount.root !== '/' && own.startsWith(mount.root) ? own.slice(mount.root.length) : own;
	const at = (path: string) => join(mount.mountPoint, path).replace(/\/$/, '');
	if (process.getuid!() === 0) return probe(at(below)) ?? at(below);
	const above = ancestorsInUnit(below).map(at);
	const refused = above.findIndex(path => !isWritable(path));
	const base = (refused === -1 ? above : above.slice(0, refused)).at(-1) ?? at(below);
	return probe(base) ?? base;
}

/**
 * Whether this process may still use a cgroup that it, or an earlier login of the same user, has found: it is there, and
 * children may be moved into it, for which the common ancestor must be writable too (cgroup-v2, Delegation Containment).
 */
export function isUsableBase(base: string): boolean {
	return probe(base) === undefined;
}

/** Makes a cgroup and its parents; one that is there is fine. @throws {SystemError} */
export function makeCgroup(path: string): void {
	try {
		mkdirSync(path, {recursive: true});
	} catch (error) {
		throw asSystemError(error, 'EIO', `make cgroup ${path}`);
	}
}

/** The cgroups of a part: its own, and in it one for shims and one for tasks. @throws {SystemError} */
export function makePartCgroup(path: string): void {
	for (const each of [path, `${path}/shim`, `${path}/payload`]) {
		try {
			mkdirSync(each);
		} catch (error) {
			const {code} = error as NodeJS.ErrnoException;
			if (code === 'ENOENT') makeCgroup(each);
			else if (code !== 'EEXIST') throw asSystemError(error, 'EIO', `make cgroup ${each}`);
		}
	}
}

/** Moves a process (with all its threads) into a cgroup. @throws {SystemError} */
export function joinCgroup(path: string, pid: number): void {
	try {
		writeFileSync(`${path}/cgroup.procs`, String(pid));
	} catch (error) {
		throw asSystemError(error, 'EIO', `move process ${pid} into cgroup ${path}`);
	}
}

/** Whether anything is alive in a cgroup or below it. One that does not exist is empty. Zombies are dead. */
export function isPopulated(path: string): boolean {
	return parsePopulated(readOrEmpty(`${path}/cgroup.events`));
}

/** The pids in one cgroup (not below it). */
export function pidsIn(path: string): number[] {
	return parseProcs(readOrEmpty(`${path}/cgroup.procs`));
}

/** SIGKILL to all that is alive in a cgroup and below. Does nothing where there is none. */
export function killCgroup(path: string): void {
	try {
		// Its owner may write it, but only root may read it.
		const fd = openSync(`${path}/cgroup.kill`, constants.O_WRONLY);
		try {
			writeSync(fd, '1');
		} finally {
			closeSync(fd);
		}
	} catch (error) {
		const {code} = error as NodeJS.ErrnoException;
		if (code === 'ENODEV') return;
		if (code !== 'ENOENT') throw asSystemError(error, 'EIO', `kill cgroup ${path}`);
		// Before Linux 5.14 there is no such file: one round over the pids; the caller calls until it is empty.
		for (const pid of pidsBelow(path, REMOVE_DEPTH_MAX)) sendSignal(pid, SIGKILL);
	}
}

/**
 * Removes a cgroup with all below it. False: something is alive in it, or the kernel has not finished with what
 * was (EBUSY): try again later.
 */
export function removeCgroup(path: string): boolean {
	try {
		rmdirSync(path);
		return true;
	} catch (error) {
		const {code} = error as NodeJS.ErrnoException;
		if (code === 'ENOENT' || code === 'ENODEV') return true;
		if (code !== 'EBUSY') throw asSystemError(error, 'EIO', `remove cgroup ${path}`);
	}
	if (isPopulated(path)) return false;
	return removeChildren(path, REMOVE_DEPTH_MAX);
}

/** The names of the cgroups directly in one. */
export function childCgroups(path: string): string[] {
	try {
		return readdirSync(path, {withFileTypes: true})
			.filter(entry => entry.isDirectory())
			.map(entry => entry.name);
	} catch (error) {
		const {code} = error as NodeJS.ErrnoException;
		if (code === 'ENOENT' || code === 'ENODEV') return [];
		throw asSystemError(error, 'EIO', `list cgroup ${path}`);
	}
}

function removeChildren(path: string, depthLeft: number): boolean {
	if (depthLeft === 0) return false;
	for (const name of childCgroups(path)) removeChildren(`${path}/${name}`, depthLeft - 1);
	try {
		rmdirSync(path);
		return true;
	} catch (error) {
		const {code} = error as NodeJS.ErrnoException;
		if (code === 'ENOENT' || code === 'ENODEV') return true;
		if (code === 'EBUSY') return false;
		throw asSystemError(error, 'EIO', `remove cgroup ${path}`);
	}
}

function pidsBelow(path: string, depthLeft: number): number[] {
	if (depthLeft === 0) return [];
	const below = childCgroups(path).flatMap(name => pidsBelow(`${path}/${name}`, depthLeft - 1));
	return [...pidsIn(path), ...below];
}

/** Makes a cgroup, and has a child join it. */
function probe(base: string): SystemError | undefined {
	const path = `${base}/coppice-probe-${randomUUID()}`;
	try {
		mkdirSync(path);
		try {
			const script = 'echo 0 > "$0/cgroup.procs"';
			const {status, stderr} = spawnSync('/bin/sh', ['-c', script, path], {
				encoding: 'utf8',
				timeout: PROBE_MS_MAX,
			});
			if (status !== 0) throw new SystemError('EACCES', stderr.trim() || 'no process can be moved into it');
		} finally {
			removeSoon(path);
		}
		return undefined;
	} catch (error) {
		return asSystemError(
			error,
			'EACCES',
			`no cgroup can be made below ${base}; run as root, or in a delegated subtree (systemd: Delegate=yes, ` +
				'or systemd-run --user --scope -p Delegate=yes)',
		);
	}
}

/** The kernel may take a moment to see that whoever was in it has ended. */
function removeSoon(path: string): void {
	for (let tries = 0; tries < REMOVE_TRIES_MAX; tries++) {
		try {
			rmdirSync(path);
			return;
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
			Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, REMOVE_RETRY_MS);
		}
	}
}

function isWritable(path: string): boolean {
	try {
		accessSync(path, constants.W_OK);
		accessSync(`${path}/cgroup.procs`, constants.W_OK);
		return true;
	} catch {
		return false;
	}
}

function readOrEmpty(path: string): string {
	try {
		return readFileSync(path, 'latin1');
	} catch (error) {
		const {code} = error as NodeJS.ErrnoException;
		if (code === 'ENOENT' || code === 'ENODEV') return '';
		throw asSystemError(error, 'EIO', `read ${path}`);
	}
}
