/** Jobs without processes: what the queue, the scheduler and the log cost, and whether that grows with the past. */
import {readFileSync} from 'node:fs';
import {Instance} from '../chaos/instance.ts';

const WINDOW = 1000;
/** As many as an array that a person submits, so that the start of command and broker is not what is measured. */
const ARRAY = 10_000;
const ROUNDS = 5;
/** Cores of a node of today. */
const AT_ONCE = 64;
/** Windows in which a young broker's code is compiled. */
const WARM_UP = 5;
const COMPARED = 8;
const TEST_JOB = '--setattr=exec.test.run_duration=0.001s';

export async function submitWindow(
	instance: Instance,
	jobs = WINDOW,
): Promise<{readonly rate: number; readonly cpuMs: number}> {
	const {pid} = await instance.process('broker');
	const before = cpuMsOf(pid);
	const startMs = performance.now();
	await instance.ok('submit', '--quiet', TEST_JOB, `--cc=1-${jobs}`, '--wait', 'true');
	const rate = (jobs * 1000) / (performance.now() - startMs);
	return {rate, cpuMs: (cpuMsOf(pid) - before) / jobs};
}

/** From the start of one `submit` to the end of its last job, several times on one instance: the first round warms it up. */
export async function benchTestJobs(): Promise<void> {
	console.log(
		`\n${ARRAY} jobs without processes from one submit, ${AT_ONCE} at once\n\n| round | jobs/s | broker, CPU ms a job |\n|---|---|---|`,
	);
	const instance = new Instance({cores: AT_ONCE});
	try {
		await instance.start();
		const rates: number[] = [];
		for (let round = 1; round <= ROUNDS; round += 1) {
			const {rate, cpuMs} = await submitWindow(instance, ARRAY);
			rates.push(rate);
			console.log(`| ${round} | ${rate.toFixed(0)} | ${cpuMs.toFixed(2)} |`);
		}
		const median = rates.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)]!;
		console.log(`\nmedian ${median.toFixed(0)} jobs/s (goal: 1,500; Flux: 92 to 204)`);
	} finally {
		await instance.destroy();
	}
}

/**
 * `COUNT` jobs one window after the other. Then more, in turns with an instance that has just warmed up: the machine's own speed
 * varies more in minutes than what is looked for.
 */
export async function benchGrowth(count = 100_000): Promise<void> {
	console.log(
		`\n${count} jobs without processes\n\n| after jobs | jobs/s | broker, CPU ms a job | resident MB |\n|---|---|---|---|`,
	);
	const old = new Instance({cores: 16});
	const young = new Instance({cores: 16});
	try {
		await old.start();
		for (let made = WINDOW; made <= count; made += WINDOW) {
			const {rate, cpuMs} = await submitWindow(old);
			if (made % 10_000 !== 0 && made > 5000) continue;
			const mb = residentMb((await old.process('broker')).pid);
			console.log(`| ${made} | ${rate.toFixed(0)} | ${cpuMs.toFixed(2)} | ${mb.toFixed(0)} |`);
		}
		await young.start();
		for (let window = 0; window < WARM_UP; window += 1) await submitWindow(young);
		const costs = {old: 0, young: 0};
		for (let window = 0; window < COMPARED; window += 1) {
			costs.old += (await submitWindow(old)).cpuMs;
			costs.young += (await submitWindow(young)).cpuMs;
		}
		const ratio = costs.old / costs.young;
		console.log(
			`\nCPU a job, to that of an instance of ${WARM_UP * WINDOW} jobs, in turns: ${ratio.toFixed(2)} (goal: at most 1.10; Flux: 2.5 after 10,000)`,
		);
	} finally {
		await old.destroy();
		await young.destroy();
	}
}

/** From the start of a broker that was killed to its answer, with a long past. */
export async function benchPast(count = 64_000): Promise<void> {
	console.log(
		`\nRestart with ${count} finished jobs\n\n| round | \`jobs\` answered after the kill (s) |\n|---|---|`,
	);
	const instance = new Instance({cores: 16});
	try {
		await instance.start();
		for (let made = 0; made < count; made += WINDOW) await submitWindow(instance);
		for (let round = 1; round <= 3; round += 1) {
			await instance.kill([await instance.process('broker')]);
			const killedMs = performance.now();
			await instance.ok('jobs');
			console.log(`| ${round} | ${((performance.now() - killedMs) / 1000).toFixed(2)} |`);
		}
		const {facts, seconds} = await instance.json<{facts: number; seconds: number}>('log', 'replay');
		console.log(
			`\nreplay from the base, reading included: ${facts} facts in ${seconds.toFixed(2)} s: ${(facts / seconds).toFixed(0)}/s (goal for applying: 150,000)`,
		);
		console.log('goal: 2 s (Flux: 18 to 130 s)');
	} finally {
		await instance.destroy();
	}
}

export function cpuMsOf(pid: number): number {
	const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
	const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
	return (Number(fields[11]) + Number(fields[12])) * 10;
}

function residentMb(pid: number): number {
	const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
	return (Number(kib) * 1024) / 1e6;
}
