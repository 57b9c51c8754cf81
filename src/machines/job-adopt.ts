/** A job that was found on a node, as the root registers it again: with the events that its log has lost. Pure. */
import {planned, prologStartOf} from './job-perilog.ts';
import type {RankPart} from './job-report.ts';
import type {JobAdoptFact, JobContext, JobEvent, Json} from './job.ts';

/** The ranks of R version 1 (RFC 20), spelled out. */
export function ranksOfR(R: Json): number[] {
	const lite = (R.execution as {R_lite?: {rank?: unknown}[]} | undefined)?.R_lite ?? [];
	return lite.flatMap(({rank}) =>
		String(rank)
			.split(',')
			.flatMap(range => {
				const [first = 0, last = first] = range.split('-').map(Number);
				return Array.from({length: last - first + 1}, (_, index) => first + index);
			}),
	);
}

export function adopted(fact: JobAdoptFact): Partial<JobContext> {
	const {id, userid, urgency, flags, jobspec, R, attempt, submitMs, allocMs, atMs} = fact;
	const events: JobEvent[] = [
		{name: 'submit', atMs: submitMs, context: {userid, urgency, flags, version: 1}},
		{name: 'validate', atMs: submitMs, context: null},
		{name: 'depend', atMs: submitMs, context: null},
		{name: 'priority', atMs: submitMs, context: {priority: urgency}},
		{name: 'alloc', atMs: allocMs, context: null},
		...prologStartOf(fact.perilog, allocMs),
		{name: 'debug.adopt', atMs, context: {attempt}},
	];
	const ranks = Object.fromEntries(ranksOfR(R).map(rank => [String(rank), NEW_PART]));
	return {
		...planned(fact.perilog),
		id,
		userid,
		urgency,
		priority: urgency,
		flags,
		jobspec,
		R,
		attempt,
		hasResources: true,
		ranks,
		events,
	};
}

/** The allocation that was lost, and that it was found. */
export function readopted({events}: JobContext, fact: JobAdoptFact): Partial<JobContext> {
	const {R, attempt, allocMs, atMs, perilog} = fact;
	const ranks = Object.fromEntries(ranksOfR(R).map(rank => [String(rank), NEW_PART]));
	const found: JobEvent[] = [
		{name: 'alloc', atMs: allocMs, context: null},
		...prologStartOf(perilog, allocMs),
		{name: 'debug.adopt', atMs, context: {attempt}},
	];
	return {...planned(perilog), R, attempt, hasResources: true, ranks, events: [...events, ...found]};
}

export const NEW_PART: RankPart = {
	state: 'requested',
	seq: 0,
	bootId: '',
	startedMs: null,
	exitedMs: null,
	tasks: [],
	ends: [],
	released: false,
};
