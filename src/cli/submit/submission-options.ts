/** The options that `submit` and `run` share, as data: what a job asks for, before it is a jobspec. */
import type {Argv} from 'yargs';
import type {Constraint} from '../../formats/constraint.ts';
import {parseConstraintQuery} from '../../formats/constraint-query.ts';
import type {Dependency} from '../../formats/dependency.ts';
import {SystemError} from '../../formats/errno.ts';
import type {ParsedArguments} from '../command.ts';
import {UsageError} from '../command-error.ts';
import {parseSignalOption, type SignalOption} from './signal-option.ts';
import {parseTaskmapOption, type TaskmapOption} from './taskmap-option.ts';
import {readDependencies, withDependencyOptions} from './dependency-options.ts';
import {
	flagOption,
	integerOption,
	parseDuration,
	parseInteger,
	textOption,
	textOptions,
} from '../option-value.ts';

export const URGENCY_DEFAULT = 16;
export const URGENCY_MAX = 31;
/** Bits of `flags` of job-ingest.submit. */
export const SUBMIT_FLAGS: Readonly<Record<string, number>> = {debug: 2, waitable: 4, novalidate: 8};

/** The order among the three decides, so that they are one list. */
export const SUBMISSION_REWRITES = {
	'env-remove': (pattern: string) => `--env=-${pattern}`,
	'env-file': (path: string) => `--env=^${path}`,
};

/** Declares the shared options. */
export function withSubmissionOptions(yargs: Argv): Argv {
	const text = (name: string, describe: string, alias?: string) =>
		yargs.option(name, {type: 'string', describe, ...(alias === undefined ? {} : {alias})});
	const list = (name: string, describe: string, alias?: string) =>
		yargs.option(name, {type: 'string', array: true, describe, ...(alias === undefined ? {} : {alias})});
	const flag = (name: string, describe: string, alias?: string) =>
		yargs.option(name, {type: 'boolean', describe, ...(alias === undefined ? {} : {alias})});
	text('nodes', 'nodes to spread the tasks over', 'N');
	text('ntasks', 'tasks; default 1, or one a node', 'n');
	text('cores-per-task', 'cores of each task; default 1', 'c');
	text('gpus-per-task', 'gpus of each task; default 0', 'g');
	text('cores', 'cores of the whole job, instead of -n and -c; with -N spread over the nodes');
	text('tasks-per-node', 'tasks on each of the nodes that -N asks for');
	flag('requeue', 'run again when a node of the job is lost');
	flag('exclusive', 'whole nodes, shared with no other job', 'x');
	text('time-limit', 'minutes, or a duration such as 90s, 1.5h', 't');
	text('queue', 'the queue', 'q');
	text('requires', 'nodes to run on, such as "gpu and not host:n[1-3]"');
	text('job-name', "the job's name; default: that of the program");
	text('urgency', '0 to 31, hold, default (16) or expedite');
	withDependencyOptions(yargs);
	list('flags', 'debug, waitable, novalidate');
	text(
		'input',
		'file for standard input; or an idset of tasks, or all: those that get it from a client that attaches',
	);
	text('output', 'file for standard output, {{id}} is replaced');
	text('error', 'file for standard error');
	flag('unbuffered', 'pass output on as it comes', 'u');
	flag('label-io', 'put the rank of its task before each line of output', 'l');
	list('env', 'VAR=VAL, -PATTERN, ^FILE or PATTERN');
	list('env-remove', 'as --env=-PATTERN');
	list('env-file', 'as --env=^FILE');
	text('cwd', 'working directory; default: the current one');
	list('rlimit', 'resource limits to take over: PATTERN, -PATTERN, or NAME=VALUE; more than one by commas');
	text('taskmap', 'which tasks run where: block, cyclic[:N] or manual:MAP; default block');
	text('signal', 'SIG@DURATION: a signal so long before the time limit; default of both SIGUSR1@60s');
	list('setopt', 'shell option KEY[=VALUE]', 'o');
	list('setattr', 'attribute KEY[=VALUE] below system, or with a leading . below attributes', 'S');
	flag('dry-run', 'print the jobspec and submit nothing');
	flag('verbose', 'say what happens, on stderr', 'v');
	text('request-id', 'the same id again gives the same job, never a second one');
	text('reconnect-timeout', 'how long to bear an instance out of reach; default 5m');
	return yargs;
}

/** What the options say, checked one by one. */
export interface SubmissionOptions {
	readonly nnodes?: number;
	readonly ntasks?: number;
	readonly coresPerTask?: number;
	readonly gpusPerTask?: number;
	/** Of the whole job. */
	readonly cores?: number;
	/** Only with `cores`. */
	readonly tasksPerNode?: number;
	readonly requires?: Constraint;
	readonly exclusive: boolean;
	readonly requeue: boolean;
	/** Seconds; 0: none. */
	readonly durationS: number;
	readonly queue?: string;
	readonly name?: string;
	readonly urgency: number;
	readonly dependencies: readonly Dependency[];
	readonly flags: number;
	/** A path, `none`, `all`, or an idset of tasks. */
	readonly input?: string;
	readonly output?: string;
	readonly error?: string;
	readonly isUnbuffered: boolean;
	readonly isLabeled: boolean;
	readonly envRules: readonly string[];
	readonly cwd?: string;
	readonly rlimitRules: readonly string[];
	/** As in the jobspec: `{scheme, value}`. */
	readonly taskmap?: TaskmapOption;
	readonly signal?: SignalOption;
	readonly shellOptions: readonly string[];
	readonly attributes: readonly string[];
	readonly requestId?: string;
}

