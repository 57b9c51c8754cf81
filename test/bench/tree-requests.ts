/** Requests over three hops: a client of rank 7 of 15 asks the root. Every hop tracks and logs them. */
import {Tree} from '../chaos/tree.ts';

const WARM_UP_MS = 1500;
const MEASURE_MS = 4000;
const FROM = 7;

export async function benchRequests(): Promise<void> {
	console.log('\nRequests over three hops: rank 7 of 15 to the root, `kary:2`\n');
	const tree = new Tree({size: 15, cores: 1});
	try {
		await tree.start();
		await tree.whole();
		const client = await tree.client(FROM);
		const ask = (nodeid: number) => async () =>
			client.call('broker.ping', {seq: 0, pad: ''}, {nodeid, timeoutMs: 10_000});
		await run(ask(0), {window: 64, durationMs: WARM_UP_MS});
		console.log(
			'| in flight | requests/s | median (ms) | p99 (ms) | of them without a hop: median (ms) |\n|---|---|---|---|---|',
		);
		for (const window of [1, 64]) {
			const far = await run(ask(0), {window, durationMs: MEASURE_MS});
			const near = await run(ask(FROM), {window, durationMs: MEASURE_MS / 2});
			const figures = [far.medianMs, far.p99Ms, near.medianMs].map(ms => ms.toFixed(3));
			console.log(`| ${window} | ${far.perSecond.toFixed(0)} | ${figures.join(' | ')} |`);
		}
		console.log('\ngoals: median 0.8 ms with 1, 8000/s with 64');
	} finally {
		await tree.destroy();
	}
}

async function run(
	call: () => Promise<unknown>,
	{window, durationMs}: {readonly window: number; readonly durationMs: number},
): Promise<{perSecond: number; medianMs: number; p99Ms: number}> {
	const latencies: number[] = [];
	const startMs = performance.now();
	const worker = async () => {
		for (let sentMs = startMs; sentMs - startMs < durationMs;) {
			sentMs = performance.now();
			await call();
			latencies.push(performance.now() - sentMs);
		}
	};
	await Promise.all(Array.from({length: window}, worker));
	const perSecond = (latencies.length * 1000) / (performance.now() - startMs);
	latencies.sort((a, b) => a - b);
	const at = (share: number) => latencies[Math.floor(latencies.length * share)]!;
	return {perSecond, medianMs: at(0.5), p99Ms: at(0.99)};
}
