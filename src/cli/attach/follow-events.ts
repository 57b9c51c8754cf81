/**
 * One of a job's eventlogs as it grows, over any number of connections. Invariant: each event is yielded once, in
 * order: a log only grows, so that those that were seen are skipped by their number.
 */
import {parseEvent, type EventlogEvent} from '../../formats/eventlog.ts';
import type {JobId} from '../../formats/jobid.ts';
import type {BrokerSession} from '../broker-session.ts';
import {textField} from '../fields.ts';

export type EventlogPath = 'eventlog' | 'guest.exec.eventlog' | 'guest.output';

/** The last event of a job's own eventlog (RFC 21). */
export const LAST_EVENT = 'clean';

const TOPIC = 'job-info.eventlog-watch';

/**
 * Yields the events of `path` from the first one on; ends when none can follow. A main eventlog that ends before its
 * last event was cut off by a broker that is going down, and is asked for again.
 */
export async function* followEvents(
	session: BrokerSession,
	{id, path}: {readonly id: JobId; readonly path: EventlogPath},
): AsyncGenerator<EventlogEvent> {
	let seen = 0;
	let index = 0;
	let last = '';
	const payloadOf = () => {
		index = 0;
		return {id, path, flags: 0};
	};
	const isComplete = () => path !== 'eventlog' || last === LAST_EVENT;
	for await (const value of session.follow(TOPIC, payloadOf, {isComplete})) {
		index += 1;
		if (index <= seen) continue;
		seen = index;
		const event = parseEvent(textField(value, 'event', TOPIC));
		last = isAfterthought(event) ? last : event.name;
		yield event;
	}
}

/** What may be added to a finished job, and says nothing about its end. */
function isAfterthought({name}: EventlogEvent): boolean {
	return name === 'memo' || name === 'exception' || name.startsWith('debug.');
}
