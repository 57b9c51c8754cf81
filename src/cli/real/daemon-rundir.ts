/** What an instance has in /run: its directory, and the link that makes it the default instance of the host. */
import {lstat, readlink, rename, rm, rmdir, symlink, unlink} from 'node:fs/promises';
import {dirname} from 'node:path';
import {shellLockName, type StartRecord} from '../../broker/daemon-protocol.ts';
import {localSocketPath, type InstanceInfo} from '../../broker/instance.ts';
import {lockHolder} from '../../ports/real/kernel-lock.ts';
import {makeDirectory} from '../../broker/real/small-file.ts';
import {pause} from '../../broker/real/pause.ts';
import {rankCgroup} from '../../exec/part-paths.ts';
import {isPopulated, removeCgroup} from '../../exec/real/cgroup.ts';
import {livingMembers} from '../../exec/real/session-tracking.ts';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {SystemClock} from '../../ports/real/system-clock.ts';

/** Job shells that have no job left end within this of their broker. */
const SHELL_END_MS = 3000;
const POLL_MS = 20;

/**
 * Makes `link` lead to the instance's socket, in one step. @throws {SystemError} EEXIST when something else than a link
 * is there.
 */
export async function placeDefaultLink(link: string, {rundir, soleRank = 0}: InstanceInfo): Promise<void> {
	const before = await lstat(link).catch(() => null);
	if (before !== null && !before.isSymbolicLink()) {
		throw new SystemError('EEXIST', `${link} is in the way: it is no symbolic link`);
	}
	await makeDirectory(dirname(link));
	const aside = `${link}.${process.pid}.tmp`;
	await rm(aside, {force: true});
	await symlink(localSocketPath(rundir, soleRank), aside);
	await rename(aside, link);
}

/**
 * Removes the run directory of an instance that was shut down, its link, and its empty cgroups. Where jobs were left
 * running, their shells and shims still use it: then it stays for the next start.
 */
export async function removeRundir(record: StartRecord, log: (text: string) => void): Promise<void> {
	const {info, defaultLink} = record;
	try {
		if (defaultLink !== null) await removeLink(defaultLink, info);
		if (!(await isQuiet(info))) {
			log(`jobs are left running: ${info.rundir} stays for the next start`);
			return;
		}
		await rm(info.rundir, {recursive: true, force: true});
		if (info.rundir.endsWith(`/${info.instance}`)) await removeIfEmpty(dirname(info.rundir));
		for (let rank = 0; rank < info.size; rank += 1) {
			if (info.cgroupBase !== '') removeCgroup(rankCgroup({...info, rank}));
		}
	} catch (error) {
		log(asSystemError(error, 'EIO', `removing ${info.rundir}`).toString());
	}
}

/** Whether no job shell and no task of the instance is left; waits a moment for shells that are about to end. */
async function isQuiet(info: InstanceInfo): Promise<boolean> {
	const untilMs = performance.now() + SHELL_END_MS;
	for (let rank = 0; rank < info.size; rank += 1) {
		while ((await lockHolder(shellLockName(info.instance, rank))) !== null) {
			if (performance.now() > untilMs) return false;
			await pause(POLL_MS);
		}
		const site = {...info, rank};
		const isAlive = () =>
			info.cgroupBase === ''
				? livingMembers(site, new SystemClock()).size > 0
				: isPopulated(rankCgroup(site));
		while (isAlive()) {
			if (performance.now() > untilMs) return false;
			await pause(POLL_MS);
		}
	}
	return true;
}

async function removeLink(link: string, {rundir}: InstanceInfo): Promise<void> {
	const target = await readlink(link).catch(() => null);
	if (target !== localSocketPath(rundir, 0)) return;
	await unlink(link);
	await removeIfEmpty(dirname(link));
}

/** The directory of all instances goes with the last of them. */
async function removeIfEmpty(path: string): Promise<void> {
	await rmdir(path).catch(() => undefined); // ENOTEMPTY: others are there.
}
