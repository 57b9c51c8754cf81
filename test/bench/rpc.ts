/**
 * Local RPC over a unix socket between two processes, beside a plain socket echo of the same frames in the same run.
 * Prints requests/s with 64 in flight, the median latency with one, and the ratio to the echo.
 * Usage: node dist/test/bench/rpc.js [SECONDS]
 */
import {fork, type ChildProcess} from 'node:child_process';
import {mkdtempSync, rmSync} from 'node:fs';
import {connect, createServer} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {RpcClient} from '../../src/net/rpc-client.ts';
import {RpcServer} from '../../src/net/rpc-server.ts';
import {UnixTransport} from '../../src/net/real/unix-transport.ts';
import {ServiceRegistry} from '../../src/net/service-registry.ts';
import {RunningClock} from '../net/clocks.ts';

const PAD = 'x'.repeat(64);
const clock = new RunningClock();

if (process.argv[2] === 'serve') await serve(process.argv[3]!);
else await measure(Number(process.argv[2] ?? 2) * 1000);

async function serve(directory: string): Promise<void> {
	const registry = new ServiceRegistry();
	registry.register('bench.ping', request => request.respond(request.payload));
	const server = new RpcServer({registry, clock});
	await new UnixTransport().listen(`local://${directory}/rpc`, link => server.accept(link));
	createServer(socket => socket.pipe(socket)).listen(`${directory}/echo`, () => process.send!('ready'));
	process.once('disconnect', () => process.exit());
}

async function measure(durationMs: number): Promise<void> {
	const directory = mkdtempSync(join(tmpdir(), 'coppice-bench-'));
	const child = fork(fileURLToPath(import.meta.url), ['serve', directory]);
	try {
		await ready(child);
		const link = await new UnixTransport().connect(`local://${directory}/rpc`, {timeoutMs: 1000});
		const client = RpcClient.over(link, {clock});
		let seq = 0;
		const call = () => client.call('bench.ping', {seq: seq++, pad: PAD});
		const echo = await echoCaller(`${directory}/echo`);
		for (const caller of [call, echo]) await run({call: caller, window: 64, durationMs: 500}); // Warms up.
		for (const window of [64, 1]) {
			const rpc = await run({call, window, durationMs});
			const plain = await run({call: echo, window, durationMs});
			console.log(
				`${window} in flight: rpc ${show(rpc)}; plain echo ${show(plain)}; ratio ${(rpc.perSecond / plain.perSecond).toFixed(2)}`,
			);
		}
		link.destroy();
	} finally {
		child.kill();
		rmSync(directory, {recursive: true});
	}
}

interface Result {
	readonly perSecond: number;
	readonly medianMs: number;
	readonly p99Ms: number;
}

function show({perSecond, medianMs, p99Ms}: Result): string {
	return `${Math.round(perSecond)}/s (median ${medianMs.toFixed(3)} ms, p99 ${p99Ms.toFixed(3)} ms)`;
}

async function run(options: {
	readonly call: () => Promise<unknown>;
	readonly window: number;
	readonly durationMs: number;
}): Promise<Result> {
	const {call, window, durationMs} = options;
	const latencies: number[] = [];
	const start = performance.now();
	const worker = async () => {
		for (;;) {
			const sent = performance.now();
			if (sent - start > durationMs) return;
			await call();
			latencies.push(performance.now() - sent);
		}
	};
	await Promise.all(Array.from({length: window}, worker));
	const perSecond = (latencies.length * 1000) / (performance.now() - start);
	latencies.sort((a, b) => a - b);
	return {
		perSecond,
		medianMs: latencies[latencies.length >> 1]!,
		p99Ms: latencies[Math.floor(latencies.length * 0.99)]!,
	};
}

/** The floor: the same bytes to and fro, in order, each written by itself. */
async function echoCaller(path: string): Promise<() => Promise<unknown>> {
	const frame = Buffer.alloc(128, 1);
	const socket = connect(path);
	await new Promise(resolve => socket.once('connect', resolve));
	const waiting: (() => void)[] = [];
	let received = 0;
	socket.on('data', chunk => {
		received += chunk.length;
		while (received >= frame.length) {
			received -= frame.length;
			waiting.shift()!();
		}
	});
	socket.unref();
	return () =>
		new Promise<void>(resolve => {
			waiting.push(resolve);
			socket.write(frame);
		});
}

function ready(child: ChildProcess): Promise<void> {
	return new Promise((resolve, reject) => {
		child.once('message', () => resolve());
		child.once('exit', code => reject(new Error(`the server exited with ${code}`)));
	});
}
