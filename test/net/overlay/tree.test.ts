/**
 * Goal: brokers become one tree from the root down, and whatever is cut, stopped, killed or let in, it becomes one again; whom
 * nobody knows is told so and harms nobody.
 * Method: overlays without brokers on the simulated network; virtual time.
 */
import test from 'ava';
import {errnoName} from '../../../src/formats/errno.ts';
import {
	CONTROL_GOODBYE,
	decodeMessage,
	encodeMessage,
	NODEID_ANY,
	type Message,
} from '../../../src/net/message.ts';
import {STRANGERS_MAX} from '../../../src/net/overlay/children.ts';
import type {OverlayOptions} from '../../../src/net/overlay/overlay-options.ts';
import type {Identity} from '../../../src/net/overlay/overlay.ts';
import {Topology} from '../../../src/net/overlay/topology.ts';
import {encodeFrame} from '../../../src/net/frame.ts';
import type {Link} from '../../../src/ports/transport.ts';
import {hostOf, SimTree, TIMES, treeUri, type TreeNode} from './sim-tree.ts';

const KARY7 = Topology.kary(7, 2);
const SUBTREE_OF_1 = [1, 3, 4];
const LOST_WITHIN_MS = TIMES.lostTimeoutMs + 2 * TIMES.keepaliveMs;

const echo = ({registry, peers, rank}: TreeNode) => {
	registry.register('test.echo', request => request.respond({rank}));
	registry.register('test.hold', () => undefined);
	peers.handle('test.peer', () => ({rank}));
};

async function grown(topology = KARY7, seed = 1): Promise<SimTree> {
	const tree = new SimTree({topology, seed, serve: echo});
	tree.start();
	await tree.whole();
	return tree;
}

/** What connects to a rank's tree socket and is none of ours. */
async function stranger(tree: SimTree, rank: number) {
	const link: Link = await tree.settle(
		tree.network.transport('stranger').connect(treeUri(rank), {timeoutMs: 1000}),
	);
	const told: Message[] = [];
	const ends: string[] = [];
	link.onFrame = frame => told.push(decodeMessage(frame));
	link.onEnd = ({code}) => ends.push(code);
	const goodbyes = () =>
		told.flatMap(message =>
			message.type === 'control' && message.controlType === CONTROL_GOODBYE
				? [`${errnoName(message.status)} ${Buffer.from(message.payload).toString()}`]
				: [],
		);
	return {link, told, ends, goodbyes};
}

function request(topic: string): Message {
	return {
		...{type: 'request', topic, matchtag: 1, nodeid: NODEID_ANY, upstream: false, streaming: false},
		...{noresponse: false, userid: 0, rolemask: 0, route: [], deadlineMs: null, payload: new Uint8Array(0)},
	};
}

test('a tree comes up from the root, whatever starts first, and any rank reaches any', async t => {
	const topology = Topology.kary(15, 2);
	const tree = new SimTree({topology, serve: echo});
	const ranks = Array.from({length: 15}, (_, rank) => 14 - rank);
	for (const rank of ranks) {
		tree.start([rank]);
		await tree.clock.pass(200);
		if (rank !== 0) t.false(ranks.some(one => tree.get(one).node?.overlay.isJoined === true));
	}
	const joined: number[] = [];
	await tree.until(() => {
		for (const rank of ranks) {
			if (joined.includes(rank) || tree.get(rank).node?.overlay.isJoined !== true) continue;
			const parent = topology.parentOf(rank);
			if (parent !== null) t.true(tree.node(parent).overlay.isJoined, `${rank} before its parent`);
			joined.push(rank);
		}
		return joined.length === 15;
	}, 'all have joined');
	await tree.whole();
	for (const rank of ranks) {
		for (const to of [0, 5, 14]) {
			t.deepEqual(await tree.settle(tree.node(rank).peers.request(to, 'test.peer', {})), {rank: to});
		}
	}
	t.deepEqual(new Set(tree.bootCounts), new Set([1]));
	t.deepEqual(tree.failures, []);
});

