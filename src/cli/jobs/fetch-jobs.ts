/** Jobs as the broker lists them. */
import type {JobId} from '../../formats/jobid.ts';
import type {BrokerSession} from '../broker-session.ts';
import {listField, objectOf} from '../fields.ts';
import {SystemError} from '../../formats/errno.ts';
import type {JobConstraint} from './job-filter.ts';
import {jobRecord, type JobRecord} from './job-record.ts';

const ATTRS = ['all'];

/** One job. Rejects with ENOENT when it is not known. */
export async function fetchJob(session: BrokerSession, id: JobId): Promise<JobRecord> {
	const answer = await session.call('job-list.list-id', {id, attrs: ATTRS}, {idempotent: true});
	return jobRecord(objectOf(answer, 'job-list.list-id')['job']);
}

export interface ListOptions {
	/** 0: all. */
	readonly entriesMax: number;
	/** Inactive jobs that ended before this (epoch seconds) are left out. */
	readonly sinceS?: number;
	readonly constraint: JobConstraint;
}

/** In the order of the broker: pending by priority, running and inactive the newest first. */
export async function fetchJobs(
	session: BrokerSession,
	{entriesMax, sinceS, constraint}: ListOptions,
): Promise<JobRecord[]> {
	const request = {
		max_entries: entriesMax,
		attrs: ATTRS,
		...(sinceS === undefined ? {} : {since: sinceS}),
		constraint,
	};
	for (let attempt = 1; ; attempt += 1) {
		try {
			const jobs: JobRecord[] = [];
			for await (const value of session.stream('job-list.list', request)) {
				for (const job of listField(value, 'jobs', 'job-list.list')) jobs.push(jobRecord(job));
			}
			return jobs;
		} catch (error) {
			// A list that was cut off is asked for again as a whole.
			const isCut =
				error instanceof SystemError && error.code === 'ECONNRESET' && attempt < LIST_ATTEMPTS_MAX;
			if (!isCut) throw error;
		}
	}
}

const LIST_ATTEMPTS_MAX = 5;
