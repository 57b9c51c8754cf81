/**
 * Goal: `run` gives the exact output and the right status, whatever happens to its connection. Method: a scripted
 * broker that cuts its links at chosen messages, and a table of endings.
 */
import test from 'ava';
import fc from 'fast-check';
import type {EventlogEvent} from '../../src/formats/eventlog.ts';
import {unwrapSigned} from '../../src/formats/sign-none.ts';
import {SystemError} from '../../src/formats/errno.ts';
import {jobEvents, JOB_F58, serveJob, type Piece} from './fake-job.ts';
import {FakeWorld, until} from './fake-world.ts';

const bytesOf = (pieces: readonly Piece[], stream: string) =>
	Buffer.concat(pieces.filter(piece => piece.stream === stream).map(({bytes}) => bytes));

const pieces = fc.array(
	fc.record({
		task: fc.constant(0),
		stream: fc.constantFrom('stdout' as const, 'stderr' as const),
		bytes: fc.uint8Array({minLength: 1, maxLength: 40}),
	}),
	{maxLength: 12},
);

test('any cut of the output and any loss of the connection gives the exact bytes', async t => {
	let losses = 0;
	await fc.assert(
		fc.asyncProperty(
			pieces,
			fc.array(fc.nat({max: 12}), {maxLength: 5}),
			fc.array(fc.integer({min: 1, max: 9}), {minLength: 1, maxLength: 3}),
			fc.nat({max: 30}),
			async (output, cuts, pieceBytes, overlapBytes) => {
				const world = new FakeWorld();
				serveJob(world.broker, {events: jobEvents({status: 0}), output, cuts, pieceBytes, overlapBytes});
				const result = await world.run(['run', 'cat']);
				losses += world.broker.connections - 1;
				t.deepEqual(result.stdoutBytes, bytesOf(output, 'stdout'));
				t.deepEqual(result.stderrBytes, bytesOf(output, 'stderr'));
				t.is(result.exitCode, 0);
			},
		),
		{numRuns: 60},
	);
	t.true(losses > 20, `${losses} losses`);
});

test('streams that a broker ends while it goes down are taken up again', async t => {
	const world = new FakeWorld();
	const output = [{task: 0, stream: 'stdout', bytes: Buffer.from('the quick brown fox jumps')}] as const;
	const events = jobEvents({status: 0});
	serveJob(world.broker, {events, output, cuts: [3, 2, 1, 1], endsInsteadOfCut: true});
	const result = await world.run(['run', 'cat']);
	t.is(result.stdout, 'the quick brown fox jumps');
	t.is(result.exitCode, 0);
});

const exception = (context: object, timestamp = 100.8): EventlogEvent => ({
	timestamp,
	name: 'exception',
	context: context as NonNullable<EventlogEvent['context']>,
});
const cancel = exception({type: 'cancel', severity: 0, note: 'enough', userid: 1000});

const ENDINGS: readonly {
	readonly title: string;
	readonly events: readonly EventlogEvent[];
	readonly exitCode: number;
	readonly stderr: string;
}[] = [
	{title: 'success', events: jobEvents({status: 0}), exitCode: 0, stderr: ''},
	{title: 'an exit code, without a word', events: jobEvents({status: 42 << 8}), exitCode: 42, stderr: ''},
	{
		title: '128 + signal, one line',
		events: jobEvents({status: 9}),
		exitCode: 137,
		stderr: `coppice run: ${JOB_F58}: task(s) Killed\n`,
	},
	{
		title: '1 for an unknown outcome, one line',
		events: jobEvents({outcome: 'unknown'}),
		exitCode: 1,
		stderr: `coppice run: ${JOB_F58}: outcome unknown: the exit status of a task was lost\n`,
	},
	{
		title: '142 for a time limit',
		events: jobEvents({status: 14}, [exception({type: 'timeout', severity: 0, note: 'expired'})]),
		exitCode: 142,
		stderr: `coppice run: 0.800s: job.exception ${JOB_F58} type=timeout severity=0 expired\n`,
	},
	{
		title: '1 for a cancel of a running job, whatever its tasks said',
		events: jobEvents({status: 123 << 8}, [cancel]),
		exitCode: 1,
		stderr: `coppice run: 0.800s: job.exception ${JOB_F58} type=cancel severity=0 enough\n`,
	},
	{
		title: '1 for a cancel before the start',
		events: jobEvents(null, [cancel]),
		exitCode: 1,
		stderr: `coppice run: 0.800s: job.exception ${JOB_F58} type=cancel severity=0 enough\n`,
	},
	{
		title: '1 for another exception before the start',
		events: jobEvents(null, [exception({type: 'alloc', severity: 0, note: 'unsatisfiable'})]),
		exitCode: 1,
		stderr: `coppice run: 0.800s: job.exception ${JOB_F58} type=alloc severity=0 unsatisfiable\n`,
	},
	{
		title: "the tasks' status after an exception of the execution",
		events: jobEvents({status: 127 << 8}, [exception({type: 'exec', severity: 0, note: 'no such program'})]),
		exitCode: 127,
		stderr: `coppice run: 0.800s: job.exception ${JOB_F58} type=exec severity=0 no such program\n`,
	},
	{
		title: 'the first exception, not a later one',
		events: jobEvents({status: 15}, [cancel, exception({type: 'timeout', severity: 0, note: ''}, 100.9)]),
		exitCode: 1,
		stderr: `coppice run: 0.800s: job.exception ${JOB_F58} type=cancel severity=0 enough\n`,
	},
	{
		title: 'success after an exception that was not fatal',
		events: jobEvents({status: 0}, [exception({type: 'note', severity: 3, note: 'slow'})]),
		exitCode: 0,
		stderr: '',
	},
];

