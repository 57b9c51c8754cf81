/**
 * What must be made true in the world for an entity in its state: the only reading of the states that acts, the same
 * for a live entity and for one just rebuilt from the log (DESIGN section 3.5). Each effect has a key, and doing it twice
 * does no harm. An effect that is no longer derived is no longer wanted.
 */
import {Idset} from '../formats/idset.ts';
import {ranksOfR} from './job-adopt.ts';
import {isToRunAgain, type JobContext, type JobException} from './job.ts';
import type {JobFact, JobSnapshot} from './job.ts';
import {dependenciesOf, type JobDependency} from './job-dependencies.ts';
import {epilogFinishOf, epilogStartOf, hasEnded, prologFinishOf, readyRanks} from './job-perilog.ts';
import {decisiveEnd} from './job-report.ts';
import {partKey, type PartSnapshot} from './part.ts';

type Body<F> = F extends unknown ? Omit<F, 'atMs'> & {readonly atMs?: number} : never;
/** A fact that is not stamped yet; where `atMs` is there it is when the thing happened. */
export type JobFactBody = Body<JobFact>;

export type Effect =
	/** A fact that follows from the state by rule: to be posted at once. */
	| {readonly kind: 'advance'; readonly key: string; readonly fact: JobFactBody}
	/** What the job depends on is watched. */
	| {readonly kind: 'await'; readonly key: string; readonly id: bigint; readonly dependency: JobDependency}
	/** The job stands in the scheduler's queue with this priority. */
	| {readonly kind: 'alloc'; readonly key: string; readonly id: bigint; readonly priority: number}
	/** The rank is to run its part. */
	| (RankEffect & {readonly kind: 'start'})
	/** The prologs of all ranks have succeeded, and the rank is to start its tasks. */
	| (RankEffect & {readonly kind: 'begin'})
	/** The rank is to end its part. */
	| (RankEffect & {readonly kind: 'kill'; readonly signum: number})
	/** The rank may delete what is left of its part. */
	| (RankEffect & {readonly kind: 'forget'})
	/** These ranks have finished before others, and may give their resources back. */
	| {
			readonly kind: 'release';
			readonly key: string;
			readonly id: bigint;
			readonly attempt: number;
			readonly ranks: readonly number[];
	  }
	/** The root is to hear a report of this rank. */
	| {
			readonly kind: 'report';
			readonly key: string;
			readonly id: bigint;
			readonly attempt: number;
			readonly seq: number;
	  }
	/** The process host is to end this rank's part. */
	| {
			readonly kind: 'terminate';
			readonly key: string;
			readonly id: bigint;
			readonly attempt: number;
			readonly signum: number;
	  };

interface RankEffect {
	readonly key: string;
	readonly id: bigint;
	readonly attempt: number;
	/** Waits until this rank has been reconciled in this boot. */
	readonly rank: number;
}

export type EffectKind = Effect['kind'];

const SIGALRM = 14;
const SIGTERM = 15;

export function effectsOfJob({value, context}: JobSnapshot): readonly Effect[] {
	const next = advanceOf(value, context);
	if (next !== null) return [{kind: 'advance', key: advanceKey(value, next), fact: next}];
	const {id, attempt, priority, ranks, exception} = context;
	const isEvicted = (context.evicted ?? '') !== '';
	switch (value) {
		case 'depend':
			return dependenciesOf(context).map(dependency => ({
				kind: 'await' as const,
				key: `await:${id}:${dependency.description}`,
				id,
				dependency,
			}));
		case 'sched':
			if (priority === 0) return pastForgets(context);
			return [{kind: 'alloc', key: `alloc:${id}:${priority}`, id, priority}, ...pastForgets(context)];
		case 'run':
			return [
				...ranksIn(ranks, 'requested').map(rank => ({
					kind: 'start' as const,
					key: `start:${id}.${attempt}:${rank}`,
					id,
					attempt,
					rank,
				})),
				...readyRanks(context).map(rank => ({
					kind: 'begin' as const,
					key: `begin:${id}.${attempt}:${rank}`,
					id,
					attempt,
					rank,
				})),
				...releases(context),
				...pastForgets(context),
			];
		case 'cleanup':
			return [
				...[...ranksIn(ranks, 'requested'), ...ranksIn(ranks, 'started')]
					.filter(isToEnd(ranks))
					.map(rank => ({
						kind: 'kill' as const,
						key: `kill:${id}.${attempt}:${rank}`,
						id,
						attempt,
						rank,
						signum: exception?.type === 'timeout' && !isEvicted ? SIGALRM : SIGTERM,
					})),
				...releases(context),
				...pastForgets(context),
			];
		case 'inactive':
			return [...forgets({id, attempt, ranks: Object.keys(ranks).map(Number)}), ...pastForgets(context)];
		default:
			return [];
	}
}

export function effectsOfPart({value, context}: PartSnapshot): readonly Effect[] {
	const {id, attempt, reports, acked, signum} = context;
	const name = partKey(context);
	const effects: Effect[] = [];
	if (value === 'forgotten') return effects;
	if (signum !== null && value !== 'exited') {
		effects.push({kind: 'terminate', key: `terminate:${name}:${signum}`, id, attempt, signum});
	}
	for (const {seq} of reports) {
		if (seq > acked) effects.push({kind: 'report', key: `report:${name}:${seq}`, id, attempt, seq});
	}
	return effects;
}

