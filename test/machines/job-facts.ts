/** Facts of one job to choose from: of each type, with payloads for which its guards hold and for which they don't. */
import type {JobDependency} from '../../src/machines/job-dependencies.ts';
import type {JobContext, JobFact, JobSnapshot, JobSubmitFact} from '../../src/machines/job.ts';
import {jobMachine} from '../../src/machines/job.ts';
import {effectsOfJob} from '../../src/machines/effects.ts';
import type {RankPart, ReportBody, TaskEnded, TaskStarted} from '../../src/machines/job-report.ts';
import {walksOf, type WalkRules} from './walk.ts';

export const JOB_ID = 7n;
/** No job of the pool has a part there. */
export const ALIEN_RANK = 9;
const AT_MS = 1_700_000_000_000;
const JOBSPEC = {json: '{"version":1}'};

export const R_OF_TWO = {version: 1, execution: {R_lite: [{rank: '0-1', children: {core: '0'}}]}};

export const DEPENDENCIES: readonly JobDependency[] = [
	{description: 'after-success=f2', kind: 'after-success', id: 1n},
	{description: 'begin-time=1700000000', kind: 'begin-time', epochMs: AT_MS},
];

export function jobPool({context}: JobSnapshot, id = JOB_ID): JobFact[] {
	const atMs = AT_MS + context.events.length * 1000;
	const base = {id, atMs};
	return [
		// More often than one that waits for something, or few walks would get far.
		...[null, `request-${id}`, null, null].map(requestId => submitFact(base, requestId)),
		{...submitFact(base, null), dependencies: DEPENDENCIES},
		...[...DEPENDENCIES.map(({description}) => description), 'of another'].map(description => ({
			...base,
			type: 'job.dependency-remove' as const,
			description,
		})),
		...(context.events.length % 3 === 1 ? [] : [0, 1, 2, context.attempt + 1]).map(attempt =>
			adoptFact(base, attempt),
		),
		...(['job.validate', 'job.depend', 'job.start', 'job.free', 'job.clean'] as const).map(type => ({
			...base,
			type,
		})),
		...[0, 16].map(priority => ({...base, type: 'job.priority' as const, priority})),
		...[0, 16, 31].map(urgency => ({...base, type: 'job.urgency' as const, urgency, userid: 1000})),
		...[[], [0], [0, 1]].map(ranks => ({...base, type: 'job.alloc' as const, R: R_OF_TWO, ranks})),
		...[0, 256, 9, null].map(status => ({...base, type: 'job.finish' as const, status})),
		...[0, 1, ALIEN_RANK].flatMap(rank => [
			{...base, type: 'job.reattach' as const, rank},
			outputFact(base, rank),
			{...base, type: 'job.chunk' as const, rank, bytes: 3},
			...reportFacts({...base, rank}, context),
		]),
		{...base, type: 'job.release', ranks: '0-1', final: true},
		...['0', '1', '0-1', '9', ''].map(ranks => ({
			...base,
			type: 'job.release' as const,
			ranks,
			final: false,
		})),
		// Offered now and then only, or few walks would see the end of an attempt.
		...(context.events.length % 3 === 0
			? [{...base, type: 'job.evict' as const, note: 'a node is lost'}]
			: []),
		{...base, type: 'job.requeue', attempt: context.attempt},
		...['cancel', 'timeout', 'exec'].flatMap(exception =>
			[0, 1, 7].map(severity => exceptionFact(base, exception, severity)),
		),
	];
}

/** What comes from outside: the rest follows from the state by rule. */
export const EXTERNAL_JOB_FACTS: ReadonlySet<JobFact['type']> = new Set([
	'job.submit',
	'job.adopt',
	'job.urgency',
	'job.dependency-remove',
	'job.alloc',
	'job.report',
	'job.reattach',
	'job.output',
	'job.chunk',
	'job.exception',
	'job.evict',
]);

export const jobRules: WalkRules<JobContext, JobFact> = {machine: jobMachine, poolOf: jobPool};

/** As a broker does it: what follows from a state comes at once. */
export const ruledJobRules: WalkRules<JobContext, JobFact> = {
	machine: jobMachine,
	poolOf: snapshot => jobPool(snapshot).filter(({type}) => EXTERNAL_JOB_FACTS.has(type)),
	ruled: advanceFactOf,
};

