/** Goal: clients go on over broker restarts without doing anything twice that must not be, and give up by name. */
import test, {type ExecutionContext} from 'ava';
import {SystemError} from '../../src/formats/errno.ts';
import {Backoff, BACKOFF_MAX_MS} from '../../src/net/backoff.ts';
import {ReconnectingClient, type ReconnectOptions} from '../../src/net/reconnect.ts';
import type {RpcRequest} from '../../src/net/rpc-request.ts';
import {RpcServer} from '../../src/net/rpc-server.ts';
import {ServiceRegistry} from '../../src/net/service-registry.ts';
import {SimNetwork} from '../../src/sim/transport.ts';
import {ManualClock} from './clocks.ts';

const ADDRESS = 'local:///run/broker';

interface World {
	readonly clock: ManualClock;
	readonly network: SimNetwork;
	readonly client: ReconnectingClient;
	readonly seen: string[];
	/** A new life of the broker. */
	readonly start: (register: (registry: ServiceRegistry) => void) => Promise<void>;
	readonly kill: () => void;
	/** Moves time until the promise settles, at most `limitMs`, in steps of 10 ms; says when. */
	readonly settle: <T>(
		promise: Promise<T>,
		limitMs?: number,
	) => Promise<{readonly result: PromiseSettledResult<T>; readonly atMs: number}>;
}

function world(t: ExecutionContext, options: Partial<ReconnectOptions> = {}): World {
	const clock = new ManualClock();
	const random = {float: () => 0.5, bytes: () => new Uint8Array(0), uuid: () => ''};
	const network = new SimNetwork({clock, random});
	const seen: string[] = [];
	const client = new ReconnectingClient({
		transport: network.transport('client'),
		address: ADDRESS,
		clock,
		random,
		keepaliveMs: null,
		onConnect: isFirst => seen.push(isFirst ? 'connected' : 'reconnected'),
		onLost: ({code}) => seen.push(`lost ${code}`),
		...options,
	});
	t.teardown(() => client.close());
	return {
		clock,
		network,
		client,
		seen,
		start: async register => {
			const registry = new ServiceRegistry();
			register(registry);
			const server = new RpcServer({registry, clock});
			await network.transport('broker').listen(ADDRESS, link => server.accept(link));
		},
		kill: () => network.kill('broker'),
		settle: async (promise, limitMs = 100_000) => {
			const startMs = clock.monotonicMs();
			let result: PromiseSettledResult<Awaited<typeof promise>> | undefined;
			void Promise.allSettled([promise]).then(([one]) => (result = one));
			await clock.advance(0);
			while (result === undefined) {
				if (clock.monotonicMs() - startMs > limitMs) throw new Error(`not settled within ${limitMs} ms`);
				await clock.advance(10);
			}
			return {result, atMs: clock.monotonicMs() - startMs};
		},
	};
}

async function value<T>(settled: Promise<{readonly result: PromiseSettledResult<T>}>): Promise<T> {
	const {result} = await settled;
	if (result.status === 'rejected') throw result.reason;
	return result.value;
}

test('delays double from 16 ms to 2 s, cut by up to a half', t => {
	const delays = (float: number) => {
		const backoff = new Backoff({float: () => float, bytes: () => new Uint8Array(0), uuid: () => ''});
		return Array.from({length: 10}, () => {
			const delayMs = backoff.delayMs();
			backoff.failed();
			return delayMs;
		});
	};
	t.deepEqual(delays(0), [0, 16, 32, 64, 128, 256, 512, 1024, BACKOFF_MAX_MS, BACKOFF_MAX_MS]);
	t.deepEqual(delays(1).slice(0, 3), [0, 8, 16]);
	t.is(delays(1).at(-1), 1000);
});

test('the first connection waits for a broker that is being started', async t => {
	const {client, start, clock, settle, seen} = world(t);
	const call = client.call('svc.op');
	await clock.advance(300);
	await start(registry => registry.register('svc.op', request => request.respond('up')));
	t.is(await value(settle(call)), 'up');
	t.deepEqual(seen, ['connected']);
});

test('without a broker the first connection fails after a second, saying where, how long, and why', async t => {
	const {client, settle} = world(t);
	const {result, atMs} = await settle(client.call('svc.op'));
	t.is(result.status, 'rejected');
	const error = (result as PromiseRejectedResult).reason as SystemError;
	t.is(error.code, 'ECONNREFUSED');
	t.regex(
		error.message,
		/^no connection to local:\/\/\/run\/broker in 10\d\d ms and \d+ attempts: .*nobody listens/,
	);
	t.true(atMs >= 1000 && atMs < 1100);
});

test('an address that can never work fails at once', async t => {
	const {client, settle} = world(t, {address: 'bad'});
	const {result, atMs} = await settle(client.connect());
	t.is(((result as PromiseRejectedResult).reason as SystemError).code, 'EINVAL');
	t.true(atMs <= 10);
});

