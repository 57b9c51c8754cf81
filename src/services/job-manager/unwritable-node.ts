/**
 * A node whose disk takes no job directory. Invariant: it gets no more work until an admin has looked at it, so that it does not
 * fail one pending job after the other; the job that found out waits for another node, unless a task of it may have begun.
 */
import type {RankPart, ReportBody} from '../../machines/job-report.ts';
import type {JobContext} from '../../machines/job.ts';
import type {Core} from '../core.ts';
import {drainForFault} from '../resource/drain-for-fault.ts';
import {asksForRequeue} from './judge-inventory.ts';

/** What a shell says that could not write down a part, before any of its tasks could begin; its note begins with the errno. */
export function isUnwritable(body: ReportBody, part: RankPart): body is ReportBody & {kind: 'exception'} {
	return (
		body.kind === 'exception' &&
		body.exception === 'exec' &&
		part.state === 'requested' &&
		/^(ENOSPC|EROFS): lay out /.test(body.note)
	);
}

/** Tasks of other ranks may run already: only a job that asks for it begins anew then. */
export function mayWait(job: JobContext): boolean {
	return Object.keys(job.ranks).length === 1 || asksForRequeue(job);
}

/** Drains the rank. One drained before with a reason stays as it is. */
export function drainUnwritable(
	core: Core,
	{
		job,
		rank,
		host,
		note,
	}: {readonly job: JobContext; readonly rank: number; readonly host: string; readonly note: string},
): void {
	const reason = `no job directory can be made: rank ${rank} (${host}): ${note}`;
	drainForFault(core, {rank, userid: job.userid, reason});
}
