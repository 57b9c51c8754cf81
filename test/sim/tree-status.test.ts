/** Goal: what the tree says of itself, and of what is stuck in it, is true. Method: seven simulated brokers, `kary:2`. */
import test from 'ava';
import type {SystemError} from '../../src/formats/errno.ts';
import {RpcClient} from '../../src/net/rpc-client.ts';
import {Topology} from '../../src/net/overlay/topology.ts';
import {SimCluster, simUri} from '../../src/sim/cluster.ts';
import type {StatusEntry} from '../../src/services/overlay/tree-status.ts';
import type {TreeHealth} from '../../src/services/health/topics.ts';

const WITHIN_MS = 120_000;
const SIZE = 7;

async function started(seed = 1): Promise<SimCluster> {
	const cluster = new SimCluster({
		seed,
		topology: Topology.kary(SIZE, 2),
		latencyMs: {min: 0.1, max: 0.5},
	});
	cluster.start();
	await whole(cluster);
	return cluster;
}

async function whole(cluster: SimCluster): Promise<void> {
	await cluster.clock.run(() => cluster.isWhole, {withinMs: WITHIN_MS, what: 'all are reconciled'});
}

async function clientOf(cluster: SimCluster, rank = 0): Promise<RpcClient> {
	const {clock, network} = cluster;
	return settle(
		cluster,
		network
			.transport('client')
			.connect(simUri(rank), {timeoutMs: 1000})
			.then(link => RpcClient.over(link, {clock})),
	);
}

/** Runs virtual time until the promise has settled. */
async function settle<T>(cluster: SimCluster, promise: Promise<T>): Promise<T> {
	let isSettled = false;
	const done = () => (isSettled = true);
	promise.then(done, done);
	await cluster.clock.run(() => isSettled, {withinMs: WITHIN_MS, what: 'an answer comes'});
	return promise;
}

async function statusOf(cluster: SimCluster, rank = 0, timeout = 5): Promise<readonly StatusEntry[]> {
	const client = await clientOf(cluster, rank);
	const answer = await settle(cluster, client.call('overlay.status', {timeout}));
	client.close();
	return (answer as {overlay: StatusEntry[]}).overlay;
}

async function healthOf(cluster: SimCluster, rank = 0, payload: object = {}): Promise<TreeHealth> {
	const client = await clientOf(cluster, rank);
	const answer = await settle(cluster, client.call('health.status', payload));
	client.close();
	return answer as TreeHealth;
}

function words(entries: readonly {readonly status: string}[]): string {
	return entries.map(({status}) => status).join(' ');
}

/** Nothing passes between two ranks any more, and nobody is told. */
function hang(cluster: SimCluster, a: number, b: number): void {
	cluster.network.partition(`n${a}`, `n${b}`);
	cluster.network.partition(`n${b}`, `n${a}`);
}

test('the whole tree is full, asked at the root or at a leaf, and every rank says who it is', async t => {
	const cluster = await started();
	for (const at of [0, 6]) {
		const entries = await statusOf(cluster, at);
		t.is(words(entries), 'full full full full full full full');
		for (const {rank, hostname, parent, uuid, boot_count} of entries) {
			t.is(hostname, `n${rank}`);
			t.is(parent, rank === 0 ? null : Math.floor((rank - 1) / 2));
			t.is(uuid, cluster.get(rank).broker!.runtime.state.broker.context.uuid);
			t.is(boot_count, 1);
		}
	}
});

test('a rank that died is lost with its subtree, and the rest is degraded', async t => {
	const cluster = await started();
	cluster.kill(1, {hold: true});
	await cluster.clock.pass(500);
	const entries = await statusOf(cluster);
	t.is(words(entries), 'degraded lost full lost lost full full');
	t.regex(entries[3]!.error ?? '', /behind rank 1 \(n1\), which is lost/);
	cluster.release(1);
	await whole(cluster);
	t.is(words(await statusOf(cluster)), 'full full full full full full full');
	t.is((await statusOf(cluster))[1]!.boot_count, 2);
});

