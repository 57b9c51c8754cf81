/** From options to what `job-ingest.submit` takes: a jobspec, and one request for each copy of it. */
import type {Jobspec} from '../../formats/jobspec.ts';
import {jobspecFromCommand, type CommandOptions} from '../../formats/jobspec-from-command.ts';
import {stringifyJson} from '../../formats/json.ts';
import {Idset} from '../../formats/idset.ts';
import {isObject} from '../../formats/shape.ts';
import type {TerminalSize} from '../../ports/process-host.ts';
import {wrapSigned} from '../../formats/sign-none.ts';
import {UsageError} from '../command-error.ts';
import {assignDotted, setDotted, type MutableMembers} from './dotted-members.ts';
import type {Environment} from './job-environment.ts';
import type {SubmissionOptions} from './submission-options.ts';

/** Jobs without a mention of it have this one. */
export const UMASK_DEFAULT = 0o022;

export interface Submission {
	readonly options: SubmissionOptions;
	readonly command: readonly string[];
	readonly environment: Environment;
	/** Soft limits by name. */
	readonly rlimits: Readonly<Record<string, number>>;
	readonly umask: number;
	/** The directory that is meant when none was given. */
	readonly cwd: string;
	/** A client stays with the job and has something for its stdin, so that its tasks take that if nothing else is said. */
	readonly takesInput?: boolean;
	/** The size of that client's terminal, for tasks that get one. */
	readonly terminal?: TerminalSize | null;
	/** The script of a batch job: one task has all slots, and finds it in its directory. */
	readonly script?: string;
}

/** The name of the script among the files that come with a batch job. */
export const SCRIPT_NAME = 'script';

export interface Copy {
	/** The id that `{cc}` stands for. */
	readonly cc: number;
	/** False for `--bcc`: no COPPICE_JOB_CC in the environment. */
	readonly isVisible: boolean;
}

export interface SubmitRequest {
	readonly J: string;
	readonly urgency: number;
	readonly flags: number;
	readonly request_id: string;
}

/** The jobspec of one copy, or of the only job. @throws {SystemError} EINVAL when it makes no sense. */
export function jobspecOf(submission: Submission, copy: Copy | null = null): Jobspec {
	const {options, command, environment} = submission;
	const fill =
		copy === null ? (text: string) => text : (text: string) => text.replaceAll('{cc}', String(copy.cc));
	const {nnodes, coresPerTask, gpusPerTask, exclusive, durationS, queue, name, requires} = options;
	const dependencies = options.dependencies.map(one => ({...one, value: fill(one.value)}));
	const visible = copy?.isVisible === true ? {COPPICE_JOB_CC: String(copy.cc)} : {};
	const attributes = attributesOf(options, fill);
	return jobspecFromCommand({
		argv: command.map(fill),
		...(options.cores !== undefined
			? spreadCores(options.cores, options)
			: {
					ntasks: options.ntasks ?? nnodes ?? 1,
					...(nnodes === undefined ? {} : {nnodes}),
					...(coresPerTask === undefined ? {} : {coresPerTask}),
					...(gpusPerTask === undefined ? {} : {gpusPerTask}),
					exclusive,
				}),
		dependencies,
		...(requires === undefined ? {} : {constraints: requires}),
		durationS,
		cwd: directoryOf(fill(options.cwd ?? submission.cwd), submission.cwd),
		environment: {...environment, ...visible},
		...(name === undefined ? {} : {name: fill(name)}),
		...(queue === undefined ? {} : {queue: fill(queue)}),
		shellOptions: shellOptionsOf(submission, fill),
		...withScript(withUmask(attributes, submission.umask), submission.script),
	});
}

