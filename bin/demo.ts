/**
 * `npm start`: the demonstration. An instance comes up in a temporary directory and runs real jobs; its broker is killed
 * with SIGKILL under them, then broker, job shell and launcher together; what survived is printed, with times. Only
 * processes of this instance are ended, by pid, and everything that was made is removed again.
 */
import {execFile, spawn} from 'node:child_process';
import {existsSync, mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';

const COPPICE = fileURLToPath(new URL('../../bin/coppice', import.meta.url));
/** Cores of the demonstration, as its configuration says: more than most laptops have, since the jobs only sleep. */
const CORES = 8;
const COMMAND_TIMEOUT_MS = 60_000;
const LINES = 200;

interface Job {
	readonly id: string;
	readonly f58: string;
	readonly state: string;
	readonly reattached?: number;
	readonly returncode?: number;
	readonly t_cleanup?: number;
}

const dir = mkdtempSync(join(tmpdir(), 'coppice-demo-'));
const env: NodeJS.ProcessEnv = {...process.env, NO_COLOR: '1'};

/** Runs one command of the instance; resolves to its standard output. */
async function coppice(...args: readonly string[]): Promise<string> {
	return new Promise((resolve, reject) => {
		execFile(
			process.execPath,
			[COPPICE, ...args],
			{env, timeout: COMMAND_TIMEOUT_MS, maxBuffer: 2 ** 26},
			(error, stdout, stderr) => {
				if (error === null) resolve(stdout.trim());
				else reject(new Error(`coppice ${args.join(' ')}: ${stderr.trim() || error.message}`));
			},
		);
	});
}

async function jobs(): Promise<readonly Job[]> {
	return (JSON.parse(await coppice('jobs', '-a', '--json')) as {jobs: readonly Job[]}).jobs;
}

/** The tasks' processes, as `pid startTicks`: what tells a process from a later one with its pid. */
async function tasks(): Promise<ReadonlySet<string>> {
	const cgroup = await coppice('getattr', 'job-cgroup');
	const found = new Set<string>();
	for (const name of readdirSync(cgroup).filter(one => one.startsWith('job-'))) {
		const path = `${cgroup}/${name}/payload/cgroup.procs`;
		for (const pid of existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []) {
			const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '';
			const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
			if (fields[3] === pid) found.add(`${pid} ${fields[19]}`); // A task leads its session; its children come and go.
		}
	}
	return found;
}

async function pidOf(name: 'broker' | 'shell' | 'launcher'): Promise<number> {
	return Number(await coppice('getattr', `${name}.pid`));
}

function say(text: string): void {
	console.log(text);
}

/** Polls until `check` gives something; rejects after 30 s. */
async function until<T>(what: string, check: () => Promise<T | null>): Promise<T> {
	const endMs = performance.now() + 30_000;
	for (;;) {
		const found = await check();
		if (found !== null) return found;
		if (performance.now() > endMs) throw new Error(`not within 30 s: ${what}`);
		await new Promise(resolve => setTimeout(resolve, 50));
	}
}

function count(all: readonly Job[], state: string): number {
	return all.filter(job => job.state === state).length;
}

/** Kills by pid, and says what is there afterwards, and how long it took. */
async function cut(names: readonly ('broker' | 'shell' | 'launcher')[]): Promise<void> {
	const before = await tasks();
	const waiting = count(await jobs(), 'SCHED');
	const pids = await Promise.all(names.map(pidOf));
	const broker = await pidOf('broker');
	say(`\n  kill -9 ${pids.join(' ')}   (${names.join(', ')})`);
	const startMs = performance.now();
	for (const pid of pids) process.kill(pid, 'SIGKILL');
	await until('the broker is back', async () => {
		const now = await pidOf('broker').catch(() => broker);
		return now === broker ? null : now;
	});
	const answerMs = performance.now() - startMs;
	const all = await until('all running jobs are found again', async () => {
		const now = await jobs();
		const running = now.filter(({state}) => state === 'RUN');
		return running.every(({reattached}) => (reattached ?? 0) > 0) ? now : null;
	});
	const foundMs = performance.now() - startMs;
	const after = await tasks();
	const kept = [...before].filter(one => after.has(one)).length;
	say(
		`  a new broker answers after ${Math.round(answerMs)} ms; all is found again after ${Math.round(foundMs)} ms`,
	);
	const gone = before.size - kept;
	say(
		`  tasks that are still the same process, by pid and start time: ${kept} of ${before.size}` +
			(gone === 0 ? '' : ` (${gone} ended by itself in the meantime)`),
	);
	say(
		`  jobs: ${count(all, 'RUN')} running, each found again; ${count(all, 'SCHED')} waiting (${waiting} before)`,
	);
}

async function play(): Promise<void> {
	say('Coppice: a resource manager that cannot lose a job.\n');
	const places = ['--statedir', `${dir}/state`, '--jobdir', `${dir}/jobs`, '--rundir', `${dir}/run`];
	const startMs = performance.now();
	env['COPPICE_URI'] = await coppice('start', ...places, '--conf', `resource.cores=${CORES}`, '--detach');
	say(`An instance is up after ${Math.round(performance.now() - startMs)} ms, in ${dir}.`);

	const script = `for i in $(seq ${LINES}); do echo line $i; sleep 0.05; done; exit 3`;
	const watched = spawn(process.execPath, [COPPICE, 'run', 'sh', '-c', script], {
		env,
		stdio: ['ignore', 'pipe', 'inherit'],
	});
	let output = '';
	watched.stdout.on('data', chunk => (output += String(chunk)));
	const ended = new Promise<number | null>(resolve => watched.once('exit', resolve));
	await coppice('submit', '--quiet', `--cc=1-${CORES - 2}`, 'sh', '-c', 'sleep 14; exit 0');
	const short = await coppice('submit', 'sh', '-c', 'sleep 3; exit 42');
	await coppice('submit', '--quiet', '--cc=1-10', 'sh', '-c', 'exit 0');
	await until('jobs run', async () => (count(await jobs(), 'RUN') >= CORES ? true : null));
	say(`${CORES} jobs run, one of them in front of a waiting 'coppice run'; 10 wait for a core.`);

	say('\nNow its broker is cut down, and nobody else is told:');
	await cut(['broker']);
	say('\nAnd now broker, job shell and launcher at once, while a job is about to end:');
	await cut(['broker', 'shell', 'launcher']);

	const all = await until('the short job ends', async () => {
		const now = await jobs();
		return now.some(({f58, state}) => f58 === asAscii(short) && state === 'INACTIVE') ? now : null;
	});
	const job = all.find(({f58}) => f58 === asAscii(short));
	say(`\nJob ${short} ended with its true exit status ${job?.returncode} (42 was asked for).`);
	const status = await ended;
	const expected = Array.from({length: LINES}, (_, index) => `line ${index + 1}\n`).join('');
	say(
		`'coppice run' went through both: ${LINES} lines ${output === expected ? 'complete, none twice' : 'DIFFER'}, exit status ${status} (3 was asked for).`,
	);
	const verified = JSON.parse(await coppice('log', 'verify', '--json')) as {ok: boolean; facts: number};
	say(
		`The event log proves itself: ${verified.facts} facts, ${verified.ok ? 'the chain holds, none is illegal' : 'NOT OK'}.`,
	);
	if (output !== expected || status !== 3 || job?.returncode !== 42 || !verified.ok) process.exitCode = 1;
	say(`
Go on:
  export PATH=$PWD/bin:$PATH
  export COPPICE_URI=$(coppice start --statedir /tmp/coppice/state --jobdir /tmp/coppice/jobs --detach)
  coppice run sh -c 'echo hello from $COPPICE_JOB_ID'
  coppice shutdown
README.md has a longer walk, docs/ tells how it is made.`);
}

/** Job ids in JSON are in ASCII. */
function asAscii(id: string): string {
	return id.replace(/^ƒ/, 'f');
}

try {
	await play();
} catch (error) {
	console.error(error instanceof Error ? error.message : error);
	process.exitCode = 1;
} finally {
	if (env['COPPICE_URI'] !== undefined) {
		await coppice('shutdown', '--timeout', '20s').catch((error: unknown) => console.error(String(error)));
	}
	rmSync(dir, {recursive: true, force: true});
}
