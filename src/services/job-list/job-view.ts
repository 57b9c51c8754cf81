/** A job as job-list shows it: attributes by Flux's names, absent where there is no value. Pure. */
import {exitCodeOf} from '../../formats/signal.ts';
import {commandOf, jobNameOf, requestOf} from '../../formats/jobspec.ts';
import {ResourceSet} from '../../formats/resource-set.ts';
import {outlineOf} from '../../formats/stored-jobspec.ts';
import {dependenciesOf} from '../../machines/job-dependencies.ts';
import {resultOf, type JobResult} from '../../machines/archive-row.ts';
import type {JobContext} from '../../machines/job.ts';
import {activeScriptOf} from '../../machines/job-perilog.ts';

/** State bits of RFC 21. */
export const STATE_BITS: Readonly<Record<string, number>> = {
	new: 1,
	depend: 2,
	priority: 4,
	sched: 8,
	run: 16,
	cleanup: 32,
	inactive: 64,
};

export const RESULT_BITS: Readonly<Record<JobResult, number>> = {
	COMPLETED: 1,
	FAILED: 2,
	CANCELED: 4,
	TIMEOUT: 8,
};

export const PENDING_STATES = 14;
export const RUNNING_STATES = 48;

export type JobView = Readonly<Record<string, unknown>> & {readonly id: bigint; readonly state: number};

/** @param outOfContact the ranks whose broker can't be reached at present, as an idset, or ''. */
export function jobViewOf(value: string, job: JobContext, outOfContact = ''): JobView {
	const jobspec = outlineOf(job.jobspec);
	const {system} = jobspec.attributes;
	const {ntasks, nslots, coresPerSlot, nnodes} = requestOf(jobspec);
	const R = job.R === null ? null : ResourceSet.parse(job.R);
	const result = value === 'inactive' ? resultOf(job) : null;
	const expiration = R?.info.expiration ?? 0;
	const view: Record<string, unknown> = {
		id: job.id,
		userid: job.userid,
		urgency: job.urgency,
		priority: job.priority,
		state: STATE_BITS[value] ?? 0,
		name: jobNameOf(jobspec),
		cwd: system.cwd,
		command: commandOf(jobspec),
		queue: system.queue,
		ntasks,
		ncores: R?.coreCount ?? nslots * coresPerSlot,
		nnodes: R?.nodeCount ?? nnodes ?? undefined,
		ranks: R === null ? undefined : R.rankset.toString(),
		nodelist: R === null ? undefined : R.hostlist().toString(),
		duration: system.duration,
		expiration: expiration === 0 ? undefined : expiration,
		...timesOf(job),
		annotations: {},
		dependencies:
			value === 'new' || value === 'depend' ? dependenciesOf(job).map(one => one.description) : [],
		outcome: job.outcome,
		attempt: job.attempt === 0 ? undefined : job.attempt,
		reattached: job.reattached,
		out_of_contact: outOfContact === '' ? undefined : outOfContact,
		script: (value === 'run' || value === 'cleanup' ? activeScriptOf(job) : null) ?? undefined,
		exception_occurred: job.exception !== null,
	};
	if (job.exception !== null) {
		view.exception_type = job.exception.type;
		view.exception_severity = job.exception.severity;
		view.exception_note = job.exception.note;
	}
	if (job.waitStatus !== null) {
		view.waitstatus = job.waitStatus;
		view.returncode = exitCodeOf(job.waitStatus);
	}
	if (result !== null) {
		view.result = RESULT_BITS[result];
		view.success = result === 'COMPLETED';
	}
	return Object.fromEntries(Object.entries(view).filter(([, one]) => one !== undefined)) as JobView;
}

const TIME_OF_EVENT: readonly (readonly [string, string])[] = [
	['submit', 't_submit'],
	['validate', 't_depend'],
	['alloc', 't_run'],
	['clean', 't_inactive'],
];

/** `t_run` is the allocation; `t_cleanup` is when the last task ended, or the exception that ended the job. */
function timesOf({events}: JobContext): Record<string, number> {
	const times: Record<string, number> = {};
	for (const [name, attribute] of TIME_OF_EVENT) {
		// A job that was requeued has several allocations: the last one counts.
		const event = events.findLast(one => one.name === name);
		if (event !== undefined) times[attribute] = event.atMs / 1000;
	}
	const finish = events.findLast(({name}) => name === 'finish');
	const fatal = events.find(({name, context}) => name === 'exception' && context?.severity === 0);
	const cleanup = finish ?? fatal;
	if (cleanup !== undefined) times.t_cleanup = cleanup.atMs / 1000;
	return times;
}