for (const {title, events, exitCode, stderr} of ENDINGS) {
	test(`run exits with ${title}`, async t => {
		const world = new FakeWorld();
		serveJob(world.broker, {events});
		const result = await world.run(['run', 'x']);
		t.deepEqual([result.exitCode, result.stderr], [exitCode, stderr]);
	});
}

test('an instance that stays away ends run with 125 and one line', async t => {
	const world = new FakeWorld();
	serveJob(world.broker, {events: jobEvents({status: 0}), cuts: [2]});
	const running = world.run(['run', '--reconnect-timeout=3s', 'x']);
	await until(() => world.broker.connections > 0, 'a connection');
	world.broker.isUp = false;
	world.broker.cut();
	const {exitCode, stdout, stderr} = await running;
	t.is(exitCode, 125);
	t.is(stdout, '');
	t.regex(stderr, /^coppice run: lost contact with local:\/\/\/run\/coppice\/local [^\n]*\n$/);
});

test('a broker that comes back and answers nothing is out of reach, too', async t => {
	const world = new FakeWorld();
	serveJob(world.broker, {events: jobEvents({status: 0}), cuts: [2]});
	world.broker.on('broker.ping', () => {});
	const running = world.run(['run', '--reconnect-timeout=3s', 'x']);
	await until(() => world.broker.payloadsOf('job-info.eventlog-watch').length > 1, 'the subscriptions');
	world.broker.on('job-info.eventlog-watch', () => {});
	world.broker.cut();
	const {exitCode, stderr} = await running;
	t.is(exitCode, 125);
	t.regex(stderr, /^coppice run: lost contact with [^\n]*; job \S+ is left as it is\n$/);
});

test('a submit whose answer was lost is sent again with the same request id', async t => {
	const world = new FakeWorld();
	serveJob(world.broker, {events: jobEvents({status: 0})});
	let attempts = 0;
	world.broker.on('job-ingest.submit', request => {
		attempts += 1;
		if (attempts <= 2) world.broker.cut();
		else request.respond({id: 14495537038360583n});
	});
	const {exitCode} = await world.run(['run', 'x']);
	t.is(exitCode, 0);
	const ids = world.broker
		.payloadsOf('job-ingest.submit')
		.map(payload => (payload as {request_id: string}).request_id);
	t.deepEqual(ids, ['uuid-1', 'uuid-1', 'uuid-1']);
});

test('with -v a lost connection and the exit code are told', async t => {
	const world = new FakeWorld();
	serveJob(world.broker, {events: jobEvents({status: 256}), cuts: [2]});
	const {exitCode, stderr} = await world.run(['run', '-v', 'x']);
	t.is(exitCode, 1);
	t.regex(stderr, /^coppice run: jobid: f2xC4BKSq4J$/m);
	t.regex(stderr, /^coppice run: lost contact with .*, reconnecting$/m);
	t.regex(stderr, /^coppice run: reconnected to /m);
	t.regex(stderr, /^coppice run: f2xC4BKSq4J: task\(s\) exited with exit code 1$/m);
});

test('lines are labeled with -l, whole ones and the last', async t => {
	const world = new FakeWorld();
	const output = [
		{task: 0, stream: 'stdout', bytes: Buffer.from('one\ntw')},
		{task: 1, stream: 'stdout', bytes: Buffer.from('eins\n')},
		{task: 0, stream: 'stdout', bytes: Buffer.from('o\nthree')},
	] as const;
	serveJob(world.broker, {events: jobEvents({status: 0}), output, tasks: 2, pieceBytes: [3]});
	const {stdout} = await world.run(['run', '-l', '-n2', 'x']);
	t.deepEqual(stdout.split('\n').sort(), ['', '0: one', '0: three', '0: two', '1: eins']);
});

