/**
 * The rules by which a start decides whether it may use a state directory, and as whom: pure. What they are asked about
 * is found by `real/instance-scan.ts`. Invariant: an empty directory under a known instance is never an empty start.
 */
import {SystemError} from '../formats/errno.ts';
import {INSTANCE_FILE, localUri, type InstanceInfo} from './instance.ts';

/** A part of a job that was found in a job directory and is not over. */
export interface UnfinishedPart {
	/** As people write it. */
	readonly job: string;
	readonly attempt: number;
	readonly rank: number;
	readonly isAlive: boolean;
	/** Processes of it that are alive. */
	readonly pids: readonly number[];
	readonly sinceMs: number;
}

/** A process that belongs to an instance. */
export interface LivingProcess {
	/** `daemon`, `broker 0`. */
	readonly what: string;
	/** Null when it does not say. */
	readonly pid: number | null;
}

/** An instance that is known on this host by other means than the state directory at hand. */
export interface KnownInstance {
	readonly info: InstanceInfo;
	/** Whether its log was ever made. */
	readonly log: 'new' | 'made';
	readonly living: readonly LivingProcess[];
	readonly unfinished: readonly UnfinishedPart[];
}

export interface StateDirFound {
	/** With symbolic links resolved. */
	readonly path: string;
	/** Null: there is no `instance.json`. */
	readonly record: InstanceInfo | null;
	/** What is alive of `record`'s instance. */
	readonly living: readonly LivingProcess[];
	/** Another directory that holds the same record: one of the two is a copy. */
	readonly twin: string | null;
	/** Whether a log was begun here, even a damaged one. */
	readonly hasLog: boolean;
	/** Names of files that are not ours; they matter only where no log is. */
	readonly foreign: readonly string[];
	/** State directories of ranks above 0 in it: they are an instance's that is known, or foreign. */
	readonly ranks: readonly string[];
}

export interface StartQuestion {
	readonly statedir: StateDirFound;
	/** Instances on this host whose state directory has this path. */
	readonly known: readonly KnownInstance[];
	/** As the user gave them, resolved; null: not given. */
	readonly asked: {readonly jobdir: string | null; readonly rundir: string | null};
	readonly adopt: boolean;
}

export type StartDecision =
	/** An instance with this identity goes on; `log` new: its log may be made. */
	| {
			readonly kind: 'recover';
			readonly info: InstanceInfo;
			readonly log: 'new' | 'made';
			readonly adopted: boolean;
	  }
	/** A fresh instance is made. */
	| {readonly kind: 'create'};

/**
 * Whether an instance may be started on a state directory, and as whom.
 *
 * @throws {SystemError} EBUSY: it runs already, with the pids. EEXIST: the directory is empty, but jobs of an instance
 * that had this path are not over. EINVAL: other directories were asked for than the instance has. ENOTEMPTY,
 * EBADMSG: the directory is something else. Nothing was changed.
 */
export function decideStart(question: StartQuestion): StartDecision {
	const {statedir, known, asked, adopt} = question;
	if (statedir.record !== null) {
		refuseLiving(statedir.record, statedir.living);
		if (statedir.twin !== null) throw copied(statedir, statedir.twin);
		checkAsked(statedir.record, asked);
		const info = {...statedir.record, statedir: statedir.path};
		return {kind: 'recover', info, log: 'made', adopted: false};
	}
	for (const {info, living} of known) refuseLiving(info, living);
	const candidates = [...known].sort((a, b) => b.info.createdMs - a.info.createdMs);
	if (statedir.hasLog) {
		// A crash between the making of the log and that of instance.json, or the loss of the latter alone.
		const [owner] = candidates;
		if (owner === undefined) throw logWithoutInstance(statedir.path);
		checkAsked(owner.info, asked);
		return {kind: 'recover', info: owner.info, log: 'made', adopted: false};
	}
	const unfinished = candidates.filter(candidate => candidate.unfinished.length > 0);
	if (unfinished.length > 0 && !adopt) throw vanished(statedir.path, unfinished);
	if (statedir.foreign.length > 0) throw notOurs(statedir);
	const heir = unfinished[0] ?? (adopt ? candidates[0] : candidates.find(({log}) => log === 'new'));
	if (heir === undefined) {
		if (statedir.ranks.length > 0) throw notOurs({...statedir, foreign: statedir.ranks});
		return {kind: 'create'};
	}
	if (unfinished.length > 1) throw severalHeirs(statedir.path, unfinished);
	checkAsked(heir.info, asked);
	return {kind: 'recover', info: heir.info, log: 'new', adopted: heir.log === 'made'};
}

