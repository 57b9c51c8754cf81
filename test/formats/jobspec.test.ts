/** Goal: jobspecs of V1 are accepted, anything else is refused with the path of the fault. */
import test from 'ava';
import fc from 'fast-check';
import {jobspecFromCommand} from '../../src/formats/jobspec-from-command.ts';
import {parseJobspec, requestOf, updateJobspec} from '../../src/formats/jobspec.ts';

const EXAMPLE = {
	version: 1,
	resources: [
		{
			type: 'node',
			count: 4,
			with: [{type: 'slot', count: 1, label: 'default', with: [{type: 'core', count: 2}]}],
		},
	],
	tasks: [{command: ['app'], slot: 'default', count: {per_slot: 1}}],
	attributes: {system: {duration: 3600, cwd: '/home/flux'}},
};

/** The example with the value at a dotted path replaced; undefined removes it. */
function changed(path: string, value: unknown): unknown {
	const copy = structuredClone(EXAMPLE) as unknown;
	const names = path.split('.');
	const last = names.pop()!;
	let at = copy as Record<string, unknown>;
	for (const name of names) at = at[name] as Record<string, unknown>;
	if (value === undefined) delete at[last];
	else at[last] = value;
	return copy;
}

const SLOT = 'resources.0.with.0';
const SLOT_PATH = 'jobspec.resources[0].with[0]';
const SYSTEM = 'jobspec.attributes.system';

test('the example of RFC 25 is accepted and asks for what it says', t => {
	const jobspec = parseJobspec(EXAMPLE);
	t.deepEqual(requestOf(jobspec), {
		nslots: 4,
		coresPerSlot: 2,
		gpusPerSlot: 0,
		nnodes: 4,
		exclusive: false,
		ntasks: 4,
	});
});

const faults: readonly (readonly [path: string, value: unknown, message: string])[] = [
	['version', 2, 'jobspec.version: must be 1, is 2'],
	['version', undefined, 'jobspec.version: must be 1, is missing'],
	['extra', 1, 'jobspec.extra: unknown member'],
	['resources', [], 'jobspec.resources: must be one node or slot, is []'],
	['resources', {}, 'jobspec.resources: must be an array, is {}'],
	['resources.0.type', 'rack', 'jobspec.resources[0].type: must be node or slot, is "rack"'],
	['resources.0.count', 0, 'jobspec.resources[0].count: must be an integer >= 1, is 0'],
	['resources.0.count', {min: 1}, 'jobspec.resources[0].count: must be an integer >= 1, is {"min":1}'],
	['resources.0.count', 2 ** 20 + 1, 'jobspec.resources[0].count: must be at most 1048576, is 1048577'],
	['resources.0.exclusive', 1, 'jobspec.resources[0].exclusive: must be true or false, is 1'],
	['resources.0.unit', 1, 'jobspec.resources[0].unit: must be a string, is 1'],
	['resources.0.label', 'x', 'jobspec.resources[0].label: must be on a slot only'],
	['resources.0.with', undefined, 'jobspec.resources[0].with: must be an array, is missing'],
	[`${SLOT}.count`, 0, `${SLOT_PATH}.count: must be an integer >= 1, is 0`],
	[`${SLOT}.count`, 1.5, `${SLOT_PATH}.count: must be an integer >= 1, is 1.5`],
	[`${SLOT}.type`, 'core', `${SLOT_PATH}.type: must be slot, is "core"`],
	[`${SLOT}.label`, undefined, `${SLOT_PATH}.label: must be a string, is missing`],
	[`${SLOT}.colour`, 1, `${SLOT_PATH}.colour: unknown member`],
	[`${SLOT}.with`, [], `${SLOT_PATH}.with: must be one core and at most one gpu, is []`],
	[`${SLOT}.with`, [{type: 'gpu', count: 1}], `${SLOT_PATH}.with: must be one core`],
	[`${SLOT}.with.0.count`, '2', `${SLOT_PATH}.with[0].count: must be an integer >= 1, is "2"`],
	[`${SLOT}.with.0.with`, [], `${SLOT_PATH}.with[0].with: must be absent from a core`],
	[`${SLOT}.with.1`, {type: 'core', count: 1}, `${SLOT_PATH}.with[1].type: must be there once, is "core"`],
	['tasks', [], 'jobspec.tasks: must be one task, is []'],
	['tasks.0.command', 'app', 'jobspec.tasks[0].command: must be an array, is "app"'],
	['tasks.0.command', [], 'jobspec.tasks[0].command: must be a program and its arguments, is []'],
	['tasks.0.command', [''], 'jobspec.tasks[0].command[0]: must be the name of a program'],
	['tasks.0.command', ['a', 1], 'jobspec.tasks[0].command[1]: must be a string, is 1'],
	['tasks.0.command', ['a', 'b\0'], 'jobspec.tasks[0].command[1]: must be without NUL'],
	['tasks.0.slot', 'task', 'jobspec.tasks[0].slot: must be the label of the slot, "default", is "task"'],
	['tasks.0.count', {}, 'jobspec.tasks[0].count: must be either per_slot or total, is {}'],
	['tasks.0.count', {total: 1, per_slot: 1}, 'jobspec.tasks[0].count: must be either per_slot or total'],
	['tasks.0.count', {total: 5}, 'jobspec.tasks[0].count.total: must be at most the number of slots, 4, is 5'],
	['tasks.0.count', {per_slot: 2 ** 20}, 'jobspec.tasks[0].count: must be at most 1048576 tasks'],
	['attributes', undefined, 'jobspec.attributes: must be an object, is missing'],
	['attributes.sytem', {}, 'jobspec.attributes.sytem: unknown member'],
	['attributes.system.duration', undefined, `${SYSTEM}.duration: must be a number >= 0, is missing`],
	['attributes.system.duration', -1, `${SYSTEM}.duration: must be a number >= 0, is -1`],
	['attributes.system.duration', Infinity, `${SYSTEM}.duration: must be a number >= 0, is Infinity`],
	['attributes.system.queue', 1, `${SYSTEM}.queue: must be a string, is 1`],
	['attributes.system.environment', {A: 1}, `${SYSTEM}.environment.A: must be a string, is 1`],
	['attributes.system.environment', {'A=B': ''}, `${SYSTEM}.environment: "A=B" can't be the name`],
	['attributes.system.shell', {options: 1}, `${SYSTEM}.shell.options: must be an object, is 1`],
	['attributes.system.job', {name: 1}, `${SYSTEM}.job.name: must be a string, is 1`],
	['attributes.system.dependencies', [{scheme: 'a'}], `${SYSTEM}.dependencies[0].value: must be a string`],
	['attributes.system.constraints', {and: [{x: []}]}, `${SYSTEM}.constraints.and[0].x: unknown operator`],
];

