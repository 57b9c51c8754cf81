/**
 * Goal: a reader that is slow slows its own stream at its source; no broker on the way holds more than a little of it, and
 * everything else goes on over the same links.
 * Method: 100 MiB from a leaf to a client of the root, three hops away, over links that say when they are behind.
 */
import test from 'ava';
import {Topology} from '../../../src/net/overlay/topology.ts';
import type {RpcRequest} from '../../../src/net/rpc-request.ts';
import {SimTree, type TreeNode} from './sim-tree.ts';

const MIB = 1024 * 1024;
const TOTAL_BYTES = 100 * MIB;
const CHUNK_BYTES = 64 * 1024;
const CHUNKS = TOTAL_BYTES / CHUNK_BYTES;
const QUEUE_BYTES_MAX = 2 * MIB;
const ROW = Topology.kary(4, 1);

/** Sends as fast as it is let, and counts. */
function serve({registry}: TreeNode): void {
	registry.register('test.echo', request => request.respond({}));
	registry.register(
		'test.stream',
		request => {
			let next = 0;
			const go = () => {
				while (next < CHUNKS && request.isOpen) if (!sendChunk(request, next++)) return;
				if (request.isOpen) request.end();
			};
			request.onDrain = go;
			go();
		},
		{streaming: 'always'},
	);
}

function sendChunk(request: RpcRequest, index: number): boolean {
	const chunk = Buffer.alloc(CHUNK_BYTES, index % 251);
	chunk.writeUInt32BE(index);
	return request.respondStream(chunk);
}

/** Reads one chunk after the other with a pause between them; resolves to how many came. */
async function read(tree: SimTree, chunks: AsyncIterable<unknown>, pauseMs: number): Promise<number> {
	let count = 0;
	for await (const chunk of chunks) {
		const bytes = Buffer.from(chunk as Uint8Array);
		if (bytes.length !== CHUNK_BYTES || bytes.readUInt32BE() !== count || bytes[9] !== count % 251) {
			throw new Error(`chunk ${count} is not what was sent`);
		}
		count += 1;
		if (pauseMs > 0) await new Promise<void>(resolve => void tree.clock.setTimer(pauseMs, resolve));
	}
	return count;
}

test('100 MiB from a leaf to a slow client of the root: no hop holds more than 2 MiB, and others do not notice', async t => {
	const tree = new SimTree({topology: ROW, serve});
	tree.start();
	await tree.whole();
	const slow = await tree.client(0, 'slow');
	const quick = await tree.client(0, 'quick');
	const down = await tree.client(3, 'down');
	let isOver = false;
	const reading = read(tree, slow.client.stream('test.stream', {}, {nodeid: 3}), 1);
	void reading.then(() => (isOver = true));
	let slowestMs = 0;
	let calls = 0;
	const call = async ({client}: typeof quick, nodeid: number) => {
		while (!isOver) {
			const startMs = tree.clock.monotonicMs();
			await client.call('test.echo', {}, {nodeid});
			slowestMs = Math.max(slowestMs, tree.clock.monotonicMs() - startMs);
			calls += 1;
			await new Promise<void>(resolve => void tree.clock.setTimer(10, resolve));
		}
	};
	const calling = Promise.all([call(quick, 3), call(quick, 2), call(down, 0)]);
	t.is(await tree.settle(reading), CHUNKS);
	await tree.settle(calling);
	t.true(calls > 100, `${calls} calls`);
	t.true(slowestMs < 50, `the slowest call took ${slowestMs.toFixed(1)} ms`);
	for (const [rank, bytes] of tree.deepestBytes) {
		t.true(bytes <= QUEUE_BYTES_MAX, `rank ${rank} held ${(bytes / MIB).toFixed(1)} MiB`);
	}
	for (let rank = 0; rank < 4; rank += 1) t.is(tree.node(rank).state.rpcs.size, 0);
	t.deepEqual(tree.failures, []);
});

test('a client that stops reading altogether stops its stream at the source, for as long as it likes', async t => {
	const tree = new SimTree({topology: ROW, serve});
	tree.start();
	await tree.whole();
	const stuck = await tree.client(0, 'stuck');
	const other = await tree.client(0, 'other');
	stuck.client.stream('test.stream', {}, {nodeid: 3});
	let frames = 0;
	tree.onSent = ({from, message}) => (frames += from === 3 && message.type === 'response' ? 1 : 0);
	await tree.clock.pass(1000);
	const heldBytes = frames * CHUNK_BYTES;
	t.true(heldBytes < 6 * MIB, `${heldBytes / MIB} MiB left the source`);
	await tree.clock.pass(60_000);
	t.is(frames * CHUNK_BYTES, heldBytes);
	t.is(await tree.settle(read(tree, other.client.stream('test.stream', {}, {nodeid: 3}), 0)), CHUNKS);
	// It leaves: what it asked for ends everywhere.
	stuck.link.destroy();
	await tree.clock.pass(100);
	for (let rank = 0; rank < 4; rank += 1) {
		t.is(tree.node(rank).state.rpcs.size, 0, `rank ${rank}`);
		t.is(
			[...tree.node(rank).server.sessions].reduce((sum, {pendingCount}) => sum + pendingCount, 0),
			0,
		);
	}
});
