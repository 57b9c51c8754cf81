/**
 * The process host port: starts the tasks of jobs on this node, finds them again, signals them, and says how they
 * ended. The real one is the job shell with its launcher and shims (DESIGN section 2); tasks outlive everything
 * above them. A rank's part of a job (here: a *part*) is named by job and attempt.
 */

import type {Deadline} from './clock.ts';

export interface PartKey {
	readonly id: bigint;
	/** From 1; a job that is run again gets the next one. */
	readonly attempt: number;
}

/** `id.attempt` in decimal: the name of a part in messages, directories and cgroups. */
export function partName({id, attempt}: PartKey): string {
	return `${id}.${attempt}`;
}

/** What a part needs to run. It is written to the part's directory before the first process starts. */
export interface LaunchSpec extends PartKey {
	readonly argv: readonly string[];
	/** The environment of all tasks; the host adds the `COPPICE_TASK_*` variables of each. */
	readonly env: Readonly<Record<string, string>>;
	readonly cwd: string;
	/** The tasks of this rank, as ranks within the job, ascending. */
	readonly tasks: readonly number[];
	/** Time limit in milliseconds from the start of the first task; 0: none. */
	readonly durationMs: number;
	/** A signal to all tasks so long before the time limit, once; absent, or not shorter than the limit: none. */
	readonly warning?: {readonly signum: number; readonly beforeMs: number};
	/** Tasks that go on for longer after the first of them has ended are ended, with an `exec` exception; absent: they may. */
	readonly exitTimeoutMs?: number;
	/** The first task that fails ends the part, with an `exec` exception. */
	readonly exitsOnError?: true;
	/** From SIGTERM (or SIGALRM at the time limit) to SIGKILL. */
	readonly killTimeoutMs: number;
	/**
	 * Where stdout goes: a path (made absolute, templates expanded but for `{{task.id}}` and `{{task.index}}`, the task's rank
	 * and its position in the part) or null: the spool.
	 */
	readonly stdout: string | null;
	readonly stderr: string | null;
	/** How output files are written; absent: byte by byte as it comes, into an emptied file. */
	readonly files?: OutputFiles;
	/** Of each stream of each task at most so many bytes are stored in its spool, and a notice; absent: all. */
	readonly outputBytesMax?: number;
	/** The file mode creation mask of tasks and of their output files; absent: 022. */
	readonly umask?: number;
	/** The name of the node, for messages. */
	readonly node?: string;
	/** The tasks can speak PMI-1 (RFC 13); absent: they can't. */
	readonly pmi?: PmiSettings;
	/**
	 * Soft resource limits of all tasks, by the name of setrlimit(2) in lower case without RLIMIT_ (`nofile`, `core`);
	 * -1: unlimited. One above the hard limit becomes the hard limit. Absent ones stay as the host has them.
	 */
	readonly rlimits?: Readonly<Record<string, number>>;
	/**
	 * Where stdin comes from: a file (absolute, templates expanded, `{{taskid}}` left), or, for some tasks of the part, what
	 * `writeInput` is given. /dev/null for all others, and when absent.
	 */
	readonly input?: {readonly path: string} | {readonly tasks: readonly number[]};
	/** The tasks that get a terminal for their descriptors; what they read is what `writeInput` is given. Absent: none. */
	readonly pty?: {readonly tasks: readonly number[]} & TerminalSize;
	/**
	 * Files that the tasks find in a directory of their part, which `COPPICE_JOB_TMPDIR` names and which goes with the part;
	 * absent: there is no such directory.
	 */
	readonly carried?: readonly CarriedFile[];
	/** Runs once before the tasks, which then wait for `begin`. */
	readonly prolog?: ScriptSpec;
	/** Runs once after all tasks have ended, if anything of the part was started. */
	readonly epilog?: ScriptSpec;
	/** All that is needed to register the job again from disk alone; opaque to the host, JSON. */
	readonly record: string;
	/** No process is started: the tasks are over after so long, with this wait status. */
	readonly test?: {readonly runMs: number; readonly waitStatus: number};
}

export interface PmiSettings {
	/** Tasks of the whole job. */
	readonly size: number;
	/** What can be got from the beginning. */
	readonly values: Readonly<Record<string, string>>;
}

/** What the tasks of a part put before the `barrier`-th PMI barrier (from 1), which all of them have entered. */
export interface Exchange extends PartKey {
	readonly barrier: number;
	readonly puts: Readonly<Record<string, string>>;
}

/** How files of the user's are written. */
export interface OutputFiles {
	/** What is in them stays. */
	readonly appends?: true;
	/** `lines`: only whole lines, since other tasks write to the same file; `labels`: these with `TASK: ` before each. */
	readonly stdout?: 'lines' | 'labels';
	readonly stderr?: 'lines' | 'labels';
}

/** In characters, 1 to 65535 each. */
export interface TerminalSize {
	readonly rows: number;
	readonly columns: number;
}

