/** A job as `job-list` describes it, and what is derived from that for people and scripts. */
import {SystemError} from '../../formats/errno.ts';
import type {JobId} from '../../formats/jobid.ts';
import {isObject, type Members} from '../../formats/shape.ts';
import {idField, objectOf, scalarText} from '../fields.ts';

export const STATE_BITS: Readonly<Record<string, number>> = {
	DEPEND: 2,
	PRIORITY: 4,
	SCHED: 8,
	RUN: 16,
	CLEANUP: 32,
	INACTIVE: 64,
};

export const RESULT_BITS: Readonly<Record<string, number>> = {
	COMPLETED: 1,
	FAILED: 2,
	CANCELED: 4,
	TIMEOUT: 8,
};

const STATE_LETTERS: Readonly<Record<string, string>> = {
	DEPEND: 'D',
	PRIORITY: 'P',
	SCHED: 'S',
	RUN: 'R',
	CLEANUP: 'C',
	INACTIVE: 'I',
};
const RESULT_LETTERS: Readonly<Record<string, string>> = {
	COMPLETED: 'CD',
	FAILED: 'F',
	CANCELED: 'CA',
	TIMEOUT: 'TO',
};
/** Attributes that are no states of their own: kept as they came. */
const PASSED_ON = [
	'name',
	'cwd',
	'queue',
	'outcome',
	'returncode',
	'waitstatus',
	'ntasks',
	'nnodes',
	'ncores',
	'ranks',
	'nodelist',
	'urgency',
	'priority',
	'duration',
	'expiration',
	't_submit',
	't_depend',
	't_run',
	't_cleanup',
	't_inactive',
	'success',
	'annotations',
	'dependencies',
	'attempt',
	'reattached',
	'out_of_contact',
] as const;

export interface JobRecord {
	readonly id: JobId;
	readonly userid: number;
	/** Upper case; `INACTIVE` at last. */
	readonly state: string;
	/** Only of an inactive job. */
	readonly result?: string;
	readonly exception?: {readonly type: string; readonly severity: number; readonly note: string};
	/** The other attributes by their names; one without a value is absent. */
	readonly values: Members;
}

const TOPIC = 'job-list';

/** Reads one JOB of a response. @throws {SystemError} EPROTO when it is malformed. */
export function jobRecord(value: unknown): JobRecord {
	const job = objectOf(value, TOPIC);
	const id = idField(job, 'id', TOPIC);
	const state = nameOfBit(STATE_BITS, job['state']);
	if (state === undefined)
		throw new SystemError('EPROTO', `${TOPIC}: job ${id} has the state ${String(job['state'])}`);
	const result = nameOfBit(RESULT_BITS, job['result']);
	const values: Record<string, unknown> = {};
	for (const name of PASSED_ON) if (job[name] !== undefined && job[name] !== null) values[name] = job[name];
	return {
		id,
		userid: Number(job['userid'] ?? 0),
		state,
		...(state === 'INACTIVE' && result !== undefined ? {result} : {}),
		...(job['exception_occurred'] === true ? {exception: exceptionOf(job)} : {}),
		values,
	};
}

/** The state of an active job, the result of an inactive one. */
export function statusOf({state, result}: JobRecord): string {
	return result ?? state;
}

export function statusEmoji(job: JobRecord): string {
	return STATUS_EMOJI[statusOf(job)] ?? '?';
}

const STATUS_EMOJI: Readonly<Record<string, string>> = {
	DEPEND: '🔗',
	PRIORITY: '🔢',
	SCHED: '⏳',
	RUN: '🏃',
	CLEANUP: '🧹',
	COMPLETED: '✅',
	FAILED: '❌',
	CANCELED: '🚫',
	TIMEOUT: '⏰',
};

export function statusAbbreviation({state, result}: JobRecord): string {
	return result === undefined ? (STATE_LETTERS[state] ?? '?') : (RESULT_LETTERS[result] ?? '?');
}

export function stateLetter({state}: JobRecord): string {
	return STATE_LETTERS[state] ?? '?';
}

export function resultAbbreviation({result}: JobRecord): string {
	return result === undefined ? '' : (RESULT_LETTERS[result] ?? '?');
}

export function timeOf({values}: JobRecord, name: string): number | undefined {
	const value = values[name];
	return typeof value === 'number' && value > 0 ? value : undefined;
}

/** Seconds that it has run: until now, or until its tasks ended. */
export function runtimeOf(job: JobRecord, nowS: number): number {
	const started = timeOf(job, 't_run');
	return started === undefined ? 0 : Math.max(0, (timeOf(job, 't_cleanup') ?? nowS) - started);
}

/** Seconds until its time limit; undefined: it has none, or does not run. */
export function remainingOf(job: JobRecord, nowS: number): number | undefined {
	const expiration = timeOf(job, 'expiration');
	return job.state === 'RUN' && expiration !== undefined ? Math.max(0, expiration - nowS) : undefined;
}

function nameOfBit(bits: Readonly<Record<string, number>>, value: unknown): string | undefined {
	if (typeof value === 'string') {
		const name = value.toUpperCase();
		return Object.hasOwn(bits, name) ? name : undefined;
	}
	return Object.entries(bits).find(([, bit]) => bit === Number(value))?.[0];
}

function exceptionOf(job: Members): NonNullable<JobRecord['exception']> {
	const source = isObject(job['exception']) ? job['exception'] : null;
	const of = (name: string) => (source === null ? job[`exception_${name}`] : source[name]);
	return {
		type: scalarText(of('type')),
		severity: Number(of('severity') ?? 0),
		note: scalarText(of('note')),
	};
}
