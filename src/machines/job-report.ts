/**
 * What a rank reports about its part of a job, how the root accounts for it, and which task decides a job's status.
 * Pure data and functions; used by the job machine.
 */

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

export type ReportBody =
	| {readonly kind: 'started'; readonly tasks: readonly TaskStarted[]}
	| {
			readonly kind: 'exception';
			readonly exception: string;
			readonly severity: number;
			readonly note: string;
			/** Another rank of the job has said the same before: it needs no exception of its own. */
			readonly isRepeated?: true;
	  }
	| {readonly kind: 'exited'; readonly tasks: readonly TaskEnded[]}
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
			// A rank may have no task: a job's total can be less than its slots.
			const startedMs = earliest(body.tasks.map(({startMs}) => startMs)) ?? atMs;
			return {...part, seq, bootId, state: 'started', tasks: body.tasks, startedMs};
		}
		case 'exception':
			return {...part, seq};
		case 'exited': {
			// What was started and is not mentioned has ended too, and nobody knows how.
			const said = new Set(body.tasks.map(({task}) => task));
			const unsaid = part.tasks
				.filter(({task}) => !said.has(task))
				.map(({task}) => ({task, waitStatus: null, endMs: atMs}));
			const ends = [...body.tasks, ...unsaid];
			const exitedMs = latest(ends.map(({endMs}) => endMs));
			const startedMs = part.startedMs ?? exitedMs;
			return {...part, seq, state: 'exited', ends, startedMs, exitedMs};
		}
		case 'lost': {
			const ends = part.tasks.map(({task}) => ({task, waitStatus: null, endMs: body.endMs}));
			return {...part, seq, state: 'exited', ends, exitedMs: body.endMs};
		}
		default:
			return body satisfies never;
	}
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
