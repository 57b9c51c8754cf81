/**
 * What a rank reports about its part of a job, how the root accounts for it, and which task decides a job's status.
 * Pure data and functions; used by the job machine.
 */
import type {ScriptEnd} from './job-perilog.ts';

import type {Deadline} from '../ports/clock.ts';

export interface TaskStarted {
	readonly task: number;
	readonly pid: number;
	readonly startTicks: number;
	readonly startMs: number;
}

export interface TaskEnded {
	readonly task: number;
	/** Raw POSIX wait status; null: unknown. */
	readonly waitStatus: number | null;
	readonly endMs: number;
	readonly error?: string;
}

/** Output of one task that the root keeps: `bytes` bytes in `chunks` rows of its store. */
export interface TaskOutput {
	readonly task: number;
	readonly stream: 'stdout' | 'stderr';
	readonly bytes: number;
	readonly chunks: number;
	/** SHA-256 over all of it, in hex. */
	readonly sha256: string;
}

/** A part of the test executor, which has no processes: when it ends, and how. */
export interface TestRun {
	readonly deadline: Deadline;
	readonly waitStatus: number;
}

export type ReportBody =
	| {readonly kind: 'started'; readonly tasks: readonly TaskStarted[]; readonly test?: TestRun}
	| {
			readonly kind: 'exception';
			readonly exception: string;
			readonly severity: number;
			readonly note: string;
			/** Another rank of the job has said the same before: it needs no exception of its own. */
			readonly isRepeated?: true;
	  }
	/** The rank's prolog has started; its tasks wait. */
	| {readonly kind: 'prolog-started'; readonly pid: number; readonly startMs: number}
	/** It is over; unless it failed, the tasks wait for those of the other ranks. */
	| {readonly kind: 'prolog-ended'; readonly end: ScriptEnd}
	/** All tasks have ended, and the rank's epilog follows. */
	| {readonly kind: 'tasks-ended'; readonly tasks: readonly TaskEnded[]}
	/** `epilog`: how it ended, if one was run. */
	| {readonly kind: 'exited'; readonly tasks: readonly TaskEnded[]; readonly epilog?: ScriptEnd}
	/** The rank does not have its part, although it was started there: the root's own conclusion. */
	| {readonly kind: 'lost'; readonly note: string; readonly endMs: number};

export interface RankPart {
	readonly state: 'requested' | 'started' | 'exited';
	/** The highest sequence number of a report that was accounted for. */
	readonly seq: number;
	/** The boot of the node in which the part was started, or ''. */
	readonly bootId: string;
	readonly startedMs: number | null;
	readonly exitedMs: number | null;
	readonly tasks: readonly TaskStarted[];
	/** Of each task that ended or was started; a task that is missing here never started. */
	readonly ends: readonly TaskEnded[];
	/** Its resources were given back. */
	readonly released: boolean;
	/**
	 * How far a part with a prolog or epilog has come; absent for others. `ready`: its prolog is over, and its tasks wait.
	 * `epilog`: its tasks are over, so `ends` is complete.
	 */
	readonly phase?: 'prolog' | 'ready' | 'tasks' | 'epilog';
	readonly prolog?: ScriptEnd;
	readonly epilog?: ScriptEnd;
}

export interface Report {
	readonly seq: number;
	readonly bootId: string;
	/** When the root heard of it, epoch milliseconds: stands in where the report names no time. */
	readonly atMs: number;
	readonly body: ReportBody;
}

export function accountReport(part: RankPart, {seq, bootId, atMs, body}: Report): RankPart {
	switch (body.kind) {
		case 'started': {
			if (part.phase === 'epilog') return {...part, seq};
			// A rank may have no task: a job's total can be less than its slots.
			const startedMs = earliest(body.tasks.map(({startMs}) => startMs)) ?? atMs;
			const phase = part.phase === undefined ? {} : {phase: 'tasks' as const};
			return {...part, seq, bootId, state: 'started', tasks: body.tasks, startedMs, ...phase};
		}
		case 'exception':
			return {...part, seq};
		case 'prolog-started':
			if (part.phase !== undefined || part.startedMs !== null) return {...part, seq};
			return {...part, seq, bootId, state: 'started', phase: 'prolog'};
		case 'prolog-ended':
			if (part.phase === 'tasks' || part.phase === 'epilog') return {...part, seq};
			return {...part, seq, bootId, state: 'started', phase: 'ready', prolog: body.end};
		case 'tasks-ended':
			if (part.phase === 'epilog') return {...part, seq};
			return {...part, seq, bootId, state: 'started', phase: 'epilog', ...endsOf(part, body.tasks, atMs)};
		case 'exited': {
			const epilog = body.epilog === undefined ? {} : {epilog: body.epilog};
			if (part.phase === 'epilog') return {...part, seq, state: 'exited', ...epilog};
			return {...part, seq, state: 'exited', ...endsOf(part, body.tasks, atMs), ...epilog};
		}
		case 'lost': {
			// That the tasks were over is known: only the epilog is lost.
			if (part.phase === 'epilog') {
				const epilog = {verdict: 'failed' as const, waitStatus: null, endMs: body.endMs, note: body.note};
				return {...part, seq, state: 'exited', epilog};
			}
			const ends = part.tasks.map(({task}) => ({task, waitStatus: null, endMs: body.endMs}));
			return {...part, seq, state: 'exited', ends, exitedMs: body.endMs};
		}
		default:
			return body satisfies never;
	}
}

/** What was started and is not mentioned has ended too, and nobody knows how. */
function endsOf(
	part: RankPart,
	tasks: readonly TaskEnded[],
	atMs: number,
): Pick<RankPart, 'ends' | 'startedMs' | 'exitedMs'> {
	const said = new Set(tasks.map(({task}) => task));
	const unsaid = part.tasks
		.filter(({task}) => !said.has(task))
		.map(({task}) => ({task, waitStatus: null, endMs: atMs}));
	const ends = [...tasks, ...unsaid];
	const exitedMs = latest(ends.map(({endMs}) => endMs));
	return {ends, startedMs: part.startedMs ?? exitedMs, exitedMs};
}

/** Not by Math.min: a job may have more tasks than a call can have arguments. */
function earliest(times: readonly number[]): number | null {
	return times.reduce<number | null>((least, ms) => (least === null || ms < least ? ms : least), null);
}

function latest(times: readonly number[]): number | null {
	return times.reduce<number | null>((most, ms) => (most === null || ms > most ? ms : most), null);
}

export interface DecisiveEnd {
	readonly waitStatus: number | null;
	readonly outcome: 'exited' | 'signaled' | 'unknown';
}

/**
 * The end of a job: that of the task with the highest exit code, a signal counting as 128 + its number. One unknown
 * end makes the whole unknown.
 */
export function decisiveEnd(parts: readonly RankPart[]): DecisiveEnd {
	const ends = parts.flatMap(part => part.ends);
	if (ends.length === 0) return {waitStatus: null, outcome: 'unknown'};
	let decisive = 0;
	for (const {waitStatus} of ends) {
		if (waitStatus === null) return {waitStatus: null, outcome: 'unknown'};
		if (returnCodeOf(waitStatus) >= returnCodeOf(decisive)) decisive = waitStatus;
	}
	return {waitStatus: decisive, outcome: (decisive & 0x7f) === 0 ? 'exited' : 'signaled'};
}

/** The exit code, or 128 + the signal's number (as a shell's `$?`). */
export function returnCodeOf(waitStatus: number): number {
	const signum = waitStatus & 0x7f;
	return signum === 0 ? (waitStatus >> 8) & 0xff : 128 + signum;
}
