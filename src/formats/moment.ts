/** Moments as people write them: a duration from now, epoch seconds, a date, a time of day, or a word for one. Local time. */
import {SystemError} from './errno.ts';
import {parseFsd} from './fsd.ts';
import {quote} from './quote.ts';

/**
 * Reads one of:
 * - `+1h`, `-30m`, `in 10m`, `now`: FSD (RFC 23) from now
 * - `1795350000.5`: epoch seconds
 * - `2026-11-23`, `2026-11-23 10:00`, `2026-11-23T10:00:30Z`
 * - `10:00`, `10:00:30`, `3pm`, `3:30pm`, `noon`, `midnight`: the next such time
 * - `today`, `tomorrow`, `monday` … `sunday` (the next one), with or without a time of day: `tomorrow 10:00`, `noon monday`
 *
 * A day without a time of day begins at 0:00, except that `today` is now.
 *
 * @param nowS epoch seconds
 * @returns epoch seconds
 * @throws {SystemError} EINVAL
 */
export function parseMoment(text: string, nowS: number): number {
	const trimmed = text.trim().toLowerCase();
	const moment = fromNow(trimmed, nowS) ?? epochSeconds(trimmed) ?? absolute(trimmed) ?? ofDay(trimmed, nowS);
	if (moment !== null && Number.isFinite(moment)) return moment;
	throw new SystemError('EINVAL', `${quote(text)} is no moment such as ${EXAMPLES}`);
}

const EXAMPLES = "'+1h', '2026-11-23 10:00', 'tomorrow 10:00', 'noon' or epoch seconds";
const DAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];
const DAY_HOURS = 24;

function fromNow(text: string, nowS: number): number | null {
	if (text === 'now') return nowS;
	const match = /^(?:([+-])\s*|in\s+)(.*)$/.exec(text);
	if (match === null) return null;
	try {
		const seconds = parseFsd((match[2] ?? '').replace(/\s+/g, ''));
		return match[1] === '-' ? nowS - seconds : nowS + seconds;
	} catch (error) {
		if (error instanceof SystemError) return null;
		throw error;
	}
}

function epochSeconds(text: string): number | null {
	return /^[0-9]+(\.[0-9]*)?$/.test(text) ? Number(text) : null;
}

function absolute(text: string): number | null {
	const match = /^([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[t\s]+([0-9].*?))?(z|[+-][0-9]{2}:?[0-9]{2})?$/.exec(
		text,
	);
	if (match === null) return null;
	const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
	const time = match[4] === undefined ? [0, 0, 0] : timeOfDay(match[4]);
	if (time === null) return null;
	const [hours = 0, minutes = 0, seconds = 0] = time;
	// A day that is not in the calendar would silently become another one.
	const utcMs = Date.UTC(year, month - 1, day);
	if (new Date(utcMs).getUTCMonth() !== month - 1 || new Date(utcMs).getUTCDate() !== day) return null;
	const zone = match[5];
	if (zone === undefined) return new Date(year, month - 1, day, hours, minutes, seconds).getTime() / 1000;
	const offsetMinutes =
		zone === 'z' ? 0 : Number(`${zone[0]}1`) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2)));
	return utcMs / 1000 + hours * 3600 + (minutes - offsetMinutes) * 60 + seconds;
}

/** A time of day, a day, or both in either order. */
function ofDay(text: string, nowS: number): number | null {
	const words = text.split(/\s+(?:at\s+)?/);
	const days = words.filter(word => isDay(word));
	const times = words.filter(word => !isDay(word));
	if (days.length > 1 || times.length > 1 || words.length === 0) return null;
	const now = new Date(nowS * 1000);
	const [day] = days;
	if (times[0] === undefined)
		return day === 'today' ? nowS : momentOf(now, daysUntil(day ?? '', now), [0, 0, 0]);
	const time = timeOfDay(times[0]);
	if (time === null) return null;
	if (day !== undefined) return momentOf(now, daysUntil(day, now), time);
	const today = momentOf(now, 0, time);
	return today > nowS ? today : momentOf(now, 1, time);
}

function isDay(word: string): boolean {
	return word === 'today' || word === 'tomorrow' || DAYS.includes(word);
}

function daysUntil(day: string, now: Date): number {
	if (day === 'today') return 0;
	if (day === 'tomorrow') return 1;
	return ((DAYS.indexOf(day) - now.getDay() + 6) % 7) + 1;
}

function momentOf(now: Date, days: number, [hours = 0, minutes = 0, seconds = 0]: readonly number[]): number {
	const day = [now.getFullYear(), now.getMonth(), now.getDate() + days] as const;
	return new Date(...day, hours, minutes, seconds).getTime() / 1000;
}

/** Hours, minutes and seconds. */
function timeOfDay(text: string): readonly number[] | null {
	if (text === 'noon') return [12, 0, 0];
	if (text === 'midnight') return [0, 0, 0];
	const match = /^([0-9]{1,2})(?::([0-9]{2}))?(?::([0-9]{2}(?:\.[0-9]+)?))?\s*(am|pm)?$/.exec(text);
	if (match === null || (match[2] === undefined && match[4] === undefined)) return null;
	const [hours, minutes, seconds] = [Number(match[1]), Number(match[2] ?? 0), Number(match[3] ?? 0)];
	if (minutes > 59 || seconds >= 60) return null;
	if (match[4] === undefined) return hours < DAY_HOURS ? [hours, minutes, seconds] : null;
	if (hours < 1 || hours > 12) return null;
	return [(hours % 12) + (match[4] === 'pm' ? 12 : 0), minutes, seconds];
}
