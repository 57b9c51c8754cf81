/**
 * `jobs --watch`: a line for each job, and one more whenever its status changes. Invariant: a job and status is told once,
 * over any number of connections; of a status that came and went between two looks nothing is told.
 */
import type {Clock} from '../../ports/clock.ts';
import {statusOf, type JobRecord} from './job-record.ts';

/** From one look to the next. */
export const WATCH_MS = 1000;

export interface WatchOptions {
	readonly clock: Clock;
	/** The jobs as they are now: those that are named, or those of the filter and those that ended since `sinceS`. */
	readonly find: (sinceS: number) => Promise<readonly JobRecord[]>;
	/** Only until all have ended. */
	readonly ends: boolean;
	readonly print: (rows: readonly JobRecord[], isFirst: boolean) => Promise<void>;
}

/** Resolves when all have ended, if that is asked for; else never. */
export async function watchJobs({clock, find, ends, print}: WatchOptions): Promise<void> {
	const told = new Map<bigint, string>();
	const sinceS = clock.epochMs() / 1000;
	for (let isFirst = true; ; isFirst = false) {
		const rows = await find(sinceS);
		const news = rows.filter(job => told.get(job.id) !== statusOf(job));
		for (const job of news) told.set(job.id, statusOf(job));
		if (isFirst || news.length > 0) await print(news, isFirst);
		if (ends && rows.every(({state}) => state === 'INACTIVE')) return;
		await new Promise<void>(resolve => clock.setTimer(WATCH_MS, resolve));
	}
}
