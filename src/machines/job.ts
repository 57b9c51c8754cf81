/**
 * The job machine: a job as the root's job manager sees it. States and events are RFC 21's; `job.report`,
 * `job.reattach`, `job.output` and `job.adopt` are Coppice's own and no part of the user's eventlog.
 *
 *     none ─submit→ new ─validate→ depend ─depend→ priority ─priority→ sched ─alloc→ run ─finish→ cleanup ─clean→ inactive
 *
 * A severity-0 exception leads from any active state to cleanup. A job leaves cleanup when every rank has reported that
 * nothing of it is left there. A job that asks for it and whose node is lost (`job.evict`) runs again instead of ending:
 * from cleanup `job.requeue` leads back to priority, and the next allocation is another attempt. A job with a prolog starts
 * no task before it has succeeded everywhere, and one with an epilog stays in cleanup until it is over (job-perilog.ts).
 */
import {assign, setup} from 'xstate';
import {Idset} from '../formats/idset.ts';
import type {StoredJobspec} from '../formats/stored-jobspec.ts';
import {
	dependenciesOf,
	dependencyAdded,
	dependencyRemoved,
	hasDependency,
	type JobDependency,
} from './job-dependencies.ts';
import {adopted, NEW_PART, ranksOfR, readopted} from './job-adopt.ts';
import {jobEventOf} from './job-event.ts';
import {
	complaintOf,
	hasEnded,
	perilogGuards,
	planned,
	prologStartOf,
	type Perilog,
	type PerilogFact,
	type PerilogPlan,
} from './job-perilog.ts';
import {accountReport, decisiveEnd, type RankPart, type ReportBody, type TaskOutput} from './job-report.ts';
import {compileMachine, type Fact, type Snapshot} from './machine.ts';

/** The submit flag that makes a job count for a `wait` without an id (RFC 21). */
export const FLAG_WAITABLE = 4;

export type Json = Readonly<Record<string, unknown>>;

interface JobFactBase extends Fact {
	readonly id: bigint;
}

export interface JobSubmitFact extends JobFactBase {
	readonly type: 'job.submit';
	readonly userid: number;
	readonly urgency: number;
	readonly flags: number;
	/** Jobspec V1 (RFC 25), as it was accepted. */
	readonly jobspec: StoredJobspec;
	/** The client's name of this submit, so that a retry gives the same job; null: none was given. */
	readonly requestId: string | null;
	/** What it waits for; absent: nothing. */
	readonly dependencies?: readonly JobDependency[];
}

/**
 * A running job that this log did not know was found on a node, and is registered again from its directory; or this log
 * knows it as pending, and has lost its allocation.
 */
export interface JobAdoptFact extends JobFactBase {
	readonly type: 'job.adopt';
	readonly userid: number;
	readonly urgency: number;
	readonly flags: number;
	readonly jobspec: StoredJobspec;
	readonly R: Json;
	readonly attempt: number;
	readonly submitMs: number;
	readonly allocMs: number;
	readonly perilog?: PerilogPlan;
}

export interface JobExceptionFact extends JobFactBase {
	readonly type: 'job.exception';
	/** The exception's own type, as in RFC 21: cancel, timeout, exec, alloc, node-failure, … */
	readonly exception: string;
	/** 0 ends the job; 1 to 7 only tell. */
	readonly severity: number;
	readonly note: string;
	readonly userid: number;
}

