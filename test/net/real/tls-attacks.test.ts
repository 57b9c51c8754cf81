/**
 * Goal: whoever has not the instance's key gets nowhere, is told about with its address and the reason, and disturbs nobody.
 * Method: a link of two brokers is there before each attack, and must answer during it and after it.
 */
import {randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {connect, createServer as createTcpServer, type AddressInfo, type Socket} from 'node:net';
import {connect as connectTls, createSecureContext, createServer, type ConnectionOptions} from 'node:tls';
import test, {type ExecutionContext} from 'ava';
import type {ErrnoName} from '../../../src/formats/errno.ts';
import type {AcceptLimits, Refusal} from '../../../src/net/real/tls-acceptor.ts';
import {ACCEPT_LIMITS, HANDSHAKES_MAX, TlsTransport} from '../../../src/net/real/tls-transport.ts';
import {until} from '../clocks.ts';
import {frameOf, pair, record, type End} from '../transport-contract.ts';
import {freePort} from '../free-port.ts';
import {INSTANCE, newKey} from './instance-key-fixture.ts';

const key = await newKey();
/** Another instance's key; under the same name, which must not matter. */
const foreign = await newKey(INSTANCE);

interface Scene {
	readonly port: number;
	readonly address: string;
	readonly refusals: Refusal[];
	readonly near: End;
	readonly far: End;
	/** One frame there and back over the link; resolves to the milliseconds it took. */
	answer(): Promise<number>;
}

async function setScene(t: ExecutionContext, limits: Partial<AcceptLimits> = {}): Promise<Scene> {
	const port = await freePort();
	const address = `tls://127.0.0.1:${port}`;
	const server = new TlsTransport(key, {...ACCEPT_LIMITS, ...limits});
	const refusals: Refusal[] = [];
	server.onRefused = refusal => refusals.push(refusal);
	const pass = (durationMs: number) => new Promise<void>(resolve => setTimeout(resolve, durationMs));
	const [near, far] = await pair(t, {
		server,
		client: new TlsTransport(key),
		address,
		until,
		pass,
		settle: async promise => promise,
	});
	const answer = async () => {
		const [heard, answered] = [far.frames.length, near.frames.length];
		const startMs = performance.now();
		near.link.send(frameOf(100, 1));
		await until(() => far.frames.length === heard + 1, 'a frame');
		far.link.send(frameOf(100, 2));
		await until(() => near.frames.length === answered + 1, 'its answer');
		t.deepEqual([near.ends, far.ends], [[], []]);
		return performance.now() - startMs;
	};
	return {port, address, refusals, near, far, answer};
}

interface Attacker {
	readonly socket: Socket;
	/** `host:port` as the broker sees it. */
	readonly address: string;
	readonly receivedBytes: () => number;
	readonly ended: Promise<unknown>;
}

async function attack(t: ExecutionContext, port: number, from = '127.0.0.1'): Promise<Attacker> {
	const socket = connect({port, host: '127.0.0.1', localAddress: from});
	t.teardown(() => socket.destroy());
	let received = 0;
	socket.on('error', () => {});
	socket.on('data', chunk => (received += chunk.length));
	const ended = new Promise(resolve => socket.once('close', resolve));
	await once(socket, 'connect');
	const address = `${socket.localAddress}:${socket.localPort}`;
	return {socket, address, receivedBytes: () => received, ended};
}

/** A TLS client of Node's, which resolves when its connection is over. */
async function attackByTls(t: ExecutionContext, port: number, options: ConnectionOptions): Promise<string> {
	const socket = connectTls({port, host: '127.0.0.1', rejectUnauthorized: false, ...options});
	t.teardown(() => socket.destroy());
	let received = 0;
	socket.on('error', () => {});
	socket.on('data', (chunk: Buffer) => (received += chunk.length));
	// What a peer would send as soon as it may.
	socket.on('secureConnect', () => socket.write(frameOf(100, 7)));
	let address = '';
	socket.once('connect', () => (address = `${socket.localAddress}:${socket.localPort}`));
	let isOver = false;
	socket.once('close', () => (isOver = true));
	await until(() => isOver, 'the end of its connection');
	t.is(received, 0);
	return address;
}

async function assertRefused(
	t: ExecutionContext,
	{scene, address}: {scene: Scene; address: string},
	expected: {code: ErrnoName; message: RegExp},
): Promise<void> {
	await until(() => scene.refusals.length > 0, 'the refusal');
	await scene.answer();
	t.is(scene.refusals.length, 1, 'one refusal of one attack');
	const [refusal] = scene.refusals;
	t.is(refusal!.address, address);
	t.is(refusal!.error.code, expected.code);
	t.regex(refusal!.error.message, expected.message);
	t.is(scene.far.frames.length, scene.near.frames.length, 'only the link was heard');
}

const PLAIN: Readonly<Record<string, Buffer>> = {
	HTTP: Buffer.from('GET / HTTP/1.1\r\n\r\n'),
	'a frame in the clear': frameOf(100, 1),
	'a TLS record with an empty handshake': Buffer.from('160301000400000000', 'hex'),
	'a TLS alert': Buffer.from('15030300020100', 'hex'),
	'a record that is too long': Buffer.concat([Buffer.from('160301ffff', 'hex'), Buffer.alloc(65_535, 1)]),
};

for (const [name, bytes] of Object.entries(PLAIN)) {
	test.serial(`${name} gets nowhere, and is told about`, async t => {
		const scene = await setScene(t);
		const attacker = await attack(t, scene.port);
		attacker.socket.write(bytes);
		await attacker.ended;
		t.true(attacker.receivedBytes() <= 7, 'no more than an alert');
		await assertRefused(t, {scene, address: attacker.address}, {code: 'EPROTO', message: /^TLS: /});
	});
}

test.serial('random bytes get nowhere, however many', async t => {
	const scene = await setScene(t);
	for (let count = 0; count < 30; count += 1) {
		const {socket, ended, receivedBytes} = await attack(t, scene.port);
		// Half of them look like the beginning of a handshake.
		const head = count % 2 === 0 ? Buffer.alloc(0) : Buffer.from('16030100', 'hex');
		socket.end(Buffer.concat([head, randomBytes(1 + ((count * 997) % 20_000))]));
		await ended;
		t.true(receivedBytes() <= 7);
		await scene.answer();
	}
	await until(() => scene.refusals.length === 30, 'a refusal of each');
	t.true(scene.refusals.every(({error}) => error.code === 'EPROTO' || error.code === 'ECONNRESET'));
});

test.serial('a handshake that stalls ends at its deadline', async t => {
	const scene = await setScene(t, {handshakeMs: 200});
	const silent = await attack(t, scene.port);
	await silent.ended;
	await assertRefused(
		t,
		{scene, address: silent.address},
		{code: 'ETIMEDOUT', message: /^no handshake within 200 ms$/},
	);
	// One that goes on, byte by byte, has no longer.
	const slow = await attack(t, scene.port);
	const hello = Buffer.from('1603010200010001fc0303', 'hex');
	let at = 0;
	const timer = setInterval(() => slow.socket.write(hello.subarray(at, (at += 1))), 25);
	t.teardown(() => clearInterval(timer));
	await slow.ended;
	await until(() => scene.refusals.length === 2, 'the refusal');
	t.is(scene.refusals[1]!.error.code, 'ETIMEDOUT');
});

test.serial('stalled handshakes do not keep a broker out: the oldest gives way', async t => {
	const scene = await setScene(t);
	const attackers: Attacker[] = [];
	for (let count = 0; count < HANDSHAKES_MAX; count += 1) {
		attackers.push(await attack(t, scene.port, `127.0.0.${2 + (count % 8)}`));
	}
	await scene.answer();
	t.is(scene.refusals.length, 0);
	const link = await new TlsTransport(key).connect(scene.address, {timeoutMs: 1000});
	t.teardown(() => link.destroy());
	record(link);
	await attackers[0]!.ended;
	t.deepEqual(
		scene.refusals.map(({address, error}) => [address, error.code]),
		[[attackers[0]!.address, 'EAGAIN']],
	);
	await scene.answer();
});

test.serial('a TLS client without a certificate gets nowhere', async t => {
	const scene = await setScene(t);
	const address = await attackByTls(t, scene.port, {});
	await assertRefused(t, {scene, address}, {code: 'EPERM', message: /^it showed no certificate$/});
});

test.serial(
	'a TLS client with the certificate of another key gets nowhere, whatever name it bears',
	async t => {
		const scene = await setScene(t);
		const address = await attackByTls(t, scene.port, {
			key: foreign.privateKeyPem,
			cert: foreign.certificatePem,
		});
		await assertRefused(t, {scene, address}, {code: 'EPERM', message: /^it has another key$/});
	},
);

test('the certificate of the instance is of no use without its key', t => {
	t.throws(() => createSecureContext({key: foreign.privateKeyPem, cert: key.certificatePem}), {
		message: /key values mismatch/,
	});
});

test.serial('a peer with the key that speaks an older TLS gets nowhere', async t => {
	const scene = await setScene(t);
	const address = await attackByTls(t, scene.port, {
		key: key.privateKeyPem,
		cert: key.certificatePem,
		maxVersion: 'TLSv1.2',
	});
	await assertRefused(t, {scene, address}, {code: 'EPROTO', message: /^TLS: /});
});

test.serial('no session is ever resumed: each connection proves the key', async t => {
	const scene = await setScene(t);
	const socket = connectTls({
		port: scene.port,
		host: '127.0.0.1',
		rejectUnauthorized: false,
		key: key.privateKeyPem,
		cert: key.certificatePem,
	});
	t.teardown(() => socket.destroy());
	const sessions: Buffer[] = [];
	socket.on('session', session => sessions.push(session));
	await once(socket, 'secureConnect');
	await scene.answer();
	const session = sessions.at(-1) ?? socket.getSession();
	t.not(session, undefined);
	const address = await attackByTls(t, scene.port, {session: session!});
	await assertRefused(
		t,
		{scene, address},
		{code: 'EPERM', message: /^it resumed an older session, and proved no key$/},
	);
});

test.serial(
	'a thousand quick connections are each told about, and links live and are made meanwhile',
	async t => {
		// A rate that the speed of this machine does not matter to.
		const scene = await setScene(t, {handshakeMs: 500, ratePerAddress: {burst: 64, perS: 1}});
		const times: number[] = [];
		let isOver = false;
		const answering = (async () => {
			while (!isOver) times.push(await scene.answer());
		})();
		const addresses = new Set<string>();
		const flood = Array.from({length: 1000}, async (_, index) => {
			const {socket, address, ended} = await attack(t, scene.port, `127.0.0.${2 + (index % 2)}`);
			addresses.add(address);
			socket.write(randomBytes(50));
			await ended;
		});
		await until(() => scene.refusals.length > 100, 'the flood');
		const link = await new TlsTransport(key).connect(scene.address, {timeoutMs: 5000});
		t.teardown(() => link.destroy());
		record(link);
		await Promise.all(flood);
		await until(() => scene.refusals.length === 1000, 'a refusal of each');
		isOver = true;
		await answering;
		t.true(scene.refusals.every(({address}) => addresses.delete(address)));
		t.is(addresses.size, 0);
		const dropped = scene.refusals.filter(({error}) => error.code === 'EAGAIN');
		t.true(dropped.length > 700, `${dropped.length} were dropped before any handshake`);
		times.sort((a, b) => a - b);
		t.log(
			`answers over the link: ${times.length}, median ${times[times.length >> 1]!.toFixed(1)} ms, worst ${times.at(-1)!.toFixed(1)} ms`,
		);
		t.true(times.at(-1)! < 5000); // The flood comes from this very process.
	},
);

test.serial('closing the listener ends the handshakes, without a word', async t => {
	const port = await freePort();
	const server = new TlsTransport(key);
	server.onRefused = () => t.fail('nobody was refused');
	const listener = await server.listen(`tls://127.0.0.1:${port}`, () => t.fail('nobody got through'));
	const {ended} = await attack(t, port);
	await new Promise(resolve => setImmediate(resolve));
	await listener.close();
	await ended;
	t.pass();
});

test.serial('a listener with another key is refused by the one that connects, and hears nothing', async t => {
	let received = 0;
	const server = createServer({key: foreign.privateKeyPem, cert: foreign.certificatePem}, socket => {
		socket.on('error', () => {});
		socket.on('data', (chunk: Buffer) => (received += chunk.length));
	});
	await once(server.listen(0, '127.0.0.1'), 'listening');
	t.teardown(() => server.close());
	const {port} = server.address() as AddressInfo;
	await t.throwsAsync(new TlsTransport(key).connect(`tls://127.0.0.1:${port}`, {timeoutMs: 1000}), {
		code: 'EPERM',
		message: `connecting to 127.0.0.1:${port}: it is not a broker of this instance: it has another key`,
	});
	t.is(received, 0);
});

test.serial('a listener that speaks no TLS is refused by name, a silent one in time', async t => {
	const sockets: Socket[] = [];
	const server = createTcpServer(socket => {
		sockets.push(socket);
		socket.on('error', () => {});
		if (sockets.length === 1) socket.write('220 mail.example ESMTP\r\n');
	});
	await once(server.listen(0, '127.0.0.1'), 'listening');
	t.teardown(() => {
		for (const socket of sockets) socket.destroy();
		server.close();
	});
	const address = `tls://127.0.0.1:${(server.address() as AddressInfo).port}`;
	const client = new TlsTransport(key);
	await t.throwsAsync(client.connect(address, {timeoutMs: 1000}), {
		code: 'EPROTO',
		message: /connecting to 127.*TLS: wrong version number$/,
	});
	await t.throwsAsync(client.connect(address, {timeoutMs: 100}), {
		code: 'ETIMEDOUT',
		message: /no answer within 100 ms/,
	});
});

test.serial('a broker refuses to connect to all interfaces', async t => {
	await t.throwsAsync(new TlsTransport(key).connect('tls://*:8050', {timeoutMs: 100}), {code: 'EINVAL'});
});