/** What a client has for the stdin of a part's tasks. */
export interface InputWrite {
	/** Names the client: up to 40 letters, digits and hyphens. Its bytes are counted from 0. */
	readonly writer: string;
	/** How many bytes of this writer come before `data`; what is known of them already is passed over. */
	readonly offset: number;
	readonly data: Uint8Array;
	/** The tasks it is for: an idset of ranks within the job, or `all`. */
	readonly tasks: string;
	/** Nothing follows `data`. */
	readonly isEnd: boolean;
	/** Of the writer's terminal, for tasks that have one: taken before `data`. */
	readonly size?: TerminalSize;
}

export interface InputAnswer {
	/** So many bytes of this writer are taken, and will reach the tasks once. */
	readonly offset: number;
	/** All of the write is taken; otherwise there was no room, because a task does not read, or bytes before it are missing. */
	readonly isTaken: boolean;
	/** Nothing more will be taken: every task has its end, has closed its stdin, or is over. */
	readonly isClosed: boolean;
}

/** A file that comes with a job. */
export interface CarriedFile {
	/** Without a slash. */
	readonly name: string;
	/** Permission bits. */
	readonly mode: number;
	readonly data: string;
	readonly encoding: 'utf-8' | 'base64';
}

/** A program that runs before or after the tasks of a part, once, as a process of its own cgroup, in `/`. */
export interface ScriptSpec {
	readonly argv: readonly string[];
	readonly env: Readonly<Record<string, string>>;
	/** From its start to SIGTERM; after the part's kill timeout SIGKILL. 0: no limit. */
	readonly timeoutMs: number;
}

/** The output of a part's prolog and epilog has these in place of a task's rank. */
export const PROLOG_TASK = -1;
export const EPILOG_TASK = -2;

/**
 * How a prolog or epilog ended. `ok`: with exit code 0. `canceled`: by the order to end the part, which a prolog shares with
 * the tasks; `stuck`: it did not, and was killed.
 */
export interface ScriptEnd {
	readonly verdict: 'ok' | 'failed' | 'timeout' | 'canceled' | 'stuck';
	/** The raw POSIX wait status, or null: unknown, because its shim died, or it could not be started. */
	readonly waitStatus: number | null;
	readonly endMs: number;
	/** How it ended and the last line that it wrote, for people; absent when all is well. */
	readonly note?: string;
}

/** A task's end. */
export interface TaskEnd {
	readonly task: number;
	/** The raw POSIX wait status, or null: unknown, because the task's shim died. */
	readonly waitStatus: number | null;
	/** Wall time in epoch milliseconds at which the task ended (for an unknown one: at which this was noticed). */
	readonly endMs: number;
	/** Why the task could not be started, as a person reads it; its wait status is then 126 or 127. */
	readonly error?: string;
}

export interface TaskStart {
	readonly task: number;
	readonly pid: number;
	/** Field 22 of /proc/PID/stat, in clock ticks since boot: with pid and boot id it names the process. */
	readonly startTicks: number;
	readonly startMs: number;
}

/** What happened to a part; `seq` counts from 1 in each part, without gaps, and survives every restart. */
export type PartReport = PartKey & {readonly seq: number; readonly atMs: number} & (
		| {
				readonly kind: 'started';
				readonly tasks: readonly TaskStart[];
				/** Of the test executor. */
				readonly test?: {readonly deadline: Deadline; readonly waitStatus: number};
		  }
		/** Something went wrong, or the time limit was reached; `severity` 0 ends the job (RFC 21). */
		| {
				readonly kind: 'exception';
				readonly type: 'timeout' | 'exec' | 'supervisor-lost' | 'lease-expired';
				readonly severity: number;
				readonly note: string;
		  }
		/** The prolog has started. */
		| {readonly kind: 'prolog-started'; readonly pid: number; readonly startMs: number}
		/** It has ended. Unless all is well, the tasks never start. */
		| {readonly kind: 'prolog-ended'; readonly end: ScriptEnd}
		/** All tasks have ended, and the epilog follows; said only where one does. */
		| {readonly kind: 'tasks-ended'; readonly tasks: readonly TaskEnd[]}
		/**
		 * All tasks have ended, the epilog, if there was one, as well, and the cgroup is empty: the resources are free. Always
		 * the last report.
		 */
		| {readonly kind: 'exited'; readonly tasks: readonly TaskEnd[]; readonly epilog?: ScriptEnd}
	);

/** One part as found on this node by its directory, its cgroup and the shell together. */
export interface InventoryEntry extends PartKey {
	/** `launching`: nothing was started so far. */
	readonly state: 'launching' | 'running' | 'exited';
	/** Every report of this part so far, ascending by `seq`. */
	readonly reports: readonly PartReport[];
	/** The boot in which the part was launched. */
	readonly bootId: string;
	/** `LaunchSpec.record`, as it was given. */
	readonly record: string;
}

export interface Inventory {
	readonly bootId: string;
	readonly parts: readonly InventoryEntry[];
	/** The highest job id that any directory on this node has carried, or 0n. */
	readonly highestJobId: bigint;
}

