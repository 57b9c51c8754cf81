/**
 * Finds the processes of a rank's parts in /proc, for all parts at once. Invariant: a look takes at most a twentieth of
 * the time, however many parts ask, for a scan that is young enough serves them all; only `sweep` scans as fast as it can,
 * and for a bounded time.
 */

import {closeSync, openSync, readdirSync, readSync} from 'node:fs';
import type {Clock} from '../../ports/clock.ts';
import {isLauncher, markInCommandLine, markInEnvironment} from '../process-mark.ts';
import {
	membersOf,
	type KnownProcess,
	type Member,
	type PartRole,
	type ProcessMark,
	type ProcessRow,
} from '../process-table.ts';
import {isDeadState, parseStat} from '../proc-text.ts';
import {isAlive, sendSignal} from './proc.ts';

/** What is to be ended: a part's processes, of one role or all. */
export interface Doomed {
	readonly part: string;
	readonly role: PartRole | null;
}

export interface ProcessScan {
	/** Counts scans. */
	readonly generation: number;
	readonly members: readonly Member[];
}

const SCAN_PAUSE_MS_MIN = 20;
const SCAN_PAUSE_MS_MAX = 1000;
/** The pause after a scan, in times of its length. */
const SCAN_PAUSE_FACTOR = 20;
/** In one sweep. What is left then is for the next. */
const SWEEP_MS_MAX = 300;
const SWEEP_ROUNDS_MAX = 50;
/** An execve in progress has neither environment nor arguments, for microseconds. */
const READ_TRIES_MAX = 3;
/** kthreadd, and the parent of all of its kind. */
const KERNEL_THREADS = 2;
const SIGKILL = 9;
const SIGSTOP = 19;

export class ProcessScanner {
	readonly #rank: string;
	readonly #clock: Clock;
	/** The processes that claims name. */
	readonly #claimed: () => readonly KnownProcess[];
	/** Start ticks by pid of processes that carry no mark, and never will. */
	#strangers = new Map<number, number>();
	#members: readonly Member[] = [];
	#scan: ProcessScan | null = null;
	#scanMs = 0;
	#nextScanMs = 0;

	/** @param rank `INSTANCE.RANK`. */
	constructor(rank: string, clock: Clock, claimed: () => readonly KnownProcess[] = () => []) {
		this.#rank = rank;
		this.#clock = clock;
		this.#claimed = claimed;
	}

	/** A scan that is at most a second old; a new one unless the last took too long for that. */
	look(): ProcessScan {
		return this.#scan !== null && this.#clock.monotonicMs() < this.#nextScanMs ? this.#scan : this.scan();
	}

	/** A scan of this moment: one serves all who ask for it in a row. */
	lookAnew(): ProcessScan {
		const isNew = this.#scan !== null && this.#clock.monotonicMs() < this.#scanMs + SCAN_PAUSE_MS_MIN;
		return isNew ? this.#scan! : this.scan();
	}

