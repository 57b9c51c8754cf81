/** Says in sentences what a job waits for, or why it ended, each with the fact behind it. Pure. */
import {encodeJobid} from '../formats/jobid.ts';
import {jobNameOf, requestOf} from '../formats/jobspec.ts';
import {describeWaitStatus} from '../formats/signal.ts';
import {outlineOf} from '../formats/stored-jobspec.ts';
import {resultOf} from '../machines/archive-row.ts';
import type {DurableState} from '../machines/durable-state.ts';
import {dependenciesOf, type JobDependency} from '../machines/job-dependencies.ts';
import type {JobContext} from '../machines/job.ts';
import {isStarted} from '../machines/queue.ts';
import type {LogFact} from './fact-filter.ts';

export interface WhyQuestion {
	readonly state: DurableState;
	readonly id: bigint;
	/** The job as the archive has it, when it has ended. */
	readonly ended: JobContext | null;
	/** Those that `concernsWhy` chose, in order. */
	readonly facts: readonly LogFact[];
}

/** Whether a fact may be the reason of something that a job waits for. */
export function concernsWhy(fact: LogFact, id: string): boolean {
	return fact['id'] === id || /^(?:node|queue|peer)\./.test(String(fact['type']));
}

export function whyOf({state, id, ended, facts}: WhyQuestion): readonly string[] {
	const cite = citing(facts, String(id));
	const lost = state.lost.get(id);
	if (lost !== undefined) return [`It is in lost+found since fact ${lost.seq}: ${lost.reason}.`];
	const job = state.jobs.get(id);
	if (job === undefined) return ended === null ? partOf(state, id, cite) : endOf(ended, cite);
	const {context} = job;
	switch (job.value) {
		case 'depend':
			return dependsOn(state, context, cite);
		case 'sched':
			return waitOf(state, context, cite);
		case 'run':
			return [...runOf(context, cite), ...warningsOf(context, cite), ...contactOf(state, context, cite)];
		case 'cleanup':
			return [...causeOf(context, cite), ...cleanupOf(context), ...contactOf(state, context, cite)];
		default:
			return [`It is in state ${job.value}, and goes on by itself.`];
	}
}

/** The newest fact of a type (and with these fields), in brackets after a blank; '' when the log no longer has it. */
type Cite = (type: string, fields?: Readonly<Record<string, unknown>>) => string;

const FIELDS_OF_OTHERS = ['rank', 'peer', 'queue'];

function citing(facts: readonly LogFact[], id: string): Cite {
	return (type, fields = {}) => {
		const isAboutOthers = FIELDS_OF_OTHERS.some(name => name in fields);
		const wanted: Readonly<Record<string, unknown>> = isAboutOthers ? fields : {id, ...fields};
		const fact = facts.findLast(
			one => one['type'] === type && Object.entries(wanted).every(([name, value]) => one[name] === value),
		);
		return fact === undefined
			? ''
			: ` (fact ${String(fact['seq'])} ${type}, ${timeOf(Number(fact['atMs']))})`;
	};
}

/** The last that a `Date` can be. */
const DATE_MS_MAX = 8.64e15;

function timeOf(atMs: number): string {
	return new Date(atMs).toISOString();
}

/** What the log of a rank that keeps no jobs says of one. */
function partOf(state: DurableState, id: bigint, cite: Cite): readonly string[] {
	const name = encodeJobid(id, 'f58plain');
	const {rank} = state.broker.context;
	if (rank === 0) return [`There is no job ${name} in this log.`];
	const parts = [...state.parts.values()].filter(({context}) => context.id === id);
	const forgotten = cite('part.forget');
	if (parts.length === 0 && forgotten === '')
		return [`Rank ${rank} has no part of job ${name}; jobs are in the log of rank 0.`];
	const lines = parts.map(({value, context: {attempt, signum}}) => {
		const since = cite('part.report', {attempt}) || cite('part.request', {attempt});
		const end = signum === null ? '' : `, and was told to end${cite('part.terminate', {attempt})}`;
		return `Attempt ${attempt} is ${value} here${since}${end}.`;
	});
	return [
		`Rank ${rank} keeps its part of job ${name}; the job is in the log of rank 0.`,
		...(parts.length === 0 ? [`Its part has ended, and rank 0 knows how${forgotten}.`] : lines),
	];
}