test('a broker that dies brings back those below it, within a second, and nobody else', async t => {
	for (const rank of [0, 1]) {
		const tree = await grown();
		const below = KARY7.subtreeOf(rank);
		tree.kill(rank);
		await tree.until(() => below.every(one => tree.get(one).bootCount === 2), 'all below are back', 1000);
		await tree.whole(5000);
		t.deepEqual(
			tree.bootCounts,
			[0, 1, 2, 3, 4, 5, 6].map(one => (below.includes(one) ? 2 : 1)),
		);
		for (const one of below)
			if (one !== rank) t.regex(tree.get(one).panics[0] ?? '', /^lost the parent, rank \d \(n\d\): /);
		t.deepEqual(tree.failures, []);
	}
});

test('what is pending through a broker that dies is answered once, within 100 ms, also without other traffic', async t => {
	const tree = await grown();
	const {client} = await tree.client(0);
	const outcomes: string[] = [];
	const startMs = () => tree.clock.monotonicMs();
	for (const nodeid of [1, 3, 4, 4]) {
		client.call('test.hold', {}, {nodeid}).catch((error: {code: string}) => outcomes.push(error.code));
	}
	await tree.clock.pass(500);
	const killedMs = startMs();
	tree.kill(1, {hold: true});
	await tree.until(() => outcomes.length === 4, 'all are answered', 100);
	t.deepEqual(outcomes, Array<string>(4).fill('EHOSTUNREACH'));
	t.true(startMs() - killedMs <= 100);
	await tree.clock.pass(1000);
	t.is(client.pendingCount, 0);
	t.is(outcomes.length, 4);
	t.is(tree.node(0).state.rpcs.size, 0);
	const text = await tree.settle(
		client.call('test.echo', {}, {nodeid: 4}).catch((error: Error) => error.message),
	);
	t.regex(String(text), /^test\.echo: rank 1 \(n1\): lost contact /);
	tree.release(1);
	await tree.whole();
	t.deepEqual(await tree.settle(client.call('test.echo', {}, {nodeid: 4})), {rank: 4});
});

test('a broker that hangs is torpid, then lost; what is pending behind it is answered; awake, it comes back', async t => {
	const tree = await grown();
	const {client} = await tree.client(0);
	const outcomes: string[] = [];
	await tree.clock.pass(2000);
	tree.freeze(1);
	const stalledMs = tree.clock.monotonicMs();
	client
		.call('test.hold', {}, {nodeid: 4, timeoutMs: 120_000})
		.catch((error: {code: string}) => outcomes.push(error.code));
	await tree.until(
		() => tree.node(0).overlay.isTorpid(1),
		'it is torpid',
		TIMES.torpidMs + 2 * TIMES.keepaliveMs,
	);
	t.is(tree.node(0).overlay.subtree.torpid.toString(), '1,3-4', 'and all behind it');
	t.is(tree.online, '0-6');
	await tree.until(() => outcomes.length > 0, 'the answer', LOST_WITHIN_MS);
	t.deepEqual(outcomes, ['EHOSTUNREACH']);
	t.true(tree.clock.monotonicMs() - stalledMs <= TIMES.lostTimeoutMs + 1000 + TIMES.keepaliveMs);
	t.is(tree.online, '0,2,5-6');
	t.is(tree.node(0).state.peers.get(1)?.value, 'lost');
	await tree.clock.pass(60_000);
	tree.thaw(1);
	await tree.whole();
	t.true(tree.get(1).panics.length > 0, 'it was told, or noticed');
	t.deepEqual(tree.bootCounts.slice(0, 1).concat(tree.bootCounts.slice(5)), [1, 1, 1]);
	t.deepEqual(tree.failures, []);
});

