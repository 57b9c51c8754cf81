/** From the command line of `submit` and `run` to a submission that can be sent. */
import {stringifyJson} from '../../formats/json.ts';
import type {ParsedArguments} from '../command.ts';
import {UsageError} from '../command-error.ts';
import type {CliContext} from '../context.ts';
import {jobEnvironment} from './job-environment.ts';
import {propagatedLimits} from './rlimit-rules.ts';
import {readSubmissionOptions} from './submission-options.ts';
import {jobspecOf, type Copy, type Submission} from './submission.ts';

/** @throws {UsageError} naming the option; SystemError for a file that can't be read. */
export async function prepareSubmission(argv: ParsedArguments, context: CliContext): Promise<Submission> {
	const options = readSubmissionOptions(argv, context.clock.epochMs() / 1000);
	if (argv._.length === 0) throw new UsageError('a command is missing');
	const {env, cwd, world} = {env: context.env, cwd: context.world.cwd, world: context.world};
	const environment = await jobEnvironment({
		rules: options.envRules,
		source: env,
		readFile: path => world.readFile(path),
	});
	const rlimits = propagatedLimits(options.rlimitRules, await world.resourceLimits());
	return {options, command: argv._, environment, cwd, rlimits, umask: world.umask};
}

/** `--dry-run`: the jobspec as it would be sent. */
export async function printJobspec(
	context: CliContext,
	submission: Submission,
	copy: Copy | null,
): Promise<void> {
	await context.print(`${stringifyJson(jobspecOf(submission, copy))}\n`);
}
