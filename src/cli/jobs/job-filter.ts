/** Which jobs are meant: `--filter`, `--user`, `--since`, as the constraint that `job-list.list` takes. */
import {SystemError} from '../../formats/errno.ts';
import {parseMoment} from '../../formats/moment.ts';
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
 * The moment of `--since`.
 * @param nowS epoch seconds
 * @throws {UsageError}
 */
export function parseSince(text: string, nowS: number): number {
	try {
		return parseMoment(text, nowS);
	} catch (error) {
		if (!(error instanceof SystemError)) throw error;
		throw new UsageError(`option --since: ${error.message}`);
	}
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