for (const [from, to] of [
	[1, 3],
	[3, 1],
] as const) {
	test(`a link that passes nothing from rank ${from} to rank ${to}: both sides give it up in time, and find each other again`, async t => {
		const tree = await grown();
		const {client} = await tree.client(0);
		const outcomes: string[] = [];
		client
			.call('test.hold', {}, {nodeid: 3, timeoutMs: 300_000})
			.catch((error: {code: string}) => outcomes.push(error.code));
		await tree.clock.pass(500);
		tree.network.partition(hostOf(from), hostOf(to));
		await tree.until(() => tree.get(3).panics.length > 0, 'the child panics', LOST_WITHIN_MS);
		await tree.until(() => !tree.node(0).overlay.isOnline(3), 'the root knows', LOST_WITHIN_MS);
		await tree.until(() => outcomes.length > 0, 'the answer', 10);
		t.deepEqual(outcomes, ['EHOSTUNREACH']);
		await tree.clock.pass(120_000);
		t.is(tree.online, '0-2,4-6');
		t.deepEqual(
			[0, 1, 2, 4, 5, 6].map(rank => tree.get(rank).bootCount),
			Array<number>(6).fill(1),
		);
		tree.network.heal();
		await tree.whole();
		t.is(client.pendingCount, 0);
		t.deepEqual(tree.failures, []);
	});
}

test('a link that passes nothing at all is given up on both sides, and found again', async t => {
	const tree = await grown();
	tree.network.partition(hostOf(0), hostOf(1));
	tree.network.partition(hostOf(1), hostOf(0));
	await tree.until(
		() => SUBTREE_OF_1.every(rank => tree.get(rank).panics.length > 0),
		'all panic',
		LOST_WITHIN_MS + 1000,
	);
	await tree.until(() => tree.online === '0,2,5-6', 'the root knows', LOST_WITHIN_MS);
	await tree.clock.pass(60_000);
	tree.network.heal();
	await tree.whole();
	t.deepEqual(
		[0, 2, 5, 6].map(rank => tree.get(rank).bootCount),
		[1, 1, 1, 1],
	);
});

test('a host that loses power and comes back is one of the tree again, though nobody was told', async t => {
	const tree = await grown();
	const one = tree.get(1);
	one.isHeld = true;
	one.end();
	one.node = null;
	tree.network.powerOff(hostOf(1));
	await tree.until(() => tree.online === '0,2,5-6', 'the root knows', LOST_WITHIN_MS);
	await tree.clock.pass(10_000);
	tree.network.powerOn(hostOf(1));
	tree.release(1);
	await tree.whole();
	t.deepEqual(tree.failures, []);
});

test('disconnect declares a child dead, and only a child that is there', async t => {
	const tree = await grown();
	tree.node(1).overlay.disconnect(3, 'an admin said so');
	t.is(tree.node(1).state.peers.get(3)?.value, 'lost');
	await tree.until(() => tree.get(3).panics.length === 1, 'it panics', 100);
	t.is(tree.get(3).panics[0], 'lost the parent, rank 1 (n1): ECONNABORTED: an admin said so');
	t.throws(() => tree.node(1).overlay.disconnect(3, 'again'), {code: 'EALREADY'});
	t.throws(() => tree.node(1).overlay.disconnect(5, 'not ours'), {code: 'ENOENT'});
	t.throws(() => tree.node(0).overlay.disconnect(0, 'itself'), {code: 'ENOENT'});
	await tree.until(() => !tree.node(0).overlay.isOnline(3), 'the root knows', 100);
	await tree.whole();
	t.is(tree.get(3).bootCount, 2);
});

test('a second process of a rank takes the place of the first, which ends', async t => {
	const tree = await grown();
	tree.get(3).isHeld = true;
	const other = tree.startAnother(3);
	await tree.until(() => other.overlay.isJoined, 'it has joined', 5000);
	await tree.until(() => tree.get(3).panics.length > 0, 'the first one ends', 1000);
	t.regex(tree.get(3).panics[0] ?? '', /ESTALE: rank 3 has come back with a new uuid: it was restarted/);
	await tree.clock.pass(1000);
	t.is(tree.online, '0-6');
	t.is(tree.network.links.filter(link => link.endsWith(`→${hostOf(1)}`)).length, 2);
	t.deepEqual(await tree.settle(tree.node(6).peers.request(3, 'test.peer', {})), {rank: 3});
	t.deepEqual(tree.failures, []);
});