	/** Reads /proc now. */
	scan(): ProcessScan {
		const startMs = this.#clock.monotonicMs();
		const members = [...membersOf(this.#readRows(), [...this.#members, ...this.#claimed()]).values()];
		this.#members = members;
		this.#scan = {generation: (this.#scan?.generation ?? 0) + 1, members};
		const endMs = this.#clock.monotonicMs();
		this.#scanMs = endMs;
		const pauseMs = Math.max((endMs - startMs) * SCAN_PAUSE_FACTOR, SCAN_PAUSE_MS_MIN);
		this.#nextScanMs = endMs + Math.min(pauseMs, SCAN_PAUSE_MS_MAX);
		return this.#scan;
	}

	/**
	 * SIGKILL to all that is found of these. They are stopped first, until none is found that runs: so that none can start
	 * another while the rest is being killed, and a fork bomb keeps the room that it has taken instead of taking it again.
	 */
	sweep(doomed: readonly Doomed[]): void {
		const untilMs = this.#clock.monotonicMs() + SWEEP_MS_MAX;
		const stopped = new Map<string, Member>();
		for (let round = 0; round < SWEEP_ROUNDS_MAX; round++) {
			const found = this.scan().members.filter(member => isDoomed(member, doomed));
			const running = found.filter(member => !stopped.has(nameOf(member)));
			if (running.length === 0) break;
			signalAll(running, SIGSTOP);
			for (const member of running) stopped.set(nameOf(member), member);
			if (this.#clock.monotonicMs() > untilMs) break;
		}
		signalAll([...stopped.values()], SIGKILL);
	}

	#readRows(): ProcessRow[] {
		const rows: ProcessRow[] = [];
		const strangers = new Map<number, number>();
		const known = new Map(this.#members.map(member => [member.pid, member]));
		for (const name of readdirSync('/proc')) {
			const pid = Number(name);
			if (!(pid > 0) || pid === process.pid) continue;
			const stat = parseStat(readText(`/proc/${pid}/stat`));
			if (stat === undefined || isDeadState(stat.state)) continue;
			const {parent, group, session, startTicks} = stat;
			if (pid === KERNEL_THREADS || parent === KERNEL_THREADS) continue;
			const before = known.get(pid);
			let mark: ProcessMark | null = null;
			if (before?.startTicks === startTicks && before.mark?.role === 'payload') mark = before.mark;
			else if (this.#strangers.get(pid) === startTicks) strangers.set(pid, startTicks);
			else {
				const read = this.#readMark(pid);
				if (read === 'none') strangers.set(pid, startTicks);
				else if (read !== 'later') mark = read;
			}
			rows.push({pid, parent, group, session, startTicks, mark});
		}
		this.#strangers = strangers;
		return rows;
	}

	/** `none`: it has none and will have none; `later`: it has none yet. */
	#readMark(pid: number): ProcessMark | 'none' | 'later' {
		for (let tries = 0; tries < READ_TRIES_MAX; tries++) {
			const cmdline = readText(`/proc/${pid}/cmdline`);
			const environ = readText(`/proc/${pid}/environ`);
			const mark = markInCommandLine(cmdline, this.#rank) ?? markInEnvironment(environ, this.#rank);
			if (mark !== null) return mark;
			if (isLauncher(cmdline)) return 'later';
			if (cmdline !== '' || environ !== '') return 'none';
		}
		return 'later';
	}
}

/** Whether this member is one of those that are to be ended. */
function isDoomed(member: Member, doomed: readonly Doomed[]): boolean {
	return doomed.some(({part, role}) => member.part === part && (role === null || member.role === role));
}

/**
 * A signal to each that is still the same process; to its whole process group where that is the task's own, because that
 * reaches all of it at one moment, forks in progress included.
 */
export function signalAll(members: readonly Member[], signum: number): number {
	const groups = new Set<number>();
	const ownGroup = groupOf(process.pid);
	let reached = 0;
	for (const member of members) {
		if (!isAlive(member)) continue;
		// A mark comes after setsid, so its group is the task's; but nothing may ever reach ourselves.
		const isMarked = member.role === 'payload' && member.mark?.role === 'payload';
		const isGroup = isMarked && member.group > 1 && member.group !== ownGroup;
		if (!isGroup) reached += sendSignal(member.pid, signum) ? 1 : 0;
		else if (!groups.has(member.group)) {
			groups.add(member.group);
			reached += sendSignal(-member.group, signum) ? 1 : 0;
		}
	}
	return reached;
}

function groupOf(pid: number): number | undefined {
	return parseStat(readText(`/proc/${pid}/stat`))?.group;
}

function nameOf({pid, startTicks}: Member): string {
	return `${pid} ${startTicks}`;
}

/** '' for what is gone, or not ours to read. By half the system calls of readFileSync: a scan is nothing but this. */
function readText(path: string): string {
	let fd: number | null = null;
	try {
		fd = openSync(path, 'r');
		let text = '';
		for (;;) {
			const count = readSync(fd, BUFFER, 0, BUFFER.length, null);
			text += BUFFER.toString('latin1', 0, count);
			if (count < BUFFER.length) return text;
		}
	} catch (error) {
		const {code} = error as NodeJS.ErrnoException;
		if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'EPERM') return '';
		throw error;
	} finally {
		if (fd !== null) closeSync(fd);
	}
}

const BUFFER = Buffer.allocUnsafe(64 * 1024);
