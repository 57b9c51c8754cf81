/**
 * Task maps (RFC 34): which node runs which task. Kept as blocks `[nodeid, nnodes, ppn, repeat]`, each of which gives,
 * `repeat` times, `ppn` consecutive tasks to each of `nnodes` consecutive nodes. No blocks: the map is unknown.
 */
import {SystemError} from './errno.ts';
import {Idset} from './idset.ts';
import {quote} from './quote.ts';
import {asArray, asInteger, asObject, fault, isObject} from './shape.ts';

export type TaskmapBlock = readonly [nodeid: number, nnodes: number, ppn: number, repeat: number];

export type Taskmap = readonly TaskmapBlock[];

/** The most tasks of a map. */
export const TASKMAP_TASKS_MAX = 2 ** 20;

/**
 * Reads a map: the JSON object `{version: 1, map: […]}`, its array alone, or the raw form `0-1;2-3`.
 *
 * @throws {SystemError} EINVAL that says what is wrong, ERANGE beyond the limit.
 */
export function parseTaskmap(value: unknown): Taskmap {
	if (typeof value === 'string') return parseRaw(value);
	if (!isObject(value)) return parseBlocks(value, 'taskmap');
	const {version, map} = asObject(value, 'taskmap');
	if (version !== 1) throw fault('taskmap.version', '1', version);
	return parseBlocks(map, 'taskmap.map');
}

/** `{version: 1, map: […]}`. */
export function encodeTaskmap(map: Taskmap): {readonly version: 1; readonly map: Taskmap} {
	return {version: 1, map};
}

/** The raw form: the task ids of each node as an idset, nodes separated by `;`. */
export function encodeRawTaskmap(map: Taskmap): string {
	return tasksByNode(map)
		.map(ids => ids.toString())
		.join(';');
}

/** The value of PMI_process_mapping: `(vector,(0,4,4))`; `(vector)` for an unknown map. */
export function encodePmiTaskmap(map: Taskmap): string {
	const vectors = map.flatMap(([nodeid, nnodes, ppn, repeat]) =>
		Array.from({length: repeat}, () => `(${nodeid},${nnodes},${ppn})`),
	);
	return `(${['vector', ...vectors].join(',')})`;
}

/** The map that fills node after node: `tasksPerNode[i]` tasks on node i. */
export function blockTaskmap(tasksPerNode: readonly number[]): Taskmap {
	const runs = tasksPerNode.map((ppn, nodeid) => ({nodeid, ppn}));
	return compress(runs.filter(({ppn}) => ppn > 0));
}

/** The map that deals tasks out round by round, `stride` at a time to each node that still has room. */
export function cyclicTaskmap(tasksPerNode: readonly number[], stride = 1): Taskmap {
	const rounds = tasksPerNode.reduce((most, count) => Math.max(most, count), 0);
	const runs: Run[] = [];
	for (let round = 0; round < rounds; round += stride) {
		for (const [nodeid, count] of tasksPerNode.entries()) {
			if (count > round) runs.push({nodeid, ppn: Math.min(stride, count - round)});
		}
	}
	return compress(runs);
}

export function taskCount(map: Taskmap): number {
	return map.reduce((sum, [, nnodes, ppn, repeat]) => sum + nnodes * ppn * repeat, 0);
}

/** One more than the highest node id. */
export function nodeCount(map: Taskmap): number {
	return map.reduce((most, [nodeid, nnodes]) => Math.max(most, nodeid + nnodes), 0);
}

/** The task ids of each node, by node id. */
export function tasksByNode(map: Taskmap): Idset[] {
	const tasks = Array.from({length: nodeCount(map)}, (): number[] => []);
	let task = 0;
	for (const [nodeid, nnodes, ppn, repeat] of map) {
		for (let round = 0; round < repeat; round += 1) {
			for (let node = nodeid; node < nodeid + nnodes; node += 1) {
				for (let i = 0; i < ppn; i += 1, task += 1) tasks[node]!.push(task);
			}
		}
	}
	return tasks.map(ids => Idset.from(ids));
}

/** Consecutive tasks on one node. */
interface Run {
	readonly nodeid: number;
	readonly ppn: number;
}

function parseBlocks(value: unknown, path: string): Taskmap {
	let tasks = 0;
	return asArray(value, path).map((item, i) => {
		const at = `${path}[${i}]`;
		const block = asArray(item, at);
		if (block.length !== 4) throw fault(at, 'of the form [nodeid,nnodes,ppn,repeat]', item);
		const [nodeid, nnodes, ppn, repeat] = [
			asInteger(block[0], `${at}[0]`, 0),
			asInteger(block[1], `${at}[1]`, 1),
			asInteger(block[2], `${at}[2]`, 1),
			asInteger(block[3], `${at}[3]`, 1),
		];
		tasks += nnodes * ppn * repeat;
		if (tasks > TASKMAP_TASKS_MAX || nodeid + nnodes > TASKMAP_TASKS_MAX) throw tooLarge();
		return [nodeid, nnodes, ppn, repeat] as const;
	});
}

function parseRaw(text: string): Taskmap {
	if (text === '') return [];
	const nodes = text.split(';', TASKMAP_TASKS_MAX + 1).map(ids => Idset.parse(ids));
	const count = nodes.reduce((sum, ids) => sum + ids.count, 0);
	if (count > TASKMAP_TASKS_MAX || nodes.length > TASKMAP_TASKS_MAX) throw tooLarge();
	const nodeOf = new Array<number | undefined>(count).fill(undefined);
	for (const [nodeid, ids] of nodes.entries()) {
		for (const task of ids) {
			if (task >= count) throw invalidRaw(text, `there are ${count} tasks, but task ${task} is among them`);
			if (nodeOf[task] !== undefined) throw invalidRaw(text, `task ${task} is on two nodes`);
			nodeOf[task] = nodeid;
		}
	}
	// `count` different ids below `count`: none is missing.
	return compress(nodeOf.map(nodeid => ({nodeid: nodeid!, ppn: 1})));
}

/** The shortest blocks of this greedy kind: equal neighbours first, then runs of nodes, then repetitions. */
function compress(tasks: readonly Run[]): Taskmap {
	const runs: {nodeid: number; ppn: number}[] = [];
	for (const {nodeid, ppn} of tasks) {
		const previous = runs.at(-1);
		if (previous?.nodeid === nodeid) previous.ppn += ppn;
		else runs.push({nodeid, ppn});
	}
	const blocks: [number, number, number, number][] = [];
	for (const {nodeid, ppn} of runs) {
		const previous = blocks.at(-1);
		if (previous !== undefined && previous[0] + previous[1] === nodeid && previous[2] === ppn)
			previous[1] += 1;
		else blocks.push([nodeid, 1, ppn, 1]);
	}
	const map: [number, number, number, number][] = [];
	for (const block of blocks) {
		const previous = map.at(-1);
		if (previous !== undefined && [0, 1, 2].every(i => previous[i] === block[i])) previous[3] += 1;
		else map.push(block);
	}
	return map;
}

function invalidRaw(text: string, why: string): SystemError {
	return new SystemError('EINVAL', `invalid taskmap ${quote(text)}: ${why}`);
}

function tooLarge(): SystemError {
	return new SystemError('ERANGE', `invalid taskmap: more than ${TASKMAP_TASKS_MAX} tasks or nodes`);
}
