/**
 * A node on which a prolog or an epilog failed gets no more work until an admin has looked at it. Invariant: the drain is
 * posted before the report that it follows from, so that a root that dies between the two hears the report again.
 */
import {encodeJobid} from '../../formats/jobid.ts';
import {isFailure, type ScriptEnd, type ScriptVerdict} from '../../machines/job-perilog.ts';
import type {RankPart, ReportBody} from '../../machines/job-report.ts';
import type {JobContext} from '../../machines/job.ts';
import type {Core} from '../core.ts';
import {drainForFault} from '../resource/drain-for-fault.ts';

export interface PlacedReport {
	readonly job: JobContext;
	readonly rank: number;
	readonly host: string;
	readonly body: ReportBody;
}

/** Drains the rank if the report that is about to be posted says that a script failed there. One drained before stays as it is. */
export function drainFor(core: Core, report: PlacedReport): void {
	const failure = failureIn(report.body, report.job.ranks[report.rank]);
	if (failure === null) return;
	const {job, rank, host} = report;
	const {name, end} = failure;
	const program = job.perilog?.[name]?.argv[0] ?? name;
	const reason =
		`${name} ${HOW[end.verdict]} for job ${encodeJobid(job.id, 'f58plain')}: ` +
		`rank ${rank} (${host}): ${program} ${end.note ?? 'failed'}`;
	drainForFault(core, {rank, userid: job.userid, reason});
}

/** The same report with notes that say where and what. */
export function namedScripts(body: ReportBody, where: string): ReportBody {
	if (body.kind === 'prolog-ended') return {...body, end: named(body.end, `${where}prolog`)};
	if (body.kind === 'exited' && body.epilog !== undefined) {
		return {...body, epilog: named(body.epilog, `${where}epilog`)};
	}
	return body;
}

const HOW: Readonly<Record<ScriptVerdict, string>> = {
	ok: 'ended',
	failed: 'failed',
	canceled: 'canceled',
	timeout: 'timed out',
	stuck: 'canceled then timed out',
};

function named(end: ScriptEnd, what: string): ScriptEnd {
	return end.note === undefined ? end : {...end, note: `${what} ${end.note}`};
}

function failureIn(
	body: ReportBody,
	part: RankPart | undefined,
): {readonly name: 'prolog' | 'epilog'; readonly end: ScriptEnd} | null {
	if (body.kind === 'prolog-ended' && isFailure(body.end)) return {name: 'prolog', end: body.end};
	if (body.kind === 'exited' && body.epilog !== undefined && isFailure(body.epilog)) {
		return {name: 'epilog', end: body.epilog};
	}
	if (body.kind === 'lost' && part?.phase === 'epilog') {
		const note = `did not end as far as is known: ${body.note}`;
		return {name: 'epilog', end: {verdict: 'failed', waitStatus: null, endMs: body.endMs, note}};
	}
	return null;
}
