/** Which jobs are meant: `--filter`, `--user`, `--since`, as the constraint that `job-list.list` takes. */
import {parseFsd} from '../../formats/fsd.ts';
import {SystemError} from '../../formats/errno.ts';
import {UsageError} from '../command-error.ts';
import {RESULT_BITS, STATE_BITS} from './job-record.ts';

export type JobConstraint = Readonly<Record<string, readonly unknown[]>>;

const STATE_GROUPS: Readonly<Record<string, number>> = {pending: 14, running: 48, active: 62};
const STATES: Readonly<Record<string, number>> = {...STATE_GROUPS, ...lowerCase(STATE_BITS)};
const RESULTS = lowerCase(RESULT_BITS);

/** The mask of a comma-separated list of states or groups of them. @param what for messages @throws {UsageError} */
export function stateMask(text: string, what: string): number {
	let mask = 0;
	for (const name of namesIn(text)) {
		const bits = lookUp(STATES, name);
		if (bits === undefined)
			throw new UsageError(`${what}: '${name}' is none of ${Object.keys(STATES).join(', ')}`);
		mask |= bits;
	}
	return mask;
}

/** States and results, any of which will do. @throws {UsageError} */
export function filterConstraint(text: string): JobConstraint {
	let states = 0;
	let results = 0;
	for (const name of namesIn(text)) {
		const state = lookUp(STATES, name);
		const result = lookUp(RESULTS, name);
		if (state === undefined && result === undefined) {
			const known = [...Object.keys(STATES), ...Object.keys(RESULTS)].join(', ');
			throw new UsageError(`option --filter: '${name}' is none of ${known}`);
		}
		states |= state ?? 0;
		results |= result ?? 0;
	}
	const parts = [
		...(states === 0 ? [] : [{states: [states]}]),
		...(results === 0 ? [] : [{results: [results]}]),
	];
	return parts.length === 1 ? parts[0]! : {or: parts};
}

/**
 * A moment: `-1h` or `+1h` from now, epoch seconds, or a date `YYYY-MM-DD[THH:MM[:SS]]` (local time without a zone).
 *
 * @param nowS epoch seconds
 * @throws {UsageError}
 */
export function parseMoment(text: string, nowS: number): number {
	if (text === 'now') return nowS;
	if (/^[+-]/.test(text)) {
		try {
			const seconds = parseFsd(text.slice(1));
			return text.startsWith('-') ? nowS - seconds : nowS + seconds;
		} catch (error) {
			if (!(error instanceof SystemError)) throw error;
			throw new UsageError(`option --since: ${error.message}`);
		}
	}
	if (/^[0-9]+(\.[0-9]+)?$/.test(text)) return Number(text);
	const isDate = /^[0-9]{4}-[0-9]{2}-[0-9]{2}/.test(text);
	const epochMs = Date.parse(isDate && text.length === 10 ? `${text}T00:00` : text.replace(' ', 'T'));
	if (isDate && !Number.isNaN(epochMs)) return epochMs / 1000;
	throw new UsageError(
		`option --since: '${text}' is no moment such as -1h, 2026-01-31T12:00 or epoch seconds`,
	);
}

function namesIn(text: string): string[] {
	return text
		.toLowerCase()
		.split(',')
		.map(name => name.trim());
}

function lookUp(bits: Readonly<Record<string, number>>, name: string): number | undefined {
	return Object.hasOwn(bits, name) ? bits[name] : undefined;
}

function lowerCase(bits: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
	return Object.fromEntries(Object.entries(bits).map(([name, bit]) => [name.toLowerCase(), bit]));
}
