/**
 * Prolog and epilog of a job, as the root sees them: an admin's programs that run on each rank before the job's tasks start
 * there and after they have ended. Which ones is written down with the allocation, so that a changed configuration
 * changes no job that has begun. Invariant: no task starts before the prologs of all ranks have succeeded, and a rank's
 * resources are held until its epilog is over. Pure; used by the job machine and effectsOfJob.
 */
import type {RankPart, ReportBody} from './job-report.ts';
import type {JobContext, JobEvent, JobException} from './job.ts';
import type {Fact} from './machine.ts';

export interface PerilogScript {
	readonly argv: readonly string[];
	/** From its start to SIGTERM; 0: none. */
	readonly timeoutMs: number;
}

/** What is to be run around the tasks of a job. */
export interface PerilogPlan {
	readonly prolog?: PerilogScript;
	readonly epilog?: PerilogScript;
}

/** The plan of the present attempt, and which of its events are in the job's eventlog. */
export interface Perilog extends PerilogPlan {
	readonly isPrologOver?: true;
	readonly isEpilogBegun?: true;
	readonly isEpilogOver?: true;
}

/** `canceled`: it ended because its job was to end, and is to blame for nothing. `stuck`: it did not, and was killed. */
export type ScriptVerdict = 'ok' | 'failed' | 'timeout' | 'canceled' | 'stuck';

/** How a rank's prolog or epilog ended. */
export interface ScriptEnd {
	readonly verdict: ScriptVerdict;
	/** Raw POSIX wait status; null: unknown, or it could not be started. */
	readonly waitStatus: number | null;
	readonly endMs: number;
	/** How it ended and the last line that it wrote, for people; absent when all is well. */
	readonly note?: string;
}

export type PerilogFact =
	/** The prologs or epilogs of all ranks are over; `isCanceled`: none was begun. */
	| (PerilogFactBase & {
			readonly type: 'job.prolog-finish' | 'job.epilog-finish';
			readonly status: number | null;
			readonly isCanceled?: true;
	  })
	| (PerilogFactBase & {readonly type: 'job.epilog-start'});

interface PerilogFactBase extends Fact {
	readonly id: bigint;
}

type Unstamped<F> = F extends unknown ? Omit<F, 'atMs'> : never;

/** RFC 21's `description` of the events. */
export const PROLOG = 'prolog';
export const EPILOG = 'epilog';

/** A node on which this happened gets no more work. */
export function isFailure({verdict}: ScriptEnd): boolean {
	return verdict === 'failed' || verdict === 'timeout' || verdict === 'stuck';
}

export function planned(plan: PerilogPlan | undefined): {readonly perilog?: Perilog} {
	return plan === undefined ? {} : {perilog: plan};
}

/** The plan as it travels. */
export function planOf(perilog: Perilog | null | undefined): {readonly perilog?: PerilogPlan} {
	if (perilog == null) return {};
	const {prolog, epilog} = perilog;
	return {
		perilog: {...(prolog === undefined ? {} : {prolog}), ...(epilog === undefined ? {} : {epilog})},
	};
}

/** What the job's eventlog says when a rank's prolog is asked for. */
export function prologStartOf(plan: PerilogPlan | undefined, atMs: number): readonly JobEvent[] {
	if (plan?.prolog === undefined) return [];
	return [{name: 'prolog-start', atMs, context: {description: PROLOG}}];
}

/** The exception that follows from the end of a prolog or epilog, or null. */
export function complaintOf(body: ReportBody, part: RankPart): JobException | null {
	if (body.kind === 'prolog-ended' && isFailure(body.end) && body.end.verdict !== 'stuck') {
		return {type: PROLOG, severity: 0, note: body.end.note ?? 'failed'};
	}
	if (body.kind === 'exited' && body.epilog !== undefined && isFailure(body.epilog)) {
		return {type: EPILOG, severity: 1, note: body.epilog.note ?? 'failed'};
	}
	if (body.kind === 'lost' && part.phase === 'epilog') return {type: EPILOG, severity: 1, note: body.note};
	return null;
}

