/**
 * What an instance is on this host: its identity, its directories, and what can be wrong with them. Pure.
 *
 * Invariant: an identity (id, job directory, run directory, cgroups) belongs to one state directory for ever, and no two
 * instances share any of these. The state directory keeps it in `instance.json`, written once its log exists. A copy
 * lies in each rank's job directory from before the first process starts, so that jobs outlive the state directory, and
 * so that one that vanished is noticed (`start-decision.ts`).
 */
import {isAbsolute, join, normalize} from 'node:path';
import {SystemError} from '../formats/errno.ts';

/** Who an instance is, and where. Paths are absolute. */
export interface InstanceInfo {
	/** A UUID; in the name of every cgroup, job directory and lock of the instance. */
	readonly instance: string;
	/** Of the host that made it. */
	readonly hostname: string;
	readonly statedir: string;
	readonly jobdir: string;
	readonly rundir: string;
	/** The number of brokers. */
	readonly size: number;
	/** The rank of this host's only broker, where each broker has a host of its own; absent: all of them are here. */
	readonly soleRank?: number;
	/** As `tbon.topo`. */
	readonly topo: string;
	/** The cgroup below which its ranks make theirs; '' without cgroups. */
	readonly cgroupBase: string;
	readonly createdMs: number;
}

/** The file of an instance in its state directory, and its copy in `JOBDIR/<instance>.<rank>/`. */
export const INSTANCE_FILE = 'instance.json';

/** The copy in a rank's job directory. */
export interface RankRecord extends InstanceInfo {
	readonly rank: number;
	/** `new`: the log was never there so far, so it may be made. `made`: where it is missing, it was lost. */
	readonly log: 'new' | 'made';
}

export function encodeRecord(record: InstanceInfo | RankRecord): string {
	return `${JSON.stringify(record, null, 2)}\n`;
}

/** @throws {SystemError} EBADMSG when `text` is not a whole record. */
export function parseInstance(text: string, path: string): InstanceInfo {
	const value = parseObject(text, path);
	const read = <T extends 'string' | 'number'>(name: keyof InstanceInfo, type: T) => {
		if (typeof value[name] === type) return value[name] as T extends 'string' ? string : number;
		throw new SystemError('EBADMSG', `${path}: damaged: ${name} is missing`);
	};
	const instance = read('instance', 'string');
	if (!INSTANCE.test(instance)) {
		throw new SystemError('EBADMSG', `${path}: damaged: ${JSON.stringify(instance)} is not an instance's id`);
	}
	const {soleRank} = value;
	if (soleRank !== undefined && !Number.isSafeInteger(soleRank)) {
		throw new SystemError('EBADMSG', `${path}: damaged: soleRank is no rank`);
	}
	return {
		instance,
		...(soleRank === undefined ? {} : {soleRank: soleRank as number}),
		hostname: read('hostname', 'string'),
		statedir: read('statedir', 'string'),
		jobdir: read('jobdir', 'string'),
		rundir: read('rundir', 'string'),
		size: read('size', 'number'),
		topo: read('topo', 'string'),
		cgroupBase: read('cgroupBase', 'string'),
		createdMs: read('createdMs', 'number'),
	};
}

/** @throws {SystemError} EBADMSG */
export function parseRankRecord(text: string, path: string): RankRecord {
	const info = parseInstance(text, path);
	const {rank, log} = parseObject(text, path);
	if (!Number.isSafeInteger(rank) || (log !== 'new' && log !== 'made')) {
		throw new SystemError('EBADMSG', `${path}: damaged: rank or log is missing`);
	}
	return {...info, rank: rank as number, log};
}

export interface DirectoryNames {
	readonly statedir: string;
	readonly jobdir: string;
	/** The directory in which each instance has its run directory. */
	readonly rundirs: string;
}

/** Where things are unless the user says otherwise. `env` is only asked for XDG directories and HOME. */
export function defaultDirectories(
	env: Readonly<Record<string, string | undefined>>,
	userid: number,
): DirectoryNames {
	if (userid === 0) {
		return {
			statedir: '/var/lib/coppice/state',
			jobdir: '/var/lib/coppice/jobs',
			rundirs: '/run/coppice',
		};
	}
	const xdgState = env['XDG_STATE_HOME'];
	// The XDG base directory specification: a relative path is to be ignored.
	const states =
		xdgState !== undefined && isAbsolute(xdgState) ? xdgState : join(env['HOME'] ?? '/', '.local/state');
	const xdgRuntime = env['XDG_RUNTIME_DIR'];
	const hasRuntime = xdgRuntime !== undefined && isAbsolute(xdgRuntime);
	return {
		// Beside each other, as root's, so that jobs outlive the loss of the state directory.
		statedir: join(states, 'coppice/state'),
		jobdir: join(states, 'coppice/jobs'),
		rundirs: hasRuntime ? join(xdgRuntime, 'coppice') : `/tmp/coppice-${userid}`,
	};
}

