/** Goal: the unix transport keeps the contract, and treats socket files as it says. */
import {fork} from 'node:child_process';
import {createHash} from 'node:crypto';
import {once} from 'node:events';
import {chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {connect, createServer, type Socket} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {UnixTransport} from '../../../src/net/real/unix-transport.ts';
import {takeLock} from '../../../src/ports/real/kernel-lock.ts';
import type {Link} from '../../../src/ports/transport.ts';
import {until} from '../clocks.ts';
import {frameOf, pair, record, transportContract, type TransportFixture} from '../transport-contract.ts';

const pass = (durationMs: number) => new Promise<void>(resolve => setTimeout(resolve, durationMs));

function directoryOf(t: ExecutionContext): string {
	const directory = mkdtempSync(join(tmpdir(), 'coppice-net-'));
	t.teardown(() => rmSync(directory, {recursive: true, force: true}));
	return directory;
}

async function make(t: ExecutionContext): Promise<TransportFixture> {
	const transport = new UnixTransport();
	const address = `local://${directoryOf(t)}/socket`;
	return {server: transport, client: transport, address, until, pass, settle: async promise => promise};
}

// Serially: some of them keep the event loop busy, and others have 200 ms.
transportContract(test.serial, {name: 'unix', make});

async function serve(t: ExecutionContext, path: string): Promise<Link[]> {
	const links: Link[] = [];
	const listener = await new UnixTransport().listen(`local://${path}`, link => {
		record(link);
		links.push(link);
	});
	t.teardown(async () => {
		for (const link of links) link.destroy();
		await listener.close();
	});
	return links;
}

/** A process that listens at `path` and was then killed: its socket file is left. */
async function leaveDeadSocket(path: string): Promise<void> {
	const script = `require('node:net').createServer().listen(process.argv[1], () => process.send('up'))`;
	const child = fork('-e', [script, path], {execArgv: [], execPath: process.execPath});
	await once(child, 'message');
	child.kill('SIGKILL');
	await once(child, 'exit');
}

test.serial('a socket file that a dead process left is replaced', async t => {
	const path = `${directoryOf(t)}/socket`;
	await leaveDeadSocket(path);
	t.true(existsSync(path));
	await serve(t, path);
	const link = await new UnixTransport().connect(`local://${path}`, {timeoutMs: 1000});
	link.destroy();
	t.pass();
});

test.serial('of several processes that find a dead socket, exactly one gets it', async t => {
	const path = `${directoryOf(t)}/socket`;
	await leaveDeadSocket(path);
	const results = await Promise.allSettled([serve(t, path), serve(t, path), serve(t, path), serve(t, path)]);
	const refused = results.filter(result => result.status === 'rejected');
	t.is(refused.length, 3);
	for (const {reason} of refused) t.is((reason as {code: string}).code, 'EADDRINUSE');
	const link = await new UnixTransport().connect(`local://${path}`, {timeoutMs: 1000});
	link.destroy();
});

test.serial('while one process takes a dead socket over, another one is refused', async t => {
	const path = `${directoryOf(t)}/socket`;
	await leaveDeadSocket(path);
	const name = createHash('sha256').update(path).digest('hex').slice(0, 32);
	const lock = await takeLock(`coppice-listen-${name}`);
	t.teardown(() => lock!.release());
	await t.throwsAsync(serve(t, path), {code: 'EADDRINUSE', message: /another process is about to listen/});
});

test.serial('a file that is no socket is never removed', async t => {
	const path = `${directoryOf(t)}/socket`;
	writeFileSync(path, 'precious');
	await t.throwsAsync(serve(t, path), {code: 'EEXIST'});
	t.true(existsSync(path));
});

test.serial('a directory that is open to other users is refused', async t => {
	const directory = directoryOf(t);
	chmodSync(directory, 0o755);
	await t.throwsAsync(serve(t, `${directory}/socket`), {code: 'EPERM', message: /mode 0755.*0700/});
});

test.serial('a path longer than 107 bytes is refused, naming it; one of 107 bytes works', async t => {
	const directory = directoryOf(t);
	const longest = `${directory}/${'x'.repeat(107 - directory.length - 1)}`;
	await t.throwsAsync(serve(t, `${longest}y`), {code: 'EINVAL', message: /has 108 bytes/});
	await serve(t, longest);
	t.true(existsSync(longest));
});

test.serial('a directory that is not there is named', async t => {
	await t.throwsAsync(serve(t, `${directoryOf(t)}/none/socket`), {code: 'ENOENT', message: /none/});
});

test.serial('a listener that does not accept makes connect time out', async t => {
	const path = `${directoryOf(t)}/socket`;
	const script = `require('node:net').createServer().listen({path: process.argv[1], backlog: 1}, () => process.send('up'))`;
	const child = fork('-e', [script, path], {execArgv: [], execPath: process.execPath});
	t.teardown(() => child.kill('SIGKILL'));
	await once(child, 'message');
	child.kill('SIGSTOP');
	const transport = new UnixTransport();
	const links: Link[] = [];
	t.teardown(() => links.forEach(link => link.destroy()));
	const fill = async () => {
		for (;;) links.push(await transport.connect(`local://${path}`, {timeoutMs: 100}));
	};
	await t.throwsAsync(fill(), {code: 'ETIMEDOUT', message: /no answer within 100 ms/});
	await t.throwsAsync(serve(t, path), {code: 'EADDRINUSE'}); // Stopped is not dead.
});

async function rawClient(t: ExecutionContext): Promise<{socket: Socket; end: ReturnType<typeof record>}> {
	const path = `${directoryOf(t)}/socket`;
	const [link, socket] = await new Promise<[Link, Socket]>(resolve => {
		const accepted = new UnixTransport().listen(`local://${path}`, one => resolve([one, raw]));
		let raw: Socket;
		void accepted.then(listener => {
			t.teardown(async () => listener.close());
			raw = connect(path);
		});
	});
	t.teardown(() => socket.destroy());
	return {socket, end: record(link)};
}

test.serial('a peer that writes one byte at a time is understood', async t => {
	const {socket, end} = await rawClient(t);
	socket.setNoDelay();
	for (const byte of Buffer.concat([frameOf(20, 1), frameOf(3, 2)])) {
		await new Promise(resolve => socket.write(Buffer.from([byte]), resolve));
	}
	await until(() => end.frames.length === 2, 'two frames');
	t.deepEqual(end.frames, [frameOf(20, 1), frameOf(3, 2)]);
});

test.serial('garbage ends its link with the fault, and no other link', async t => {
	const {socket, end} = await rawClient(t);
	socket.on('error', () => {});
	socket.write('GET / HTTP/1.1\r\n\r\n');
	await until(() => end.ends.length === 1, 'the end');
	t.is(end.ends[0]!.code, 'EMSGSIZE');
	t.regex(end.ends[0]!.message, /frame of \d+ bytes exceeds FRAME_BYTES_MAX/);
});

test.serial('a stream cut in the middle of a frame says so', async t => {
	const {socket, end} = await rawClient(t);
	socket.end(frameOf(20, 1).subarray(0, 10));
	await until(() => end.ends.length === 1, 'the end');
	t.regex(end.ends[0]!.message, /in the middle of a frame, after 10 bytes/);
});

test.serial('a peer that only shuts its sending side, and reads nothing, does not keep the link', async t => {
	const path = `${directoryOf(t)}/socket`;
	const accepted: Socket[] = [];
	const server = createServer({allowHalfOpen: true, pauseOnConnect: true}, socket => accepted.push(socket));
	await new Promise<void>(resolve => server.listen(path, resolve));
	t.teardown(() => server.close());
	const end = record(await new UnixTransport().connect(`local://${path}`, {timeoutMs: 1000}));
	await until(() => accepted.length === 1, 'the connection');
	while (end.link.send(frameOf(100_000, 1)));
	accepted[0]!.end();
	await until(() => end.ends.length === 1, 'the end');
	t.is(end.ends[0]!.code, 'ECONNRESET');
	accepted[0]!.destroy();
});

test.serial('frames of one turn leave in one write', async t => {
	const fixture = await make(t);
	const [near, far] = await pair(t, fixture);
	for (let count = 0; count < 100; count++) near.link.send(frameOf(10, count));
	t.is(near.link.queuedBytes, 1700);
	await fixture.until(() => far.frames.length === 100, 'all frames');
	t.is(near.link.queuedBytes, 0);
	// Frames of one write arrive in one chunk: they are views of the same memory.
	t.is(new Set(far.frames.map(frame => frame.buffer)).size, 1);
});
