/**
 * Goal: `run` and `job attach` pass on what they read, once, whatever happens to their connection, and touch nothing where there is
 * nothing to read. Method: a scripted broker that keeps what is written to the job, and ends the job when that has its end.
 */
import test from 'ava';
import {encodeEvent} from '../../src/formats/eventlog.ts';
import {unwrapSigned} from '../../src/formats/sign-none.ts';
import {jobEvents, JOB_F58, JOB_ID, serveJob} from './fake-job.ts';
import {FakeWorld, until} from './fake-world.ts';

interface Write {
	readonly writer: string;
	readonly offset: number;
	readonly data?: string;
	readonly eof?: boolean;
	readonly rank: string;
	readonly winsize?: {readonly rows: number; readonly cols: number};
}

/** A job that ends with its input; `cuts`: the writes whose answers are lost. */
function serveReader(world: FakeWorld, cuts: readonly number[] = []) {
	const {broker} = world;
	serveJob(broker, {events: [], output: []});
	const kept = {text: '', ends: 0, sizes: [] as string[]};
	let count = 0;
	broker.on('job-input.write', request => {
		const {offset, data = '', eof = false, winsize} = request.payload as Write;
		const bytes = Buffer.from(data, 'base64').toString();
		kept.text += bytes.slice(kept.text.length - offset);
		if (winsize !== undefined) kept.sizes.push(`${winsize.rows}x${winsize.cols}`);
		if (eof && kept.ends === 0) kept.ends += 1;
		if (cuts.includes(count++)) broker.cut();
		else request.respond({offset: kept.text.length, taken: true, closed: eof});
	});
	broker.on('job-info.eventlog-watch', request => {
		const {path} = request.payload as {path: string};
		const events = path === 'eventlog' ? jobEvents({status: 0}) : [];
		const start = events.findIndex(({name}) => name === 'start') + 1;
		for (const event of events.slice(0, start)) request.respondStream({event: encodeEvent(event)});
		void until(() => kept.ends > 0 || !request.isOpen, 'the job has the end of its input').then(() => {
			if (!request.isOpen) return;
			for (const event of events.slice(start)) request.respondStream({event: encodeEvent(event)});
			request.end();
		});
	});
	return kept;
}

async function* chunks(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
	for (const text of texts) yield Buffer.from(text);
}

/** The shell options of the job that was submitted. */
function optionsOf({broker}: FakeWorld): Record<string, unknown> {
	const {J} = broker.payloadsOf('job-ingest.submit')[0] as {J: string};
	const jobspec = JSON.parse(unwrapSigned(J).payload) as {
		attributes: {system: {shell?: {options?: Record<string, unknown>}}};
	};
	return jobspec.attributes.system.shell?.options ?? {};
}

test('what is read goes to all tasks, and then its end', async t => {
	const world = new FakeWorld();
	const kept = serveReader(world);
	const {exitCode} = await world.run(['run', 'cat'], {stdin: chunks('one ', 'two')});
	t.is(exitCode, 0);
	t.like(kept, {text: 'one two', ends: 1});
	t.deepEqual(optionsOf(world), {input: {stdin: {type: 'service'}}});
	const writes = world.broker.payloadsOf('job-input.write') as Write[];
	t.true(writes.every(({rank}) => rank === 'all'));
	t.is(new Set(writes.map(({writer}) => writer)).size, 1);
});

test('input that can be read only in part is told, ends, and is no success', async t => {
	const world = new FakeWorld();
	const kept = serveReader(world);
	const stdin = (async function* () {
		yield Buffer.from('one ');
		throw Object.assign(new Error('EIO: i/o error, read'), {code: 'EIO'});
	})();
	const {exitCode, stderr} = await world.run(['run', 'cat'], {stdin});
	t.is(exitCode, 1);
	t.is(stderr, 'coppice run: standard input: EIO: i/o error, read\n');
	t.like(kept, {text: 'one ', ends: 1});
});