/** So many jobs or ranks are listed in a refusal. */
export const LISTED_MAX = 20;

/** A part as a refusal lists it. */
export function describePart({job, attempt, rank, isAlive, pids, sinceMs}: UnfinishedPart): string {
	const names = pids.slice(0, 5).join(' ') + (pids.length > 5 ? ' …' : '');
	const state = isAlive ? `running (pids ${names})` : 'ended without a record';
	const which = attempt === 1 ? '' : ` attempt ${attempt}`;
	return `job ${job}${which} on rank ${rank}: ${state}, since ${new Date(sinceMs).toISOString()}`;
}

function refuseLiving(info: InstanceInfo, living: readonly LivingProcess[]): void {
	if (living.length === 0) return;
	const who = living
		.map(({what, pid}) => `${what} ${pid === null ? '(pid unknown)' : `(pid ${pid})`}`)
		.join(', ');
	throw new SystemError(
		'EBUSY',
		`the instance ${info.instance} of ${info.statedir} is already running: ${who}; ` +
			`its URI is ${localUri(info.rundir, info.soleRank ?? 0)}`,
	);
}

function checkAsked(info: InstanceInfo, asked: StartQuestion['asked']): void {
	for (const name of ['jobdir', 'rundir'] as const) {
		if (asked[name] === null || asked[name] === info[name]) continue;
		throw new SystemError(
			'EINVAL',
			`--${name} ${asked[name]}: the instance ${info.instance} of ${info.statedir} has ${info[name]}, which its ` +
				'jobs depend on; leave the option out',
		);
	}
}

function logWithoutInstance(path: string): SystemError {
	return new SystemError(
		'EBADMSG',
		`${path} has an event log, but no ${INSTANCE_FILE}, and no job directory knows it: give the --jobdir that its ` +
			`instance had, or bring ${INSTANCE_FILE} back`,
	);
}

function notOurs({path, foreign}: StateDirFound): SystemError {
	const names = foreign.slice(0, 5).join(', ');
	return new SystemError('ENOTEMPTY', `${path} is no state directory: it holds other files (${names})`);
}

function copied({path, record}: StateDirFound, twin: string): SystemError {
	return new SystemError(
		'EEXIST',
		`${path} is a copy of ${twin}, which is there too: both are instance ${record?.instance}, and would start each ` +
			`other's jobs; move the one away that is not to be used`,
	);
}

function vanished(path: string, unfinished: readonly KnownInstance[]): SystemError {
	const lines = unfinished.flatMap(({info, unfinished: parts}) => [
		`  instance ${info.instance}, jobs in ${info.jobdir}:`,
		...parts.slice(0, LISTED_MAX).map(part => `    ${describePart(part)}`),
		...(parts.length > LISTED_MAX ? [`    and ${parts.length - LISTED_MAX} more`] : []),
	]);
	return new SystemError(
		'EEXIST',
		[
			`the state directory ${path} is empty, but jobs of an instance that had this very path are not over:`,
			...lines,
			'Nothing was changed, and the jobs are untouched. If its file system is not mounted or it was moved, bring it',
			'back and start again. If it is lost, `coppice start --adopt` takes the instance over: its jobs are registered',
			'again from their directories.',
		].join('\n'),
	);
}

function severalHeirs(path: string, unfinished: readonly KnownInstance[]): SystemError {
	const names = unfinished.map(({info}) => info.instance).join(', ');
	return new SystemError(
		'EEXIST',
		`--adopt: several instances that had the state directory ${path} have jobs that are not over: ${names}; ` +
			'give them up one by one by ending their jobs, or start each on a state directory of its own',
	);
}