for (const [path, value, message] of faults) {
	test(`${path} = ${JSON.stringify(value)} is refused by its path`, t => {
		const error = t.throws(() => parseJobspec(changed(path, value)), {code: 'EINVAL'});
		t.true(error?.message.startsWith(message), `${error?.message} | ${message}`);
	});
}

test('counts that are fine each may not multiply beyond the limit', t => {
	const jobspec = changed('resources.0.count', 2 ** 19) as typeof EXAMPLE;
	jobspec.resources[0]!.with[0]!.count = 3;
	t.throws(() => parseJobspec(jobspec), {
		message: 'jobspec.resources: must be at most 1048576 slots, is 1572864',
	});
});

test('attributes of all kinds are accepted and kept', t => {
	const system = {
		duration: 0.5,
		environment: {A: 'b', UNSET: null},
		constraints: {and: [{properties: ['^a']}, {not: [{hostlist: ['n[1-3]']}]}]},
		dependencies: [{scheme: 'afterok', value: 'ƒ1'}],
		shell: {options: {verbose: 2}, other: true},
		job: {name: 'n'},
		files: {},
		'preemptible-after': 10,
	};
	const value = changed('attributes', {system, user: {x: 1}});
	t.deepEqual(parseJobspec(value).attributes as unknown, {system, user: {x: 1}});
});

test('a command becomes the shapes of Flux', t => {
	const {resources, tasks, attributes} = jobspecFromCommand({argv: ['/bin/hostname', '-s'], ntasks: 3});
	t.deepEqual(resources as unknown, [
		{type: 'slot', count: 3, with: [{type: 'core', count: 1}], label: 'task'},
	]);
	t.deepEqual(tasks as unknown, [{command: ['/bin/hostname', '-s'], slot: 'task', count: {per_slot: 1}}]);
	t.deepEqual(attributes as unknown, {system: {duration: 0, shell: {options: {}}, job: {name: 'hostname'}}});

	const spread = jobspecFromCommand({
		argv: ['a'],
		ntasks: 5,
		nnodes: 2,
		gpusPerTask: 1,
		coresPerTask: 2,
		exclusive: true,
	});
	t.deepEqual(spread.resources as unknown, [
		{
			type: 'node',
			count: 2,
			exclusive: true,
			with: [
				{
					type: 'slot',
					count: 3,
					with: [
						{type: 'core', count: 2},
						{type: 'gpu', count: 1},
					],
					label: 'task',
				},
			],
		},
	]);
	t.deepEqual(spread.tasks[0].count, {total: 5});
	t.deepEqual(requestOf(spread), {
		nslots: 6,
		coresPerSlot: 2,
		gpusPerSlot: 1,
		nnodes: 2,
		exclusive: true,
		ntasks: 5,
	});
});

