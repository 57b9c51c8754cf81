/** Goal: the simulated transport keeps the contract of the real ones, and its faults are repeated by their seed. */
import test, {type ExecutionContext} from 'ava';
import type {Random} from '../../src/ports/random.ts';
import {SimNetwork, type SimNetworkOptions} from '../../src/sim/transport.ts';
import {ManualClock} from '../net/clocks.ts';
import {
	frameOf,
	pair,
	record,
	transportContract,
	type End,
	type TransportFixture,
} from '../net/transport-contract.ts';

/** Numerical Recipes' linear congruential generator: enough for latencies. */
function seeded(seed: number): Random {
	let state = seed;
	return {
		float: () => {
			state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
			return state / 2 ** 32;
		},
		bytes: length => new Uint8Array(length),
		uuid: () => '',
	};
}

interface SimFixture extends TransportFixture {
	readonly network: SimNetwork;
	readonly clock: ManualClock;
}

function fixture(options: Partial<SimNetworkOptions> & {seed?: number} = {}): SimFixture {
	const clock = new ManualClock();
	const network = new SimNetwork({clock, random: seeded(options.seed ?? 1), ...options});
	const until = async (isTrue: () => boolean, what: string) => {
		for (let step = 0; !isTrue(); step++) {
			if (step > 5000) throw new Error(`not within 5 s: ${what}`);
			await clock.advance(1);
		}
	};
	const settle = async <T>(promise: Promise<T>) => {
		let settled = false;
		const done = () => void (settled = true);
		promise.then(done, done);
		await until(() => settled, 'the promise');
		return promise;
	};
	return {
		network,
		clock,
		server: network.transport('b'),
		client: network.transport('a'),
		address: 'local:///run/b',
		until,
		settle,
		pass: async durationMs => clock.advance(durationMs),
	};
}

transportContract(test, {name: 'sim', make: async () => fixture()});
transportContract(test, {
	name: 'sim with latency',
	make: async () => fixture({latencyMs: {min: 1, max: 20}}),
});

test('the same seed gives the same run, another one another', async t => {
	const run = async (seed: number) => {
		const world = fixture({seed, latencyMs: {min: 1, max: 50}});
		const [near, far] = await pair(t, world);
		const times: number[] = [];
		far.link.onFrame = () => times.push(world.clock.monotonicMs());
		for (let count = 0; count < 20; count++) {
			near.link.send(frameOf(1, count));
			await world.clock.advance(3);
		}
		await world.until(() => times.length === 20, 'all frames');
		return times;
	};
	const first = await run(7);
	t.deepEqual(await run(7), first);
	t.notDeepEqual(await run(8), first);
});

async function linked(t: ExecutionContext): Promise<SimFixture & {near: End; far: End}> {
	const world = fixture();
	const [near, far] = await pair(t, world);
	return {...world, near, far};
}

test('a one-way partition holds back one direction, and healing delivers what waited, in order', async t => {
	const {network, near, far, clock} = await linked(t);
	network.partition('a', 'b');
	for (let count = 0; count < 5; count++) near.link.send(frameOf(1, count));
	far.link.send(frameOf(1, 9));
	await clock.advance(60_000);
	t.is(far.frames.length, 0);
	t.is(near.frames.length, 1);
	t.is(far.ends.length + near.ends.length, 0); // Nobody is told.
	network.heal('a', 'b');
	await clock.advance(1);
	t.deepEqual(
		far.frames.map(frame => frame[7]),
		[0, 1, 2, 3, 4],
	);
});

test('the end of a link does not pass a partition either', async t => {
	const {network, near, far, clock} = await linked(t);
	network.partition('a', 'b');
	near.link.close();
	await clock.advance(1000);
	t.is(near.ends.length, 1);
	t.is(far.ends.length, 0);
	network.heal();
	await clock.advance(1);
	t.is(far.ends.length, 1);
});