test('an idempotent call is repeated after a lost connection, another one is not', async t => {
	const {client, start, clock, settle, kill, seen} = world(t);
	const served: string[] = [];
	await start(registry => {
		registry.register('svc.read', () => void served.push('read 1'));
		registry.register('svc.write', () => void served.push('write 1'));
	});
	const read = client.call('svc.read', null, {idempotent: true});
	const write = client.call('svc.write');
	await clock.advance(10);
	t.deepEqual(served, ['read 1', 'write 1']);
	kill();
	const {result} = await settle(write);
	t.like((result as PromiseRejectedResult).reason, {code: 'ECONNRESET'});
	await clock.advance(5000);
	await start(registry => {
		registry.register('svc.read', request => {
			served.push('read 2');
			request.respond('done');
		});
	});
	t.is(await value(settle(read)), 'done');
	t.deepEqual(served, ['read 1', 'write 1', 'read 2']);
	t.deepEqual(seen, ['connected', 'lost ECONNRESET', 'reconnected']);
	t.is(clock.armedCount, 2); // The dead broker's, for the two requests it had.
});

test('a call that was certainly not sent is sent later, idempotent or not', async t => {
	const {client, start, clock, settle, kill} = world(t);
	await start(registry => registry.register('svc.op', request => request.respond(1)));
	await value(settle(client.call('svc.op')));
	kill();
	await clock.advance(10);
	const write = client.call('svc.op');
	await clock.advance(3000);
	await start(registry => registry.register('svc.op', request => request.respond(2)));
	t.is(await value(settle(write)), 2);
});

test('errors of the service itself are never repeated', async t => {
	const {client, start, settle} = world(t);
	let served = 0;
	await start(registry => {
		for (const code of ['ENOENT', 'ECONNRESET', 'ECONNREFUSED', 'ENOTCONN', 'ETIMEDOUT'] as const) {
			registry.register(`svc.${code.toLowerCase()}`, () => {
				served += 1;
				throw new SystemError(code, 'as the service says');
			});
		}
	});
	for (const code of ['ENOENT', 'ECONNRESET', 'ECONNREFUSED', 'ENOTCONN', 'ETIMEDOUT']) {
		const {result} = await settle(client.call(`svc.${code.toLowerCase()}`, null, {idempotent: true}));
		t.like((result as PromiseRejectedResult).reason, {code, message: 'as the service says'});
	}
	t.is(served, 5);
});

test('EHOSTUNREACH from a broker that restarts is retried with backoff, but not for another rank', async t => {
	const {client, start, settle} = world(t);
	let served = 0;
	await start(registry => {
		registry.register('svc.op', request => {
			served += 1;
			if (served < 5) throw new SystemError('EHOSTUNREACH', 'rank 0 restarts');
			request.respond(served);
		});
	});
	t.is(await value(settle(client.call('svc.op', null, {idempotent: true}))), 5);
	served = 0;
	const elsewhere = client.call('svc.op', null, {idempotent: true, nodeid: 3});
	t.like(((await settle(elsewhere)).result as PromiseRejectedResult).reason, {code: 'EHOSTUNREACH'});
	t.is(served, 1);
});

test('the deadline of a call covers its repetitions', async t => {
	const {client, start, clock, settle, kill} = world(t);
	await start(registry => registry.register('svc.op', () => {}));
	const call = client.call('svc.op', null, {idempotent: true, timeoutMs: 5000});
	await clock.advance(1000);
	kill();
	const {result, atMs} = await settle(call);
	t.like((result as PromiseRejectedResult).reason, {
		code: 'ETIMEDOUT',
		message: 'svc.op: no connection to local:///run/broker within 5000 ms',
	});
	t.true(atMs <= 4010);
});

test('after 60 s without a broker what waits fails, and a later call tries anew', async t => {
	const {client, start, clock, settle, kill} = world(t);
	await start(registry => registry.register('svc.op', () => {}));
	const call = client.call('svc.op', null, {idempotent: true, timeoutMs: 1_000_000});
	await clock.advance(10);
	kill();
	const {result, atMs} = await settle(call);
	t.like((result as PromiseRejectedResult).reason, {code: 'ECONNREFUSED'});
	t.true(atMs >= 60_000 && atMs < 60_100, `${atMs}`);
	const later = client.call('svc.op', null, {timeoutMs: 30_000});
	await clock.advance(5000);
	await start(registry => registry.register('svc.op', request => request.respond('back')));
	t.is(await value(settle(later)), 'back');
});

/** A service that counts up from what it is asked for, one value each 10 ms. */
function counter(clock: ManualClock, requests: unknown[]) {
	return (registry: ServiceRegistry) =>
		registry.register(
			'count.from',
			request => {
				requests.push(request.payload);
				count(request, request.payload as number);
			},
			{streaming: 'always'},
		);
	function count(request: RpcRequest, n: number): void {
		if (!request.isOpen) return;
		if (n > 30) {
			request.end();
			return;
		}
		request.respondStream(n);
		clock.setTimer(10, () => count(request, n + 1));
	}
}

