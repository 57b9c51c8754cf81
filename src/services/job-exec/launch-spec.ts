/** From a start message to what the process host launches: tasks of this rank, environment, output paths. Pure. */
import {encodeJobid} from '../../formats/jobid.ts';
import {parseJobspec, requestOf, type Jobspec} from '../../formats/jobspec.ts';
import {ResourceSet} from '../../formats/resource-set.ts';
import {tasksByNode} from '../../formats/taskmap.ts';
import type {LaunchSpec} from '../../ports/process-host.ts';
import type {JobRecord, StartMessage} from './messages.ts';

export interface LaunchSettings {
	readonly rank: number;
	/** The URI of this rank's broker. */
	readonly uri: string;
	readonly killTimeoutMs: number;
	/** `exec.lease`; Infinity: none. */
	readonly leaseMs: number;
}

export function launchSpecOf(
	message: StartMessage,
	{rank, uri, killTimeoutMs}: Omit<LaunchSettings, 'leaseMs'>,
): LaunchSpec {
	const {id, attempt} = message;
	const jobspec = parseJobspec(message.jobspec);
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
	};
	const cwd = system.cwd ?? '/';
	const environment = Object.entries(system.environment ?? {}).filter(([, value]) => value !== null);
	return {
		id,
		attempt,
		argv: commandOf(jobspec),
		env: {
			...(Object.fromEntries(environment) as Record<string, string>),
			COPPICE_URI: uri,
			COPPICE_JOB_ID: encodeJobid(id, 'f58plain'),
			COPPICE_JOB_SIZE: String(ntasks),
			COPPICE_JOB_NNODES: String(R.nodeCount),
			COPPICE_JOB_ATTEMPT: String(attempt),
		},
		cwd,
		tasks: tasksOn(names.nodeIndex, message) ?? tasksOf(jobspec, R).get(rank) ?? [],
		durationMs: Math.round(system.duration * 1000),
		killTimeoutMs,
		stdout: outputPath(jobspec, 'stdout', names, cwd),
		stderr: outputPath(jobspec, 'stderr', names, cwd) ?? outputPath(jobspec, 'stdout', names, cwd),
		record: JSON.stringify(recordOf(message)),
	};
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

export function jobNameOf(jobspec: Jobspec): string {
	const name = jobspec.attributes.system.job?.name;
	if (name !== undefined) return name;
	return commandOf(jobspec)[0]?.split('/').at(-1) ?? '';
}

export function commandOf(jobspec: Jobspec): readonly string[] {
	return jobspec.tasks[0]?.command ?? [];
}

function recordOf({id, attempt, ...rest}: StartMessage): JobRecord {
	return {id: String(id), attempt, ...rest};
}

interface TemplateNames {
	readonly id: bigint;
	readonly attempt: number;
	readonly name: string;
	readonly nnodes: number;
	readonly ntasks: number;
	readonly rank: number;
	readonly nodeIndex: number;
	readonly host: string;
}

/** `attributes.system.shell.options.output.{stdout,stderr}.path`, as Flux writes `--output` and `--error`. */
function outputPath(
	jobspec: Jobspec,
	stream: 'stdout' | 'stderr',
	names: TemplateNames,
	cwd: string,
): string | null {
	const options = jobspec.attributes.system.shell?.options as
		{output?: Record<string, {type?: string; path?: string}>} | undefined;
	const path = options?.output?.[stream]?.path;
	if (path === undefined) return null;
	const expanded = path.replaceAll(
		/\{\{\s*([a-z_.0-9]+)\s*\}\}/g,
		(whole, tag: string) => expand(tag, names) ?? whole,
	);
	return expanded.startsWith('/') ? expanded : `${cwd}/${expanded}`;
}

/** Flux's mustache names; those of a task stay for the process host, which knows the task. */
function expand(tag: string, names: TemplateNames): string | null {
	const {id} = names;
	switch (tag) {
		case 'id':
		case 'jobid':
		case 'id.f58':
		case 'id.f58plain':
			return encodeJobid(id, 'f58plain');
		case 'id.dec':
			return encodeJobid(id, 'dec');
		case 'id.hex':
			return encodeJobid(id, 'hex');
		case 'id.dothex':
			return encodeJobid(id, 'dothex');
		case 'attempt':
			return String(names.attempt);
		case 'name':
			return names.name;
		case 'nnodes':
			return String(names.nnodes);
		case 'size':
		case 'ntasks':
			return String(names.ntasks);
		case 'node.id':
			return String(names.nodeIndex);
		case 'node.name':
			return names.host;
		case 'node.broker_rank':
			return String(names.rank);
		case 'taskid':
		case 'task.id':
		case 'task.rank':
			return '{{taskid}}';
		default:
			return null;
	}
}
