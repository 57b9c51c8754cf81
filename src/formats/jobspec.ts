/**
 * Jobspecs of version 1 (RFC 14, RFC 25): their type, the strict reader, and what a scheduler needs of one. A value of
 * type `Jobspec` has passed `parseJobspec` or was built by `jobspecFromCommand`.
 */
import {testExecutionOf} from './test-execution.ts';
import type {Constraint} from './constraint.ts';
import {checkConstraint} from './constraint.ts';
import type {Dependency} from './dependency.ts';
import {checkDependency} from './dependency.ts';
import {carriedFiles} from './carried-files.ts';
import {SystemError} from './errno.ts';
import type {Members} from './shape.ts';
import {
	asArray,
	asBoolean,
	asInteger,
	asNumber,
	asObject,
	asString,
	asStrings,
	fault,
	onlyMembers,
} from './shape.ts';

export interface Jobspec {
	readonly version: 1;
	readonly resources: readonly [NodeVertex | SlotVertex];
	readonly tasks: readonly [JobspecTask];
	readonly attributes: {readonly system: SystemAttributes; readonly user?: Members};
}

export interface NodeVertex {
	readonly type: 'node';
	readonly count: number;
	readonly unit?: string;
	readonly exclusive?: boolean;
	readonly with: readonly [SlotVertex];
}

export interface SlotVertex {
	readonly type: 'slot';
	/** Slots of each node, or of the job when there is no node above. */
	readonly count: number;
	readonly unit?: string;
	readonly exclusive?: boolean;
	readonly label: string;
	/** One `core`, and at most one `gpu`. */
	readonly with: readonly LeafVertex[];
}

export interface LeafVertex {
	readonly type: 'core' | 'gpu';
	/** Of each slot. */
	readonly count: number;
	readonly unit?: string;
	readonly exclusive?: boolean;
}

export interface JobspecTask {
	readonly command: readonly string[];
	/** The label of the slot. */
	readonly slot: string;
	readonly count: {readonly per_slot: number} | {readonly total: number};
}

/** The attributes that have a meaning here; others are kept as they are. */
export interface SystemAttributes extends Members {
	/** Seconds; 0: no limit. */
	readonly duration: number;
	readonly cwd?: string;
	/** A value of null unsets the variable. */
	readonly environment?: Readonly<Record<string, string | null>>;
	readonly queue?: string;
	readonly bank?: string;
	readonly project?: string;
	readonly dependencies?: readonly Dependency[];
	readonly constraints?: Constraint;
	readonly shell?: {readonly options?: Members} & Members;
	readonly job?: {readonly name?: string} & Members;
	readonly files?: Members;
}

/** What a scheduler must find. */
export interface ResourceRequest {
	/** Slots of the whole job. */
	readonly nslots: number;
	readonly coresPerSlot: number;
	readonly gpusPerSlot: number;
	/** Nodes to spread the slots over evenly, or null: any number of nodes. */
	readonly nnodes: number | null;
	/** Whole nodes, shared with no other job. */
	readonly exclusive: boolean;
	readonly ntasks: number;
}

/** The most slots, nodes, tasks, and cores or gpus of a slot: as ranks in an R. */
export const JOBSPEC_COUNT_MAX = 2 ** 20;

/**
 * Reads a jobspec of version 1.
 *
 * @throws {SystemError} EINVAL with the path of the fault, as in
 * `jobspec.resources[0].with[0].count: must be an integer >= 1, is 0`.
 */
export function parseJobspec(value: unknown): Jobspec {
	const jobspec = asObject(value, 'jobspec');
	if (KNOWN_GOOD.has(jobspec)) return jobspec as unknown as Jobspec;
	onlyMembers(jobspec, 'jobspec', ['version', 'resources', 'tasks', 'attributes']);
	if (jobspec['version'] !== 1) throw fault('jobspec.version', '1', jobspec['version']);
	const slot = checkResources(jobspec['resources']);
	checkTasks(jobspec['tasks'], slot);
	checkAttributes(jobspec['attributes']);
	const checked = jobspec as unknown as Jobspec;
	checkTotals(checked);
	KNOWN_GOOD.add(jobspec);
	return checked;
}

/** What was read before: jobspecs are never changed in place, and each job's is asked for several times. */
const KNOWN_GOOD = new WeakSet<object>();

