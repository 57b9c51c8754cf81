/** Events as text for people: `TIME name key=value …`, with the time styles of Flux (`flux job eventlog -T`). */
import type {EventlogEvent} from './eventlog.ts';
import {stringifyJson} from './json.ts';

/**
 * `raw`: epoch seconds; `iso`: date and time; `offset`: seconds since the first event; `human`: the minute, then
 * seconds since the first event of that minute.
 */
export type EventStyle = 'raw' | 'iso' | 'offset' | 'human';

export const EVENT_STYLES: readonly EventStyle[] = ['raw', 'iso', 'offset', 'human'];

export interface EventFormatterOptions {
	/** Default `raw`. */
	readonly style?: EventStyle;
	/** Minutes that local time is ahead of UTC at `timestamp` (epoch seconds). Default: UTC. */
	readonly utcOffsetMinutes?: (timestamp: number) => number;
}

/** A function that formats the events of one log, in order; it remembers what offsets count from. No newline. */
export function eventFormatter({style = 'raw', utcOffsetMinutes = () => 0}: EventFormatterOptions = {}): (
	event: EventlogEvent,
) => string {
	let first: number | undefined;
	let minute = '';
	let minuteFirst = 0;
	const timeOf = (timestamp: number): string => {
		first ??= timestamp;
		switch (style) {
			case 'raw':
				return timestamp.toFixed(6);
			case 'offset':
				return (timestamp - first).toFixed(6);
			case 'iso':
				return isoTime(timestamp, utcOffsetMinutes(timestamp));
			case 'human': {
				const local = isoTime(timestamp, utcOffsetMinutes(timestamp)).slice(0, 'YYYY-MM-DDTHH:MM'.length);
				if (local === minute) return `[${signed(timestamp - minuteFirst).padStart(11)}]`;
				minute = local;
				minuteFirst = timestamp;
				return `[${MONTHS[Number(local.slice(5, 7)) - 1]}${local.slice(8, 10)} ${local.slice(11)}]`;
			}
			default:
				return style satisfies never;
		}
	};
	return event => `${timeOf(event.timestamp)} ${formatEventBody(event)}`;
}

/** One event on its own: offsets count from it. */
export function formatEvent(event: EventlogEvent, style: EventStyle = 'raw'): string {
	return eventFormatter({style})(event);
}

/** `name key=value …`, the values as compact JSON. */
export function formatEventBody({name, context}: EventlogEvent): string {
	const members = Object.entries(context ?? {}).filter(([, value]) => value !== undefined);
	return [name, ...members.map(([key, value]) => `${key}=${stringifyJson(value)}`)].join(' ');
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `2023-11-20T17:25:29.045566Z`, or `…-08:00` away from UTC. */
function isoTime(timestamp: number, offsetMinutes: number): string {
	const micros = Math.round(timestamp * 1e6);
	const date = new Date(Math.floor(micros / 1000) + offsetMinutes * 60_000);
	const text = `${date.toISOString().slice(0, -1)}${String(micros % 1000).padStart(3, '0')}`;
	if (offsetMinutes === 0) return `${text}Z`;
	const minutes = Math.abs(offsetMinutes);
	const hhmm = [Math.floor(minutes / 60), minutes % 60].map(part => String(part).padStart(2, '0')).join(':');
	return `${text}${offsetMinutes < 0 ? '-' : '+'}${hhmm}`;
}

function signed(seconds: number): string {
	return `${seconds < 0 ? '-' : '+'}${Math.abs(seconds).toFixed(6)}`;
}