test('one SIGINT cancels the job when stdout is no terminal, and run waits for its end', async t => {
	const world = new FakeWorld();
	const raised: unknown[] = [];
	const early = jobEvents({status: 0}).slice(0, 6);
	serveJob(world.broker, {events: jobEvents({status: 15}, [cancel])});
	world.broker.on('job-info.eventlog-watch', request => {
		const {path} = request.payload as {path: string};
		if (path !== 'eventlog') return;
		for (const event of early) request.respondStream({event: `${JSON.stringify(event)}\n`});
	});
	world.broker.on('job-manager.raise', request => {
		raised.push(request.payload);
		request.respond();
		serveJob(world.broker, {events: jobEvents({status: 15}, [cancel])});
		setTimeout(() => world.broker.cut(), 5); // Behind the answer.
	});
	const running = world.run(['run', 'x']);
	await until(() => world.broker.payloadsOf('job-info.eventlog-watch').length === 2, 'two subscriptions');
	world.signal('SIGINT');
	world.signal('SIGINT'); // As from a signal to the process group: counts once.
	const {exitCode, stderr} = await running;
	t.is(raised.length, 1);
	t.like(raised[0], {type: 'cancel', severity: 0});
	t.is(exitCode, 1);
	t.is(stderr.split('\n').length, 2);
});

test('on a terminal the first SIGINT asks and the second one cancels', async t => {
	const world = new FakeWorld();
	serveJob(world.broker, {events: []});
	world.broker.on('job-info.eventlog-watch', () => {});
	world.broker.on('job-manager.raise', request => {
		request.respond();
		serveJob(world.broker, {events: jobEvents({status: 15}, [cancel])});
		setTimeout(() => world.broker.cut(), 5); // Behind the answer.
	});
	const running = world.run(['run', 'x'], {isTerminal: true});
	await until(() => world.broker.payloadsOf('job-info.eventlog-watch').length === 2, 'two subscriptions');
	world.signal('SIGINT');
	t.is(world.broker.payloadsOf('job-manager.raise').length, 0);
	world.signal('SIGINT');
	const {exitCode, stderr} = await running;
	t.is(exitCode, 1);
	t.regex(stderr, /one more ctrl-C within 2s to cancel or ctrl-Z to detach/);
});

test('what the command line says reaches the jobspec', async t => {
	const world = new FakeWorld();
	serveJob(world.broker, {events: jobEvents({status: 0})});
	const options = ['-N2', '-n4', '-c2', '-t1.5', '--job-name=n', '--output=o.{{id}}', '-ocpu-affinity=off'];
	const more = [
		'--urgency=20',
		'--flags=debug',
		'--setattr=a.b=1',
		'--cwd=/tmp',
		'--env-remove=*',
		'--env=A=$HOME',
	];
	await world.run(['run', ...options, ...more, 'sh', '-c', '5'], {
		env: {COPPICE_JOB_CC: '9', COPPICE_URI: 'local:///x'},
	});
	const [payload] = world.broker.payloadsOf('job-ingest.submit') as [
		{J: string; urgency: number; flags: number},
	];
	const {payload: text, userid} = unwrapSigned(payload.J);
	t.is(userid, 1000);
	t.like(payload, {urgency: 20, flags: 2});
	t.deepEqual(JSON.parse(text), {
		version: 1,
		resources: [
			{
				type: 'node',
				count: 2,
				with: [{type: 'slot', count: 2, with: [{type: 'core', count: 2}], label: 'task'}],
			},
		],
		tasks: [{command: ['sh', '-c', '5'], slot: 'task', count: {per_slot: 1}}],
		attributes: {
			system: {
				a: {b: 1},
				duration: 90,
				cwd: '/tmp',
				environment: {A: '/home/u'},
				shell: {options: {output: {stdout: {type: 'file', path: 'o.{{id}}'}}, 'cpu-affinity': 'off'}},
				job: {name: 'n'},
			},
		},
	});
});

test('a submit that is refused is told with its errno', async t => {
	const world = new FakeWorld();
	world.broker.on('job-ingest.submit', () => {
		throw new SystemError('EROFS', 'the log is damaged: no new work');
	});
	const {exitCode, stderr} = await world.run(['run', 'x']);
	t.is(exitCode, 1);
	t.is(stderr, 'coppice run: EROFS: the log is damaged: no new work\n');
});

test('mistakes in the command line are usage errors', async t => {
	const world = new FakeWorld();
	for (const argv of [
		['run'],
		['run', '--frob', 'x'],
		['run', '-n0', 'x'],
		['run', '-nx', 'x'],
		['run', '--input=3-1', 'x'],
		['run', '--flags=frob', 'x'],
		['run', '--urgency=32', 'x'],
		['run', '-t', 'soon', 'x'],
		['frob'],
		['job'],
		['job', 'frob'],
	]) {
		const {exitCode, stderr, stdout} = await world.run(argv);
		t.is(exitCode, 2, argv.join(' '));
		t.regex(stderr, /^coppice.*: [^\n]+\n$/);
		t.is(stdout, '');
	}
	t.deepEqual(world.broker.asked, []);
});