/**
 * Where the socket of a user's default instance is found, or null: not for an ordinary user without $XDG_RUNTIME_DIR, since a
 * fixed name in /tmp may be anybody's.
 */
export function defaultLink(
	env: Readonly<Record<string, string | undefined>>,
	userid: number,
): string | null {
	const xdgRuntime = env['XDG_RUNTIME_DIR'];
	if (userid === 0) return '/run/coppice/local';
	return xdgRuntime !== undefined && isAbsolute(xdgRuntime) ? join(xdgRuntime, 'coppice/local') : null;
}

/** The name of a rank's host: brokers that share one are told apart by their rank. */
export function rankHostname(
	{hostname, size}: Pick<InstanceInfo, 'hostname' | 'size'>,
	rank: number,
): string {
	return size === 1 ? hostname : `${hostname}-${rank}`;
}

/** The state directory of a rank: rank 0 has the instance's own, and so has a rank that is alone on its host. */
export function rankStatedir(
	{statedir, soleRank}: Pick<InstanceInfo, 'statedir' | 'soleRank'>,
	rank: number,
): string {
	return rank === 0 || rank === soleRank ? statedir : join(statedir, `rank-${rank}`);
}

/** The ranks that run on this host, ascending. */
export function ranksHere({size, soleRank}: Pick<InstanceInfo, 'size' | 'soleRank'>): readonly number[] {
	return soleRank === undefined ? Array.from({length: size}, (_, rank) => rank) : [soleRank];
}

/** Where a broker listens for clients of its host. */
export function localSocketPath(rundir: string, rank: number): string {
	return join(rundir, `local-${rank}`);
}

export function localUri(rundir: string, rank: number): string {
	return `local://${localSocketPath(rundir, rank)}`;
}

/**
 * Checks what can be wrong with directories before anything is made.
 *
 * @throws {SystemError} EINVAL: a path is relative, or one directory lies in another that must survive without it, or
 * the run directory's path leaves no room for the names of sockets.
 */
export function checkDirectories({statedir, jobdir, rundir, size}: Omit<InstanceInfo, 'instance'>): void {
	for (const [name, path] of Object.entries({statedir, jobdir, rundir})) {
		if (!isAbsolute(path) || path.includes('\0')) {
			throw new SystemError('EINVAL', `--${name} ${JSON.stringify(path)}: must be an absolute path`);
		}
	}
	if (isWithin(jobdir, statedir)) {
		throw new SystemError(
			'EINVAL',
			`--jobdir ${jobdir} lies in the state directory ${statedir}: jobs must outlive the loss of the state ` +
				'directory, so choose another place',
		);
	}
	if (isWithin(rundir, statedir)) {
		throw new SystemError(
			'EINVAL',
			`--rundir ${rundir} lies in the state directory ${statedir}: it is removed at shutdown, so choose another place`,
		);
	}
	if (isWithin(statedir, rundir) || isWithin(jobdir, rundir)) {
		throw new SystemError(
			'EINVAL',
			`--rundir ${rundir} holds the state or job directory: it is removed at shutdown, so choose another place`,
		);
	}
	const longest = join(rundir, `shell-${Math.max(size - 1, 0)}`);
	const sizeBytes = Buffer.byteLength(longest);
	if (sizeBytes > SOCKET_PATH_BYTES_MAX) {
		throw new SystemError(
			'EINVAL',
			`--rundir ${rundir} is too long: ${longest} has ${sizeBytes} bytes, unix sockets take at most ` +
				`${SOCKET_PATH_BYTES_MAX} (unix(7)); choose a shorter one`,
		);
	}
}

const INSTANCE = /^[A-Za-z0-9_-]{1,64}$/;
/** sun_path of unix(7) without its terminating zero byte. */
const SOCKET_PATH_BYTES_MAX = 107;

function parseObject(text: string, path: string): Readonly<Record<string, unknown>> {
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch (error) {
		throw new SystemError('EBADMSG', `${path}: damaged: not JSON`, {cause: error});
	}
	if (typeof value !== 'object' || value === null) throw new SystemError('EBADMSG', `${path}: damaged`);
	return value as Readonly<Record<string, unknown>>;
}

/** Whether `path` is `directory` or lies in it. */
function isWithin(path: string, directory: string): boolean {
	const inner = normalize(`${path}/`);
	return inner.startsWith(normalize(`${directory}/`));
}
