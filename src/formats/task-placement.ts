/** Where the tasks of a job run (`--taskmap`): from a scheme and the number of tasks on each node to a task map. */
import {SystemError} from './errno.ts';
import {parseJson} from './json.ts';
import {quote} from './quote.ts';
import {isObject} from './shape.ts';
import {blockTaskmap, cyclicTaskmap, nodeCount, parseTaskmap, taskCount, type Taskmap} from './taskmap.ts';

/** `attributes.system.shell.options.taskmap` of a jobspec. */
export interface TaskPlacement {
	/** `block`; `cyclic`, with tasks a round as its value (default 1); `manual`, with a map as its value. */
	readonly scheme: string;
	readonly value: string;
}

/** @throws {SystemError} EINVAL, ERANGE for a placement that makes no sense whatever the job is. */
export function checkPlacement(placement: unknown): TaskPlacement {
	if (!isObject(placement)) throw new SystemError('EINVAL', 'taskmap: must be an object {scheme, value}');
	const {scheme, value = ''} = placement;
	if (typeof scheme !== 'string' || typeof value !== 'string')
		throw new SystemError('EINVAL', 'taskmap: scheme and value must be texts');
	if (scheme === 'manual') parseManual(value);
	else if (scheme === 'cyclic') parseStride(value);
	else if (scheme !== 'block')
		throw new SystemError('EINVAL', `${quote(scheme)} is none of block, cyclic, manual`);
	return {scheme, value};
}

/**
 * The map of a job by its placement, undefined being `block`.
 *
 * @param tasksPerNode how many tasks the job's resources mean for each of its nodes
 * @throws {SystemError} EINVAL: a manual map has another number of tasks, or too many nodes.
 */
export function placeTasks(placement: TaskPlacement | undefined, tasksPerNode: readonly number[]): Taskmap {
	if (placement === undefined || placement.scheme === 'block') return blockTaskmap(tasksPerNode);
	if (placement.scheme === 'cyclic') return cyclicTaskmap(tasksPerNode, parseStride(placement.value));
	const map = parseManual(placement.value);
	const ntasks = tasksPerNode.reduce((sum, count) => sum + count, 0);
	if (taskCount(map) !== ntasks) {
		throw new SystemError('EINVAL', `taskmap: it has ${taskCount(map)} tasks, and the job has ${ntasks}`);
	}
	if (nodeCount(map) > tasksPerNode.length) {
		throw new SystemError(
			'EINVAL',
			`taskmap: it has ${nodeCount(map)} nodes, and the job has ${tasksPerNode.length}`,
		);
	}
	return map;
}

function parseManual(value: string): Taskmap {
	const isJson = /^\s*[[{]/.test(value);
	const map = parseTaskmap(isJson ? parseJson(value) : value);
	if (map.length === 0) throw new SystemError('EINVAL', 'taskmap: a manual map must not be empty');
	return map;
}

function parseStride(value: string): number {
	const stride = value === '' ? 1 : Number(value);
	if (!Number.isInteger(stride) || stride < 1)
		throw new SystemError('EINVAL', `cyclic:${value}: the tasks of a round must be an integer >= 1`);
	return stride;
}
