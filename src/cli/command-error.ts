/** The errors that a command ends with, and how they read: what, where, the errno name, why. */
import {asSystemError, isErrnoName, SystemError} from '../formats/errno.ts';
import {EXIT_FAILURE} from './command.ts';

/** The command line makes no sense: exit status 2. */
export class UsageError extends Error {
	override readonly name = 'UsageError';
}

/** An expected failure whose text is complete as it stands, with the exit status that it asks for. */
export class CommandError extends Error {
	override readonly name = 'CommandError';
	readonly exitCode: number;

	constructor(message: string, {exitCode = EXIT_FAILURE, cause}: {exitCode?: number; cause?: unknown} = {}) {
		super(message, cause === undefined ? {} : {cause});
		this.exitCode = exitCode;
	}
}

/** `WHAT: ERRNO: why`, for anything that was thrown; a failure that is complete already is kept. */
export function explain(what: string, error: unknown): Error {
	if (error instanceof CommandError || error instanceof UsageError) return error;
	if (isDefect(error)) return error;
	return new CommandError(unreachable(error) ?? `${what}: ${asSystemError(error).toString()}`, {
		cause: error,
	});
}

/**
 * `rank 3 (node3): EHOSTUNREACH: why` for what a broker on the way says of a neighbour that it can't reach: who is away says
 * more than what was asked. Null: it is another failure.
 */
export function unreachable(error: unknown): string | null {
	if (!(error instanceof SystemError) || error.code !== 'EHOSTUNREACH') return null;
	const match = /^(?:\S+: )?(rank \d+ \([^)]*\)):? (.+)$/s.exec(error.message);
	return match === null ? null : `${match[1]}: ${error.code}: ${match[2]}`;
}

/** An error without an errno name is a broken invariant: it is reported with its stack. */
export function isDefect(error: unknown): error is Error {
	return error instanceof Error && !isErrnoName((error as {code?: unknown}).code);
}