function forgets({id, attempt, ranks}: PartsOf): Effect[] {
	return ranks.map(rank => ({
		kind: 'forget' as const,
		key: `forget:${id}.${attempt}:${rank}`,
		id,
		attempt,
		rank,
	}));
}

interface PartsOf {
	readonly id: bigint;
	readonly attempt: number;
	readonly ranks: readonly number[];
}

/** What is left of attempts that were given up may go. */
function pastForgets({id, past}: JobContext): Effect[] {
	return (past ?? []).flatMap(({attempt, R}) => forgets({id, attempt, ranks: ranksOfR(R)}));
}

/** Of a job of which other ranks go on. */
function releases({id, attempt, ranks: parts}: JobContext): Effect[] {
	const ranks = Object.entries(parts)
		.filter(([, part]) => part.state === 'exited' && !part.released)
		.map(([rank]) => Number(rank));
	if (ranks.length === 0) return [];
	return [{kind: 'release', key: `release:${id}.${attempt}:${ranks.join(',')}`, id, attempt, ranks}];
}

/** An epilog is not ended with the job that it follows. */
function isToEnd(ranks: JobContext['ranks']): (rank: number) => boolean {
	return rank => ranks[rank]?.phase !== 'epilog';
}

function ranksIn(ranks: JobContext['ranks'], state: string): number[] {
	const found: number[] = [];
	for (const rank of Object.keys(ranks)) if (ranks[rank]?.state === state) found.push(Number(rank));
	return found;
}

/** Held, default, expedited: RFC 30's urgency as a priority, by the default policy of Flux. */
export function priorityOf(urgency: number): number {
	return urgency === 31 ? 4_294_967_295 : urgency;
}

/** Two complaints in a row are two effects: whoever has performed the first has still to perform the second. */
function advanceKey(value: string, fact: JobFactBody): string {
	const key = `advance:${fact.id}:${value}:${fact.type}`;
	if (fact.type !== 'job.exception') return key;
	return `${key}:${fact.exception}:${fact.severity}:${fact.note}`;
}

/** The fact that follows from a job's state alone, or null. */
function advanceOf(value: string, context: JobContext): JobFactBody | null {
	const {id, ranks, started, finished, hasResources, complaints} = context;
	switch (value) {
		case 'new':
			return {type: 'job.validate', id};
		case 'depend':
			return dependenciesOf(context).length === 0 ? {type: 'job.depend', id} : null;
		case 'priority':
			return {type: 'job.priority', id, priority: priorityOf(context.urgency)};
		case 'run': {
			const parts = Object.values(ranks);
			if (!started && parts.every(part => part.startedMs !== null)) {
				return {type: 'job.start', id, atMs: Math.max(...parts.map(part => part.startedMs ?? 0))};
			}
			if (complaints[0] !== undefined) return complain(id, complaints[0]);
			const prologFinish = prologFinishOf(context);
			if (prologFinish !== null) return prologFinish;
			if (started && parts.every(hasEnded)) return finish(context);
			if (!started && parts.some(part => part.state === 'exited' && part.startedMs === null)) {
				return complain(id, {type: 'exec', severity: 0, note: 'a rank reported its end without a start'});
			}
			return null;
		}
		case 'cleanup': {
			const parts = Object.values(ranks);
			if (complaints[0] !== undefined) return complain(id, complaints[0]);
			const prologFinish = prologFinishOf(context);
			if (prologFinish !== null) return prologFinish;
			if (started && !finished && !isToRunAgain(context) && parts.every(hasEnded)) return finish(context);
			const epilog = epilogStartOf(context) ?? epilogFinishOf(context);
			if (epilog !== null && (finished || !started || isToRunAgain(context))) return epilog;
			if (!parts.every(part => part.state === 'exited')) return null;
			if (hasResources && parts.some(part => !part.released)) {
				return {type: 'job.release', id, ranks: unreleasedOf(ranks), final: true};
			}
			if (hasResources) return {type: 'job.free', id};
			if (isToRunAgain(context)) return {type: 'job.requeue', id, attempt: context.attempt};
			return {type: 'job.clean', id};
		}
		default:
			return null;
	}
}

function complain(id: bigint, {type, severity, note}: JobException): JobFactBody {
	return {type: 'job.exception', id, exception: type, severity, note, userid: -1};
}

function unreleasedOf(ranks: JobContext['ranks']): string {
	const unreleased = Object.entries(ranks).filter(([, part]) => !part.released);
	return Idset.from(unreleased.map(([rank]) => Number(rank))).toString();
}

function finish({id, ranks}: JobContext): JobFactBody {
	const parts = Object.values(ranks);
	const atMs = Math.max(...parts.map(part => part.exitedMs ?? 0));
	const {waitStatus} = decisiveEnd(parts);
	return {type: 'job.finish', id, status: waitStatus, ...(atMs > 0 ? {atMs} : {})};
}