test('whoever says anything else than hello is told so, and ended; the tree does not notice', async t => {
	const tree = await grown();
	for (const message of [
		request('test.echo'),
		{type: 'event', topic: 'a.b', sequence: 9, userid: 0, rolemask: 0, payload: new Uint8Array(0)},
		{type: 'control', controlType: 16, status: 0, payload: new Uint8Array(0)},
	] satisfies readonly Message[]) {
		const one = await stranger(tree, 1);
		one.link.send(encodeMessage(message));
		one.link.send(encodeMessage(request('test.echo')));
		await tree.until(() => one.ends.length > 0, 'it is ended', 1000);
		t.deepEqual(one.goodbyes(), ['ENOTCONN you are not known here: restart and say hello']);
		t.is(one.told.length, 1);
	}
	const garbage = await stranger(tree, 1);
	garbage.link.send(encodeFrame(Buffer.from('c10203', 'hex'), Buffer.from('ffff', 'hex')));
	await tree.until(() => garbage.ends.length > 0, 'it is ended', 1000);
	t.regex(garbage.goodbyes()[0] ?? '', /^EPROTO malformed message/);
	const hello = await stranger(tree, 1);
	hello.link.send(encodeMessage(request('overlay.hello')));
	await tree.until(() => hello.ends.length > 0, 'it is ended', 1000);
	t.regex(hello.goodbyes()[0] ?? '', /^EPROTO hello without a good field/);
	const silent = await stranger(tree, 1);
	await tree.until(() => silent.ends.length > 0, 'it is ended', 11_000);
	t.deepEqual(silent.goodbyes(), ['ETIMEDOUT no hello within 10 s']);
	t.is(tree.node(1).overlay.errors.length, 6);
	t.is(tree.online, '0-6');
	t.deepEqual(new Set(tree.bootCounts), new Set([1]));
});

const mismatches: readonly {
	readonly title: string;
	readonly overlay?: Partial<OverlayOptions>;
	readonly identity?: Partial<Identity>;
	readonly text: RegExp;
}[] = [
	{
		title: 'instance',
		identity: {instance: 'another'},
		text: /EPERM: n3 \(rank 3\) is of instance another, rank 1 of a-sim-tree/,
	},
	{
		title: 'size',
		overlay: {topology: Topology.kary(8, 2)},
		text: /EINVAL: n3 \(rank 3\) is of 8 brokers, rank 1 of 7/,
	},
	{
		title: 'host',
		overlay: {hosts: ['n0', 'n1', 'n2', 'x3']},
		text: /EINVAL: x3 \(rank 3\) is configured as host n3 at rank 1/,
	},
	{title: 'parent', overlay: {parentUri: treeUri(2)}, text: /EINVAL: rank 3 is not a child of rank 2/},
];

for (const {title, overlay, identity, text} of mismatches) {
	test(`a broker with another ${title} does not join, and both sides say why`, async t => {
		const tree = new SimTree({
			topology: KARY7,
			overlay: rank => (rank === 3 ? (overlay ?? {}) : {}),
			identity: rank => (rank === 3 ? (identity ?? {}) : {}),
		});
		tree.start();
		await tree.until(() => tree.online === '0-2,4-6', 'the others are one tree');
		await tree.clock.pass(10_000);
		const parent = title === 'parent' ? 2 : 1;
		t.regex(tree.get(parent).lines.find(line => text.test(line)) ?? '', /^refused client \d+ of /);
		t.regex(tree.get(3).lines.find(line => text.test(line)) ?? '', /^no way to the parent/);
		t.is(tree.get(3).lines.filter(line => text.test(line)).length, 1, 'said once for each reason');
		t.is(tree.online, '0-2,4-6');
		t.deepEqual(tree.failures, []);
	});
}

