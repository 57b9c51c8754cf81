/**
 * Names of parts on disk and in cgroups. Owns the layout:
 * `JOBDIR/<instance>.<rank>/job-<id>.<attempt>/{part,claim.T,stdout.T,stderr.T}` and
 * `<base>/coppice-<instance>.<rank>/{shell,job-<id>.<attempt>/{shim,payload}}`. Every name carries instance and rank,
 * so that two brokers on one host never share anything.
 */

import {SystemError} from '../formats/errno.ts';
import {EPILOG_TASK, partName, PROLOG_TASK, type OutputStream, type PartKey} from '../ports/process-host.ts';

/** One rank of one instance on this host. */
export interface RankSite {
	/** The instance's uuid: letters, digits, `-` and `_`. */
	readonly instance: string;
	readonly rank: number;
	/** The directory below which all ranks keep their parts. */
	readonly jobdir: string;
	/** The run directory: sockets, the shell's log. */
	readonly rundir: string;
	/** The cgroup below which ranks make theirs (`findCgroupBase`); '': none, sessions and marks tell what belongs to a part. */
	readonly cgroupBase: string;
}

const SOCKET_PATH_BYTES_MAX = 107;
const PART_DIR = /^job-([1-9][0-9]{0,19}|0)\.([1-9][0-9]{0,9})$/;

/** @throws {SystemError} EINVAL when the site can't be used for names of files and sockets. */
export function checkSite(site: RankSite): void {
	if (!/^[A-Za-z0-9_-]{1,64}$/.test(site.instance))
		throw new SystemError('EINVAL', `instance "${site.instance}": only letters, digits, - and _ are allowed`);
	if (!Number.isInteger(site.rank) || site.rank < 0)
		throw new SystemError('EINVAL', `rank ${site.rank}: not a rank`);
	for (const path of [site.jobdir, site.rundir, site.cgroupBase]) {
		if (path === '' && path === site.cgroupBase) continue;
		if (!path.startsWith('/')) throw new SystemError('EINVAL', `${path}: must be an absolute path`);
	}
	const socket = socketPath(site);
	if (Buffer.byteLength(socket) > SOCKET_PATH_BYTES_MAX) {
		throw new SystemError(
			'EINVAL',
			`${socket}: a socket's path has at most ${SOCKET_PATH_BYTES_MAX} bytes; choose a shorter run directory`,
		);
	}
}

/** The directory of a rank's parts. */
export function rankDir({jobdir, instance, rank}: RankSite): string {
	return `${jobdir}/${instance}.${rank}`;
}

export function partDir(site: RankSite, key: PartKey): string {
	return `${rankDir(site)}/job-${partName(key)}`;
}

/** The cgroup of a rank: the shell's and those of its parts lie in it. '' without cgroups. */
export function rankCgroup({cgroupBase, instance, rank}: RankSite): string {
	return cgroupBase === '' ? '' : `${cgroupBase}/coppice-${instance}.${rank}`;
}

export function partCgroup(site: RankSite, key: PartKey): string {
	return site.cgroupBase === '' ? '' : `${rankCgroup(site)}/job-${partName(key)}`;
}

/** What every process of a part has in its environment as COPPICE_PART, where no cgroup holds them together. */
export function partMark({instance, rank}: Pick<RankSite, 'instance' | 'rank'>, key: PartKey): string {
	return `${instance}.${rank}/${partName(key)}`;
}

/** Where the job shell listens. */
export function socketPath({rundir, rank}: RankSite): string {
	return `${rundir}/shell-${rank}`;
}

/** The fifo into which shims say what happens. */
export function eventsPath({rundir, rank}: RankSite): string {
	return `${rundir}/shell-${rank}.events`;
}

/** Where it serves PMI to shims; the launcher makes it of the name of the fifo. */
export function pmiPath({rundir, rank}: RankSite): string {
	return `${rundir}/pmi-${rank}`;
}

/** Who the shell is: its pid and start ticks as JSON, for messages when it hangs. */
export function shellPidPath({rundir, rank}: RankSite): string {
	return `${rundir}/shell-${rank}.pid`;
}

/** The shell's, the launcher's and the shims' stderr. */
export function shellLogPath({rundir, rank}: RankSite): string {
	return `${rundir}/shell-${rank}.log`;
}

/** The lock that keeps the shell single. */
export function shellLockName({instance, rank}: RankSite): string {
	return `coppice-shell-${instance}-${rank}`;
}

/** The part that a name in a rank's directory or cgroup stands for, or undefined. */
export function parsePartDir(name: string): PartKey | undefined {
	const match = PART_DIR.exec(name);
	return match === null ? undefined : {id: BigInt(match[1]!), attempt: Number(match[2])};
}

/** `ID.ATTEMPT` read back, or undefined. */
export function parsePartName(name: string): PartKey | undefined {
	return parsePartDir(`job-${name}`);
}

export function spoolName(stream: OutputStream, task: number): string {
	return `${stream}.${taskName(task)}`;
}

/** A task in names of files and in what is said to launcher and shims: its rank, or which script it is. */
export function taskName(task: number): string {
	if (task === PROLOG_TASK) return 'prolog';
	return task === EPILOG_TASK ? 'epilog' : String(task);
}

/** The task of a name that `taskName` gave. */
export function parseTaskName(name: string): number {
	if (name === 'prolog') return PROLOG_TASK;
	return name === 'epilog' ? EPILOG_TASK : Number(name);
}