test('a rank that hangs does not keep the answer beyond its deadline, and is torpid', async t => {
	const cluster = await started();
	hang(cluster, 1, 4);
	const startMs = cluster.clock.monotonicMs();
	t.is(words(await statusOf(cluster, 0, 2)), 'degraded degraded full full torpid full full');
	t.true(cluster.clock.monotonicMs() - startMs <= 2100);
	await cluster.clock.pass(6000);
	const beforeMs = cluster.clock.monotonicMs();
	const known = await statusOf(cluster, 0, 2);
	t.is(words(known), 'degraded degraded full full torpid full full');
	t.true(cluster.clock.monotonicMs() - beforeMs < 100, 'one that is known to be silent is not waited for');
});

test('a hung router makes all below it torpid at once, and each has an entry', async t => {
	const cluster = await started();
	hang(cluster, 0, 1);
	t.is(words(await statusOf(cluster, 0, 2)), 'degraded torpid full torpid torpid full full');
});

test('disconnect-subtree declares a live child dead: it starts again; what is no child, or gone, is refused', async t => {
	const cluster = await started();
	const client = await clientOf(cluster);
	const disconnect = (rank: number, nodeid: number) =>
		settle(cluster, client.call('overlay.disconnect-subtree', {rank}, {nodeid}));
	await t.throwsAsync(disconnect(3, 0), {code: 'ENOENT'} as object);
	cluster.get(3).isHeld = true;
	await disconnect(3, 1);
	await t.throwsAsync(disconnect(3, 1), {code: 'EALREADY'} as object);
	const entries = await statusOf(cluster);
	t.is(entries[3]!.status, 'lost');
	t.regex(entries[3]!.error ?? '', /administrative disconnect/);
	await cluster.clock.pass(500);
	t.regex(cluster.get(3).ends.at(-1) ?? '', /administrative disconnect/);
	cluster.release(3);
	await whole(cluster);
	const errors = await settle(cluster, client.call('overlay.errors', {}));
	t.regex(JSON.stringify(errors), /rank 3 \(n3\).*administrative disconnect/);
});

test('the tree is ready when all ranks are online and reconciled, and says so at any rank', async t => {
	const cluster = await started();
	cluster.kill(5, {hold: true});
	await cluster.clock.pass(100);
	const client = await clientOf(cluster, 3);
	const error = await settle(
		cluster,
		client.call('overlay.ready', {}, {timeoutMs: 2000}).then(
			() => null,
			(one: SystemError) => one,
		),
	);
	t.is(error?.code, 'ETIMEDOUT');
	cluster.release(5);
	t.deepEqual(await settle(cluster, client.call('overlay.ready', {}, {timeoutMs: 20_000})), {online: '0-6'});
});

test('groups are those that the root reaches', async t => {
	const cluster = await started();
	const client = await clientOf(cluster, 2);
	const membersOf = async (name: string) => settle(cluster, client.call('groups.get', {name}));
	t.deepEqual(await membersOf('broker.online'), {members: '0-6'});
	t.deepEqual(await membersOf('broker.torpid'), {members: ''});
	hang(cluster, 0, 1);
	await cluster.clock.pass(7000);
	t.deepEqual(await membersOf('broker.torpid'), {members: '1,3-4'});
});

test('counters name what is pending over which neighbour, and are zero when nothing is', async t => {
	const cluster = await started();
	const client = await clientOf(cluster, 0);
	const statsOf = async () => {
		const answer = await settle(cluster, client.call('overlay.stats', {}));
		return (answer as {ranks: Readonly<Record<string, number>>[]}).ranks.map(one =>
			[one['parent-rpc'], one['child-rpc'], one['local-rpc']].join(),
		);
	};
	const none = Array.from({length: SIZE}, () => '0,0,0');
	t.deepEqual(await statsOf(), none);
	const leaf = await clientOf(cluster, 6);
	const stream = leaf.stream('log.dmesg', {follow: true, nobacklog: true}, {nodeid: 0});
	await cluster.clock.pass(100);
	t.deepEqual(await statsOf(), ['0,0,1', '0,0,0', '1,0,0', '0,0,0', '0,0,0', '0,0,0', '1,0,0']);
	leaf.close();
	void stream;
	await cluster.clock.pass(100);
	t.deepEqual(await statsOf(), none);
});

