/**
 * `npm start`: the demonstration. An instance comes up in a temporary directory and runs real jobs; its broker is killed
 * with SIGKILL under them, then broker, job shell and launcher together; what survived is printed, with times. Only
 * processes of this instance are ended, by pid, and everything that was made is removed again.
 */
import {spawn} from 'node:child_process';
import {asAscii, COPPICE, countState, say, Stage, tasksBelow, until} from './stage.ts';

/** Cores of the demonstration, as its configuration says: more than most laptops have, since the jobs only sleep. */
const CORES = 8;
const LINES = 200;

const stage = new Stage();
const {env} = stage;
const coppice = stage.coppice.bind(stage);
const jobs = stage.jobs.bind(stage);

async function tasks(): Promise<ReadonlySet<string>> {
	return tasksBelow(await coppice('getattr', 'job-cgroup'));
}

async function pidOf(name: 'broker' | 'shell' | 'launcher'): Promise<number> {
	return Number(await coppice('getattr', `${name}.pid`));
}

/** Kills by pid, and says what is there afterwards, and how long it took. */
async function cut(names: readonly ('broker' | 'shell' | 'launcher')[]): Promise<void> {
	const before = await tasks();
	const waiting = countState(await jobs(), 'SCHED');
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
		`  jobs: ${countState(all, 'RUN')} running, each found again; ${countState(all, 'SCHED')} waiting (${waiting} before)`,
	);
}

async function play(): Promise<void> {
	say('Coppice: a resource manager that cannot lose a job.\n');
	const startMs = performance.now();
	await stage.start('--conf', `resource.cores=${CORES}`);
	say(`An instance is up after ${Math.round(performance.now() - startMs)} ms, in ${stage.dir}.`);

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
	await until('jobs run', async () => (countState(await jobs(), 'RUN') >= CORES ? true : null));
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

await stage.run(play);
