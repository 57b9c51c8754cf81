/**
 * The figures of a tree of real brokers on this machine, each beside its goal: `npm run bench -- tree`, or one part of it, such
 * as `npm run bench -- tree:restart`. Goals are for two quiet cores.
 */
import {execFileSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {statusField} from '../chaos/processes.ts';
import {ranksOf, STATE_RUN, Tree, type JobLook} from '../chaos/tree.ts';
import {pause, until} from '../chaos/until.ts';
import {benchErrors} from './tree-errors.ts';
import {benchTreeRpc} from './tree-rpc.ts';

const ROUNDS = 3;
const MIB = 1024 * 1024;
const STREAM_BYTES = 100 * MIB;

export const TREE_PARTS: Readonly<Record<string, () => Promise<void>>> = {
	'tree:start': benchStart,
	'tree:restart': benchRestart,
	'tree:restart64': benchRestart64,
	'tree:memory': benchMemory,
	'tree:errors': benchErrors,
	'tree:rpc': benchTreeRpc,
	'tree:stream': benchStream,
};

/** From `coppice start` to its end, with 64 brokers, beside the start of as many empty Node.js processes. */
async function benchStart(): Promise<void> {
	console.log('\nStart of 64 brokers, `kary:2`, beside 64 times `node -e 0`, two at once\n');
	console.log('| round | coppice start (s) | node -e 0 (s) |\n|---|---|---|');
	const ours: number[] = [];
	for (let round = 1; round <= ROUNDS; round += 1) {
		const tree = new Tree({size: 64, cores: 4});
		try {
			const startMs = performance.now();
			await tree.start();
			ours.push((performance.now() - startMs) / 1000);
			await tree.whole();
		} finally {
			await tree.destroy();
		}
		const input = Array.from({length: 64}, (_, index) => String(index)).join('\n');
		const floorMs = performance.now();
		execFileSync('xargs', ['-P2', '-I{}', process.execPath, '-e', '0', '{}'], {input});
		console.log(
			`| ${round} | ${ours.at(-1)!.toFixed(2)} | ${((performance.now() - floorMs) / 1000).toFixed(2)} |`,
		);
	}
	console.log(`\nmedian ${median(ours).toFixed(2)} s (goal: 10; includes the command itself)`);
}

async function benchRestart(): Promise<void> {
	await restarts({size: 15, goalS: 4, rounds: 5});
}

async function benchRestart64(): Promise<void> {
	await restarts({size: 64, goalS: 15, rounds: 3});
}

/** From kill -9 of rank 0 to all ranks online and reconciled, and every job found again on each of its ranks. */
async function restarts({size, goalS, rounds}: {size: number; goalS: number; rounds: number}): Promise<void> {
	console.log(`\nkill -9 of rank 0 of ${size} brokers, \`kary:2\`, with jobs on all ranks\n`);
	console.log('| round | root answers (s) | all online (s) | all jobs found again (s) |\n|---|---|---|---|');
	const tree = new Tree({size, cores: 4});
	const whole: number[] = [];
	try {
		await tree.start();
		await tree.whole();
		await tree.ok('submit', '--quiet', '-N', String(size), '-n', String(size), 'sleep', '900');
		await tree.ok('submit', '--quiet', `--cc=1-${size}`, 'sleep', '900');
		await tree.jobsUntil('all run', jobs => jobs.every(({state}) => state === 'RUN'));
		for (let round = 1; round <= rounds; round += 1) {
			const before = await until('jobs are quiet', async () => {
				const jobs = await tree.look();
				return jobs.every(({state}) => state === STATE_RUN) ? jobs : null;
			});
			const startMs = performance.now();
			await tree.killBrokers([0]);
			const {answersMs, onlineMs, foundMs} = await recovery(tree, {before, startMs});
			whole.push(foundMs / 1000);
			const cells = [answersMs, onlineMs, foundMs].map(ms => (ms / 1000).toFixed(2));
			console.log(`| ${round} | ${cells.join(' | ')} |`);
			await pause(2000); // What comes after the recovery is not part of the next one.
		}
	} finally {
		await tree.destroy();
	}
	console.log(`\nmedian ${median(whole).toFixed(2)} s (goal: ${goalS})`);
}

async function recovery(tree: Tree, {before, startMs}: {before: readonly JobLook[]; startMs: number}) {
	const wanted = new Map(before.map(job => [job.id, job.reattached + ranksOf(job).length]));
	let answersMs = 0;
	let onlineMs = 0;
	await until(
		'all is found again',
		async () => {
			const online = await tree.onlineCount().catch(() => null);
			if (online === null) return false;
			answersMs ||= performance.now() - startMs;
			if (online < tree.size) return false;
			onlineMs ||= performance.now() - startMs;
			if (!(await tree.isReady())) return false;
			const jobs = await tree.look();
			return jobs.every(({id, reattached}) => reattached >= wanted.get(id)!);
		},
		{timeoutMs: 120_000, pollMs: 20},
	);
	return {answersMs, onlineMs, foundMs: performance.now() - startMs};
}

/** What a leaf's broker holds, alone and as its share of what all of them hold. */
async function benchMemory(): Promise<void> {
	console.log('\nMemory of leaf brokers, 16 brokers, `kary:2`, after a job on all ranks\n');
	const tree = new Tree({size: 16, cores: 4});
	try {
		await tree.start();
		await tree.whole();
		await tree.ok('run', '-N', '16', '-n', '16', 'true');
		await pause(5000);
		const brokers = tree.brokers();
		const leaves = tree.ranks.filter(rank => tree.topology.childrenOf(rank).length === 0);
		const figures = leaves.map(rank => memoryOf(brokers.get(rank)!.pid));
		const resident = median(figures.map(({residentMB}) => residentMB));
		const proportional = median(figures.map(({proportionalMB}) => proportionalMB));
		const root = memoryOf(brokers.get(0)!.pid);
		console.log(
			`leaf: ${resident.toFixed(1)} MB resident (goal: 75), ${proportional.toFixed(1)} MB proportional (goal: 40)`,
		);
		console.log(
			`root: ${root.residentMB.toFixed(1)} MB resident, ${root.proportionalMB.toFixed(1)} MB proportional`,
		);
	} finally {
		await tree.destroy();
	}
}

/** 100 MiB that a task on a leaf prints, read at the root by `job attach`, and what brokers grow to meanwhile. */
async function benchStream(): Promise<void> {
	console.log('\n100 MiB of output from a leaf to a client of the root, 15 brokers, `kary:2`\n');
	const tree = new Tree({size: 15, cores: 4});
	try {
		await tree.start();
		await tree.whole();
		const gate = tree.newGate();
		const before = new Map([...tree.brokers()].map(([rank, {pid}]) => [rank, memoryOf(pid).residentMB]));
		const script = `head -c ${STREAM_BYTES} /dev/zero; read -r line < ${gate.path}`;
		const startMs = performance.now();
		const command = tree.spawn(['exec', '-r', '14', 'sh', '-c', script]);
		let bytes = 0;
		command.child.stdout!.on('data', (chunk: Buffer) => (bytes += chunk.length));
		const peaks = new Map(before);
		await until(
			'all of it has come',
			() => {
				for (const [rank, {pid}] of tree.brokers()) {
					peaks.set(rank, Math.max(peaks.get(rank) ?? 0, memoryOf(pid).residentMB));
				}
				return bytes >= STREAM_BYTES;
			},
			{timeoutMs: 300_000, pollMs: 100},
		);
		const seconds = (performance.now() - startMs) / 1000;
		await gate.open();
		const path = [14, 6, 2, 0].map(
			rank => `rank ${rank}: ${before.get(rank)!.toFixed(0)} to ${peaks.get(rank)!.toFixed(0)} MB`,
		);
		const most = Math.max(...[...peaks].map(([rank, peak]) => peak - before.get(rank)!));
		console.log(
			`${seconds.toFixed(1)} s, ${(STREAM_BYTES / MIB / seconds).toFixed(1)} MiB/s; resident: ${path.join(', ')}`,
		);
		console.log(`no broker grew by more than ${most.toFixed(0)} MB`);
	} finally {
		await tree.destroy();
	}
}

function memoryOf(pid: number): {residentMB: number; proportionalMB: number} {
	const pss = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1];
	const rss = /^(\d+) kB$/.exec(statusField(pid, 'VmRSS'))?.[1];
	return {residentMB: (Number(rss) * 1024) / 1e6, proportionalMB: (Number(pss) * 1024) / 1e6};
}

function median(values: readonly number[]): number {
	return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