test('connections that say nothing, however many, keep no child out', async t => {
	const tree = new SimTree({topology: KARY7});
	tree.start([0]);
	await tree.clock.pass(100);
	const strangers: Awaited<ReturnType<typeof stranger>>[] = [];
	while (strangers.length < 2 * STRANGERS_MAX) strangers.push(await stranger(tree, 0));
	await tree.clock.pass(100);
	t.is(strangers.filter(({ends}) => ends.length > 0).length, STRANGERS_MAX);
	t.true(
		strangers.slice(0, STRANGERS_MAX).every(({ends}) => ends.length > 0),
		'the oldest gave way',
	);
	t.regex(strangers[0]?.goodbyes()[0] ?? '', /^EAGAIN gave way to a newer one/);
	tree.start([1, 2, 3, 4, 5, 6]);
	await tree.whole(1000);
	t.deepEqual(new Set(tree.bootCounts), new Set([1]));
});

test('a broker that ends ends the strangers at its door too, and lets no more in', async t => {
	const tree = await grown();
	const before = await stranger(tree, 1);
	const {overlay} = tree.node(1);
	overlay.close(null, Object.assign(new Error('it ends')) as never);
	await tree.until(() => before.ends.length > 0, 'it is ended', 1000);
	await t.throwsAsync(stranger(tree, 1), {code: 'ECONNREFUSED'});
});

test('attempts to reach a parent grow apart to the maximum, and no two children make them in step', async t => {
	const tree = new SimTree({topology: Topology.kary(5, 4), latencyMs: {min: 0, max: 0}});
	const attempts = new Map<number, number[]>();
	const {network, clock} = tree;
	const transport = network.transport.bind(network);
	network.transport = host => {
		const real = transport(host);
		return {
			listen: (address, onLink) => real.listen(address, onLink),
			connect: (address, options) => {
				const rank = Number(host.slice(1));
				attempts.set(rank, [...(attempts.get(rank) ?? []), clock.monotonicMs()]);
				return real.connect(address, options);
			},
		};
	};
	tree.start([1, 2, 3, 4]);
	await clock.pass(60_000);
	const all = [...attempts.values()];
	t.is(all.length, 4);
	for (const times of all) {
		const pauses = times.slice(1).map((time, index) => time - (times[index] ?? 0));
		const late = pauses.slice(12);
		t.true(late.length > 20 && late.length < 60, `${late.length} attempts a minute`);
		t.true(late.every(pause => pause >= TIMES.reconnectMsMax / 2 - 1 && pause <= TIMES.reconnectMsMax + 1));
		t.true(Math.max(...late) - Math.min(...late) > TIMES.reconnectMsMax / 4, 'jittered at the maximum too');
		t.true((pauses[0] ?? 0) <= 20, 'the first one is quick');
	}
	const lasts = all.map(times => times.at(-1) ?? 0);
	t.is(new Set(lasts.map(time => Math.round(time))).size, 4, 'none in step');
});

test('statuses go up only when something changed', async t => {
	const tree = new SimTree({topology: Topology.kary(31, 2)});
	let statuses = 0;
	tree.onSent = ({message}) => {
		if (message.type === 'control' && message.controlType === 16) statuses += 1;
	};
	tree.start();
	await tree.whole();
	await tree.clock.pass(100);
	// Each rank's joining passes each broker on its way up at most once.
	const depths = Array.from({length: 31}, (_, rank) => Topology.kary(31, 2).depthOf(rank)).reduce(
		(a, b) => a + b,
	);
	t.true(statuses <= depths, `${statuses} for ${depths} steps`);
	statuses = 0;
	await tree.clock.pass(60_000);
	t.is(statuses, 0);
});