test('all options of a command end up in its attributes', t => {
	const {attributes} = jobspecFromCommand({
		argv: ['a'],
		durationS: 60,
		cwd: '/tmp',
		environment: {A: 'b'},
		name: 'n',
		queue: 'q',
		bank: 'b',
		project: 'p',
		shellOptions: {verbose: 1},
		constraints: {ranks: ['0']},
		dependencies: [{scheme: 'after', value: '1'}],
		systemAttributes: {x: 1, shell: {options: {pmi: 'off'}, y: 2}, job: {z: 3}},
		userAttributes: {u: 1},
	});
	t.deepEqual(attributes as unknown, {
		system: {
			x: 1,
			duration: 60,
			cwd: '/tmp',
			environment: {A: 'b'},
			queue: 'q',
			bank: 'b',
			project: 'p',
			constraints: {ranks: ['0']},
			dependencies: [{scheme: 'after', value: '1'}],
			shell: {options: {pmi: 'off', verbose: 1}, y: 2},
			job: {z: 3, name: 'n'},
		},
		user: {u: 1},
	});
});

test('commands that make no sense are refused with the reason', t => {
	const argv = ['a'];
	t.throws(() => jobspecFromCommand({argv: []}), {code: 'EINVAL', message: /no command/});
	t.throws(() => jobspecFromCommand({argv, ntasks: 0}), {
		message: 'task count: must be an integer >= 1, is 0',
	});
	t.throws(() => jobspecFromCommand({argv, nnodes: 2}), {message: /node count \(2\) .* task count \(1\)/});
	t.throws(() => jobspecFromCommand({argv, exclusive: true}), {
		message: /only be asked for with a node count/,
	});
	t.throws(() => jobspecFromCommand({argv, coresPerTask: 0}), {message: /cores per task/});
	t.throws(() => jobspecFromCommand({argv, gpusPerTask: -1}), {message: /gpus per task/});
	t.throws(() => jobspecFromCommand({argv, durationS: -1}), {message: /duration/});
});

test('every command asks for as many tasks as it was told, on enough slots', t => {
	const count = fc.integer({min: 1, max: 64});
	fc.assert(
		fc.property(
			count,
			fc.option(count, {nil: null}),
			count,
			fc.nat(3),
			(ntasks, nnodes, coresPerTask, gpusPerTask) => {
				fc.pre(nnodes === null || nnodes <= ntasks);
				const shape = {argv: ['a'], ntasks, coresPerTask, gpusPerTask};
				const request = requestOf(jobspecFromCommand(nnodes === null ? shape : {...shape, nnodes}));
				t.is(request.ntasks, ntasks);
				t.is(request.nnodes, nnodes);
				t.true(request.nslots >= ntasks && request.nslots < ntasks + (nnodes ?? 1));
				t.is(request.coresPerSlot, coresPerTask);
				t.is(request.gpusPerSlot, gpusPerTask);
			},
		),
	);
});

test('updates replace attributes by dotted path, and only attributes', t => {
	const jobspec = parseJobspec(EXAMPLE);
	const updated = updateJobspec(jobspec, {
		'attributes.system.duration': 60,
		'attributes.system.job.name': 'x',
		'attributes.system.cwd': null,
	});
	t.deepEqual(updated.attributes as unknown, {system: {duration: 60, job: {name: 'x'}}});
	t.is(jobspec.attributes.system.duration, 3600);
	t.deepEqual(updated.resources, jobspec.resources);
	for (const path of ['version', 'resources.0.count', 'attributes', 'attributes..x', '']) {
		t.throws(() => updateJobspec(jobspec, {[path]: 1}), {code: 'EINVAL'}, path);
	}
	t.throws(() => updateJobspec(jobspec, {'attributes.system.duration': -1}), {message: /duration/});
	t.throws(() => updateJobspec(jobspec, {'attributes.system.duration.x': 1}), {message: /must be an object/});
});
