/** What `submit` and `bulksubmit` do with their jobs beside submitting them. */
import type {Argv} from 'yargs';
import type {ParsedArguments} from '../command.ts';
import {UsageError} from '../command-error.ts';
import {flagOption, textOption} from '../option-value.ts';

export interface BulkOptions {
	readonly isQuiet: boolean;
	/** Wait for this event of every job; null: none, or for the jobs' ends. */
	readonly waitEvent: string | null;
	/** Until all jobs have ended. */
	readonly isWaiting: boolean;
	readonly isWatching: boolean;
	readonly hasProgress: boolean;
	readonly showsRate: boolean;
}

/** The last event of a job: waiting for it is waiting for the end. */
const LAST_EVENT = 'clean';

export function withBulkOptions(yargs: Argv): Argv {
	return yargs
		.option('cc', {
			type: 'string',
			describe: 'a copy for each id of an idset; {cc} and COPPICE_JOB_CC tell which',
		})
		.option('bcc', {type: 'string', describe: 'as --cc, without COPPICE_JOB_CC'})
		.option('wait', {type: 'boolean', describe: 'wait for all jobs; exit with the highest status'})
		.option('wait-event', {type: 'string', describe: 'wait until every job has had this event'})
		.option('watch', {type: 'boolean', describe: 'show the output of all jobs; implies --wait'})
		.option('progress', {
			type: 'boolean',
			describe: 'show a bar on a terminal, of jobs submitted, or with --wait of jobs that ended',
		})
		.option('jps', {type: 'boolean', describe: 'with --progress: jobs per second instead of the time'})
		.option('quiet', {type: 'boolean', describe: 'print no job ids'})
		.option('log', {
			type: 'string',
			describe: 'write ids and output to FILE, not here; {cc} in it makes a file for each copy',
		})
		.option('log-stderr', {type: 'string', describe: 'write what goes to stderr to FILE instead'});
}

/** @throws {UsageError} options that make no sense together. */
export function readBulkOptions(argv: ParsedArguments): BulkOptions {
	const event = textOption(argv, 'wait-event') ?? null;
	const isWatching = flagOption(argv, 'watch');
	if (event === '') throw new UsageError('option --wait-event: the name is empty');
	const isEnd = event === LAST_EVENT;
	return {
		isQuiet: flagOption(argv, 'quiet'),
		waitEvent: isEnd ? null : event,
		isWaiting: flagOption(argv, 'wait') || isWatching || isEnd,
		isWatching,
		hasProgress: flagOption(argv, 'progress'),
		showsRate: flagOption(argv, 'jps'),
	};
}