function dependsOn(state: DurableState, job: JobContext, cite: Cite): readonly string[] {
	const open = dependenciesOf(job);
	if (open.length === 0) return [`It is in state depend, and goes on by itself${cite('job.validate')}.`];
	return open.map(
		one => `It waits for ${one.description}${progressOf(one, job, state)}${cite('job.submit')}.`,
	);
}

/** How far that is which is waited for. */
function progressOf(dependency: JobDependency, job: JobContext, {jobs}: DurableState): string {
	switch (dependency.kind) {
		case 'begin-time':
			return `, which is ${timeOf(Math.min(dependency.epochMs, DATE_MS_MAX))}`;
		case 'singleton': {
			const before = [...jobs.values()].filter(
				({context: {id, userid, jobspec}}) =>
					id < job.id && userid === job.userid && jobNameOf(outlineOf(jobspec)) === dependency.name,
			);
			return before.length === 0 ? '' : `: the end of job(s) of this name before it${namesOf(before)}`;
		}
		default: {
			const other = jobs.get(dependency.id);
			if (other === undefined) return '';
			const isHeld = other.value === 'sched' && other.context.priority === 0;
			return `, which is in state ${other.value}${isHeld ? ' and held: its urgency is 0' : ''}`;
		}
	}
}

/** Events of one kind that no event of the other has ended, by their description. */
function stillOpen(
	events: JobContext['events'],
	begins: string,
	ends: string,
): readonly {readonly description: string}[] {
	const open = new Map<string, {readonly description: string}>();
	for (const {name, context} of events) {
		const description = textOf(context?.['description']);
		if (name === begins) open.set(description, {description});
		if (name === ends) open.delete(description);
	}
	return [...open.values()];
}

function textOf(value: unknown): string {
	return typeof value === 'string' ? value : '';
}

const NAMED_MAX = 5;

function waitOf(state: DurableState, job: JobContext, cite: Cite): readonly string[] {
	if (job.priority === 0)
		return [`It is held: its urgency is 0${cite('job.urgency') || cite('job.submit')}.`];
	const {nslots, coresPerSlot, nnodes} = requestOf(outlineOf(job.jobspec));
	const needs = `${nslots * coresPerSlot} core(s)${nnodes === null ? '' : ` on ${nnodes} node(s)`}`;
	const jobs = [...state.jobs.values()];
	const ahead = jobs.filter(
		({value, context}) =>
			value === 'sched' &&
			(context.priority > job.priority || (context.priority === job.priority && context.id < job.id)),
	);
	const holders = jobs.filter(({context}) => context.hasResources);
	return [
		`It waits for ${needs}${cite('job.priority')}.`,
		`${ahead.length} job(s) are ahead of it${namesOf(ahead)}, and ${holders.length} hold resources${namesOf(holders)}.`,
		...queueOf(state, job, cite),
		...drainsOf(state, cite),
		...absentOf(state, cite),
	];
}

function namesOf(jobs: readonly {readonly context: JobContext}[]): string {
	if (jobs.length === 0) return '';
	const names = jobs.slice(0, NAMED_MAX).map(({context}) => encodeJobid(context.id, 'f58plain'));
	return ` (${names.join(', ')}${jobs.length > NAMED_MAX ? ', …' : ''})`;
}

function queueOf({queues}: DurableState, {jobspec}: JobContext, cite: Cite): readonly string[] {
	const name = outlineOf(jobspec).attributes.system.queue ?? '';
	const queue = queues.get(name);
	if (queue === undefined || isStarted(queue)) return [];
	const reason = queue.context.stopReason || 'no reason given';
	return [
		`Its queue${name === '' ? '' : ` ${name}`} is stopped: ${reason}${cite('queue.stop', {queue: name})}.`,
	];
}

function drainsOf({nodes}: DurableState, cite: Cite): readonly string[] {
	return [...nodes.values()].flatMap(({context: {rank, host, drain}}) =>
		drain === null
			? []
			: [
					`Rank ${rank} (${host || 'never seen'}) is drained: ${drain.reason || 'no reason given'}${cite('node.drain', {rank})}.`,
				],
	);
}

/** Neighbours that can't take work now; what is below them can't either. */
function absentOf({peers}: DurableState, cite: Cite): readonly string[] {
	return [...peers.values()].flatMap(({value, context: {peer, hostname, role, error}}) =>
		role === 'parent' || value === 'online'
			? []
			: [
					`Rank ${peer} (${hostname || 'never seen'}) is ${value}${error === '' ? '' : `: ${error}`}${cite(`peer.${value}`, {peer})}.`,
				],
	);
}

