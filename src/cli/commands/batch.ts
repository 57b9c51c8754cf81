/** `coppice batch`: a script as a job with an instance of its own. */
import type {CommandModule, ParsedArguments} from '../command.ts';
import {CommandError, UsageError} from '../command-error.ts';
import type {CliContext} from '../context.ts';
import {parseArguments} from '../parse-arguments.ts';
import {flagOption, textOption} from '../option-value.ts';
import {patienceOf} from '../reconnect-option.ts';
import {batchDirectives, type Directive} from '../submit/batch-directives.ts';
import {bulkJobsOf, type BulkJob} from '../submit/bulk-jobs.ts';
import {readBulkOptions, withBulkOptions} from '../submit/bulk-options.ts';
import {printJobspec} from '../submit/prepare-submission.ts';
import {submitBulk} from '../submit/submit-bulk.ts';
import {SUBMISSION_REWRITES, withSubmissionOptions} from '../submit/submission-options.ts';
import {batchTask} from './batch-task.ts';

export const OUTPUT_DEFAULT = 'coppice-{{id}}.out';

export const batch: CommandModule = {
	name: 'batch',
	describe:
		'Submits a script. It runs once, on one node, in an instance of its own that has what was asked for: coppice run ' +
		'and the other commands in it mean that instance, and its jobs end with the script. Without SCRIPT it is read from ' +
		'standard input. It is carried in the job: what happens to the file afterwards makes no difference. Lines that begin ' +
		'with "# coppice:" before other lines hold options (RFC 36); those of the command line win.',
	operands: '[SCRIPT [ARG…]]',
	example:
		'coppice batch -n4 --time-limit=1h ./campaign.sh input.dat\n' +
		'coppice batch -n4 --wrap coppice run -n4 hostname',
	rewrites: {
		...SUBMISSION_REWRITES,
		nslots: value => `--ntasks=${value}`,
		'cores-per-slot': value => `--cores-per-task=${value}`,
		'gpus-per-slot': value => `--gpus-per-task=${value}`,
	},
	builder: yargs =>
		withBulkOptions(withSubmissionOptions(yargs))
			.option('nslots', {type: 'string', describe: 'as --ntasks: slots of the instance; default 1'})
			.option('cores-per-slot', {type: 'string', describe: 'as --cores-per-task'})
			.option('gpus-per-slot', {type: 'string', describe: 'as --gpus-per-task'})
			.option('wrap', {
				type: 'boolean',
				describe:
					'SCRIPT and ARGs are a command, or standard input has commands: put them into a shell script',
			}),
	handler: async (given, context) => {
		const {name, text, args} = await scriptOf(given, context);
		const directives = batchDirectives(text, name);
		const task = [context.world.commandPath, ...batchTask.name.split(' '), ...args];
		const {argv, jobs} = await naming(directives, given, async () => {
			const all = await withDirectives(given, directives);
			assertOneNode(all);
			const bulk = await bulkJobsOf({...all, _: task}, context);
			return {argv: all, jobs: bulk.map(job => asBatch(job, {name, text}))};
		});
		if (flagOption(argv, 'dry-run')) {
			for (const {submission, copy} of jobs) await printJobspec(context, submission, copy);
			return 0;
		}
		return submitBulk(context, {jobs, options: readBulkOptions(argv), patience: patienceOf(argv)});
	},
};

interface Script {
	readonly name: string;
	readonly text: string;
}

async function scriptOf(
	argv: ParsedArguments,
	{world}: CliContext,
): Promise<Script & {readonly args: readonly string[]}> {
	const [path, ...args] = argv._;
	const isStdin = path === undefined || (path === '-' && !flagOption(argv, 'wrap'));
	if (flagOption(argv, 'wrap')) {
		const body = path === undefined ? await world.readInput() : argv._.map(shellWord).join(' ');
		return {name: baseName(path ?? 'script'), text: `#!/bin/sh\n${body.replace(/\n$/, '')}\n`, args: []};
	}
	const name = isStdin ? 'standard input' : path;
	const text = isStdin ? await world.readInput() : await world.readFile(path);
	if (!text.startsWith('#!'))
		throw new CommandError(`${name}: ENOEXEC: not a script: it does not begin with #!; see --wrap`);
	return {name: isStdin ? 'script' : baseName(path), text, args};
}

async function withDirectives(
	given: ParsedArguments,
	directives: readonly Directive[],
): Promise<ParsedArguments> {
	if (directives.length === 0) return given;
	const words = directives.flatMap(directive => directive.words);
	await parseDirective(words);
	// Given again behind the directives, so that they win.
	const {argv} = await parseArguments(batch, [...words, ...(given.$given ?? [])]);
	return {...argv, _: given._};
}

async function parseDirective(words: readonly string[]): Promise<readonly string[]> {
	const {argv} = await parseArguments(batch, words);
	const [operand] = argv?._ ?? [];
	if (operand !== undefined) throw new UsageError(`directive: '${operand}' is not an option`);
	return argv?.$given ?? [];
}

/** Puts file and line before a mistake that is in a directive. */
async function naming<T>(
	directives: readonly Directive[],
	given: ParsedArguments,
	work: () => Promise<T>,
): Promise<T> {
	try {
		return await work();
	} catch (error) {
		if (!(error instanceof UsageError)) throw error;
		const option = /^option (--[\w-]+)/.exec(error.message)?.[1];
		const hasOption = (words: readonly string[]) => words.some(word => word.split('=')[0] === option);
		for (const {where, words} of directives) {
			const options = await parseDirective(words).catch(() => null);
			const isCulprit = options === null || (hasOption(options) && !hasOption(given.$given ?? []));
			if (isCulprit) throw new UsageError(`${where}: ${error.message}`, {cause: error});
		}
		throw error;
	}
}

function assertOneNode(argv: ParsedArguments): void {
	const nodes = textOption(argv, 'nodes');
	if (nodes !== undefined && /^[0-9]+$/.test(nodes) && Number(nodes) > 1) {
		throw new UsageError(
			`option --nodes: ${nodes} nodes: the instance of a batch script is on one node; more are not available yet`,
		);
	}
}

function asBatch(job: BulkJob, {name, text}: Script): BulkJob {
	const {options} = job.submission;
	return {
		...job,
		submission: {
			...job.submission,
			script: text,
			options: {...options, nnodes: 1, name: options.name ?? name, output: options.output ?? OUTPUT_DEFAULT},
		},
	};
}

function baseName(path: string): string {
	return path.slice(path.lastIndexOf('/') + 1);
}

/** A word as the shell would take it apart again into this one. */
function shellWord(word: string): string {
	return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