export interface HostAttributes {
	readonly shellPid: number | null;
	readonly launcherPid: number | null;
	/** The cgroup below which this rank's parts live, as an absolute path, or '' without cgroups. */
	readonly jobCgroup: string;
	/** How processes of jobs are told from others: `cgroup2`, or `session` where no cgroup may be made. */
	readonly tracking: string;
	/** What is wrong with the supervisor, and for how long, as a person reads it; null or absent: nothing. */
	readonly fault?: {readonly text: string; readonly ageMs: number} | null;
}

export type NoticeSeverity = 'info' | 'warning' | 'err';

export interface OutputChunk {
	/** At most the asked number of bytes, from the asked offset. Empty: nothing there yet, or the end. */
	readonly data: Uint8Array;
	/** True when no byte will ever follow the ones returned. */
	readonly eof: boolean;
}

export type OutputStream = 'stdout' | 'stderr';

export interface ProcessHost {
	/** Called for each new report, in order of `seq` within a part; may repeat reports after a reconnect. */
	onReport: (report: PartReport) => void;
	/**
	 * Called when contact with the supervisor was lost and found again without a restart of ours (the job shell
	 * was replaced): what was launched or terminated must be compared with a new inventory.
	 */
	onReset: () => void;
	/** Called with what an admin should know of the supervisor. Optional: a host that has nothing to tell. */
	onNotice?: (severity: NoticeSeverity, text: string) => void;
	/**
	 * All parts on this node. Starts the supervisor when directories of parts are there and none runs.
	 * Rejects with a `SystemError` (ETIMEDOUT, naming the supervisor's pid) when it does not answer in 30 s.
	 */
	inventory(): Promise<Inventory>;
	/**
	 * Resolves when parts can be started here: the supervisor is up, and has answered. Starts it if need be. Rejects with
	 * a `SystemError`: ETIMEDOUT, naming it, when that took longer than `timeoutMs`; EAGAIN when the
	 * host is being closed.
	 */
	ready(timeoutMs: number): Promise<void>;
	/** Starts a part. Idempotent: tasks that were claimed before are never started again. */
	launch(spec: LaunchSpec): void;
	/**
	 * Starts the tasks of a part whose prolog has succeeded. Idempotent; does nothing where the prolog has not, or where the part
	 * is to end.
	 */
	begin(key: PartKey): void;
	/**
	 * Ends a part: `signum` to its tasks, or its prolog, now, SIGKILL to all that is left after the part's kill timeout; also
	 * takes the claims of tasks that were not started. An epilog runs all the same, and to its own end. Idempotent, resumed by the host after its restart; ends with
	 * an `exited` report, at once for a part that nobody knows (with an empty `tasks`).
	 */
	terminate(key: PartKey, signum: number): void;
	/** Sends one signal to all tasks. Rejects with ESRCH when none of them is alive. */
	signal(key: PartKey, signum: number): Promise<void>;
	/**
	 * Whether this rank is in contact with the root: with a number it is, and the number is the lease in milliseconds;
	 * null: it is not known to be. A part that is out of contact for longer than the lease, by the monotonic clock,
	 * is ended by the host, with an exception `lease-expired` of severity 0 before; a death of the broker ends contact.
	 * Infinity, and a host that was never told: no lease. Optional: a host without it knows no leases.
	 */
	contact?(leaseMs: number | null): void;
	/**
	 * Called when all tasks of a part wait at a PMI barrier for those of other parts. Repeated after each reconnect and now
	 * and then, until `exchanged`. Optional, as the two below: a host without it serves no PMI over several ranks.
	 */
	onExchange?: (exchange: Exchange) => void;
	/** All parts have entered the barrier, and these are the puts of all of them: it opens. Idempotent. */
	exchanged?(exchange: Exchange): void;
	/** What a part put before a barrier, once all its tasks have entered it; null before. Works without the supervisor. */
	readExchange?(key: PartKey, barrier: number): Exchange | null;
	/** The end of the part is known to the root: its directory and cgroup may go. Idempotent. */
	forget(key: PartKey): void;
	/** Whether anything of the part is left on this node: `forget` has not been asked for, or has not been done so far. */
	remains(key: PartKey): Promise<boolean>;
	/**
	 * Bytes of what a task wrote, from `offset`. Works without the supervisor and after the end of the task, until
	 * `forget`. Rejects with ENOENT when the part or the task is not here.
	 */
	readOutput(
		key: PartKey,
		task: number,
		stream: OutputStream,
		offset: number,
		bytesMax: number,
	): Promise<OutputChunk>;
	/**
	 * Takes bytes for the stdin of tasks, as far as there is room: the answer says how far. Works without the supervisor.
	 * Idempotent: bytes that were taken before, by whichever life of the broker, are not taken again. Rejects with ENOENT
	 * when the part is not here (yet), EPIPE when its tasks take nothing from clients, EINVAL, ENOSPC.
	 */
	writeInput(key: PartKey, write: InputWrite): Promise<InputAnswer>;
	/** The part's own eventlog (RFC 50 in RFC 18 form: JSON lines), or '' when there is none (yet). */
	readEventlog(key: PartKey): Promise<string>;
	attributes(): HostAttributes;
	/** Drops contact; tasks and supervisor go on. With `stop` the supervisor ends too, once it has no part left. */
	close(options: {readonly stop: boolean}): Promise<void>;
}
