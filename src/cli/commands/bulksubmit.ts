/** `coppice bulksubmit`: a job for each input, or each combination of inputs. */
import {UsageError} from '../command-error.ts';
import type {CommandModule, ParsedArguments} from '../command.ts';
import type {CliContext} from '../context.ts';
import {flagOption, textOption, textOptions} from '../option-value.ts';
import {patienceOf} from '../reconnect-option.ts';
import {readBulkInputs} from '../submit/bulk-inputs.ts';
import {BULK_JOBS_MAX, bulkJobsOf, mapTexts, type BulkJob} from '../submit/bulk-jobs.ts';
import {readBulkOptions, withBulkOptions} from '../submit/bulk-options.ts';
import {expandTemplate, type BulkValues} from '../submit/bulk-template.ts';
import {parseDefinitions} from '../submit/define-expression.ts';
import {submitBulk} from '../submit/submit-bulk.ts';
import {SUBMISSION_REWRITES, withSubmissionOptions} from '../submit/submission-options.ts';

export const bulksubmit: CommandModule = {
	name: 'bulksubmit',
	describe:
		'Submits a job for each input. Inputs are the lines of standard input, or lists after ::: (:::: reads them from ' +
		'files). Several lists are combined; one after :::+ goes along with the one before it. In the command and in ' +
		'options, {} is the input, {0} {1} those of several lists, {.%} {./} {./%} {.//} the input without extension, its ' +
		'last part, both, its directory ({1./} of the second list), {seq} and {seq1} the number of the job from 0 or 1, and ' +
		'{cc} the id of --cc; {{ and }} stand for braces, and names such as {{id}} are left alone.',
	operands: 'COMMAND [ARG…] [::: INPUT…]… [:::: FILE…]…',
	example:
		'coppice bulksubmit ./solve {} ::: *.dat\n' +
		'seq 1 100 | coppice bulksubmit --watch echo {}\n' +
		'coppice bulksubmit -n{0} --job-name={1.%} ./solve {1} ::: 1 2 4 ::: a.dat b.dat',
	rewrites: SUBMISSION_REWRITES,
	builder: yargs =>
		withBulkOptions(withSubmissionOptions(yargs))
			.option('shuffle', {type: 'boolean', describe: 'submit in random order'})
			.option('sep', {type: 'string', describe: 'what separates inputs of a file; default: line ends'})
			.option('define', {
				type: 'string',
				array: true,
				describe: 'NAME=CODE: {.NAME} is the value of CODE, an expression such as 2**int(x), for input x',
			}),
	handler: async (argv, context) => {
		const options = readBulkOptions(argv);
		const defined = parseDefinitions(textOptions(argv, 'define'));
		const separator = textOption(argv, 'sep');
		if (separator === '') throw new UsageError('option --sep: the separator is empty');
		const {command, combinations} = await readBulkInputs(argv._, {
			readFile: path => context.world.readFile(path),
			readInput: () => context.world.readInput(),
			...(separator === undefined ? {} : {separator}),
		});
		const order = combinations.map((inputs, sequence) => ({inputs, sequence, defined}));
		if (flagOption(argv, 'shuffle')) shuffle(order, () => context.world.random.float());
		if (flagOption(argv, 'dry-run')) {
			for (const values of order) await context.print(`${commandLine(argv, command, values)}\n`);
			return 0;
		}
		const jobs: BulkJob[] = [];
		for (const values of order) {
			for (const job of await jobsFor({argv, command, values}, context)) jobs.push(job);
			if (jobs.length > BULK_JOBS_MAX)
				throw new UsageError(`the copies of --cc for each input are more than ${BULK_JOBS_MAX} jobs`);
		}
		return submitBulk(context, {jobs, options, patience: patienceOf(argv)});
	},
};

interface Input {
	readonly argv: ParsedArguments;
	readonly command: readonly string[];
	readonly values: BulkValues;
}

async function jobsFor({argv, command, values}: Input, context: CliContext): Promise<readonly BulkJob[]> {
	const {_: _operands, $given: _given, define: _define, sep: _sep, ...options} = argv;
	const expanded = mapTexts({...options, _: defaultCommand(command)}, text => expandTemplate(text, values));
	const jobs = await bulkJobsOf(expanded, context);
	return jobs.map(job => ({...job, sequence: values.sequence}));
}

/** Without a command the inputs are the commands. */
function defaultCommand(command: readonly string[]): readonly string[] {
	return command.length === 0 ? ['{}'] : command;
}

/** Options that are about the inputs, and not those of a job. */
const OWN_OPTIONS = /^--(dry-run|shuffle|sep|define)(=|$)/;

/** `--dry-run`: what would be submitted for an input. */
function commandLine(argv: ParsedArguments, command: readonly string[], values: BulkValues): string {
	const options = (argv.$given ?? []).filter(option => !OWN_OPTIONS.test(option));
	const words = [...options, ...defaultCommand(command)].map(text => expandTemplate(text, values));
	return ['bulksubmit: submit', ...words].join(' ');
}

/** Fisher and Yates. */
function shuffle<T>(items: T[], float: () => number): void {
	for (let last = items.length - 1; last > 0; last -= 1) {
		const other = Math.floor(float() * (last + 1));
		[items[last], items[other]] = [items[other]!, items[last]!];
	}
}
