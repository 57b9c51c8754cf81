import test from 'ava';
import {RpcClient} from '../../src/net/rpc-client.ts';
import {SystemError} from '../../src/formats/errno.ts';
import {Topology} from '../../src/net/overlay/topology.ts';
import {SimCluster, simUri} from '../../src/sim/cluster.ts';

const WITHIN_MS = 120_000;

function clusterOf(size: number, {fanout = 2, seed = 1} = {}): SimCluster {
	return new SimCluster({
		seed,
		topology: Topology.kary(size, fanout),
		latencyMs: {min: 0.1, max: 0.5},
	});
}

async function whole(cluster: SimCluster): Promise<void> {
	await cluster.clock.run(() => cluster.isWhole, {
		withinMs: WITHIN_MS,
		what: `all are reconciled; ${describe(cluster)}`,
	});
}

function describe({ranks}: SimCluster): string {
	return ranks.map(({rank, bootCount, ends}) => `${rank}: ${bootCount} ${ends.at(-1) ?? ''}`).join('; ');
}

async function clientOf(cluster: SimCluster, rank: number): Promise<RpcClient> {
	const {clock, network} = cluster;
	const opened = network.transport(`client`).connect(simUri(rank), {timeoutMs: 1000});
	let client: RpcClient | null = null;
	void opened.then(link => (client = RpcClient.over(link, {clock})));
	await clock.run(() => client !== null, {withinMs: 2000, what: 'a client is connected'});
	return client as unknown as RpcClient;
}

/** Runs virtual time until the promise has settled. */
async function settle<T>(cluster: SimCluster, promise: Promise<T>): Promise<T> {
	let isSettled = false;
	promise.then(
		() => (isSettled = true),
		() => (isSettled = true),
	);
	await cluster.clock.run(() => isSettled, {withinMs: WITHIN_MS, what: 'an answer comes'});
	return promise;
}

test('fifteen brokers become one tree, and any reaches any', async t => {
	const cluster = clusterOf(15);
	cluster.start();
	await whole(cluster);
	const client = await clientOf(cluster, 7);
	for (const {rank} of cluster.ranks) {
		const pong = (await settle(cluster, client.call('broker.ping', {seq: rank}, {nodeid: rank}))) as {
			rank: number;
			seq: number;
		};
		t.is(pong.rank, rank);
		t.is(pong.seq, rank);
	}
	const {state} = (await settle(cluster, client.call('state-machine.get', {}, {nodeid: 0}))) as {
		state: string;
	};
	t.is(state, 'run');
	t.deepEqual(
		cluster.ranks.map(({bootCount}) => bootCount),
		cluster.ranks.map(() => 1),
	);
});

test('the death of the root restarts every broker, and all come back', async t => {
	const cluster = clusterOf(15);
	cluster.start();
	await whole(cluster);
	cluster.kill(0);
	await cluster.clock.run(() => cluster.ranks.every(({bootCount}) => bootCount >= 2), {
		withinMs: WITHIN_MS,
		what: 'every broker has started again',
	});
	await whole(cluster);
	for (const {rank, ends} of cluster.ranks.slice(1)) {
		t.regex(ends.at(-1) ?? '', /lost the parent/, `rank ${rank}`);
	}
});

test('the death of an interior broker restarts those below it, and no other', async t => {
	const cluster = clusterOf(15);
	cluster.start();
	await whole(cluster);
	cluster.kill(1);
	const below = Topology.kary(15, 2).subtreeOf(1);
	await cluster.clock.run(() => below.every(rank => cluster.get(rank).bootCount === 2), {
		withinMs: WITHIN_MS,
		what: 'the subtree has started again',
	});
	await whole(cluster);
	for (const {rank, bootCount} of cluster.ranks)
		t.is(bootCount, below.includes(rank) ? 2 : 1, `rank ${rank}`);
});

test('a request that is pending through a broker that dies is answered once with EHOSTUNREACH', async t => {
	const cluster = clusterOf(7);
	cluster.start();
	await whole(cluster);
	const client = await clientOf(cluster, 0);
	const answers: string[] = [];
	const stream = client.stream('log.dmesg', {follow: true, nobacklog: true}, {nodeid: 3});
	void (async () => {
		try {
			for await (const line of stream) answers.push(String(line));
		} catch (error) {
			answers.push((error as SystemError).code);
		}
	})();
	await cluster.clock.pass(100);
	cluster.kill(1);
	await cluster.clock.run(() => answers.length > 0, {withinMs: 1000, what: 'the answer'});
	await whole(cluster);
	t.deepEqual(answers, ['EHOSTUNREACH']);
	t.is(client.pendingCount, 0);
});

for (const [from, to] of [
	['n1', 'n3'],
	['n3', 'n1'],
] as const) {
	test(`a link that is cut from ${from} to ${to} only brings the child back, and nobody waits for ever`, async t => {
		const cluster = clusterOf(7);
		cluster.start();
		await whole(cluster);
		cluster.network.partition(from, to);
		await cluster.clock.pass(60_000);
		t.true(cluster.get(3).ends.length > 0, 'the child has ended');
		t.false(cluster.get(0).broker?.runtime.isReconciled(3));
		t.deepEqual(
			[1, 2, 4, 5, 6].map(rank => cluster.get(rank).bootCount),
			[1, 1, 1, 1, 1],
		);
		cluster.network.heal();
		await whole(cluster);
		t.pass();
	});
}