export type JobFact =
	| JobSubmitFact
	| JobAdoptFact
	| JobExceptionFact
	| (JobFactBase & {readonly type: 'job.validate' | 'job.depend' | 'job.start' | 'job.free' | 'job.clean'})
	/** One of the things that the job waited for has come about. */
	| (JobFactBase & {readonly type: 'job.dependency-remove'; readonly description: string})
	| (JobFactBase & {readonly type: 'job.priority'; readonly priority: number})
	| (JobFactBase & {readonly type: 'job.urgency'; readonly urgency: number; readonly userid: number})
	| (JobFactBase & {
			readonly type: 'job.alloc';
			readonly R: Json;
			readonly ranks: readonly number[];
			/** What is to be run before and after its tasks on each rank; absent: nothing. */
			readonly perilog?: PerilogPlan;
	  })
	| PerilogFact
	/** A rank reported something about its part; see job-report.ts. */
	| (JobFactBase & {
			readonly type: 'job.report';
			readonly rank: number;
			readonly seq: number;
			readonly bootId: string;
			readonly body: ReportBody;
	  })
	/** A rank that rejoined still has its part running. */
	| (JobFactBase & {readonly type: 'job.reattach'; readonly rank: number})
	/** What the rank's tasks wrote is kept with the job from here on, and the rank's own eventlog of the part. */
	| (JobFactBase & {
			readonly type: 'job.output';
			readonly rank: number;
			readonly outputs: readonly TaskOutput[];
			readonly eventlog: string;
	  })
	/** A piece of output went to the root's store, in the same commit. */
	| (JobFactBase & {readonly type: 'job.chunk'; readonly rank: number; readonly bytes: number})
	/** `status`: the raw wait status of the task that decided, or null when it is unknown. */
	| (JobFactBase & {readonly type: 'job.finish'; readonly status: number | null})
	/** The ranks of the idset have given their resources back; `final`: all that had not done so before. */
	| (JobFactBase & {readonly type: 'job.release'; readonly ranks: string; readonly final: boolean})
	/** Its node is lost and it asks to run again: this attempt ends, and is no end of the job. */
	| (JobFactBase & {readonly type: 'job.evict'; readonly note: string})
	/** Nothing of the attempt is left, and the next one may begin. */
	| (JobFactBase & {readonly type: 'job.requeue'; readonly attempt: number});

/** One entry of the user's eventlog (RFC 18, RFC 21). */
export interface JobEvent {
	readonly name: string;
	readonly atMs: number;
	readonly context: Json | null;
}

export interface JobException {
	readonly type: string;
	readonly severity: number;
	readonly note: string;
}

/** An attempt that was given up; whatever turns up of it is superseded. */
export interface PastAttempt {
	readonly attempt: number;
	readonly R: Json;
}

/** So many attempts that were given up are remembered, the newest ones. */
export const PAST_ATTEMPTS_MAX = 16;

export interface JobContext {
	readonly id: bigint;
	readonly userid: number;
	readonly urgency: number;
	/** 0: held. */
	readonly priority: number;
	readonly flags: number;
	readonly jobspec: StoredJobspec;
	readonly requestId: string | null;
	/** Counts the runs from 1; 0 before the first allocation. */
	readonly attempt: number;
	/** R of RFC 20 while resources are held, and after that for the record. */
	readonly R: Json | null;
	readonly hasResources: boolean;
	/** By rank in decimal: how far its part has come. */
	readonly ranks: Readonly<Record<string, RankPart>>;
	readonly started: boolean;
	readonly finished: boolean;
	/** What the ranks' exception reports ask for and no exception event has said so far. */
	readonly complaints: readonly JobException[];
	/** The first severity-0 exception: the root cause. */
	readonly exception: JobException | null;
	readonly waitStatus: number | null;
	readonly outcome: 'none' | 'exited' | 'signaled' | 'unknown';
	readonly reattached: number;
	readonly outputs: readonly (TaskOutput & {readonly rank: number})[];
	readonly execEventlogs: Readonly<Record<string, string>>;
	readonly events: readonly JobEvent[];
	/** Why the present attempt is given up for another one; absent or '': it is not. */
	readonly evicted?: string;
	/** Attempts that were given up, oldest first; absent until the first. */
	readonly past?: readonly PastAttempt[];
	/** What it waits for still; absent: it never waited for anything. */
	readonly dependencies?: readonly JobDependency[];
	/** Of the present attempt; absent or null: it has neither prolog nor epilog. */
	readonly perilog?: Perilog | null;
}

export type JobSnapshot = Snapshot<JobContext>;

