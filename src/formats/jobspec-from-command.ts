/** Jobspecs made from what the command line says, in the shapes of Flux: `slot>core` or `node>slot>core`, with gpus. */
import type {Constraint} from './constraint.ts';
import type {Dependency} from './dependency.ts';
import {SystemError} from './errno.ts';
import type {Jobspec, JobspecTask, LeafVertex, SlotVertex} from './jobspec.ts';
import {parseJobspec} from './jobspec.ts';
import type {Members} from './shape.ts';

export interface CommandOptions {
	readonly argv: readonly string[];
	/** Default 1. */
	readonly ntasks?: number;
	/** Nodes to spread the tasks over; absent: any number. */
	readonly nnodes?: number;
	/** Default 1. */
	readonly coresPerTask?: number;
	/** Default 0. */
	readonly gpusPerTask?: number;
	/** Several tasks on one slot, instead of one; then `ntasks` counts slots. Default 1. */
	readonly tasksPerSlot?: number;
	/** Tasks, if fewer than slots: the others are resources of theirs. */
	readonly taskTotal?: number;
	/** Whole nodes; needs `nnodes`. Default false. */
	readonly exclusive?: boolean;
	/** Seconds; 0, the default: no limit. */
	readonly durationS?: number;
	readonly cwd?: string;
	readonly environment?: Readonly<Record<string, string | null>>;
	/** The job's name. Default: the last part of argv[0]. */
	readonly name?: string;
	readonly queue?: string;
	readonly bank?: string;
	readonly project?: string;
	readonly shellOptions?: Members;
	readonly constraints?: Constraint;
	readonly dependencies?: readonly Dependency[];
	/** Further attributes below `attributes.system`; what is named there replaces the ones above. */
	readonly systemAttributes?: Members;
	/** `attributes.user`. */
	readonly userAttributes?: Members;
}

/**
 * The jobspec of a command. One slot a task; when the tasks can't be spread evenly over the nodes, each node gets the
 * slots of the fullest and the task count is a total.
 *
 * @throws {SystemError} EINVAL with the reason, for combinations that make no sense and values out of range.
 */
export function jobspecFromCommand(options: CommandOptions): Jobspec {
	const {argv, ntasks = 1, nnodes, exclusive = false, tasksPerSlot = 1} = options;
	if (argv.length === 0) throw new SystemError('EINVAL', 'no command: at least a program is needed');
	assertCount(ntasks, 'task count', 1);
	assertCount(tasksPerSlot, 'tasks per slot', 1);
	if (nnodes === undefined) {
		if (exclusive) throw new SystemError('EINVAL', 'exclusive nodes can only be asked for with a node count');
		return assemble(options, [slotOf(options, ntasks)], {per_slot: tasksPerSlot});
	}
	assertCount(nnodes, 'node count', 1);
	if (nnodes > ntasks) {
		throw new SystemError('EINVAL', `node count (${nnodes}) must not be greater than task count (${ntasks})`);
	}
	const slot = slotOf(options, Math.ceil(ntasks / nnodes));
	const node = {type: 'node', count: nnodes, ...(exclusive ? {exclusive} : {}), with: [slot]} as const;
	const {taskTotal = ntasks % nnodes === 0 ? undefined : ntasks} = options;
	return assemble(options, [node], taskTotal === undefined ? {per_slot: tasksPerSlot} : {total: taskTotal});
}

const LABEL = 'task';

function slotOf({coresPerTask = 1, gpusPerTask = 0}: CommandOptions, count: number): SlotVertex {
	assertCount(coresPerTask, 'cores per task', 1);
	assertCount(gpusPerTask, 'gpus per task', 0);
	const leaves: LeafVertex[] = [{type: 'core', count: coresPerTask}];
	if (gpusPerTask > 0) leaves.push({type: 'gpu', count: gpusPerTask});
	return {type: 'slot', count, with: leaves, label: LABEL};
}

function assemble(
	options: CommandOptions,
	resources: Jobspec['resources'],
	count: JobspecTask['count'],
): Jobspec {
	const {argv, durationS = 0, cwd, environment, queue, bank, project, constraints, dependencies} = options;
	const {shellOptions, userAttributes, name = baseName(argv[0]!)} = options;
	const {job, shell, ...others} = (options.systemAttributes ?? {}) as {job?: Members; shell?: Members};
	const system = {
		duration: durationS,
		...(cwd === undefined ? {} : {cwd}),
		...(environment === undefined ? {} : {environment}),
		...(queue === undefined ? {} : {queue}),
		...(bank === undefined ? {} : {bank}),
		...(project === undefined ? {} : {project}),
		...(constraints === undefined ? {} : {constraints}),
		...(dependencies === undefined || dependencies.length === 0 ? {} : {dependencies}),
		...others,
		shell: {...shell, options: {...(shell?.['options'] as Members | undefined), ...shellOptions}},
		job: {...job, name},
	};
	return parseJobspec({
		version: 1,
		resources,
		tasks: [{command: argv, slot: LABEL, count}],
		attributes: {system, ...(userAttributes === undefined ? {} : {user: userAttributes})},
	});
}

function assertCount(value: number, what: string, min: number): void {
	if (!Number.isSafeInteger(value) || value < min) {
		throw new SystemError('EINVAL', `${what}: must be an integer >= ${min}, is ${value}`);
	}
}

function baseName(path: string): string {
	return path.slice(path.replace(/\/+$/, '').lastIndexOf('/') + 1);
}
