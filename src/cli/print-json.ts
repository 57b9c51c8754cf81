/** JSON output: one document, or one a line. Ids are strings before they get here; times are epoch seconds. */
import {stringifyJson} from '../formats/json.ts';
import type {CliContext} from './context.ts';

/** Prints `value` as one line of JSON; BigInts, which are ids everywhere, as decimal strings. */
export function printJson(context: CliContext, value: unknown): Promise<void> {
	return context.print(`${stringifyJson(withTextIds(value))}\n`);
}

/** A copy of `value` in which each BigInt is a decimal string. */
export function withTextIds(value: unknown): unknown {
	if (typeof value === 'bigint') return value.toString();
	if (Array.isArray(value)) return value.map(withTextIds);
	if (typeof value !== 'object' || value === null || 'toJSON' in value) return value;
	return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, withTextIds(member)]));
}