const context: JobContext = {
	id: 0n,
	userid: 0,
	urgency: 16,
	priority: 0,
	flags: 0,
	jobspec: {json: ''},
	requestId: null,
	attempt: 0,
	R: null,
	hasResources: false,
	ranks: {},
	started: false,
	finished: false,
	complaints: [],
	exception: null,
	waitStatus: null,
	outcome: 'none',
	reattached: 0,
	outputs: [],
	execEventlogs: {},
	events: [],
};

const EVENT_OF_REPORT = {
	'job.report': {guard: 'isNewReport', actions: 'account'},
	'job.reattach': {guard: 'isStarted', actions: 'reattach'},
	'job.output': {guard: 'isOfRank', actions: 'keepOutput'},
	'job.chunk': {guard: 'isOfRank', actions: 'keep'},
} as const;

const EXCEPTION = [
	{guard: 'isFatal', target: 'cleanup', actions: ['blame', 'log']},
	{actions: ['blame', 'log']},
] as const;

const chart = setup({
	types: {context: {} as JobContext, events: {} as JobFact},
	guards: {
		isFatal: ({event}) => event.type === 'job.exception' && event.severity === 0,
		isAwaited: ({context, event}) =>
			event.type === 'job.dependency-remove' && hasDependency(context, event.description),
		awaitsNothing: ({context}) => dependenciesOf(context).length === 0,
		hasRanks: ({event}) => event.type === 'job.alloc' && event.ranks.length > 0,
		isAdoptable: ({event}) =>
			event.type === 'job.adopt' && event.attempt >= 1 && ranksOfR(event.R).length > 0,
		isLaterAttempt: ({context, event}) =>
			event.type === 'job.adopt' && event.attempt > context.attempt && ranksOfR(event.R).length > 0,
		isNewReport: ({context, event}) => {
			if (event.type !== 'job.report') return false;
			const part = context.ranks[event.rank];
			return part !== undefined && event.seq > part.seq && part.state !== 'exited';
		},
		isStarted: ({context, event}) =>
			event.type === 'job.reattach' && context.ranks[event.rank]?.state === 'started',
		isOfRank: ({context, event}) => 'rank' in event && context.ranks[event.rank] !== undefined,
		allStarted: ({context}) =>
			!context.started && Object.values(context.ranks).every(part => part.startedMs !== null),
		isOver: ({context}) =>
			context.started && !context.finished && Object.values(context.ranks).every(hasEnded),
		...perilogGuards,
		isReleasable: ({context}) => allExited(context),
		isPartialRelease: ({context, event}) => {
			if (event.type !== 'job.release' || event.final) return false;
			const named = namedRanks(context, event.ranks);
			return named.length > 0 && named.every(part => part?.state === 'exited' && !part.released);
		},
		isRequeued: ({context}) => isToRunAgain(context) && !context.hasResources && allExited(context),
		isFree: ({context}) => !context.hasResources && allExited(context),
		holdsNothing: ({context}) => context.hasResources && allExited(context),
	},
	actions: {
		/** Accepted, and nothing of the job's own changes. */
		keep: assign(() => ({})),
		log: assign(({context, event}) => ({events: [...context.events, jobEventOf(event)]})),
		submit: assign(({event}) => {
			if (event.type !== 'job.submit') return {};
			const {id, userid, urgency, flags, jobspec, requestId} = event;
			return {id, userid, urgency, flags, jobspec, requestId};
		}),
		addDependencies: assign(({context: {events}, event}) =>
			event.type === 'job.submit' ? dependencyAdded(event, {events, atMs: event.atMs}) : {},
		),
		removeDependency: assign(({context, event}) =>
			event.type === 'job.dependency-remove' ? dependencyRemoved(context, event.description) : {},
		),
		adopt: assign(({event}) => (event.type === 'job.adopt' ? adopted(event) : {})),
		readopt: assign(({context, event}) => (event.type === 'job.adopt' ? readopted(context, event) : {})),
		prioritize: assign(({event}) => (event.type === 'job.priority' ? {priority: event.priority} : {})),
		urge: assign(({event}) => (event.type === 'job.urgency' ? {urgency: event.urgency} : {})),
		allocate: assign(({context, event}) => {
			if (event.type !== 'job.alloc') return {};
			const ranks = Object.fromEntries(event.ranks.map(rank => [String(rank), NEW_PART]));
			const attempt = context.attempt + 1;
			return {R: event.R, hasResources: true, attempt, ranks, ...planned(event.perilog)};
		}),
		askForProlog: assign(({context: {events}, event}) => {
			const added = event.type === 'job.alloc' ? prologStartOf(event.perilog, event.atMs) : [];
			return added.length === 0 ? {} : {events: [...events, ...added]};
		}),
		finishProlog: assign(({context}) => ({perilog: {...context.perilog, isPrologOver: true as const}})),
		startEpilog: assign(({context}) => ({perilog: {...context.perilog, isEpilogBegun: true as const}})),
		finishEpilog: assign(({context}) => ({perilog: {...context.perilog, isEpilogOver: true as const}})),
		account: assign(({context, event}) => {
			if (event.type !== 'job.report') return {};
			const {rank, seq, bootId, atMs, body} = event;
			const part = context.ranks[rank];
			if (part === undefined) return {};
			const ranks = {...context.ranks, [rank]: accountReport(part, {seq, bootId, atMs, body})};
			const complaint = complaintOf(body, part);
			if (complaint !== null) return {ranks, complaints: [...context.complaints, complaint]};
			if (body.kind !== 'exception' || body.isRepeated === true) return {ranks};
			const {exception: type, severity, note} = body;
			return {ranks, complaints: [...context.complaints, {type, severity, note}]};
		}),
		reattach: assign(({context}) => ({reattached: context.reattached + 1})),
		keepOutput: assign(({context, event}) => {
			if (event.type !== 'job.output') return {};
			const others = context.outputs.filter(({rank}) => rank !== event.rank);
			const outputs = [...others, ...event.outputs.map(output => ({...output, rank: event.rank}))];
			return {outputs, execEventlogs: {...context.execEventlogs, [event.rank]: event.eventlog}};
		}),
		start: assign(() => ({started: true})),
		finish: assign(({context}) => {
			const {waitStatus, outcome} = decisiveEnd(Object.values(context.ranks));
			return {waitStatus, outcome, finished: true};
		}),
		blame: assign(({context, event}) => {
			if (event.type !== 'job.exception') return {};
			const said = {type: event.exception, severity: event.severity, note: event.note};
			const complaints = context.complaints.filter(
				({type, severity, note}) => type !== said.type || severity !== said.severity || note !== said.note,
			);
			const isCause = event.severity === 0 && context.exception === null;
			return {complaints, exception: isCause ? said : context.exception};
		}),
		release: assign(({context, event}) => {
			if (event.type !== 'job.release') return {};
			const named = event.final ? null : Idset.parse(event.ranks);
			const ranks = Object.fromEntries(
				Object.entries(context.ranks).map(([rank, part]) => [
					rank,
					part.state === 'exited' && (named === null || named.has(Number(rank)))
						? {...part, released: true}
						: part,
				]),
			);
			return {ranks};
		}),
		free: assign(() => ({hasResources: false})),
		evict: assign(({event}) => (event.type === 'job.evict' ? {evicted: event.note || 'evicted'} : {})),
		requeue: assign(({context}) => requeued(context)),
	},
}).createMachine({
	id: 'job',
	initial: 'none',
	context,
	states: {
		none: {
			on: {
				'job.submit': {target: 'new', actions: ['submit', 'log', 'addDependencies']},
				'job.adopt': {guard: 'isAdoptable', target: 'run', actions: 'adopt'},
			},
		},
		new: {
			on: {
				'job.validate': {target: 'depend', actions: 'log'},
				'job.exception': EXCEPTION,
			},
		},
		depend: {
			on: {
				'job.dependency-remove': {guard: 'isAwaited', actions: ['removeDependency', 'log']},
				'job.depend': {guard: 'awaitsNothing', target: 'priority', actions: 'log'},
				'job.adopt': {guard: 'isLaterAttempt', target: 'run', actions: 'readopt'},
				'job.urgency': {actions: ['urge', 'log']},
				'job.exception': EXCEPTION,
			},
		},
		priority: {
			on: {
				'job.priority': {target: 'sched', actions: ['prioritize', 'log']},
				'job.urgency': {actions: ['urge', 'log']},
				'job.exception': EXCEPTION,
			},
		},
		sched: {
			on: {
				'job.priority': {actions: ['prioritize', 'log']},
				'job.urgency': {target: 'priority', actions: ['urge', 'log']},
				'job.alloc': {guard: 'hasRanks', target: 'run', actions: ['allocate', 'log', 'askForProlog']},
				'job.adopt': {guard: 'isLaterAttempt', target: 'run', actions: 'readopt'},
				'job.exception': EXCEPTION,
			},
		},
		run: {
			on: {
				...EVENT_OF_REPORT,
				'job.prolog-finish': {guard: 'mayFinishProlog', actions: ['finishProlog', 'log']},
				'job.start': {guard: 'allStarted', actions: ['start', 'log']},
				'job.finish': {guard: 'isOver', target: 'cleanup', actions: ['finish', 'log']},
				'job.release': {guard: 'isPartialRelease', actions: ['release', 'log']},
				'job.evict': {target: 'cleanup', actions: 'evict'},
				'job.exception': EXCEPTION,
			},
		},
		cleanup: {
			on: {
				...EVENT_OF_REPORT,
				'job.prolog-finish': {guard: 'mayFinishProlog', actions: ['finishProlog', 'log']},
				'job.epilog-start': {guard: 'mayStartEpilog', actions: ['startEpilog', 'log']},
				'job.epilog-finish': {guard: 'mayFinishEpilog', actions: ['finishEpilog', 'log']},
				'job.finish': {guard: 'isOver', actions: ['finish', 'log']},
				'job.release': [
					{guard: 'isReleasable', actions: ['release', 'log']},
					{guard: 'isPartialRelease', actions: ['release', 'log']},
				],
				'job.free': {guard: 'holdsNothing', actions: ['free', 'log']},
				'job.clean': {guard: 'isFree', target: 'inactive', actions: 'log'},
				'job.requeue': {guard: 'isRequeued', target: 'priority', actions: ['requeue', 'log']},
				'job.exception': [{actions: ['blame', 'log']}],
			},
		},
		inactive: {type: 'final'},
	},
});