test('connecting into a partition times out, or succeeds once it is healed', async t => {
	const {network, client, server, address, clock, settle} = fixture();
	await settle(server.listen(address, link => record(link)));
	network.partition('b', 'a');
	await t.throwsAsync(settle(client.connect(address, {timeoutMs: 500})), {code: 'ETIMEDOUT'});
	const connecting = client.connect(address, {timeoutMs: 500});
	await clock.advance(250);
	network.heal('b', 'a');
	await clock.advance(250);
	record(await connecting);
	t.deepEqual(network.links, ['a→b']);
});

test('a cut ends links on both sides with ECONNRESET, and new ones can be made', async t => {
	const {network, near, far, clock, client, address, settle} = await linked(t);
	near.link.send(frameOf(1, 1));
	network.cut('b', 'a');
	await clock.advance(1);
	t.is(near.ends[0]!.code, 'ECONNRESET');
	t.is(far.ends[0]!.code, 'ECONNRESET');
	t.is(far.frames.length, 0);
	t.deepEqual(network.links, []);
	record(await settle(client.connect(address, {timeoutMs: 100})));
	t.is(network.links.length, 1);
});

test('a stalled host takes nothing in until it goes on', async t => {
	const {network, near, far, clock} = await linked(t);
	network.stall('b');
	while (near.link.send(frameOf(10_000, 1)));
	await clock.advance(10_000);
	t.is(far.frames.length, 0);
	t.true(near.link.queuedBytes > 0);
	network.unstall('b');
	await clock.advance(1);
	t.true(far.frames.length > 10);
	t.is(near.drains, 1);
});

test('a killed host is silent inside, and its peers see what it had sent and then the end', async t => {
	const {network, near, far, clock, server, address, client, settle} = await linked(t);
	far.link.send(frameOf(1, 1));
	near.link.send(frameOf(1, 1));
	network.kill('b');
	await clock.advance(10);
	t.is(near.frames.length, 1);
	t.is(near.ends[0]!.code, 'ECONNRESET');
	t.is(far.frames.length + far.ends.length, 0);
	await t.throwsAsync(settle(client.connect(address, {timeoutMs: 100})), {code: 'ECONNREFUSED'});
	let wasHeard = false;
	server
		.listen(address, () => {})
		.then(
			() => (wasHeard = true),
			() => (wasHeard = true),
		);
	await clock.advance(1000);
	t.false(wasHeard); // The dead process waits for ever.
	await settle(network.transport('b').listen(address, link => record(link)));
	record(await settle(client.connect(address, {timeoutMs: 100})));
	t.is(network.links.length, 1);
});

test('a host without power is only silent, and once back it knows no old link', async t => {
	const {network, near, far, clock, client, address, settle} = await linked(t);
	network.powerOff('b');
	while (near.link.send(frameOf(10_000, 1)));
	await clock.advance(60_000);
	t.is(near.ends.length + far.ends.length, 0);
	await t.throwsAsync(settle(client.connect(address, {timeoutMs: 100})), {code: 'ETIMEDOUT'});
	network.powerOn('b');
	await clock.advance(1);
	t.is(near.ends[0]!.code, 'ECONNRESET');
	await t.throwsAsync(settle(client.connect(address, {timeoutMs: 100})), {code: 'ECONNREFUSED'});
});

test('a stalled host accepts connections when it goes on, before their frames', async t => {
	const {network, client, server, address, clock, settle} = fixture();
	const accepted: End[] = [];
	await settle(server.listen(address, link => accepted.push(record(link))));
	network.stall('b');
	const near = record(await settle(client.connect(address, {timeoutMs: 100})));
	near.link.send(frameOf(1, 1));
	await clock.advance(100);
	t.is(accepted.length, 0);
	network.unstall('b');
	t.is(accepted.length, 1);
	await clock.advance(1);
	t.is(accepted[0]!.frames.length, 1);
});
