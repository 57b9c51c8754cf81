/**
 * How soon a pending request gets its error: after the death of the next hop, with and without other traffic on the link; and
 * behind a next hop that was stopped.
 */
import {SystemError} from '../../src/formats/errno.ts';
import {signalProcess} from '../chaos/processes.ts';
import {Tree} from '../chaos/tree.ts';

const LOST_MS = 3000;
const ROUNDS = 5;
/** The pending request is to this rank; the next hop of the root is its parent's parent. */
const TARGET = 7;
const NEXT_HOP = 1;

export async function benchErrors(): Promise<void> {
	console.log(`\nA pending request of the root to rank ${TARGET} of 15; its next hop is rank ${NEXT_HOP}\n`);
	console.log('| what happens to the next hop | error | after (ms) | goal (ms) |\n|---|---|---|---|');
	const tree = new Tree({size: 15, cores: 1, confs: ['tbon.torpid=1s', `tbon.lost-timeout=${LOST_MS}ms`]});
	try {
		await tree.start();
		for (const hasTraffic of [false, true]) {
			const what = `kill -9, ${hasTraffic ? 'with' : 'without'} other traffic`;
			for (let round = 0; round < ROUNDS; round += 1) {
				const {code, ms} = await failing(tree, {signal: 'SIGKILL', hasTraffic});
				console.log(`| ${what} | ${code} | ${ms.toFixed(0)} | 100 |`);
			}
		}
		const {code, ms} = await failing(tree, {signal: 'SIGSTOP', hasTraffic: false});
		console.log(`| SIGSTOP, lost-timeout ${LOST_MS} ms | ${code} | ${ms.toFixed(0)} | ${LOST_MS + 1000} |`);
		await tree.whole();
	} finally {
		await tree.destroy();
	}
}

async function failing(
	tree: Tree,
	{signal, hasTraffic}: {readonly signal: 'SIGKILL' | 'SIGSTOP'; readonly hasTraffic: boolean},
): Promise<{code: string; ms: number}> {
	await tree.whole();
	const client = await tree.client(0);
	// It never ends by itself, and nothing comes of it.
	const stream = client.stream('log.dmesg', {follow: true, nobacklog: true}, {nodeid: TARGET});
	const failed = (async () => {
		try {
			for await (const line of stream) void line;
			return 'no error';
		} catch (error) {
			return error instanceof SystemError ? error.code : String(error);
		}
	})();
	await client.call('broker.ping', {seq: 0}, {nodeid: TARGET});
	let isOver = false;
	const traffic = (async () => {
		while (hasTraffic && !isOver) {
			await client
				.call('broker.ping', {seq: 0}, {nodeid: NEXT_HOP, timeoutMs: 5000})
				.catch(() => (isOver = true));
		}
	})();
	const hop = tree.brokers().get(NEXT_HOP)!;
	const startMs = performance.now();
	signalProcess(hop, signal);
	const code = await failed;
	const ms = performance.now() - startMs;
	isOver = true;
	await traffic;
	signalProcess(hop, 'SIGCONT');
	return {code, ms};
}