export const jobMachine = compileMachine<JobContext, JobFact>(chart, ({id}) => `job ${id}`);

function allExited({ranks}: JobContext): boolean {
	return Object.values(ranks).every(part => part.state === 'exited');
}

function namedRanks({ranks}: JobContext, idset: string): (RankPart | undefined)[] {
	return [...Idset.parse(idset)].map(rank => ranks[rank]);
}

/** Its attempt was given up, and nothing has ended the job since. */
export function isToRunAgain({evicted, exception, finished}: JobContext): boolean {
	return evicted !== undefined && evicted !== '' && exception === null && !finished;
}

/** The ranks whose share of R is still held: what was released is not. Empty when nothing is held. */
export function heldRanksOf({hasResources, ranks}: JobContext): number[] {
	if (!hasResources) return [];
	return Object.entries(ranks)
		.filter(([, part]) => !part.released)
		.map(([rank]) => Number(rank));
}

/** As after its submission, but that it knows its past. */
function requeued({attempt, R, past = [], perilog}: JobContext): Partial<JobContext> {
	return {
		...(perilog === undefined ? {} : {perilog: null}),
		R: null,
		ranks: {},
		started: false,
		finished: false,
		complaints: [],
		waitStatus: null,
		outcome: 'none',
		outputs: [],
		execEventlogs: {},
		evicted: '',
		past: R === null ? past : [...past, {attempt, R}].slice(-PAST_ATTEMPTS_MAX),
	};
}
