/** Goal: bulksubmit makes the jobs that Flux makes of the same line. Method: --dry-run, and a scripted broker. */
import test from 'ava';
import {unwrapSigned} from '../../src/formats/sign-none.ts';
import {encodeEvent} from '../../src/formats/eventlog.ts';
import {expandTemplate} from '../../src/cli/submit/bulk-template.ts';
import {parseDefinitions} from '../../src/cli/submit/define-expression.ts';
import {jobEvents} from './fake-job.ts';
import {FakeWorld, type FakeWorldOptions} from './fake-world.ts';

async function dryRun(line: string, options: FakeWorldOptions = {}): Promise<string[]> {
	const world = new FakeWorld();
	const {stdout, stderr, exitCode} = await world.run(
		['bulksubmit', '--dry-run', ...line.split(' ')],
		options,
	);
	if (exitCode !== 0) return [stderr];
	return stdout
		.trimEnd()
		.split('\n')
		.map(each => each.replace('bulksubmit: submit ', ''));
}

test('lists are combined, linked, cycled, and read from files and standard input', async t => {
	const files = {'in.txt': '7\n\n8\n', other: 'a,b\n'};
	t.deepEqual(await dryRun('echo {1} {0} ::: 1 2 ::: 3 4'), ['echo 3 1', 'echo 4 1', 'echo 3 2', 'echo 4 2']);
	t.deepEqual(await dryRun('echo {0} {1} ::: 1 2 :::+ 3 4'), ['echo 1 3', 'echo 2 4']);
	t.deepEqual(await dryRun('{0}{1} ::: 1 2 3 :::+ a b'), ['1a', '2b', '3a']);
	t.deepEqual(await dryRun(':::: in.txt', {files}), ['7', '8']);
	t.deepEqual(await dryRun('{0}{1} :::: in.txt ::::+ -', {files, input: 'x\ny\n'}), ['7x', '8y']);
	t.deepEqual(await dryRun('echo {}', {input: '1\n2\n'}), ['echo 1', 'echo 2']);
	t.deepEqual(await dryRun('--sep , echo {} :::: other', {files}), ['echo a', 'echo b']);
	t.deepEqual(await dryRun('-n {} x ::: 1 2'), ['--ntasks=1 x', '--ntasks=2 x']);
	t.deepEqual((await dryRun('--shuffle {} ::: 1 2 3')).sort(), ['1', '2', '3']);
});

test('replacement strings are those of Flux', t => {
	const values = {inputs: ['/a/b.c/file.tar.gz', 'plain'], sequence: 4};
	const rows: readonly [string, string][] = [
		['{}', '/a/b.c/file.tar.gz'],
		['{1}', 'plain'],
		['{.%}', '/a/b.c/file.tar'],
		['{./}', 'file.tar.gz'],
		['{./%}', 'file.tar'],
		['{.//}', '/a/b.c'],
		['{1.%}-{1./%}-{1.//}', 'plain-plain-'],
		['{seq}{seq1}', '45'],
		['{cc} {{id}} {{{}}}', '{cc} {{id}} {/a/b.c/file.tar.gz}'],
		['{print $1}', '{print $1}'],
	];
	for (const [template, expected] of rows) t.is(expandTemplate(template, values), expected, template);
	t.throws(() => expandTemplate('{2}', values), {message: /only 2 inputs/});
	t.throws(() => expandTemplate('{name}', values), {message: /no such replacement/});
	t.throws(() => expandTemplate('{.name}', values), {message: /--define/});
});

test('--define takes arithmetic as Python writes it, and refuses the rest', t => {
	const value = (code: string, x: string) => parseDefinitions([`f=${code}`])['f']!(x);
	t.is(value('2**int(x)', '5'), '32');
	t.is(value('-2**2', '0'), '-4');
	t.is(value('(int(x) + 1) * 3 // 2', '2'), '4');
	t.is(value('-7 % 3', ''), '2');
	t.is(value("x + '.out'", 'job'), 'job.out');
	t.is(value('max(len(x), 2, 1.5)', 'abcd'), '4');
	for (const bad of ['2+', 'y', 'import(x)', 'x;x', '(x', '__import__'])
		t.throws(() => parseDefinitions([`f=${bad}`]), {name: 'UsageError'}, bad);
	t.throws(() => value('1/int(x)', '0'), {message: /division by zero/});
	t.throws(() => value('int(x)', 'a'), {message: /'a' is no number/});
});