/** `--cwd` as the job needs it: what is not absolute begins here; a template that is filled on the node may be. */
function directoryOf(path: string, here: string): string {
	return /^(?:\/|\{\{)/.test(path) ? path : `${here}/${path}`; // `..` is the kernel's affair: links have their own.
}

function withScript(
	attributes: Attributes,
	script: string | undefined,
): Attributes & Pick<CommandOptions, 'taskTotal'> {
	if (script === undefined) return attributes;
	const files = {[SCRIPT_NAME]: {mode: 0o700, data: script, encoding: 'utf-8'}};
	return {...attributes, taskTotal: 1, systemAttributes: {...attributes.systemAttributes, files}};
}

export interface RequestOptions {
	readonly userid: number;
	readonly requestId: string;
	readonly copy?: Copy | null;
}

export function submitRequest(
	submission: Submission,
	{userid, requestId, copy = null}: RequestOptions,
): SubmitRequest {
	const {urgency, flags} = submission.options;
	const J = wrapSigned(userid, stringifyJson(jobspecOf(submission, copy)));
	return {J, urgency, flags, request_id: requestId};
}

type Shape = Pick<CommandOptions, 'ntasks' | 'nnodes' | 'coresPerTask' | 'tasksPerSlot' | 'exclusive'>;

/** `--cores`: one slot a core, or with `--tasks-per-node` one slot a node, whose cores its tasks share. */
function spreadCores(cores: number, options: SubmissionOptions): Shape {
	const {tasksPerNode, nnodes, exclusive} = options;
	for (const [name, value] of [
		['ntasks', options.ntasks],
		['cores-per-task', options.coresPerTask],
		['gpus-per-task', options.gpusPerTask],
	] as const) {
		if (value !== undefined) throw new UsageError(`options --cores and --${name} exclude each other`);
	}
	if (nnodes === undefined) return {ntasks: cores, exclusive};
	if (cores % nnodes !== 0)
		throw new UsageError(`${cores} cores can't be spread evenly over ${nnodes} nodes`);
	return tasksPerNode === undefined
		? {ntasks: cores, nnodes, exclusive}
		: {ntasks: nnodes, nnodes, coresPerTask: cores / nnodes, tasksPerSlot: tasksPerNode, exclusive};
}

interface Attributes {
	readonly systemAttributes?: MutableMembers;
	readonly userAttributes?: MutableMembers;
}

type Fill = (text: string) => string;

function shellOptionsOf(submission: Submission, fill: Fill): MutableMembers {
	const {options, rlimits} = submission;
	const members: MutableMembers = inputOption(submission, fill);
	if (Object.keys(rlimits).length > 0) members['rlimit'] = {...rlimits};
	if (options.taskmap !== undefined) members['taskmap'] = {...options.taskmap};
	if (options.signal !== undefined) members['signal'] = {...options.signal};
	for (const [stream, path] of [
		['stdout', options.output],
		['stderr', options.error],
	] as const) {
		if (path === undefined || path === 'none' || path === 'kvs') continue; // As in Flux: with the job.
		const at = ['output', stream];
		setDotted(members, {path: [...at, 'type'], value: 'file', what: '--output'});
		setDotted(members, {path: [...at, 'path'], value: fill(path), what: '--output'});
		if (options.isLabeled) setDotted(members, {path: [...at, 'label'], value: true, what: '--label-io'});
	}
	if (options.isUnbuffered) {
		for (const stream of ['stdout', 'stderr']) {
			setDotted(members, {path: ['output', stream, 'buffer', 'type'], value: 'none', what: '--unbuffered'});
		}
	}
	for (const assignment of options.shellOptions) assignDotted(members, fill(assignment), '--setopt');
	return withTerminalSize(members, submission);
}

/** `--input`: what is an idset names tasks, and anything else is a path. */
function inputOption({options, takesInput = false}: Submission, fill: Fill): MutableMembers {
	const input = options.input ?? (takesInput ? 'all' : 'none');
	if (input === 'none') return {};
	if (input === 'all') return {input: {stdin: {type: 'service'}}};
	if (!/^[\d,[\]-]+$/.test(input)) return {input: {stdin: {type: 'file', path: fill(input)}}};
	try {
		return {input: {stdin: {type: 'service', ranks: Idset.parse(input).toString()}}};
	} catch (error) {
		throw new UsageError(`option --input: ${(error as Error).message}`);
	}
}

/** A program looks at its terminal when it starts, which may be before its client has attached. */
function withTerminalSize(members: MutableMembers, {terminal = null}: Submission): MutableMembers {
	const {pty} = members;
	if (terminal === null || pty === undefined || pty === 0 || pty === false) return members;
	return {...members, pty: {...terminal, ...(isObject(pty) ? pty : {})}};
}

/** `system.umask`, in octal digits as people write it; the usual one needs no mention. */
function withUmask(attributes: Attributes, umask: number): Attributes {
	if (umask === UMASK_DEFAULT) return attributes;
	return {
		...attributes,
		systemAttributes: {umask: umask.toString(8).padStart(4, '0'), ...attributes.systemAttributes},
	};
}

/** `--setattr`: KEY is below `system`, `.KEY` below `attributes`, where `system` and `user` are. */
function attributesOf({attributes, requeue}: SubmissionOptions, fill: Fill): Attributes {
	const members: MutableMembers = requeue ? {system: {requeue}} : {};
	for (const assignment of attributes) {
		const isAbsolute = /^\.|^(system|user)\./.test(assignment);
		const key = isAbsolute ? assignment.replace(/^\./, '') : `system.${assignment}`;
		assignDotted(members, fill(key), '--setattr');
	}
	const {system, user, ...others} = members;
	const unknown = Object.keys(others)[0];
	if (unknown !== undefined)
		throw new UsageError(`--setattr: attributes.${unknown} is neither system nor user`);
	return {
		...(isObject(system) ? {systemAttributes: system} : {}),
		...(isObject(user) ? {userAttributes: user} : {}),
	};
}