test('a resumable stream loses and doubles nothing over restarts', async t => {
	const {client, start, clock, settle, kill} = world(t);
	const requests: unknown[] = [];
	const values: number[] = [];
	const read = async () => {
		const stream = client.resumableStream('count.from', last =>
			last === undefined ? 1 : (last as number) + 1,
		);
		for await (const n of stream) values.push(n as number);
	};
	await start(counter(clock, requests));
	const done = read();
	for (let life = 0; life < 3; life++) {
		await clock.advance(65);
		kill();
		await clock.advance(700);
		await start(counter(clock, requests));
		await clock.advance(1000 * (life % 2)); // Time to come back; then the next kill hits a running stream.
		await clock.advance(400);
	}
	await value(settle(done));
	t.deepEqual(
		values,
		Array.from({length: 30}, (_, index) => index + 1),
	);
	t.true(requests.length >= 2);
});

test('a stream on which nothing comes for long outlives any number of restarts', async t => {
	const {client, start, clock, settle, kill} = world(t);
	const watch = (registry: ServiceRegistry) =>
		registry.register('log.watch', () => {}, {streaming: 'always'});
	await start(watch);
	const line = client.resumableStream('log.watch', () => null).next();
	for (let life = 0; life < 3; life++) {
		await clock.advance(100_000);
		kill();
		await clock.advance(500);
		await start(watch);
	}
	await clock.advance(100_000);
	kill();
	await start(registry =>
		registry.register('log.watch', request => void request.respondStream('at last'), {streaming: 'always'}),
	);
	t.deepEqual(await value(settle(line)), {value: 'at last', done: false});
});

test('leaving a resumable stream cancels it, and an error of the service ends it', async t => {
	const {client, start, clock, settle} = world(t);
	let request: RpcRequest | undefined;
	await start(registry => {
		registry.register('log.watch', one => void (request = one).respondStream('line'), {streaming: 'always'});
		registry.register(
			'log.bad',
			() => {
				throw new SystemError('ENOENT', 'no log');
			},
			{streaming: 'always'},
		);
	});
	const first = async () => {
		for await (const line of client.resumableStream('log.watch', () => null)) return line;
		return undefined;
	};
	t.is(await value(settle(first())), 'line');
	await clock.advance(10);
	t.true(request!.isCanceled);
	const bad = client.resumableStream('log.bad', () => null).next();
	t.like(((await settle(bad)).result as PromiseRejectedResult).reason, {code: 'ENOENT'});
});

test('a broker that hangs is given up after three silent intervals, and the next one is found', async t => {
	const {client, start, network, clock, settle, kill, seen} = world(t, {keepaliveMs: 10_000});
	await start(registry => registry.register('log.watch', () => {}, {streaming: 'always'}));
	const lines = client.resumableStream('log.watch', () => null);
	const line = lines.next();
	await clock.advance(300_000);
	t.deepEqual(seen, ['connected']); // Idle, but it answers pings.
	network.stall('broker');
	await clock.advance(45_000);
	// Its kernel still completes connections.
	t.deepEqual(seen, ['connected', 'lost ETIMEDOUT', 'reconnected']);
	kill();
	await start(registry =>
		registry.register('log.watch', request => void request.respondStream('here'), {streaming: 'always'}),
	);
	t.deepEqual(await value(settle(line)), {value: 'here', done: false});
});

test('close ends what waits, and nothing comes after it', async t => {
	const {client, clock, settle, start, seen} = world(t);
	const call = client.call('svc.op');
	await clock.advance(100);
	client.close();
	t.like(((await settle(call)).result as PromiseRejectedResult).reason, {code: 'ECANCELED'});
	t.is(clock.armedCount, 0);
	await start(registry => registry.register('svc.op', request => request.respond()));
	await t.throwsAsync(client.connect(), {code: 'ECANCELED', message: /was closed/});
	t.deepEqual(seen, []);
});

test('an aborted wait for a connection is ECANCELED', async t => {
	const {client, settle} = world(t);
	const aborter = new AbortController();
	const call = client.call('svc.op', null, {signal: aborter.signal});
	aborter.abort();
	const {result, atMs} = await settle(call);
	t.like((result as PromiseRejectedResult).reason, {code: 'ECANCELED'});
	t.is(atMs, 0);
});

test('a broker that accepts and dies at once is not hammered', async t => {
	const {client, network, clock, settle} = world(t);
	let accepted = 0;
	await network.transport('broker').listen(ADDRESS, link => {
		accepted += 1;
		link.onFrame = () => {};
		link.destroy();
	});
	const call = client.call('svc.op', null, {idempotent: true, timeoutMs: 20_000});
	const {result} = await settle(call);
	t.like((result as PromiseRejectedResult).reason, {code: 'ETIMEDOUT'});
	t.true(accepted > 5 && accepted < 40, `${accepted} connections`);
	t.true(clock.monotonicMs() > 20_000);
});
