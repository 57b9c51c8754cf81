/** From a start message to what the process host launches: tasks of this rank, environment, output paths. Pure. */
import {among, inputOption, ptyOption, type PtyOption} from '../../formats/input-options.ts';
import {encodeJobid} from '../../formats/jobid.ts';
import {renderTemplate, type TemplateNames} from '../../formats/output-template.ts';
import {
	outputPaths,
	shellOptionsOf,
	type OutputOptions,
	type ShellOptions,
	type StreamOptions,
} from '../../formats/shell-options.ts';
import {carriedFiles} from '../../formats/carried-files.ts';
import {commandOf, jobNameOf, parseJobspec, requestOf, type Jobspec} from '../../formats/jobspec.ts';
import {Idset} from '../../formats/idset.ts';
import {ResourceSet} from '../../formats/resource-set.ts';
import {testExecutionOf} from '../../formats/test-execution.ts';
import {blockTaskmap, tasksByNode} from '../../formats/taskmap.ts';
import {knownOutlineOf, readJobspec, type StoredJobspec} from '../../formats/stored-jobspec.ts';
import type {LaunchSpec, OutputFiles} from '../../ports/process-host.ts';
import {scriptsOf} from './perilog-scripts.ts';
import type {JobRecord, StartMessage} from './messages.ts';
import {pmiSettingsOf} from './pmi-settings.ts';

export interface LaunchSettings {
	readonly rank: number;
	/** The URI of this rank's broker. */
	readonly uri: string;
	readonly killTimeoutMs: number;
	/** `exec.lease`; Infinity: none. */
	readonly leaseMs: number;
	/** `exec.output-limit`: bytes of each stream that are stored, if the job does not say. @default 1 GiB */
	readonly outputBytesMax?: number;
}

const UMASK_DEFAULT = 0o022;
/** As in Flux. */
export const EXIT_TIMEOUT_MS_DEFAULT = 30_000;
/** As in Flux, where one user owns the instance. */
const OUTPUT_BYTES_DEFAULT = 1024 ** 3;

export function launchSpecOf(
	message: StartMessage,
	{rank, uri, killTimeoutMs, outputBytesMax = OUTPUT_BYTES_DEFAULT}: Omit<LaunchSettings, 'leaseMs'>,
): LaunchSpec {
	const {id, attempt} = message;
	const jobspec = launchedOf(message.jobspec);
	const {system} = jobspec.attributes;
	const R = ResourceSet.parse(message.R);
	const {ntasks} = requestOf(jobspec);
	const names: TemplateNames = {
		id,
		attempt,
		name: jobNameOf(jobspec),
		nnodes: R.nodeCount,
		ntasks,
		rank,
		nodeIndex: [...R.ranks.keys()].indexOf(rank),
		host: R.ranks.get(rank)?.host ?? '',
		cores: R.ranks.get(rank)?.cores ?? Idset.empty,
		gpus: R.ranks.get(rank)?.gpus ?? Idset.empty,
	};
	const options = shellOptionsOf(jobspec);
	const paths = outputPaths(options);
	const pathOf = (path: string | null) => {
		if (path === null) return null;
		const expanded = renderTemplate(path, names);
		return expanded.startsWith('/') ? expanded : `${cwd}/${expanded}`;
	};
	const taskmap =
		message.taskmap ?? blockTaskmap([...tasksOf(jobspec, R).values()].map(({length}) => length));
	const cwd = system.cwd ?? '/';
	const tasks = tasksOn(names.nodeIndex, message) ?? tasksOf(jobspec, R).get(rank) ?? [];
	const pty = ptyOption(jobspec);
	const environment = environmentOf(jobspec, pty !== null);
	return {
		id,
		attempt,
		argv: commandOf(jobspec),
		// In one piece: to spread an object of so many names costs several times as much.
		env: Object.fromEntries([
			...(pty === null ? [] : [['TERM', 'dumb']]),
			...environment,
			['COPPICE_URI', uri],
			['COPPICE_JOB_ID', encodeJobid(id, 'f58plain')],
			['COPPICE_JOB_SIZE', String(ntasks)],
			['COPPICE_JOB_NNODES', String(R.nodeCount)],
			['COPPICE_JOB_ATTEMPT', String(attempt)],
		]) as Record<string, string>,
		cwd,
		tasks,
		durationMs: Math.round(system.duration * 1000),
		killTimeoutMs,
		stdout: pathOf(paths.stdout),
		stderr: pathOf(paths.stderr),
		...(paths.stdout === null && paths.stderr === null ? {} : filesOf(options, ntasks)),
		...limitsOf(options, outputBytesMax),
		...umaskOf(jobspec),
		...(names.host === '' ? {} : {node: names.host}),
		...endingOf(options, ntasks),
		...pmiSettingsOf({jobspec, ntasks, taskmap}),
		...inputOf(inputOption(jobspec), {tasks, pathOf}),
		...ptyOf(pty, tasks),
		...(system.files === undefined ? {} : {carried: carriedFiles(system.files)}),
		...scriptsOf(message, {uri, rank, names}),
		...testOf(system),
		record: JSON.stringify(recordOf(message)),
	};
}

/** Where no process is made, nothing needs an environment or files: an outline that is at hand, as at the root, will do. */
function launchedOf(stored: StoredJobspec): Jobspec {
	const outline = knownOutlineOf(stored);
	const suffices = outline !== undefined && testExecutionOf(outline.attributes.system) !== null;
	return parseJobspec(suffices ? outline : readJobspec(stored));
}