/** Of the job machine. */
export const perilogGuards = {
	mayFinishProlog: ({context}: {context: JobContext}) => mayFinishProlog(context),
	mayStartEpilog: ({context}: {context: JobContext}) => mayStartEpilog(context),
	mayFinishEpilog: ({context}: {context: JobContext}) => mayFinishEpilog(context),
};

/** Which of its scripts a job waits for, or null. */
export function activeScriptOf({perilog, started, ranks}: JobContext): 'prolog' | 'epilog' | null {
	if (perilog == null) return null;
	const parts = Object.values(ranks);
	if (perilog.prolog !== undefined && perilog.isPrologOver !== true && !started) return PROLOG;
	const isLast = parts.length > 0 && parts.every(hasEnded);
	return isLast && parts.some(({state}) => state !== 'exited') ? EPILOG : null;
}

/** All tasks of the part are over, though its epilog may run. */
export function hasEnded({state, phase}: RankPart): boolean {
	return state === 'exited' || phase === 'epilog';
}

/** The ranks that are to start their tasks now. */
export function readyRanks({perilog, ranks}: JobContext): number[] {
	if (perilog?.prolog === undefined || perilog.isPrologOver !== true) return [];
	if (Object.values(ranks).some(({state, prolog}) => state !== 'exited' && prolog?.verdict !== 'ok'))
		return [];
	return Object.entries(ranks)
		.filter(([, {state, phase}]) => state === 'started' && phase === 'ready')
		.map(([rank]) => Number(rank));
}

function mayFinishProlog({perilog, ranks}: JobContext): boolean {
	if (perilog?.prolog === undefined || perilog.isPrologOver === true) return false;
	return Object.values(ranks).every(({state, prolog}) => state === 'exited' || prolog !== undefined);
}

function mayStartEpilog({perilog, ranks}: JobContext): boolean {
	if (perilog?.epilog === undefined || perilog.isEpilogBegun === true) return false;
	if (perilog.prolog !== undefined && perilog.isPrologOver !== true) return false;
	return Object.values(ranks).some(({phase, epilog}) => phase === 'epilog' || epilog !== undefined);
}

function mayFinishEpilog({perilog, ranks}: JobContext): boolean {
	if (perilog?.isEpilogBegun !== true || perilog.isEpilogOver === true) return false;
	return Object.values(ranks).every(({state}) => state === 'exited');
}

/** `prolog-finish` once every rank's prolog is over, or never was. */
export function prologFinishOf(context: JobContext): Unstamped<PerilogFact> | null {
	if (!mayFinishProlog(context)) return null;
	const ends = Object.values(context.ranks).flatMap(({prolog}) => prolog ?? []);
	return {type: 'job.prolog-finish', id: context.id, ...statusOf(ends)};
}

export function epilogStartOf(context: JobContext): Unstamped<PerilogFact> | null {
	return mayStartEpilog(context) ? {type: 'job.epilog-start', id: context.id} : null;
}

export function epilogFinishOf(context: JobContext): Unstamped<PerilogFact> | null {
	if (!mayFinishEpilog(context)) return null;
	const ends = Object.values(context.ranks).flatMap(({epilog}) => epilog ?? []);
	return {type: 'job.epilog-finish', id: context.id, ...statusOf(ends)};
}

/** The context of the event: as with `finish`, a status that nobody knows is left out. */
export function perilogEventOf(fact: PerilogFact): JobEvent {
	const name = fact.type.slice('job.'.length);
	const description = name.startsWith(PROLOG) ? PROLOG : EPILOG;
	if (!('status' in fact)) return {name, atMs: fact.atMs, context: {description}};
	const {status, isCanceled = false} = fact;
	const end = status === null ? {outcome: isCanceled ? 'canceled' : 'unknown'} : {status};
	return {name, atMs: fact.atMs, context: {description, ...end}};
}

/** The worst of all ranks: unknown, then the highest wait status. None at all: it was canceled before it began. */
function statusOf(ends: readonly ScriptEnd[]): {readonly status: number | null; readonly isCanceled?: true} {
	if (ends.length === 0) return {status: null, isCanceled: true};
	let status = 0;
	for (const {waitStatus} of ends) {
		if (waitStatus === null) return {status: null};
		status = Math.max(status, waitStatus);
	}
	return {status};
}
