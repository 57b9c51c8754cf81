/**
 * How many durable facts a second the event log takes, beside raw LevelDB batches of the same bytes in the same
 * run, and how many records a second it reads and proves. Figures of one machine: use the ratios.
 */
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {randomUUID} from 'node:crypto';
import {encode} from '@msgpack/msgpack';
import type {Clock} from '../../src/ports/clock.ts';
import type {Store} from '../../src/ports/store.ts';
import {EventLog} from '../../src/store/event-log.ts';
import {LevelStoreDir} from '../../src/store/real/level-store-dir.ts';

const clock: Clock = {
	epochMs: () => Date.now(),
	monotonicMs: () => performance.now(),
	bootId: 'bench',
	setTimer(delayMs, fire) {
		const timer = setTimeout(fire, delayMs);
		return {cancel: () => clearTimeout(timer)};
	},
	defer: run => void setImmediate(run),
};

const random = {float: () => 0, bytes: (length: number) => new Uint8Array(length), uuid: () => randomUUID()};
const fact = (n: number) => ({
	type: 'job.start',
	id: 1_000_000 + n,
	rank: n % 64,
	atMs: 1_700_000_000_000 + n,
});

const READ_ROUNDS = 3;

/** Prints the figures; the whole run takes some 10 s. */
export async function benchLog(): Promise<void> {
	for (const size of [1, 10, 100, 1000]) {
		const count = size === 1 ? 1500 : size === 10 ? 10_000 : 200_000;
		const raw = await withDirectory(async dir => rawRate(dir, {count, size}));
		const ours = await withDirectory(async dir => logRate(dir, {count, size}));
		const ratio = (ours / raw).toFixed(2);
		console.log(
			`batches of ${size}: log ${rate(ours)} durable facts/s, raw LevelDB ${rate(raw)}, ratio ${ratio}`,
		);
	}
	console.log('goal: 100,000 durable facts/s in large batches');
	await withDirectory(readRates);
}

async function withDirectory<T>(run: (dir: LevelStoreDir) => Promise<T>): Promise<T> {
	const path = await mkdtemp(join(tmpdir(), 'coppice-bench-log-'));
	try {
		return await run(new LevelStoreDir(path));
	} finally {
		await rm(path, {recursive: true, force: true});
	}
}

interface Load {
	readonly count: number;
	readonly size: number;
}

/** One key for each fact, as without the log; encoding included. */
async function rawRate(dir: LevelStoreDir, {count, size}: Load): Promise<number> {
	const store: Store = await dir.open({create: true});
	const startMs = performance.now();
	for (let n = 0; n < count; n += size) {
		const ops = Array.from({length: size}, (_, index) => {
			const key = Buffer.alloc(8);
			key.writeUInt32BE(n + index, 4);
			return {type: 'put' as const, key, value: encode(fact(n + index))};
		});
		await store.write(ops, {sync: true});
	}
	const raw = perSecond(count, startMs);
	await store.close();
	return raw;
}

async function logRate(dir: LevelStoreDir, {count, size}: Load): Promise<number> {
	const log = await EventLog.open(dir, {clock, random, create: true});
	const startMs = performance.now();
	for (let n = 0; n < count; n += size) {
		for (let index = 0; index < size; index += 1) log.append([fact(n + index)], {durable: true});
		await new Promise<void>(resolve => log.whenDurable(resolve));
	}
	const ours = perSecond(count, startMs);
	await log.close();
	return ours;
}

/** Records of one fact each, written without fsync: how fast they come is not the question here. */
async function readRates(dir: LevelStoreDir): Promise<void> {
	const count = 200_000;
	const log = await EventLog.open(withoutSync(dir), {clock, random, create: true});
	for (let n = 0; n < count; n += 1) {
		log.append([fact(n)], {durable: true});
		await new Promise<void>(resolve => log.whenDurable(resolve));
	}
	await log.close();
	console.log(
		`\n${count} records of one fact\n\n| round | open and prove/s | read/s | raw LevelDB, only handed over/s | ratio of reading |`,
	);
	console.log('|---|---|---|---|---|');
	for (let round = 1; round <= READ_ROUNDS; round += 1) {
		const openMs = performance.now();
		const again = await EventLog.open(dir, {clock, random, create: false});
		const proved = perSecond(count, openMs);
		const readMs = performance.now();
		let records = 0;
		for await (const piece of again.read({fromSeq: 1})) for (const {facts} of piece) records += facts.length;
		if (records !== count) throw new Error(`${records} records of ${count} were read`);
		const read = perSecond(count, readMs);
		await again.close();
		const raw = await rawReadRate(dir);
		console.log(`| ${round} | ${rate(proved)} | ${rate(read)} | ${rate(raw)} | ${(read / raw).toFixed(2)} |`);
	}
	console.log('\ngoal: 300,000 records/s');
}

/** What the same database hands over when nothing is proved or decoded. */
async function rawReadRate(dir: LevelStoreDir): Promise<number> {
	const store = await dir.open({create: false});
	const startMs = performance.now();
	let entries = 0;
	for await (const chunk of store.iterateChunks({gte: Uint8Array.of(0), lt: Uint8Array.of(255)})) {
		entries += chunk.length;
	}
	const raw = perSecond(entries, startMs);
	await store.close();
	return raw;
}

function perSecond(count: number, sinceMs: number): number {
	return (count / (performance.now() - sinceMs)) * 1000;
}

function withoutSync(dir: LevelStoreDir): LevelStoreDir {
	const open = dir.open.bind(dir);
	dir.open = async options => {
		const store = await open(options);
		const write = store.write.bind(store);
		store.write = async ops => write(ops, {sync: false});
		return store;
	};
	return dir;
}

function rate(value: number): string {
	return Math.round(value).toLocaleString('en');
}
