/** Whether what a job waits for has come about, can still come about, or never will. Pure: the states of the jobs decide. */
import {encodeJobid} from '../formats/jobid.ts';
import {resultOf, type JobResult} from './archive-row.ts';
import type {JobContext} from './job.ts';
import type {AfterKind} from './job-dependencies.ts';

export type DependencyVerdict =
	| {readonly kind: 'waits'}
	| {readonly kind: 'satisfied'}
	/** `note`: which job, and why. */
	| {readonly kind: 'impossible'; readonly note: string};

/** The job that is waited for. */
export interface Antecedent {
	readonly context: JobContext;
	readonly isInactive: boolean;
}

export const WAITS: DependencyVerdict = {kind: 'waits'};
export const SATISFIED: DependencyVerdict = {kind: 'satisfied'};

export function judgeAfter(kind: AfterKind, {context, isInactive}: Antecedent): DependencyVerdict {
	if (kind === 'after-start') {
		// An attempt that is given up is over with its start; that it was there is what counts.
		const hasStarted = context.started || context.events.some(({name}) => name === 'start');
		if (hasStarted) return SATISFIED;
		return isInactive ? never(context, 'ended without having started') : WAITS;
	}
	if (!isInactive) return WAITS;
	const result = resultOf(context);
	switch (kind) {
		case 'after-finish':
			return SATISFIED;
		case 'after-success':
			return result === 'COMPLETED' ? SATISFIED : never(context, ENDS[result]);
		case 'after-failure':
			return result === 'COMPLETED' ? never(context, ENDS[result]) : SATISFIED;
		case 'after-except':
			return context.exception === null ? never(context, 'ended without an exception') : SATISFIED;
		default:
			return kind satisfies never;
	}
}

/** The job that is waited for is not there any more. */
export function judgeGone(id: bigint): DependencyVerdict {
	return {
		kind: 'impossible',
		note: `dependency can never be satisfied: job ${nameOf(id)} is not known any more`,
	};
}

const ENDS: Readonly<Record<JobResult, string>> = {
	COMPLETED: 'completed successfully',
	FAILED: 'failed',
	CANCELED: 'was canceled',
	TIMEOUT: 'reached its time limit',
};

function never({id}: JobContext, why: string): DependencyVerdict {
	return {kind: 'impossible', note: `dependency can never be satisfied: job ${nameOf(id)} ${why}`};
}

function nameOf(id: bigint): string {
	return encodeJobid(id, 'f58plain');
}
