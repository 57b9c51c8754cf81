/** Request ids: what makes a submission happen once. */
import {UsageError} from '../command-error.ts';
import type {World} from '../context.ts';

/** Longer ones are refused. */
export const REQUEST_ID_LENGTH_MAX = 128;

/**
 * A function that gives each job's request id: `given`, or `given.SUFFIX` for one of several, so that a script can send the same
 * command again; else a fresh random one.
 */
export function requestIds(given: string | undefined, random: World['random']): (suffix: string) => string {
	if (given === undefined) return () => random.uuid();
	if (!/^[\x21-\x7e]+$/.test(given) || given.length > REQUEST_ID_LENGTH_MAX) {
		throw new UsageError(
			`option --request-id: must be 1 to ${REQUEST_ID_LENGTH_MAX} printable ASCII characters`,
		);
	}
	return suffix => (suffix === '' ? given : `${given}.${suffix}`);
}
