/**
 * Sends many submissions with several in flight, and hands out their ids in order. Invariant: each is one job, however
 * often it had to be sent: its request id makes a repetition give the first answer again.
 */
import type {JobId} from '../../formats/jobid.ts';
import {SystemError} from '../../formats/errno.ts';
import type {Clock} from '../../ports/clock.ts';
import type {BrokerSession} from '../broker-session.ts';
import {idField} from '../fields.ts';
import type {SubmitRequest} from './submission.ts';

/** Requests in flight; one group commit of the broker takes them together. */
export const SUBMIT_WINDOW = 128;
/** A broker that is full says EAGAIN: it is asked again, with growing pauses, so often. */
export const BUSY_RETRIES_MAX = 50;

const TOPIC = 'job-ingest.submit';
const BUSY_PAUSE_MS_MIN = 20;
const BUSY_PAUSE_MS_MAX = 2000;

export interface SubmitAllOptions {
	readonly session: BrokerSession;
	readonly clock: Clock;
	readonly count: number;
	/** Makes the request of a job when its turn comes, once. */
	readonly requestOf: (index: number) => SubmitRequest;
	/** No more are sent once it is false; the ids of those that were sent still come. Default: all are sent. */
	readonly wantsMore?: () => boolean;
}

/**
 * Yields the ids, the first job's first, each as soon as those before it are known.
 * The first failure ends it: what was sent before may have been accepted.
 */
export async function* submitAll({
	session,
	clock,
	count,
	requestOf,
	wantsMore = () => true,
}: SubmitAllOptions): AsyncGenerator<JobId> {
	const window: Promise<JobId>[] = [];
	let sent = 0;
	for (let index = 0; index < count; index += 1) {
		while (sent < count && sent - index < SUBMIT_WINDOW && wantsMore()) {
			const answer = submitOne({session, clock}, requestOf(sent));
			answer.catch(() => undefined); // Its turn to be reported comes later.
			window.push(answer);
			sent += 1;
		}
		if (index === sent) return;
		yield await window.shift()!;
	}
}

async function submitOne(
	{session, clock}: Pick<SubmitAllOptions, 'session' | 'clock'>,
	request: SubmitRequest,
): Promise<JobId> {
	for (let attempt = 0; ; attempt += 1) {
		try {
			const answer = await session.call(TOPIC, request, {idempotent: true});
			return idField(answer, 'id', TOPIC);
		} catch (error) {
			const isBusy = error instanceof SystemError && error.code === 'EAGAIN' && attempt < BUSY_RETRIES_MAX;
			if (!isBusy) throw error;
			const pauseMs = Math.min(BUSY_PAUSE_MS_MAX, BUSY_PAUSE_MS_MIN * 2 ** attempt);
			await new Promise<void>(resolve => clock.setTimer(pauseMs, resolve));
		}
	}
}
