/**
 * A hail of frames on the sockets of a tree of three brokers, by seed, and what must be so afterwards: the same brokers, not
 * fatter, with the same descriptors, nothing pending, a log that proves itself, and a client with manners that met no error.
 */
import {readdirSync} from 'node:fs';
import {Instance} from '../chaos/instance.ts';
import {statusField, type ProcessName} from '../chaos/processes.ts';
import {Seeded} from '../chaos/seeded.ts';
import {until} from '../chaos/until.ts';
import {fire} from './gunner.ts';
import {beginWitness} from './witness.ts';
import {frameWords} from './words.ts';

export interface HailOptions {
	readonly seed: number;
	readonly frames: number;
	readonly say: (line: string) => void;
}

/** Guns by the socket they fire at. */
const GUNS = ['local-0', 'local-0', 'local-0', 'local-1', 'local-2', 'tbon-0', 'tbon-0'];
/** What a broker may have grown by in the second half of a hail, for all that it keeps on purpose: jobs, log lines, pages of V8. */
const GROWTH_KIB_MAX = 60 * 1024;
const SETTLE_MS_MAX = 60_000;

interface Pending {
	readonly ranks: readonly {readonly pending: readonly {readonly topic: string; readonly count: number}[]}[];
}

/** Fires, and returns what was wrong. */
export async function hail({seed, frames, say}: HailOptions): Promise<readonly string[]> {
	const instance = new Instance({size: 3, cores: 4});
	const problems: string[] = [];
	try {
		await instance.start();
		await until('all have joined', async () => (await instance.getattr('size')) === '3');
		await instance.ok('run', '-N', '3', 'true');
		const before = await brokersOf(instance);
		const words = await frameWords(instance.uri);
		const fdsBefore = before.map(fdsOf);
		say(
			`seed ${seed}: ${frames} frames, ${words.topics.length} topics, rss ${before.map(rssKib).join(' ')} KiB`,
		);
		const idle = await witnessed(instance, async () => new Promise(resolve => setTimeout(resolve, 1000)));
		const faults = new Map<string, number>();
		const errnums = new Map<number, number>();
		const halves: number[][] = [];
		const busy = await witnessed(instance, async () => {
			for (const half of [0, 1]) {
				let left = Math.ceil(frames / 2);
				const take = () => (left -= 1) >= 0;
				const onFault = (text: string) => faults.set(text, (faults.get(text) ?? 0) + 1);
				const onAnswer = (errnum: number) => errnums.set(errnum, (errnums.get(errnum) ?? 0) + 1);
				await Promise.all(
					GUNS.map(async (socket, gun) => {
						const random = new Seeded(seed * 100 + half * 50 + gun);
						await fire({path: `${instance.rundir}/${socket}`, random, words, take, onFault, onAnswer});
					}),
				);
				await settled(instance, before, fdsBefore);
				halves.push(before.map(rssKib));
				say(`half ${half + 1}: rss ${halves[half]!.join(' ')} KiB`);
			}
		});
		for (const [text, count] of faults) problems.push(`${text.slice(0, 500)} (${count} times)`);
		problems.push(...idle.errors, ...busy.errors.map(text => `the witness: ${text}`));
		const latencies = [idle, busy].map(
			({latenciesMs: ms}) => `${at(ms, 0.5)} / ${at(ms, 0.99)} / ${at(ms, 1)} ms`,
		);
		say(`witness, median / 99 % / worst: idle ${latencies[0]}, in the hail ${latencies[1]}`);
		say(
			`answers by errnum: ${[...errnums]
				.sort(([, a], [, b]) => b - a)
				.map(pair => pair.join(': '))
				.join(', ')}`,
		);
		for (const [rank, first] of halves[0]!.entries()) {
			const grownKib = halves[1]![rank]! - first;
			if (grownKib > GROWTH_KIB_MAX)
				problems.push(`rank ${rank} has grown by ${grownKib} KiB in the second half`);
		}
		problems.push(...(await provenAfter(instance, before)));
	} catch (error) {
		problems.push(`${(error as Error).stack ?? String(error)}\n${instance.logs()}`);
	} finally {
		await instance.destroy();
	}
	return problems;
}

async function witnessed(instance: Instance, run: () => Promise<unknown>) {
	const witness = await beginWitness(instance.uri);
	try {
		await run();
	} catch (error) {
		await witness.end();
		throw error;
	}
	return witness.end();
}

async function brokersOf(instance: Instance): Promise<readonly ProcessName[]> {
	return until('three brokers', () => {
		const brokers = instance.brokers();
		return brokers.size === 3 ? [0, 1, 2].map(rank => brokers.get(rank)!) : null;
	});
}

/** Waits until nothing of the clients that are gone is left. */
async function settled(
	instance: Instance,
	brokers: readonly ProcessName[],
	fdsBefore: readonly number[],
): Promise<void> {
	let last = '';
	try {
		await until(
			'descriptors and requests are back to what they were',
			async () => {
				const fds = brokers.map(fdsOf);
				const {stdout} = await instance.run(['health', '--json']);
				const {ranks} = JSON.parse(stdout) as Pending;
				const pending = ranks.flatMap(rank => rank.pending);
				last = `descriptors ${fds.join(' ')}, were ${fdsBefore.join(' ')}; ${JSON.stringify(pending)}`;
				// The witness's own request may be among them; a table file more or less is LevelDB's affair.
				return pending.length <= 1 && fds.every((count, rank) => count <= fdsBefore[rank]! + 8);
			},
			{timeoutMs: SETTLE_MS_MAX, pollMs: 200},
		);
	} catch (error) {
		throw new Error(`${(error as Error).message}: ${last}`, {cause: error});
	}
}

/** What must still be so; drains and stops that the hail has asked for in good form are taken back first. */
async function provenAfter(instance: Instance, before: readonly ProcessName[]): Promise<readonly string[]> {
	const problems: string[] = [];
	const after = await brokersOf(instance);
	for (const [rank, {pid}] of before.entries()) {
		if (after[rank]!.pid !== pid)
			problems.push(`broker ${rank} has died: pid ${pid}, then ${after[rank]!.pid}`);
	}
	await instance.run(['queue', 'enable', '--all']);
	await instance.run(['queue', 'start', '--all']);
	await instance.run(['resource', 'undrain', '-f', '0-2']);
	const run = await instance.run(['run', '-N', '3', 'true'], {timeoutMs: 60_000});
	if (run.status !== 0) problems.push(`a job after it: status ${run.status}: ${run.stderr}`);
	const verify = await instance.run(['log', 'verify', '--json'], {timeoutMs: 120_000});
	if (verify.status !== 0) problems.push(`log verify: ${verify.stdout}${verify.stderr}`);
	const replay = await instance.run(['log', 'replay', '--json'], {timeoutMs: 120_000});
	if (!replay.stdout.includes('"match": true') && !replay.stdout.includes('"match":true'))
		problems.push(`log replay: ${replay.stdout}${replay.stderr}`);
	const dmesg = await instance.run(['dmesg']);
	const broken = dmesg.stdout
		.split('\n')
		.filter(line => /TypeError|RangeError|AssertionError| at .*\.js:/.test(line));
	return [...problems, ...broken.slice(0, 20)];
}

function fdsOf({pid}: ProcessName): number {
	return readdirSync(`/proc/${pid}/fd`).length;
}

function rssKib({pid}: ProcessName): number {
	return Number.parseInt(statusField(pid, 'VmRSS'), 10);
}

function at(ascending: readonly number[], share: number): string {
	return (ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))] ?? NaN).toFixed(1);
}