/**
 * @param nowS epoch seconds, from which relative times count
 * @throws {UsageError} naming the option.
 */
export function readSubmissionOptions(argv: ParsedArguments, nowS: number): SubmissionOptions {
	const limit = textOption(argv, 'time-limit');
	const requires = textOption(argv, 'requires');
	const taskmap = textOption(argv, 'taskmap');
	const signal = textOption(argv, 'signal');
	const optional = {
		cores: integerOption(argv, 'cores', {min: 1}),
		requires: requires === undefined ? undefined : parseRequires(requires),
		nnodes: integerOption(argv, 'nodes', {min: 1}),
		ntasks: integerOption(argv, 'ntasks', {min: 1}),
		coresPerTask: integerOption(argv, 'cores-per-task', {min: 1}),
		gpusPerTask: integerOption(argv, 'gpus-per-task', {min: 0}),
		queue: textOption(argv, 'queue'),
		name: textOption(argv, 'job-name'),
		input: textOption(argv, 'input'),
		output: textOption(argv, 'output'),
		error: textOption(argv, 'error'),
		cwd: textOption(argv, 'cwd'),
		requestId: textOption(argv, 'request-id'),
	};
	return {
		...(Object.fromEntries(
			Object.entries(optional).filter(([, value]) => value !== undefined),
		) as Partial<SubmissionOptions>),
		...perNode(argv, optional),
		exclusive: flagOption(argv, 'exclusive'),
		requeue: flagOption(argv, 'requeue'),
		durationS: limit === undefined ? 0 : parseTimeLimit(limit),
		urgency: parseUrgency(textOption(argv, 'urgency') ?? 'default'),
		dependencies: readDependencies(argv, nowS),
		flags: parseFlags(textOptions(argv, 'flags')),
		isUnbuffered: flagOption(argv, 'unbuffered'),
		isLabeled: flagOption(argv, 'label-io'),
		envRules: textOptions(argv, 'env'),
		rlimitRules: textOptions(argv, 'rlimit').flatMap(rules => rules.split(',')),
		...(taskmap === undefined ? {} : {taskmap: parseTaskmapOption(taskmap)}),
		...(signal === undefined ? {} : {signal: parseSignalOption(signal)}),
		shellOptions: textOptions(argv, 'setopt'),
		attributes: textOptions(argv, 'setattr'),
	};
}

/** `--tasks-per-node`: as many tasks as that makes on all nodes; with `--cores`, so many share the cores of a node. */
function perNode(
	argv: ParsedArguments,
	{nnodes, ntasks, cores}: Readonly<Record<'nnodes' | 'ntasks' | 'cores', number | undefined>>,
): Pick<SubmissionOptions, 'ntasks' | 'tasksPerNode'> {
	const each = integerOption(argv, 'tasks-per-node', {min: 1});
	if (each === undefined) return {};
	if (nnodes === undefined) throw new UsageError('option --tasks-per-node needs --nodes');
	if (ntasks !== undefined) throw new UsageError('options --tasks-per-node and --ntasks exclude each other');
	return cores === undefined ? {ntasks: each * nnodes} : {tasksPerNode: each};
}

/** `hold`, `default`, `expedite` in any case, or a number. @throws {UsageError} */
export function parseUrgency(text: string): number {
	const named: Readonly<Record<string, number>> = {hold: 0, default: URGENCY_DEFAULT, expedite: URGENCY_MAX};
	return named[text.toLowerCase()] ?? parseInteger(text, {min: 0, max: URGENCY_MAX, what: 'urgency'});
}

/** @throws {UsageError} */
function parseRequires(query: string): Constraint {
	try {
		return parseConstraintQuery(query);
	} catch (error) {
		if (error instanceof SystemError) throw new UsageError(`option --requires: ${error.message}`);
		throw error;
	}
}

/** Seconds of a time limit: a bare number is minutes; `inf` is none, as 0 is. */
function parseTimeLimit(text: string): number {
	const bare = /^([0-9]+\.?[0-9]*|\.[0-9]+)$/.test(text);
	const seconds = parseDuration(bare ? `${text}m` : text, 'option --time-limit');
	return seconds === Infinity ? 0 : seconds;
}

function parseFlags(lists: readonly string[]): number {
	let flags = 0;
	for (const name of lists.flatMap(list => list.split(','))) {
		const bit = Object.hasOwn(SUBMIT_FLAGS, name) ? SUBMIT_FLAGS[name] : undefined;
		if (bit === undefined) {
			throw new UsageError(`option --flags: '${name}' is none of ${Object.keys(SUBMIT_FLAGS).join(', ')}`);
		}
		flags |= bit;
	}
	return flags;
}