/** What `jobspec` asks for. */
export function requestOf(jobspec: Jobspec): ResourceRequest {
	const top = jobspec.resources[0];
	const node = top.type === 'node' ? top : null;
	const slot = top.type === 'node' ? top.with[0] : top;
	const nslots = (node?.count ?? 1) * slot.count;
	const countOf = (type: LeafVertex['type']) => slot.with.find(leaf => leaf.type === type)?.count ?? 0;
	const {count} = jobspec.tasks[0];
	return {
		nslots,
		coresPerSlot: countOf('core'),
		gpusPerSlot: countOf('gpu'),
		nnodes: node?.count ?? null,
		exclusive: (node?.exclusive ?? false) || (slot.exclusive ?? false),
		ntasks: 'total' in count ? count.total : count.per_slot * nslots,
	};
}

/** Its name: what was given, or the program's. */
export function jobNameOf(jobspec: Jobspec): string {
	const name = jobspec.attributes.system.job?.name;
	if (name !== undefined) return name;
	return commandOf(jobspec)[0]?.split('/').at(-1) ?? '';
}

export function commandOf(jobspec: Jobspec): readonly string[] {
	return jobspec.tasks[0]?.command ?? [];
}

/**
 * The jobspec with the attributes at dotted paths replaced, as `{"attributes.system.duration": 60}` of a
 * `jobspec-update` event (RFC 21); missing objects on the way are made, null removes.
 *
 * @throws {SystemError} EINVAL when a path does not begin with `attributes.` or the outcome is no jobspec.
 */
export function updateJobspec(jobspec: Jobspec, updates: Members): Jobspec {
	let updated: Members = jobspec as unknown as Members;
	for (const [path, value] of Object.entries(updates)) {
		const names = path.split('.');
		if (names[0] !== 'attributes' || names.length < 2 || names.includes('')) {
			throw new SystemError(
				'EINVAL',
				`jobspec update ${JSON.stringify(path)}: must be attributes.NAME[.NAME]...`,
			);
		}
		updated = replaceAt(updated, names, value);
	}
	return parseJobspec(updated);
}

/** Returns the label of the slot. */
function checkResources(value: unknown): string {
	const top = checkOne(value, 'jobspec.resources', ['node', 'slot']);
	if (top.type === 'slot') return checkSlot(top.vertex, 'jobspec.resources[0]');
	const slot = checkOne(top.vertex['with'], 'jobspec.resources[0].with', ['slot']);
	if (top.vertex['label'] !== undefined)
		throw fault('jobspec.resources[0].label', 'on a slot only', 'on a node');
	return checkSlot(slot.vertex, 'jobspec.resources[0].with[0]');
}

function checkOne(
	value: unknown,
	path: string,
	types: readonly string[],
): {readonly type: string; readonly vertex: Members} {
	const vertices = asArray(value, path);
	if (vertices.length !== 1) throw fault(path, `one ${types.join(' or ')}`, vertices);
	return checkVertex(vertices[0], `${path}[0]`, types);
}

function checkVertex(
	value: unknown,
	path: string,
	types: readonly string[],
): {readonly type: string; readonly vertex: Members} {
	const vertex = asObject(value, path);
	onlyMembers(vertex, path, ['type', 'count', 'unit', 'with', 'label', 'exclusive']);
	const type = asString(vertex['type'], `${path}.type`);
	if (!types.includes(type)) throw fault(`${path}.type`, types.join(' or '), type);
	const count = asInteger(vertex['count'], `${path}.count`, 1);
	if (count > JOBSPEC_COUNT_MAX) throw fault(`${path}.count`, `at most ${JOBSPEC_COUNT_MAX}`, count);
	if (vertex['unit'] !== undefined) asString(vertex['unit'], `${path}.unit`);
	if (vertex['exclusive'] !== undefined) asBoolean(vertex['exclusive'], `${path}.exclusive`);
	return {type, vertex};
}

function checkSlot(slot: Members, path: string): string {
	const label = asString(slot['label'], `${path}.label`);
	const seen = new Set<string>();
	for (const [i, value] of asArray(slot['with'], `${path}.with`).entries()) {
		const at = `${path}.with[${i}]`;
		const {type, vertex} = checkVertex(value, at, ['core', 'gpu']);
		if (seen.has(type)) throw fault(`${at}.type`, 'there once', type);
		seen.add(type);
		for (const name of ['with', 'label']) {
			if (vertex[name] !== undefined) throw fault(`${at}.${name}`, `absent from a ${type}`, vertex[name]);
		}
	}
	if (!seen.has('core')) throw fault(`${path}.with`, 'one core and at most one gpu', slot['with']);
	return label;
}

