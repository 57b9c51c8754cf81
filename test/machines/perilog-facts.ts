/** Facts of one job with a prolog or an epilog to choose from; those of jobs without are in job-facts.ts. */
import type {JobContext, JobFact, JobSnapshot} from '../../src/machines/job.ts';
import {jobMachine} from '../../src/machines/job.ts';
import type {PerilogPlan, ScriptEnd} from '../../src/machines/job-perilog.ts';
import type {RankPart, ReportBody, TaskEnded} from '../../src/machines/job-report.ts';
import {advanceFactOf, EXTERNAL_JOB_FACTS, JOB_ID, R_OF_TWO, startsOf, submitFact} from './job-facts.ts';
import {walksOf, type WalkRules} from './walk.ts';

const AT_MS = 1_700_000_000_000;
const SCRIPT = {argv: ['/etc/script'], timeoutMs: 1000};
const PLANS: readonly PerilogPlan[] = [{prolog: SCRIPT, epilog: SCRIPT}, {prolog: SCRIPT}, {epilog: SCRIPT}];

export function perilogPool({context}: JobSnapshot): JobFact[] {
	const base = {id: JOB_ID, atMs: AT_MS + context.events.length * 1000};
	return [
		submitFact(base, null),
		...PLANS.map(perilog => ({
			...base,
			type: 'job.adopt' as const,
			userid: 1,
			urgency: 16,
			flags: 0,
			jobspec: {json: '{"version":1}'},
			R: R_OF_TWO,
			attempt: context.attempt + 1,
			submitMs: AT_MS,
			allocMs: AT_MS,
			perilog,
		})),
		...(['validate', 'depend', 'start', 'free', 'clean', 'epilog-start'] as const).map(name => ({
			...base,
			type: `job.${name}` as const,
		})),
		{...base, type: 'job.priority', priority: 16},
		...PLANS.map(perilog => ({...base, type: 'job.alloc' as const, R: R_OF_TWO, ranks: [0, 1], perilog})),
		...[0, 256, null].flatMap(status =>
			(['job.prolog-finish', 'job.epilog-finish', 'job.finish'] as const).map(type => ({
				...base,
				type,
				status,
			})),
		),
		{...base, type: 'job.prolog-finish', status: null, isCanceled: true},
		...[0, 1].flatMap(rank => [
			{...base, type: 'job.reattach' as const, rank},
			...bodiesOf(context, {...base, rank}).map(body => ({
				...base,
				type: 'job.report' as const,
				rank,
				seq: (context.ranks[rank]?.seq ?? 0) + 1,
				bootId: 'boot-1',
				body,
			})),
		]),
		{...base, type: 'job.release', ranks: '0-1', final: true},
		...(context.events.length % 4 === 0 ? rareFacts(base) : []),
		{...base, type: 'job.requeue', attempt: context.attempt},
	];
}

/** As a job shell reports, in its order. */
function bodiesOf(
	{ranks, perilog}: JobContext,
	{rank, atMs}: {readonly rank: number; readonly atMs: number},
): readonly ReportBody[] {
	const part: RankPart | undefined = ranks[rank];
	if (part === undefined || part.state === 'exited') return [];
	const starts = startsOf(rank, atMs);
	const tasks = part.tasks.map(({task}): TaskEnded => ({
		task,
		waitStatus: task === 0 ? 256 : 0,
		endMs: atMs,
	}));
	const ends = endsAt(atMs);
	const lost: ReportBody = {kind: 'lost', note: 'no trace', endMs: atMs};
	const exited: ReportBody = {kind: 'exited', tasks};
	const over: ReportBody = {kind: 'tasks-ended', tasks};
	switch (part.phase) {
		case undefined:
			if (part.state === 'started') return perilog?.epilog === undefined ? [exited, lost] : [over, lost];
			if (perilog?.prolog === undefined) return [{kind: 'started', tasks: starts}, exited];
			return [{kind: 'prolog-started', pid: 5, startMs: atMs}, exited];
		case 'prolog':
			// Mostly well, or few would ever start.
			return [...ends, ...ends.flatMap(() => [ends[0]!, ends[0]!])].map(end => ({
				kind: 'prolog-ended' as const,
				end,
			}));
		case 'ready':
			if (perilog?.isPrologOver === true && part.prolog?.verdict === 'ok') {
				return [{kind: 'started', tasks: starts}, over, lost];
			}
			return [perilog?.epilog === undefined ? exited : over, lost];
		case 'tasks':
			return perilog?.epilog === undefined ? [exited, lost] : [over, lost];
		case 'epilog':
			return [...ends.map(epilog => ({kind: 'exited' as const, tasks, epilog})), lost];
		default:
			return part.phase satisfies never;
	}
}

function endsAt(endMs: number): readonly ScriptEnd[] {
	return (['ok', 'failed', 'timeout', 'canceled', 'stuck'] as const).map((verdict, index) =>
		verdict === 'ok'
			? {verdict, waitStatus: 0, endMs}
			: {verdict, waitStatus: index === 1 ? null : 256, endMs, note: verdict},
	);
}

function rareFacts(base: {readonly id: bigint; readonly atMs: number}): JobFact[] {
	return [
		{...base, type: 'job.exception', exception: 'cancel', severity: 0, note: '', userid: 1},
		{...base, type: 'job.evict', note: 'a node is lost'},
	];
}

export const perilogRules: WalkRules<JobContext, JobFact> = {machine: jobMachine, poolOf: perilogPool};
export const perilogWalks = walksOf(perilogRules);

/** As a broker does it: what follows from a state comes at once. */
export const ruledPerilogWalks = walksOf({
	machine: jobMachine,
	poolOf: (snapshot: JobSnapshot) => perilogPool(snapshot).filter(({type}) => EXTERNAL_JOB_FACTS.has(type)),
	ruled: advanceFactOf,
});
