/** Goal: directives are read as RFC 36 says, and a batch job carries its script. Method: rows, and a scripted broker. */
import test from 'ava';
import {batchDirectives} from '../../src/cli/submit/batch-directives.ts';
import {unwrapSigned} from '../../src/formats/sign-none.ts';
import {FakeWorld} from './fake-world.ts';

const ROWS: readonly [title: string, script: string, words: readonly string[]][] = [
	['none', '#!/bin/sh\necho', []],
	['one', '#!/bin/sh\n# coppice: -n4 -c 2\necho', ['-n4', '-c', '2']],
	['COPPICE', '#COPPICE: -N1 # one node\n#COPPICE: --queue=batch\n', ['-N1', '--queue=batch']],
	['those of Flux', '# flux: -n2\n', ['-n2']],
	['ours before those of Flux', '# flux: -n2\n# coppice: -n3\n', ['-n3']],
	[
		'comments between',
		'# coppice: -n1\n# Set job name:\n\n# coppice: --job-name=x\n',
		['-n1', '--job-name=x'],
	],
	[
		'quotes',
		`# coppice: --setattr=user.a='{"b": "c d"}' "x\\"y" z\\ z\n`,
		['--setattr=user.a={"b": "c d"}', 'x"y', 'z z'],
	],
	['triple quotes', `# coppice: --job-name='''It's a "job"'''\n`, [`--job-name=It's a "job"`]],
	[
		'several lines',
		'# coppice: --setattr=user.conf="""\n# coppice: [config]\n# coppice:   item = "foo"\n# coppice: """\n# coppice: -n1\n',
		['--setattr=user.conf=[config]\n  item = "foo"\n', '-n1'],
	],
	['in Lua', '#!/usr/bin/lua\n--\n-- coppice: -N1 --exclusive\nlocal x\n', ['-N1', '--exclusive']],
	['in a docstring', 'def main():\n    """\n    coppice: -n4\n    """\n', ['-n4']],
];

for (const [title, script, words] of ROWS) {
	test(`directives: ${title}`, t => {
		t.deepEqual(
			batchDirectives(script, 'job.sh').flatMap(directive => directive.words),
			words,
		);
	});
}

test('a directive after other lines, and a quote that is not closed, name their line', t => {
	t.throws(() => batchDirectives('# coppice: -n1\necho\n# coppice: -c2\n', 'job.sh'), {
		message: /job\.sh:3: a directive after other lines/,
	});
	for (const open of [`'x`, `"x`, `x '''y`]) {
		t.throws(() => batchDirectives(`#!/bin/sh\n# coppice: ${open}\n`, 'job.sh'), {
			message: /job\.sh:2: .* is not closed/,
		});
	}
	t.throws(() => batchDirectives('# coppice: x="""\nnothing\n', 'job.sh'), {message: /""" is not closed/});
});

interface Spec {
	readonly resources: unknown;
	readonly tasks: readonly [{readonly command: readonly string[]; readonly count: unknown}];
	readonly attributes: {
		readonly system: {
			readonly files: Readonly<Record<string, {readonly data: string; readonly mode: number}>>;
			readonly job: {readonly name: string};
			readonly shell: {readonly options: {readonly output: {readonly stdout: {readonly path: string}}}};
		};
	};
}

async function batch(argv: readonly string[], files: Record<string, string>, input = ''): Promise<Spec> {
	const world = new FakeWorld();
	world.broker.answer('job-ingest.submit', {id: 1});
	const {exitCode, stderr} = await world.run(['batch', ...argv], {files, input});
	if (exitCode !== 0) throw new Error(stderr);
	const [request] = world.broker.payloadsOf('job-ingest.submit') as {J: string}[];
	return JSON.parse(unwrapSigned(request!.J).payload) as Spec;
}

test('the script travels in the job, with one task and all slots on one node', async t => {
	const script = '#!/bin/sh\n# coppice: -n4 -c2 --job-name=inner\necho\n';
	const {resources, tasks, attributes} = await batch(['-n3', '/p/job.sh', 'a', '-b'], {'/p/job.sh': script});
	t.deepEqual(resources, [
		{
			type: 'node',
			count: 1,
			with: [{type: 'slot', count: 3, with: [{type: 'core', count: 2}], label: 'task'}],
		},
	]);
	t.deepEqual(tasks[0].command, ['/opt/coppice/bin/coppice', 'batch-task', 'a', '-b']);
	t.deepEqual(tasks[0].count, {total: 1});
	t.is(attributes.system.files['script']?.data, script);
	t.is(attributes.system.files['script']?.mode, 0o700);
	t.is(attributes.system.job.name, 'inner');
	t.is(attributes.system.shell.options.output.stdout.path, 'coppice-{{id}}.out');
});

test('a script comes from standard input, or is wrapped', async t => {
	const piped = await batch(['--nslots=2', '--output=o'], {}, '#!/bin/sh\necho 1\n');
	t.is(piped.attributes.system.files['script']?.data, '#!/bin/sh\necho 1\n');
	t.is(piped.attributes.system.job.name, 'script');
	t.is(piped.attributes.system.shell.options.output.stdout.path, 'o');
	const wrapped = await batch(['--wrap', 'echo', 'a b', "it's"], {});
	t.is(wrapped.attributes.system.files['script']?.data, `#!/bin/sh\necho 'a b' 'it'\\''s'\n`);
	t.is(wrapped.attributes.system.job.name, 'echo');
});

test('what is no script, several nodes, and bad directives are refused', async t => {
	const files = {
		bin: '\x7fELF',
		two: '#!/bin/sh\n# coppice: -N2\n',
		odd: '#!/bin/sh\n# coppice: foo\n',
		bad: '#!/bin/sh\n# coppice: --nope\n',
		late: '#!/bin/sh\n#\n# coppice: -n1\n# coppice: -t 5x\n',
	};
	const rows: readonly [string, RegExp][] = [
		['bin', /bin: ENOEXEC: not a script/],
		['two', /two:2: option --nodes: 2 nodes: .* not available yet/],
		['odd', /odd:2: directive: 'foo' is not an option/],
		['bad', /bad:2: unknown option --nope/],
		['late', /late:4: option --time-limit: invalid duration "5x"/],
		['none', /ENOENT: none/],
	];
	for (const [name, message] of rows) {
		await t.throwsAsync(batch([name], files), {message}, name);
	}
});
