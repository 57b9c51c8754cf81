/** Whole processes of short commands beside `node -e 0`, which they can't be faster than: CPU and wall time, and memory after many jobs. */
import {execFileSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {Instance} from '../chaos/instance.ts';
import {COPPICE} from '../chaos/coppice-command.ts';

const RUNS = 15;
const FINISHED = 10_000;
const BATCH = 1000;
const RUNNING = 100;

interface Cost {
	readonly cpuS: number;
	readonly wallS: number;
}

export async function benchCommands(): Promise<void> {
	const instance = new Instance({cores: 16});
	try {
		await instance.start();
		await instance.ok('run', 'true'); // Shell and launcher are there from here on.
		const env = {...process.env, COPPICE_URI: instance.uri};
		const of = (file: string, args: readonly string[]) => costOf(() => void execFileSync(file, args, {env}));
		const node = of(process.execPath, ['-e', '0']);
		const uptime = of(COPPICE, ['uptime']);
		const run = of(COPPICE, ['run', 'true']);
		console.log(
			`\nWhole processes, ${RUNS} runs: mean CPU, median wall time\n\n| command | CPU (s) | wall (s) | CPU, ratio to node |`,
		);
		console.log('|---|---|---|---|');
		for (const [name, cost] of Object.entries({
			'node -e 0': node,
			'coppice uptime': uptime,
			'coppice run true': run,
		})) {
			const ratio = (cost.cpuS / node.cpuS).toFixed(2);
			console.log(`| ${name} | ${cost.cpuS.toFixed(3)} | ${cost.wallS.toFixed(3)} | ${ratio} |`);
		}
		console.log(`\ngoals: uptime at most 2 times node; run true at most 0.25 s (Flux: 0.20 s)`);
	} finally {
		await instance.destroy();
	}
}

/** CPU of the command itself, and of what it waits for; wall time as a person sees it. */
function costOf(run: () => void): Cost {
	const costs = Array.from({length: RUNS + 1}, () => {
		const startMs = performance.now();
		const before = childrenTicks();
		run();
		return {cpuS: (childrenTicks() - before) / 100, wallS: (performance.now() - startMs) / 1000};
	}).slice(1);
	const median = (values: readonly number[]) =>
		[...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
	// Ticks are coarse: their mean is finer than their median.
	return {
		cpuS: costs.reduce((sum, {cpuS}) => sum + cpuS, 0) / RUNS,
		wallS: median(costs.map(({wallS}) => wallS)),
	};
}

/** Fields 16 and 17 of /proc/self/stat: user and system time of children that were waited for, in ticks. */
function childrenTicks(): number {
	const stat = readFileSync('/proc/self/stat', 'utf8');
	const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
	return Number(fields[13]) + Number(fields[14]);
}

/** Resident memory of the broker after many jobs, and of the shell with many running. */
export async function benchMemory(): Promise<void> {
	const instance = new Instance({cores: RUNNING + 16});
	try {
		await instance.start();
		for (let made = 0; made < FINISHED; made += BATCH) {
			await instance.ok('submit', '--quiet', `--cc=1-${BATCH}`, '--wait', 'true');
		}
		const broker = residentMb((await instance.process('broker')).pid);
		await instance.ok('submit', '--quiet', `--cc=1-${RUNNING}`, '--wait-event=start', 'sleep', '900');
		const shell = residentMb((await instance.process('shell')).pid);
		console.log(`\nResident memory\n\n| process | MB | goal | Flux |\n|---|---|---|---|`);
		console.log(`| broker after ${FINISHED} jobs | ${broker.toFixed(0)} | 130 | 643 |`);
		console.log(`| shell with ${RUNNING} jobs running, after ${FINISHED} | ${shell.toFixed(0)} | 90 | |`);
	} finally {
		await instance.destroy();
	}
}

function residentMb(pid: number): number {
	const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
	return (Number(kib) * 1024) / 1e6;
}