test('a healthy tree has no problems, and tells what every rank measures', async t => {
	const cluster = await started();
	for (const at of [0, 4]) {
		const health = await healthOf(cluster, at);
		t.deepEqual(health.problems, []);
		t.true(health.healthy);
		t.is(health.ranks.length, SIZE);
	}
});

test('a service that hangs on purpose is named by the rank that owes the answer, and by no other', async t => {
	const cluster = await started();
	const client = await clientOf(cluster);
	await settle(cluster, client.call('attr.set', {name: 'debug.hang', value: 'config.get'}, {nodeid: 6}));
	const hung = client.call('config.get', {}, {nodeid: 6, timeoutMs: 60_000}).catch(() => null);
	await cluster.clock.pass(7000);
	const health = await healthOf(cluster, 3);
	t.false(health.healthy);
	t.is(health.problems.length, 1, JSON.stringify(health.problems));
	t.like(health.problems[0], {rank: 6, hostname: 'n6', service: 'config', topic: 'config.get'});
	t.true(health.problems[0]!.age > 6.9);
	const onTheWay = health.ranks
		.find(({rank}) => rank === 2)!
		.pending.find(({topic}) => topic === 'config.get');
	t.like(onTheWay, {neighbour: 6, count: 1});
	t.is((await healthOf(cluster, 0, {service: 'attr'})).problems.length, 0, 'another service is well');
	void hung;
});

test('health names a rank that hangs within its deadline, and a leaf without the root names the root', async t => {
	const cluster = await started();
	hang(cluster, 0, 2);
	const health = await healthOf(cluster, 0, {timeout: 2});
	t.deepEqual(
		health.problems.map(({rank, service}) => `${rank} ${service}`),
		['2 overlay', '5 overlay', '6 overlay'],
	);
	const below = await healthOf(cluster, 6, {timeout: 2});
	t.false(below.healthy);
	t.like(below.problems[0], {rank: 0, hostname: 'n0'});
	t.is(below.ranks[0]!.rank, 6);
});

test('a trace shows what passes over a link, and changes of neighbours, filtered', async t => {
	const cluster = await started();
	const client = await clientOf(cluster);
	const seen: string[] = [];
	const follow = async (filter: object) => {
		for await (const entry of client.stream('overlay.trace', filter, {nodeid: 1})) {
			const {prefix, rank, topic} = entry as {prefix: string; rank: number; topic: string};
			seen.push(`${prefix} ${rank} ${topic}`);
		}
	};
	void follow({topic_glob: 'attr.*'}).catch(() => null);
	void follow({topic_glob: 'peer.*', nodeid: 3}).catch(() => null);
	await cluster.clock.pass(50);
	await settle(cluster, client.call('attr.get', {name: 'rank'}, {nodeid: 3}));
	cluster.kill(3, {hold: true});
	await cluster.clock.pass(200);
	t.deepEqual(seen, ['rx 0 attr.get', 'tx 3 attr.get', 'rx 3 attr.get', 'tx 0 attr.get', 'peer 3 peer.lost']);
});

test('a broker that waits for its parent is joining', async t => {
	const cluster = await started();
	cluster.kill(1, {hold: true});
	await cluster.clock.run(() => cluster.get(3).bootCount === 2 && cluster.get(3).broker !== null, {
		withinMs: WITHIN_MS,
		what: 'rank 3 has started again',
	});
	const client = await clientOf(cluster, 3);
	t.like(await settle(cluster, client.call('state-machine.get', {})), {state: 'join'});
	cluster.release(1);
	await whole(cluster);
	await cluster.clock.pass(100);
	t.like(await settle(cluster, client.call('state-machine.get', {})), {state: 'run'});
});