function checkTasks(value: unknown, label: string): void {
	const tasks = asArray(value, 'jobspec.tasks');
	if (tasks.length !== 1) throw fault('jobspec.tasks', 'one task', tasks);
	const path = 'jobspec.tasks[0]';
	const task = asObject(tasks[0], path);
	onlyMembers(task, path, ['command', 'slot', 'count']);
	const command = asStrings(task['command'], `${path}.command`);
	if (command.length === 0) throw fault(`${path}.command`, 'a program and its arguments', command);
	if (command[0] === '') throw fault(`${path}.command[0]`, 'the name of a program', '');
	for (const [i, word] of command.entries()) {
		if (word.includes('\0')) throw fault(`${path}.command[${i}]`, 'without NUL', word);
	}
	if (task['slot'] !== label) {
		throw fault(`${path}.slot`, `the label of the slot, ${JSON.stringify(label)}`, task['slot']);
	}
	const count = asObject(task['count'], `${path}.count`);
	onlyMembers(count, `${path}.count`, ['per_slot', 'total']);
	const names = Object.keys(count);
	if (names.length !== 1) throw fault(`${path}.count`, 'either per_slot or total', count);
	asInteger(count[names[0]!], `${path}.count.${names[0]}`, 1);
}

function checkAttributes(value: unknown): void {
	const attributes = asObject(value, 'jobspec.attributes');
	onlyMembers(attributes, 'jobspec.attributes', ['system', 'user']);
	if (attributes['user'] !== undefined) asObject(attributes['user'], 'jobspec.attributes.user');
	const path = 'jobspec.attributes.system';
	const system = asObject(attributes['system'], path);
	asNumber(system['duration'], `${path}.duration`, 0);
	for (const name of ['cwd', 'queue', 'bank', 'project']) {
		if (system[name] !== undefined) asString(system[name], `${path}.${name}`);
	}
	if (system['environment'] !== undefined) checkEnvironment(system['environment'], `${path}.environment`);
	if (system['constraints'] !== undefined) checkConstraint(system['constraints'], `${path}.constraints`);
	if (system['dependencies'] !== undefined) {
		for (const [i, dependency] of asArray(system['dependencies'], `${path}.dependencies`).entries()) {
			checkDependency(dependency, `${path}.dependencies[${i}]`);
		}
	}
	if (system['shell'] !== undefined) {
		const shell = asObject(system['shell'], `${path}.shell`);
		if (shell['options'] !== undefined) asObject(shell['options'], `${path}.shell.options`);
	}
	if (system['job'] !== undefined) {
		const job = asObject(system['job'], `${path}.job`);
		if (job['name'] !== undefined) asString(job['name'], `${path}.job.name`);
	}
	testExecutionOf(system);
	if (system['files'] !== undefined) carriedFiles(system['files'], `${path}.files`);
}

function checkEnvironment(value: unknown, path: string): void {
	const environment = asObject(value, path);
	for (const name of Object.keys(environment)) {
		const text = environment[name];
		if (name === '' || name.includes('=') || name.includes('\0')) {
			throw new SystemError('EINVAL', `${path}: ${JSON.stringify(name)} can't be the name of a variable`);
		}
		if (text === null) continue;
		if (asString(text, `${path}.${name}`).includes('\0')) throw fault(`${path}.${name}`, 'without NUL', text);
	}
}

/** Products of counts that are fine each on its own. */
function checkTotals(jobspec: Jobspec): void {
	const {nslots, ntasks} = requestOf(jobspec);
	if (nslots > JOBSPEC_COUNT_MAX)
		throw fault('jobspec.resources', `at most ${JOBSPEC_COUNT_MAX} slots`, nslots);
	const {count} = jobspec.tasks[0];
	if ('total' in count && count.total > nslots) {
		throw fault('jobspec.tasks[0].count.total', `at most the number of slots, ${nslots}`, count.total);
	}
	if (ntasks > JOBSPEC_COUNT_MAX)
		throw fault('jobspec.tasks[0].count', `at most ${JOBSPEC_COUNT_MAX} tasks`, ntasks);
}

function replaceAt(object: Members, [name, ...rest]: readonly string[], value: unknown): Members {
	const key = name!;
	if (rest.length === 0) {
		const {[key]: _, ...others} = object;
		return value === null ? others : {...others, [key]: value};
	}
	const child = Object.hasOwn(object, key) ? object[key] : {};
	return {...object, [key]: replaceAt(asObject(child, `jobspec: ${key}`), rest, value)};
}
