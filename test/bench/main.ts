/**
 * `npm run bench`: the figures of this machine, each beside a peer that runs in the same minute, since machines are shared
 * and noisy: the ratio counts. `npm run bench -- jobs|log|rpc|restart|commands|memory|testjobs|growth|past|tail|tree` runs one part, `tree:PART` one part of the tree's.
 */
import {execFileSync, spawn} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {Instance} from '../chaos/instance.ts';
import {benchCommands, benchMemory} from './commands.ts';
import {benchLog} from './log.ts';
import {benchGrowth, benchPast, benchTestJobs} from './many-jobs.ts';
import {benchTail} from './replay.ts';
import {TREE_PARTS} from './tree.ts';

const JOBS = 1000;
const FINISHED = 10_000;
const RUNNING = 50;
const ROUNDS = 3;

/** Wall seconds of one call. */
async function timed(run: () => Promise<unknown> | void): Promise<number> {
	const startMs = performance.now();
	await run();
	return (performance.now() - startMs) / 1000;
}

function median(values: readonly number[]): number {
	return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** `true` from one `submit --cc` to the end of the last job, against xargs, which keeps no queue and no record. */
async function benchJobs(): Promise<void> {
	console.log(
		`\n${JOBS} jobs of \`true\`, 16 at once\n\n| round | coppice jobs/s | xargs -P16 jobs/s | parallel -j16 jobs/s | ratio to xargs |`,
	);
	console.log('|---|---|---|---|---|');
	const ours: number[] = [];
	for (let round = 1; round <= ROUNDS; round += 1) {
		const instance = new Instance({cores: 16}); // A new one each time: how the past weighs is another question.
		try {
			await instance.start();
			await instance.ok('run', 'true'); // Shell and launcher are there from here on.
			const seconds = await timed(() => instance.ok('submit', '--quiet', `--cc=1-${JOBS}`, '--wait', 'true'));
			const input = Array.from({length: JOBS}, (_, index) => String(index)).join('\n');
			const peer = await timed(() => {
				execFileSync('xargs', ['-P16', '-I{}', '/bin/true', '{}'], {input});
			});
			ours.push(JOBS / seconds);
			const parallel = await parallelRate(input);
			console.log(
				`| ${round} | ${(JOBS / seconds).toFixed(0)} | ${(JOBS / peer).toFixed(0)} | ${parallel} | ${(peer / seconds).toFixed(2)} |`,
			);
		} finally {
			await instance.destroy();
		}
	}
	console.log(`\nmedian ${median(ours).toFixed(0)} jobs/s (goal: 250; Flux: 34 to 51, Slurm: 16 to 49)`);
}

/** GNU parallel keeps no record either; it may not be installed. */
async function parallelRate(input: string): Promise<string> {
	try {
		execFileSync('parallel', ['--version'], {stdio: 'ignore'});
	} catch {
		return 'not installed';
	}
	const seconds = await timed(() => {
		execFileSync('parallel', ['-j16', '/bin/true'], {input, stdio: ['pipe', 'ignore', 'ignore']});
	});
	return (JOBS / seconds).toFixed(0);
}

/** From the death of the broker, and of its process' start, to the answer of `jobs`, with a long past and a present. */
async function benchRestart(): Promise<void> {
	console.log(`\nRestart with ${RUNNING} running and ${FINISHED} finished jobs\n`);
	const instance = new Instance({cores: RUNNING + 16});
	try {
		await instance.start();
		await instance.ok('submit', '--quiet', `--cc=1-${RUNNING}`, 'sleep', '900');
		// In portions: each command has its deadline, also on a machine that is busy with other things.
		const seconds = await timed(async () => {
			for (let made = 0; made < FINISHED; made += JOBS) {
				await instance.ok('submit', '--quiet', `--cc=1-${JOBS}`, '--wait', 'true');
			}
		});
		console.log(
			`(${FINISHED} jobs of \`true\` took ${seconds.toFixed(0)} s: ${(FINISHED / seconds).toFixed(0)} jobs/s)\n`,
		);
		console.log(
			'| round | broker starts after kill (s) | `jobs` answered after its start (s) | `node -e 0` (s) |',
		);
		console.log('|---|---|---|---|');
		const answers: number[] = [];
		for (let round = 1; round <= ROUNDS; round += 1) {
			const killedMs = Date.now();
			await instance.kill([await instance.process('broker')]);
			const running = (await instance.json<{jobs: {state: string}[]}>('jobs', '--json')).jobs.length;
			const answeredMs = Date.now();
			if (running !== RUNNING) throw new Error(`${running} jobs are running, not ${RUNNING}`);
			const startMs = startOf((await instance.process('broker')).pid);
			answers.push((answeredMs - startMs) / 1000);
			const floor = await timed(() => {
				execFileSync(process.execPath, ['-e', '0']);
			});
			console.log(
				`| ${round} | ${((startMs - killedMs) / 1000).toFixed(2)} | ${answers.at(-1)!.toFixed(2)} | ${floor.toFixed(2)} |`,
			);
		}
		console.log(`\nmedian ${median(answers).toFixed(2)} s from the start of the process (goal: 1.0)`);
	} finally {
		await instance.destroy();
	}
}

/** When a process started, epoch milliseconds, to the clock tick. */
function startOf(pid: number): number {
	const elapsed = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], {env: {LC_ALL: 'C'}}).toString();
	const ticks = Number(execFileSync('sh', ['-c', `cut -d' ' -f22 /proc/${pid}/stat`]).toString());
	const uptimeS = Number(execFileSync('cut', ['-d', ' ', '-f1', '/proc/uptime']).toString());
	const startMs = Date.now() - (uptimeS - ticks / 100) * 1000;
	if (Math.abs(startMs - Date.parse(elapsed)) > 2000)
		throw new Error(`start of ${pid}: ${elapsed} is not ${startMs}`);
	return startMs;
}

async function benchRpc(): Promise<void> {
	const script = fileURLToPath(new URL('rpc.js', import.meta.url));
	console.log(
		'\nRequests between two processes over a unix socket, beside a plain echo (goals: 30,000/s with 64 in flight, 0.12 ms with one; Flux: 12,000 to 24,000/s, 0.08 ms)\n',
	);
	await new Promise<void>((resolve, reject) => {
		const child = spawn(process.execPath, [script], {stdio: 'inherit'});
		child.once('exit', code => (code === 0 ? resolve() : reject(new Error(`rpc: exit status ${code}`))));
	});
}

const PARTS: Readonly<Record<string, () => Promise<void>>> = {
	jobs: benchJobs,
	log: benchLog,
	rpc: benchRpc,
	restart: benchRestart,
	commands: benchCommands,
	memory: benchMemory,
	testjobs: benchTestJobs,
	growth: benchGrowth,
	past: benchPast,
	tail: benchTail,
	...TREE_PARTS,
};

// A job carries the environment of who submits it: the thirty that npm adds are no user's.
for (const name of Object.keys(process.env)) if (name.startsWith('npm_')) delete process.env[name];

const chosen = process.argv.slice(2);
const names = chosen.flatMap(name => (name === 'tree' ? Object.keys(TREE_PARTS) : [name]));
for (const name of names.length === 0 ? Object.keys(PARTS) : names) {
	const part = PARTS[name];
	if (part === undefined) throw new Error(`no part '${name}': there are ${Object.keys(PARTS).join(', ')}`);
	await part();
}
