/** Goal: every task is started on exactly one rank, within its slots, and output goes where its template says. */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import type {CommandOptions} from '../../../src/formats/jobspec-from-command.ts';
import {parseJobspec, requestOf} from '../../../src/formats/jobspec.ts';
import {storeJobspec} from '../../../src/formats/stored-jobspec.ts';
import type {Json} from '../../../src/machines/job.ts';
import {launchSpecOf, tasksOf} from '../../../src/services/job-exec/launch-spec.ts';
import {ResourcePool} from '../../../src/services/resource/pool.ts';
import {jobspecOf, resourcesOf} from '../job-fixture.ts';

const ID = 1_234n;

function startMessageOf(options: Partial<CommandOptions>, nodes = 2, cores = 8) {
	const jobspec = jobspecOf(options);
	const R = new ResourcePool(resourcesOf(nodes, cores)).find(requestOf(parseJobspec(jobspec)), () => true)!;
	return {
		id: ID,
		attempt: 2,
		userid: 1000,
		urgency: 16,
		flags: 0,
		jobspec,
		R: R.encode() as unknown as Json,
		submitMs: 1,
		allocMs: 2,
	};
}

const specOf = (options: Partial<CommandOptions>, rank = 0) =>
	launchSpecOf(startMessageOf(options), {rank, uri: 'local:///run/x', killTimeoutMs: 5000});

test('tasks are numbered through, each on one rank, no rank beyond its slots, the fullest one task above the emptiest', t => {
	let spread = 0;
	fc.assert(
		fc.property(
			fc.integer({min: 1, max: 40}),
			fc.option(fc.integer({min: 1, max: 12})),
			fc.integer({min: 1, max: 3}),
			(ntasks, wanted, coresPerTask) => {
				const nnodes = wanted === null ? undefined : Math.min(wanted, ntasks);
				const options = {ntasks, coresPerTask, ...(nnodes === undefined ? {} : {nnodes})};
				const jobspec = parseJobspec(jobspecOf(options));
				const R = new ResourcePool(resourcesOf(12, 12)).find(requestOf(jobspec), () => true);
				if (R === null) return;
				const tasks = tasksOf(jobspec, R);
				assert.deepEqual([...tasks.keys()], [...R.ranks.keys()]);
				assert.deepEqual(
					[...tasks.values()].flat(),
					Array.from({length: ntasks}, (_, task) => task),
				);
				for (const [rank, here] of tasks) {
					assert.ok(
						here.length * coresPerTask <= R.ranks.get(rank)!.cores.count,
						`rank ${rank}: ${here.length}`,
					);
				}
				if (nnodes === undefined) return;
				spread += 1;
				const counts = [...tasks.values()].map(({length}) => length);
				assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, counts.join());
				assert.deepEqual(
					counts,
					[...counts].sort((a, b) => b - a),
					'the first nodes take what is over',
				);
			},
		),
		{numRuns: 300, seed: 2},
	);
	t.true(spread > 80);
});

test('a total below the slots leaves no task out and none twice, whatever the nodes hold', t => {
	const jobspec = jobspecOf({ntasks: 8});
	const R = resourcesOf(4, 2);
	for (let total = 1; total <= 8; total += 1) {
		const counted = parseJobspec({...jobspec, tasks: [{...jobspec.tasks[0], count: {total}}]});
		const tasks = tasksOf(counted, R);
		t.deepEqual(
			[...tasks.values()].flat(),
			Array.from({length: total}, (_, task) => task),
		);
		t.true([...tasks.values()].every(({length}) => length <= 2));
	}
});

test('a spec says what to run, where, for how long, and all that is needed to register the job again', t => {
	const message = startMessageOf({
		argv: ['/bin/echo', 'a b'],
		durationS: 1.5,
		environment: {A: '1', GONE: null},
	});
	const spec = launchSpecOf(message, {rank: 0, uri: 'local:///run/x', killTimeoutMs: 5000});
	t.deepEqual(spec.argv, ['/bin/echo', 'a b']);
	t.is(spec.cwd, '/work');
	t.is(spec.durationMs, 1500);
	t.is(spec.killTimeoutMs, 5000);
	t.deepEqual(spec.tasks, [0]);
	t.deepEqual([spec.stdout, spec.stderr], [null, null]);
	t.deepEqual(spec.env, {
		A: '1',
		COPPICE_URI: 'local:///run/x',
		COPPICE_JOB_ID: 'fNH',
		COPPICE_JOB_SIZE: '1',
		COPPICE_JOB_NNODES: '1',
		COPPICE_JOB_ATTEMPT: '2',
	});
	t.deepEqual(JSON.parse(spec.record), {...message, id: '1234'});
});

test('a job without processes is launched from its outline, and can be registered again with environment and files', t => {
	const exec = {test: {run_duration: 1}};
	const environment = {A: '1'};
	const asked = startMessageOf({environment, systemAttributes: {exec, files: {script: {data: 'x'}}}});
	const message = {...asked, jobspec: storeJobspec(asked.jobspec)};
	const spec = launchSpecOf(message, {rank: 0, uri: 'local:///run/x', killTimeoutMs: 5000});
	t.deepEqual(spec.test, {runMs: 1000, waitStatus: 0});
	t.false('A' in spec.env);
	t.is(spec.carried, undefined);
	t.deepEqual(JSON.parse(spec.record), {...message, id: '1234'});
});

test('what another rank sent is checked before anything is made of it', t => {
	const {jobspec, ...message} = startMessageOf({environment: {A: '1'}});
	const launch = (text: string) =>
		launchSpecOf({...message, jobspec: {json: text}}, {rank: 0, uri: 'local:///x', killTimeoutMs: 5000});
	t.is(launch(JSON.stringify(jobspec)).env['A'], '1');
	for (const text of ['{}', 'null', '{"attributes":{}}', '{'])
		t.throws(() => launch(text), {code: 'EINVAL', message: /jobspec/});
});

test('a rank without a part of the job gets no task', t => {
	t.deepEqual(specOf({}, 5).tasks, []);
});

const outputTo = (path: string, stream = 'stdout') => ({
	shellOptions: {output: {[stream]: {type: 'file', path}}},
});

for (const [template, expected] of [
	['out', '/work/out'],
	['/abs/out', '/abs/out'],
	['{{id}}.out', '/work/fNH.out'],
	['{{ jobid }}', '/work/fNH'],
	['{{id.dec}}-{{id.hex}}', '/work/1234-0x4d2'],
	['{{name}}.{{nnodes}}.{{size}}.{{attempt}}', '/work/true.2.4.2'],
	['{{node.id}}/{{node.name}}', '/work/1/n1'],
	['{{taskid}}-{{task.id}}-{{task.rank}}', '/work/{{task.id}}-{{task.id}}-{{task.id}}'],
	['{{nothing.such}}', '/work/{{nothing.such}}'],
	['{{id}', '/work/{{id}'],
] as const) {
	test(`output to ${template} goes to ${expected}`, t => {
		t.is(specOf({...outputTo(template), ntasks: 4, nnodes: 2}, 1).stdout, expected);
	});
}

test('stderr follows stdout, unless it has a path of its own', t => {
	t.is(specOf(outputTo('both')).stderr, '/work/both');
	const own = {shellOptions: {output: {stdout: {path: 'o'}, stderr: {path: 'e'}}}};
	t.deepEqual([specOf(own).stdout, specOf(own).stderr], ['/work/o', '/work/e']);
	const only = specOf(outputTo('e', 'stderr'));
	t.deepEqual([only.stdout, only.stderr], [null, '/work/e']);
});
