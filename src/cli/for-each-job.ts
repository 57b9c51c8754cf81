/** One request for each of the jobs that are named; those that fail are told, and do not stop the others. */
import type {JobId} from '../formats/jobid.ts';
import {EXIT_FAILURE, EXIT_SUCCESS} from './command.ts';
import {CommandError, explain, isDefect, UsageError} from './command-error.ts';
import type {CliContext} from './context.ts';
import {parseJobid} from './jobid-text.ts';

/** Resolves to the exit status. A text that is no job id ends it before the first request. */
export async function forEachJob(
	context: CliContext,
	texts: readonly string[],
	ask: (id: JobId, text: string) => Promise<unknown>,
): Promise<number> {
	const ids = texts.map(text => [parseJobid(text), text] as const);
	const results = await Promise.allSettled(ids.map(([id, text]) => ask(id, text)));
	let exitCode = EXIT_SUCCESS;
	for (const [index, result] of results.entries()) {
		if (result.status === 'fulfilled') continue;
		if (isDefect(result.reason) && !isOwn(result.reason)) throw result.reason;
		await context.warn(explain(texts[index]!, result.reason).message);
		exitCode = EXIT_FAILURE;
	}
	return exitCode;
}

function isOwn(error: Error): boolean {
	return error instanceof CommandError || error instanceof UsageError;
}
