/** `-u/--user`: whose jobs. */
import type {ParsedArguments} from './command.ts';
import {UsageError} from './command-error.ts';
import type {CliContext} from './context.ts';
import {textOption} from './option-value.ts';

/** What requests for many jobs take for the jobs of all users. */
export const EVERYBODY = -1;

/** A user id, `EVERYBODY` for `all`, and the caller when nothing is said. @throws {UsageError} */
export function userOption(argv: ParsedArguments, {world}: CliContext): number {
	const user = textOption(argv, 'user');
	if (user === undefined) return world.userid;
	if (user === 'all') return EVERYBODY;
	const userid = world.useridOf(user);
	if (userid === undefined) throw new UsageError(`option --user: no such user '${user}'`);
	return userid;
}