function contactOf(state: DurableState, {ranks}: JobContext, cite: Cite): readonly string[] {
	const absent = new Set(
		[...state.peers.values()]
			.filter(({value, context}) => context.role === 'child' && value !== 'online')
			.map(({context}) => context.peer),
	);
	return Object.entries(ranks)
		.filter(([rank, part]) => part.state !== 'exited' && absent.has(Number(rank)))
		.map(
			([rank]) =>
				`Rank ${rank} is out of contact${cite('peer.lost', {peer: Number(rank)})}: its part ends when the node reports, or is declared dead.`,
		);
}

function runOf({ranks, reattached, started, events}: JobContext, cite: Cite): readonly string[] {
	const prologs = stillOpen(events, 'prolog-start', 'prolog-finish');
	if (prologs.length > 0)
		return prologs.map(
			({description}) => `It has its resources${cite('job.alloc')}, and waits for the end of ${description}.`,
		);
	const waiting = Object.entries(ranks).filter(([, part]) => part.state === 'requested');
	if (!started)
		return [
			`It has its resources${cite('job.alloc')}, and waits for the start on rank(s) ${waiting.map(([rank]) => rank).join(',')}.`,
		];
	const pids = Object.values(ranks).flatMap(part => part.tasks.map(({pid}) => pid));
	const found = reattached === 0 ? '' : ` It was found again ${reattached} time(s)${cite('job.reattach')}.`;
	return [`It runs as process(es) ${pids.join(', ')}${cite('job.start')}.${found}`];
}

/** Exceptions that did not end it. */
function warningsOf({events}: JobContext, cite: Cite): readonly string[] {
	return events
		.filter(({name, context}) => name === 'exception' && context?.['severity'] !== 0)
		.map(({context}) => {
			const [type, note] = [textOf(context?.['type']), textOf(context?.['note'])];
			return `Something went wrong with it: ${type}: ${note || 'no note'}${cite('job.exception', {exception: type})}.`;
		});
}

function cleanupOf({ranks, events}: JobContext): readonly string[] {
	const alive = Object.entries(ranks).filter(([, part]) => part.state !== 'exited');
	const parts =
		alive.length === 0 ? [] : [`Its part on rank(s) ${alive.map(([rank]) => rank).join(',')} has not ended.`];
	const epilogs = stillOpen(events, 'epilog-start', 'epilog-finish');
	return [...parts, ...epilogs.map(({description}) => `It waits for the end of ${description}.`)];
}

function endOf(job: JobContext, cite: Cite): readonly string[] {
	return [`It ended as ${resultOf(job)}${cite('job.clean')}.`, ...causeOf(job, cite)];
}

function causeOf(
	{exception, waitStatus, outcome, started, ranks}: JobContext,
	cite: Cite,
): readonly string[] {
	const causes: string[] = [];
	if (exception !== null)
		causes.push(
			`Exception ${exception.type}: ${exception.note || 'no note'}${cite('job.exception', {exception: exception.type})}.`,
		);
	if (waitStatus === 0) {
		causes.push(`Every task exited with 0${cite('job.finish')}.`);
	} else if (waitStatus !== null) {
		const end = describeWaitStatus(waitStatus);
		const how = end.kind === 'exited' ? `exited with ${end.code}` : `was ended by ${end.name}`;
		causes.push(`The task that decided${deciderOf(ranks, waitStatus)} ${how}${cite('job.finish')}.`);
	} else if (outcome === 'unknown') {
		causes.push(
			`What became of a task is unknown: its shim died before it could record the exit status${cite('job.finish')}.`,
		);
	} else if (!started) {
		causes.push('None of its tasks was started.');
	}
	return causes;
}

/** Of several tasks: which. */
function deciderOf(ranks: JobContext['ranks'], waitStatus: number): string {
	const ends = Object.entries(ranks).flatMap(([rank, part]) => part.ends.map(end => ({rank, ...end})));
	if (ends.length < 2) return '';
	const decider = ends.find(end => end.waitStatus === waitStatus);
	return decider === undefined ? '' : ` (task ${decider.task} on rank ${decider.rank})`;
}