export const jobWalks = walksOf(jobRules);
export const ruledJobWalks = walksOf(ruledJobRules);

export function advanceFactOf(snapshot: JobSnapshot): JobFact | null {
	const [effect] = effectsOfJob(snapshot);
	if (effect?.kind !== 'advance') return null;
	return {...effect.fact, atMs: effect.fact.atMs ?? AT_MS};
}

/** Jobs that wait for something, until they wait no more. */
export const dependentJobWalks = walksOf<JobContext, JobFact>({
	machine: jobMachine,
	poolOf: snapshot =>
		jobPool(snapshot).filter(({type}) =>
			['job.submit', 'job.validate', 'job.dependency-remove', 'job.depend', 'job.urgency'].includes(type),
		),
});

/** The job after `facts`. */
export function jobAfter(facts: Iterable<JobFact>): JobSnapshot {
	let job = jobMachine.initial();
	for (const fact of facts) job = jobMachine.apply(job, fact);
	return job;
}

interface Base {
	readonly id: bigint;
	readonly atMs: number;
}

export function submitFact(base: Base, requestId: string | null): JobSubmitFact {
	return {...base, type: 'job.submit', userid: 1000, urgency: 16, flags: 0, jobspec: JOBSPEC, requestId};
}

function adoptFact({id, atMs}: Base, attempt: number): JobFact {
	return {
		type: 'job.adopt',
		id,
		atMs,
		userid: 1000,
		urgency: 16,
		flags: 0,
		jobspec: JOBSPEC,
		R: R_OF_TWO,
		attempt,
		submitMs: AT_MS - 2000,
		allocMs: AT_MS - 1000,
	};
}

function outputFact(base: Base, rank: number): JobFact {
	const output = {task: rank, stream: 'stdout' as const, bytes: 3, chunks: 1, sha256: 'ab'};
	return {...base, type: 'job.output', rank, outputs: [output], eventlog: '{}\n'};
}

function exceptionFact(base: Base, exception: string, severity: number): JobFact {
	return {
		...base,
		type: 'job.exception',
		exception,
		severity,
		note: `${exception} at ${severity}`,
		userid: 1000,
	};
}

function reportFacts(at: Base & {readonly rank: number}, {ranks}: JobContext): JobFact[] {
	const part = ranks[at.rank];
	const seq = part?.seq ?? 0;
	return [seq, seq + 1, seq + 3].flatMap(seqNow =>
		reportBodies(at, part).map(body => ({
			...at,
			type: 'job.report' as const,
			seq: seqNow,
			bootId: 'boot-1',
			body,
		})),
	);
}

function reportBodies(
	{atMs, rank}: Base & {readonly rank: number},
	part: RankPart | undefined,
): ReportBody[] {
	const tasks = part === undefined || part.tasks.length === 0 ? startsOf(rank, atMs) : part.tasks;
	const endsWith = (...statuses: readonly (number | null)[]): ReportBody => ({
		kind: 'exited',
		tasks: tasks.map(({task}, index): TaskEnded => {
			return {task, waitStatus: statuses[index % statuses.length] ?? null, endMs: atMs + index};
		}),
	});
	return [
		...(part?.state === 'started' ? [] : [{kind: 'started' as const, tasks: startsOf(rank, atMs)}]),
		...(part?.state === 'started' ? [] : [{kind: 'started' as const, tasks: []}]),
		endsWith(0),
		endsWith(0, 256),
		endsWith(0, 9),
		endsWith(null, 0),
		endsWith(139, 0x7f00),
		{kind: 'exited', tasks: []},
		{kind: 'exited', tasks: [{task: tasks[0]?.task ?? 0, waitStatus: 0, endMs: atMs}]},
		{kind: 'exception', exception: 'timeout', severity: 0, note: 'time limit'},
		{kind: 'exception', exception: 'supervisor-lost', severity: 1, note: `rank ${rank}`},
		{kind: 'exception', exception: 'exec', severity: 1, note: `task of ${rank}`},
		{kind: 'exception', exception: 'timeout', severity: 0, note: 'time limit', isRepeated: true},
		{kind: 'lost', note: 'no trace', endMs: atMs},
	];
}

export function startsOf(rank: number, startMs: number): TaskStarted[] {
	return [2 * rank, 2 * rank + 1].map(task => ({task, pid: 100 + task, startTicks: 5, startMs}));
}
