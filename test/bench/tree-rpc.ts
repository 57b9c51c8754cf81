/**
 * Requests over three hops that every broker on the way tracks and logs: 4 brokers in a row, beside 4 processes that only pass
 * the bytes on. On a machine that is shared, the ratio and the CPU time of a request count.
 */
import {fork, type ChildProcess} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {connect, createServer, type Socket} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {Tree} from '../chaos/tree.ts';

const HOPS = 3;
const ROUNDS = 3;
const WARM_UP_MS = 1500;
const MEASURE_MS = 3000;
const FRAME_BYTES = 128;
/** USER_HZ of Linux. */
const TICK_MS = 10;

type Call = () => Promise<unknown>;

interface Result {
	readonly perSecond: number;
	readonly medianMs: number;
	/** Of the processes on the way, for each request. */
	readonly cpuMs: number;
}

if (process.argv[2] === 'relay') relay(process.argv[3]!, process.argv[4]);

export async function benchTreeRpc(): Promise<void> {
	console.log(
		`\nRequests over ${HOPS} hops, tracked and logged by ${HOPS + 1} brokers, beside a plain relay\n`,
	);
	const tree = new Tree({size: HOPS + 1, fanout: 1, cores: 1});
	const relays = new Relays();
	try {
		await tree.start();
		await tree.whole();
		await relays.start();
		const client = await tree.client(HOPS);
		const pids = (await tree.boots()).flatMap(boot => (boot === null ? [] : [boot.pid]));
		// Not a ping, which is no fact in any log.
		const ask = () => client.call('attr.get', {name: 'rank'}, {nodeid: 0, timeoutMs: 10_000});
		const echo = await relays.caller();
		await run({call: ask, pids, window: 64, durationMs: WARM_UP_MS});
		await run({call: echo, pids: relays.pids, window: 64, durationMs: WARM_UP_MS / 3});
		console.log(
			'| in flight | requests/s | median (ms) | CPU (µs) | relay/s | median (ms) | CPU (µs) | ratio |',
		);
		console.log('|---|---|---|---|---|---|---|---|');
		for (let round = 0; round < ROUNDS; round += 1) {
			for (const window of [1, 64]) {
				const ours = await run({call: ask, pids, window, durationMs: MEASURE_MS});
				const plain = await run({call: echo, pids: relays.pids, window, durationMs: MEASURE_MS / 2});
				const ratio = ours.perSecond / plain.perSecond;
				console.log(`| ${window} | ${show(ours)} | ${show(plain)} | ${ratio.toFixed(2)} |`);
			}
		}
		console.log('\ngoals on two quiet cores: median 0.8 ms with 1, 8000/s with 64');
	} finally {
		relays.end();
		await tree.destroy();
	}
}

function show({perSecond, medianMs, cpuMs}: Result): string {
	return `${perSecond.toFixed(0)} | ${medianMs.toFixed(3)} | ${(cpuMs * 1000).toFixed(0)}`;
}

async function run(options: {
	readonly call: Call;
	readonly pids: readonly number[];
	readonly window: number;
	readonly durationMs: number;
}): Promise<Result> {
	const {call, pids, window, durationMs} = options;
	const latencies: number[] = [];
	const cpuMs = cpuOf(pids);
	const startMs = performance.now();
	const worker = async () => {
		for (;;) {
			const sentMs = performance.now();
			if (sentMs - startMs > durationMs) return;
			await call();
			latencies.push(performance.now() - sentMs);
		}
	};
	await Promise.all(Array.from({length: window}, worker));
	const perSecond = (latencies.length * 1000) / (performance.now() - startMs);
	latencies.sort((a, b) => a - b);
	return {
		perSecond,
		medianMs: latencies[latencies.length >> 1]!,
		cpuMs: (cpuOf(pids) - cpuMs) / latencies.length,
	};
}

/** User and system time so far. */
function cpuOf(pids: readonly number[]): number {
	let ticks = 0;
	for (const pid of pids) {
		const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
		const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
		ticks += Number(fields[11]) + Number(fields[12]);
	}
	return ticks * TICK_MS;
}

/** As many processes as brokers, in a row: the last one answers with the same bytes. */
class Relays {
	readonly #directory = mkdtempSync(join(tmpdir(), 'coppice-bench-'));
	readonly #children: ChildProcess[] = [];
	#socket: Socket | null = null;

	get pids(): readonly number[] {
		return this.#children.map(({pid}) => pid!);
	}

	async start(): Promise<void> {
		for (let hop = 0; hop <= HOPS; hop += 1) {
			const next = hop === 0 ? [] : [this.#path(hop - 1)];
			const child = fork(fileURLToPath(import.meta.url), ['relay', this.#path(hop), ...next]);
			this.#children.push(child);
			await new Promise<void>((resolve, reject) => {
				child.once('message', () => resolve());
				child.once('exit', code => reject(new Error(`a relay exited with ${code}`)));
			});
		}
	}

	async caller(): Promise<Call> {
		const frame = Buffer.alloc(FRAME_BYTES, 1);
		const socket = connect(this.#path(HOPS));
		this.#socket = socket;
		await new Promise(resolve => socket.once('connect', resolve));
		const waiting: (() => void)[] = [];
		let received = 0;
		socket.on('data', chunk => {
			received += chunk.length;
			for (; received >= FRAME_BYTES; received -= FRAME_BYTES) waiting.shift()!();
		});
		return () =>
			new Promise<void>(resolve => {
				waiting.push(resolve);
				socket.write(frame);
			});
	}

	end(): void {
		this.#socket?.destroy();
		for (const child of this.#children) child.kill();
		rmSync(this.#directory, {recursive: true, force: true});
	}

	#path(hop: number): string {
		return join(this.#directory, `relay-${hop}`);
	}
}

function relay(path: string, next: string | undefined): void {
	const server = createServer(socket => {
		const onward = next === undefined ? socket : connect(next);
		socket.pipe(onward);
		if (onward !== socket) onward.pipe(socket);
	});
	server.listen(path, () => process.send!('ready'));
	process.once('disconnect', () => process.exit());
}