test('answers that are lost with their connection double nothing', async t => {
	const world = new FakeWorld();
	const kept = serveReader(world, [0, 2, 3]);
	const {exitCode} = await world.run(['run', 'cat'], {stdin: chunks('one ', 'two ', 'three')});
	t.is(exitCode, 0);
	t.like(kept, {text: 'one two three', ends: 1});
	t.true(world.broker.connections > 1);
});

test('without anything to read, or with a file, the job’s stdin is nobody’s', async t => {
	for (const [argv, options] of [
		[['run', 'true'], {}],
		[['run', '--input=in.txt', 'true'], {input: {stdin: {type: 'file', path: 'in.txt'}}}],
		[['run', '--input=none', 'true'], {}],
	] as const) {
		const world = new FakeWorld();
		serveJob(world.broker, {events: jobEvents({status: 0}), output: []});
		const stdin = argv.length > 2 ? {stdin: chunks('x')} : {};
		t.is((await world.run(argv, stdin)).exitCode, 0);
		t.deepEqual(optionsOf(world), options);
		t.deepEqual(world.broker.payloadsOf('job-input.write'), []);
	}
});

test('a job that has not started leaves standard input alone', async t => {
	const world = new FakeWorld();
	serveJob(world.broker, {events: jobEvents(null), output: []});
	let wasRead = false;
	const stdin = (async function* () {
		wasRead = true;
		yield Buffer.from('x');
	})();
	await world.run(['run', 'cat'], {stdin});
	t.false(wasRead);
});

test('--input with tasks gives it to these', async t => {
	const world = new FakeWorld();
	serveReader(world);
	await world.run(['run', '-n4', '--input=0,2-3', 'cat'], {stdin: chunks('x')});
	t.deepEqual(optionsOf(world), {input: {stdin: {type: 'service', ranks: '0,2-3'}}});
});

const INTERACTIVE = {
	version: 1,
	attributes: {system: {duration: 0, shell: {options: {pty: {interactive: 1}}}}},
};

test('attach leaves a job alone that takes no input, and with --read-only every job', async t => {
	for (const [jobspec, argv] of [
		[{attributes: {system: {duration: 0}}}, []],
		[INTERACTIVE, ['--read-only']],
	] as const) {
		const world = new FakeWorld();
		serveJob(world.broker, {events: jobEvents({status: 0}), output: []});
		world.broker.answer('job-info.lookup', {id: JOB_ID, jobspec: JSON.stringify(jobspec)});
		t.is((await world.run(['job', 'attach', ...argv, JOB_F58], {stdin: chunks('x')})).exitCode, 0);
		t.deepEqual(world.broker.payloadsOf('job-input.write'), []);
	}
});

test('a terminal is passed on with its size; Ctrl-] leaves, after what was typed before it', async t => {
	const world = new FakeWorld();
	const kept = serveReader(world);
	world.broker.answer('job-info.lookup', {id: JOB_ID, jobspec: JSON.stringify(INTERACTIVE)});
	const {exitCode, stderr} = await world.run(['job', 'attach', JOB_F58], {
		stdin: chunks('ls\r', 'exit\u001dx'),
		terminalSize: {rows: 30, columns: 90},
	});
	t.is(exitCode, 0);
	t.is(
		stderr,
		`coppice job attach: detached from ${JOB_F58}, which goes on; coppice job attach ${JOB_F58} takes it up again\n`,
	);
	t.deepEqual(kept, {text: 'ls\rexit', ends: 0, sizes: ['30x90']});
});

test('the size of the terminal is in the jobspec of a job that has one', async t => {
	const world = new FakeWorld();
	serveReader(world);
	const terminalSize = {rows: 30, columns: 90};
	await world.run(['run', '-o', 'pty.interactive', 'sh'], {stdin: chunks('\u001d'), terminalSize});
	t.deepEqual(optionsOf(world)['pty'], {rows: 30, columns: 90, interactive: 1});
});