test('what is wrong is told before anything is submitted', async t => {
	const world = new FakeWorld();
	world.broker.answer('job-ingest.submit', {id: 1});
	const rows: readonly [string, RegExp][] = [
		['-n {} x ::: 1 0', /--ntasks: '0'/],
		['x {3} ::: a', /only 1 inputs/],
		['x :::+ a', /no inputs before/],
		['x ::::', /a file is missing/],
		['x :::: nowhere', /nowhere: ENOENT|ENOENT: nowhere/],
	];
	for (const [line, message] of rows) {
		const {exitCode, stderr} = await world.run(['bulksubmit', ...line.split(' ')]);
		t.true(exitCode === 1 || exitCode === 2, line);
		t.regex(stderr, message, line);
	}
	t.deepEqual(world.broker.asked, []);
});

test('each input and copy has its own request id, job, and file', async t => {
	const world = new FakeWorld();
	const sent: {id: string; command: readonly string[]; name: string}[] = [];
	world.broker.on('job-ingest.submit', request => {
		const {J, request_id: id} = request.payload as {J: string; request_id: string};
		const spec = JSON.parse(unwrapSigned(J).payload) as {
			tasks: [{command: string[]}];
			attributes: {system: {job: {name: string}}};
		};
		sent.push({id, command: spec.tasks[0].command, name: spec.attributes.system.job.name});
		request.respond({id: sent.length});
	});
	const line =
		'bulksubmit --request-id=r --cc={} --job-name={}-{cc} --log={0}.{cc} --env=-* echo {cc} ::: 1-2 7';
	t.is((await world.run(line.split(' '))).exitCode, 0);
	t.deepEqual(sent, [
		{id: 'r.0.1', command: ['echo', '1'], name: '1-2-1'},
		{id: 'r.0.2', command: ['echo', '2'], name: '1-2-2'},
		{id: 'r.1.7', command: ['echo', '7'], name: '7-7'},
	]);
	t.deepEqual(
		[...world.written],
		[
			['1-2.1', 'f2\n'],
			['1-2.2', 'f3\n'],
			['7.7', 'f4\n'],
		],
	);
});

test('--progress draws on a terminal only, and the last line says all', async t => {
	for (const isTerminal of [false, true]) {
		const world = new FakeWorld();
		let submitted = 0;
		world.broker.on('job-ingest.submit', request => request.respond({id: (submitted += 1)}));
		world.broker.on('job-info.endings', request => {
			const {ids} = request.payload as {ids: readonly number[]};
			for (const id of ids) {
				const eventlog = jobEvents({status: Number(id) === 2 ? 256 : 0})
					.map(encodeEvent)
					.join('');
				request.respondStream({endings: [{id, eventlog}]});
			}
			request.end();
		});
		const argv = ['submit', '--progress', '--jps', '--quiet', '--wait', '--cc=1-3', 'x'];
		const {exitCode, stderr, stdout} = await world.run(argv, {isTerminal});
		t.deepEqual([exitCode, stdout], [1, '']);
		if (isTerminal) t.regex(stderr, /PD:0 CD:2 F:1 \|#+\| 100\.0% [0-9.]+ job\/s\n$/);
		else t.is(stderr, '');
	}
});

test('--wait-event ends with the event, and tells of a job that ends without it', async t => {
	const world = new FakeWorld();
	let submitted = 0;
	world.broker.on('job-ingest.submit', request => request.respond({id: (submitted += 1)}));
	world.broker.on('job-info.eventlog-watch', request => {
		for (const event of jobEvents({status: 0})) request.respondStream({event: encodeEvent(event)});
		request.end();
	});
	t.is((await world.run(['submit', '--wait-event=start', '--cc=1-200', 'x'])).exitCode, 0);
	const {exitCode, stderr} = await world.run(['submit', '--wait-event=epilog-start', 'x']);
	t.is(exitCode, 1);
	t.regex(stderr, /ENODATA: event 'epilog-start' was never received/);
});
