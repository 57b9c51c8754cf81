/**
 * Goal: what a broker sends to reach many ranks grows with its children, not with the ranks.
 * Method: whole trees of 64 and 512 ranks on the in-memory network; every message between brokers is counted.
 */
import test from 'ava';
import {SystemError} from '../../../src/formats/errno.ts';
import {Topology} from '../../../src/net/overlay/topology.ts';
import {SimTree} from './sim-tree.ts';

const PAYLOAD = {id: 7, command: ['true'], environment: 'x'.repeat(1000)};

interface Count {
	readonly rootSent: number;
	readonly rootBytes: number;
	readonly total: number;
}

async function countOf(topology: Topology, ranks: readonly number[]): Promise<Count> {
	const started: number[] = [];
	const tree = new SimTree({
		topology,
		serve: ({rank, peers}) =>
			peers.handle('test.start', ({id}: {readonly id: number}) => {
				started.push(rank);
				if (rank % 100 === 99) throw new SystemError('ENOENT', 'not here');
				return {id, isStarted: true};
			}),
	});
	tree.start();
	await tree.whole();
	await tree.clock.pass(100);
	const sent = new Map<number, number>();
	let rootBytes = 0;
	tree.onSent = ({from, message}) => {
		if (message.type === 'control') return;
		sent.set(from, (sent.get(from) ?? 0) + 1);
		if (from === 0) rootBytes += message.payload.length;
	};
	const answers = await tree.settle(tree.node(0).peers.requestAll(ranks, 'test.start', PAYLOAD), 1000);
	const others = ranks.filter(rank => rank !== 0);
	if (started.length !== ranks.length || answers.size !== ranks.length) {
		throw new Error(`${started.length} started and ${answers.size} answered of ${ranks.length}`);
	}
	for (const [rank, {error}] of answers) {
		if ((error?.code ?? 'ok') !== (rank % 100 === 99 ? 'ENOENT' : 'ok')) throw new Error(`${rank}: ${error}`);
	}
	// Each rank but the root answers once, and each is asked by its parent alone.
	for (const [rank, count] of sent) {
		const most = topology.childrenOf(rank).length + (rank === 0 ? 0 : 1);
		if (count > most) throw new Error(`rank ${rank} sent ${count} messages`);
	}
	if (others.length > 0 && tree.failures.length > 0) throw tree.failures[0] as Error;
	return {rootSent: sent.get(0) ?? 0, rootBytes, total: [...sent.values()].reduce((a, b) => a + b, 0)};
}

const all = (size: number) => Array.from({length: size}, (_, rank) => rank);

for (const fanout of [2, 32]) {
	test(`512 ranks are started by one request: with kary:${fanout} the root sends ${fanout} messages`, async t => {
		const few = await countOf(Topology.kary(64, fanout), all(64));
		const many = await countOf(Topology.kary(512, fanout), all(512));
		t.is(few.rootSent, fanout);
		t.is(many.rootSent, fanout);
		t.is(many.total, 2 * 511, 'one down and one up for each broker but the root');
		t.true(many.rootBytes < fanout * 1500, `${many.rootBytes} bytes of payload`);
	});
}

test('ranks below one child cost the root one message, however many they are', async t => {
	const topology = Topology.kary(512, 32);
	const ranks = topology.subtreeOf(1);
	t.true(ranks.length > 16);
	const {rootSent, total} = await countOf(topology, ranks);
	t.is(rootSent, 1);
	t.is(total, 2 * ranks.length);
});
