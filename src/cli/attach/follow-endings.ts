/**
 * How each of many jobs ends, over any number of connections. Invariant: each job is yielded once: after a loss only those
 * are asked for that were not told.
 */
import {parseEventlog} from '../../formats/eventlog.ts';
import type {JobId} from '../../formats/jobid.ts';
import type {BrokerSession} from '../broker-session.ts';
import {idField, listField, textField} from '../fields.ts';
import {ENDING_EVENTS, NO_ENDING, withEvent, type JobEnding} from './job-ending.ts';

/** Jobs that one stream is asked for. */
export const ENDINGS_WINDOW = 65_536;

const TOPIC = 'job-info.endings';

/** Yields the endings of all jobs as they come. Rejects with ENOENT for a job that is not known. */
export async function* followEndings(
	session: BrokerSession,
	ids: readonly JobId[],
): AsyncGenerator<{readonly id: JobId; readonly ending: JobEnding}> {
	for (let start = 0; start < ids.length; start += ENDINGS_WINDOW) {
		yield* followWindow(session, new Set(ids.slice(start, start + ENDINGS_WINDOW)));
	}
}

async function* followWindow(
	session: BrokerSession,
	left: Set<JobId>,
): AsyncGenerator<{readonly id: JobId; readonly ending: JobEnding}> {
	const payloadOf = () => ({ids: [...left], names: ENDING_EVENTS});
	for await (const value of session.follow(TOPIC, payloadOf, {isComplete: () => left.size === 0})) {
		for (const told of listField(value, 'endings', TOPIC)) {
			const id = idField(told, 'id', TOPIC);
			if (!left.delete(id)) continue;
			const ending = parseEventlog(textField(told, 'eventlog', TOPIC)).reduce(withEvent, NO_ENDING);
			yield {id, ending};
		}
		if (left.size === 0) return;
	}
}
