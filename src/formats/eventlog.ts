/**
 * Eventlogs (RFC 18): one event a line, each a JSON object `{timestamp, name, context?}`. Whole events are appended
 * and never rewritten, so a text that does not end with a newline is damaged.
 */
import {SystemError} from './errno.ts';
import {parseJson, stringifyJson} from './json.ts';
import type {Members} from './shape.ts';
import {asNumber, asObject, asString, fault, onlyMembers} from './shape.ts';

export interface EventlogEvent {
	/** Epoch seconds, greater than 0, with a fraction. */
	readonly timestamp: number;
	readonly name: string;
	readonly context?: Members;
}

/** The most bytes (UTF-16 units) of one line that is read. */
export const EVENT_LENGTH_MAX = 16 * 1024 * 1024;

/** The event as a line of JSON, newline included. An invalid event is a broken invariant and throws a plain Error. */
export function encodeEvent(event: EventlogEvent): string {
	const {timestamp, name, context} = event;
	if (!Number.isFinite(timestamp) || timestamp <= 0 || !isEventName(name)) {
		throw new Error(`encodeEvent: invalid event ${JSON.stringify(name)} at ${timestamp}`);
	}
	return `${stringifyJson(context === undefined ? {timestamp, name} : {timestamp, name, context})}\n`;
}

/** Reads one line, with or without its newline. @throws {SystemError} EINVAL that says what is wrong. */
export function parseEvent(line: string): EventlogEvent {
	if (line.length > EVENT_LENGTH_MAX) {
		throw new SystemError('EINVAL', `event: longer than ${EVENT_LENGTH_MAX} characters (${line.length})`);
	}
	const event = asObject(parseJson(line), 'event');
	onlyMembers(event, 'event', ['timestamp', 'name', 'context']);
	const timestamp = asNumber(event['timestamp'], 'event.timestamp', 0);
	if (timestamp === 0) throw fault('event.timestamp', 'a number > 0', timestamp);
	const name = asString(event['name'], 'event.name');
	if (!isEventName(name)) throw fault('event.name', 'a word', name);
	if (event['context'] === undefined) return {timestamp, name};
	return {timestamp, name, context: asObject(event['context'], 'event.context')};
}

/**
 * Reads a whole log; an empty text has no events.
 *
 * @throws {SystemError} EINVAL that names the line, as in `eventlog line 3: event.name: must be a string, is missing`.
 */
export function parseEventlog(text: string): EventlogEvent[] {
	if (text === '') return [];
	const lines = text.split('\n');
	if (lines.pop() !== '') {
		throw new SystemError(
			'EINVAL',
			`eventlog line ${lines.length + 1}: cut off, the newline at its end is missing`,
		);
	}
	return lines.map((line, i) => {
		try {
			return parseEvent(line);
		} catch (error) {
			if (!(error instanceof SystemError)) throw error;
			throw new SystemError('EINVAL', `eventlog line ${i + 1}: ${error.message}`, {cause: error});
		}
	});
}

function isEventName(name: string): boolean {
	return /^[^\s\p{Cc}]+$/u.test(name);
}