function limitsOf(
	options: ShellOptions,
	bytesMaxDefault: number,
): Pick<LaunchSpec, 'outputBytesMax' | 'rlimits'> {
	const limitBytes = options.outputBytesMax ?? bytesMaxDefault;
	return {
		...(Number.isFinite(limitBytes) ? {outputBytesMax: limitBytes} : {}),
		...(options.rlimits === undefined ? {} : {rlimits: options.rlimits}),
	};
}

function inputOf(
	input: ReturnType<typeof inputOption>,
	{tasks, pathOf}: {readonly tasks: readonly number[]; readonly pathOf: (path: string) => string | null},
): Pick<LaunchSpec, 'input'> {
	if (input === null) return {};
	if ('path' in input) return {input: {path: pathOf(input.path) ?? ''}};
	return {input: {tasks: among(tasks, input.ranks)}};
}

function testOf(system: Jobspec['attributes']['system']): Pick<LaunchSpec, 'test'> {
	const test = testExecutionOf(system);
	return test === null ? {} : {test};
}

/** The size of a terminal is its own affair; programs would believe the variables of the submitter's. */
function environmentOf({attributes}: Jobspec, hasTerminal: boolean): [name: string, value: string | null][] {
	return Object.entries(attributes.system.environment ?? {}).filter(
		([name, value]) => value !== null && !(hasTerminal && (name === 'COLUMNS' || name === 'LINES')),
	);
}

function ptyOf(pty: PtyOption | null, tasks: readonly number[]): Pick<LaunchSpec, 'pty'> {
	const own = pty === null ? [] : among(tasks, pty.ranks);
	return pty === null || own.length === 0 ? {} : {pty: {tasks: own, rows: pty.rows, columns: pty.columns}};
}

/** How output files are written: labels need whole lines, and so do several tasks unless they asked for no buffer. */
function filesOf({output, appends}: OutputOptions, ntasks: number): {files?: OutputFiles} {
	const modeOf = ({isLabeled, isUnbuffered}: StreamOptions): OutputFiles['stdout'] => {
		if (isLabeled) return 'labels';
		return ntasks > 1 && !isUnbuffered ? 'lines' : undefined;
	};
	const stdout = modeOf(output.stdout);
	const stderr = output.stderr.path === null ? stdout : modeOf(output.stderr);
	if (stdout === undefined && stderr === undefined && !appends) return {};
	return {
		files: {
			...(stdout === undefined ? {} : {stdout}),
			...(stderr === undefined ? {} : {stderr}),
			...(appends ? {appends} : {}),
		},
	};
}

/** What ends a job before its time limit, or is said before that. */
function endingOf({signal, exitTimeoutMs, exitsOnError}: ShellOptions, ntasks: number): Partial<LaunchSpec> {
	const timeoutMs = exitTimeoutMs ?? EXIT_TIMEOUT_MS_DEFAULT;
	return {
		...(signal === undefined ? {} : {warning: {signum: signal.signum, beforeMs: signal.timeLeftMs}}),
		...(ntasks > 1 && Number.isFinite(timeoutMs) ? {exitTimeoutMs: timeoutMs} : {}),
		...(exitsOnError ? {exitsOnError} : {}),
	};
}

/** `attributes.system.umask`, in octal digits; the usual one needs no mention. */
function umaskOf({attributes}: Jobspec): {umask?: number} {
	const {umask} = attributes.system;
	const mask = typeof umask === 'string' ? parseInt(umask, 8) : UMASK_DEFAULT;
	return mask === UMASK_DEFAULT ? {} : {umask: mask};
}

/** The tasks of the n-th rank of R by the root's map; undefined: it sent none. */
function tasksOn(nodeIndex: number, {taskmap}: StartMessage): number[] | undefined {
	if (taskmap === undefined) return undefined;
	// A map says nothing of nodes without tasks.
	return [...(tasksByNode(taskmap)[nodeIndex] ?? [])];
}

/**
 * The tasks of each rank in blocks (RFC 34): on a number of nodes that was asked for as evenly as they go, the first ones
 * taking what is over; else in proportion to the slots of each rank, never more than them.
 */
export function tasksOf(jobspec: Jobspec, R: ResourceSet): Map<number, number[]> {
	const {ntasks, coresPerSlot, nnodes} = requestOf(jobspec);
	const weights = Array.from(R.ranks.values(), ({cores}) =>
		nnodes === null ? Math.floor(cores.count / Math.max(1, coresPerSlot)) : 1,
	);
	const total = weights.reduce((sum, weight) => sum + weight, 0);
	const tasks = new Map<number, number[]>();
	let next = 0;
	let weightSoFar = 0;
	for (const [index, rank] of [...R.ranks.keys()].entries()) {
		weightSoFar += weights[index] ?? 0;
		const end =
			nnodes === null
				? Math.ceil((weightSoFar * ntasks) / total)
				: next + Math.floor(ntasks / nnodes) + (index < ntasks % nnodes ? 1 : 0);
		tasks.set(
			rank,
			Array.from({length: end - next}, (_, offset) => next + offset),
		);
		next = end;
	}
	return tasks;
}

function recordOf({id, attempt, ...rest}: StartMessage): JobRecord {
	return {id: String(id), attempt, ...rest};
}
