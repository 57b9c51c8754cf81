/**
 * `npm run demo:l2`: the exit criterion, played. Fifteen brokers in a tree run jobs that span them, and others wait. Then rank 0
 * is killed with SIGKILL: every broker restarts, all come back, and every task is still the same process. So too when
 * all brokers and job shells are killed at once, and when one in the middle of the tree is.
 */
import {spawn} from 'node:child_process';
import {Idset} from '../src/formats/idset.ts';
import {UnixTransport} from '../src/net/real/unix-transport.ts';
import {RpcClient} from '../src/net/rpc-client.ts';
import {SystemClock} from '../src/ports/real/system-clock.ts';
import {COPPICE, countState, say, Stage, tasksBelow, until, type Job} from './stage.ts';

const SIZE = 15;
/** Of each broker, as the configuration says: more than most laptops have, since the jobs only sleep. */
const CORES = 4;
const ASK_MS = 3000;

interface Rank {
	readonly rank: number;
	readonly pid: number;
	readonly boot_count: number;
	readonly status: string;
}

const stage = new Stage();
const {env} = stage;
const coppice = stage.coppice.bind(stage);
const ranks = Array.from({length: SIZE}, (_, rank) => rank);
let cgroups: readonly string[] = [];
let root: RpcClient | null = null;

/** The tree as the root sees it; null while it is not whole. Asked over one connection: 15 brokers start meanwhile. */
async function tree(): Promise<readonly Rank[] | null> {
	try {
		if (root === null || root.end !== null) {
			const link = await new UnixTransport().connect(env['COPPICE_URI']!, {timeoutMs: ASK_MS});
			root = RpcClient.over(link, {clock: new SystemClock()});
		}
		await root.call('overlay.ready', {}, {timeoutMs: ASK_MS});
		const {overlay} = (await root.call('overlay.status', {}, {timeoutMs: ASK_MS})) as {
			overlay: readonly Rank[];
		};
		return overlay.every(({status}) => status === 'full') ? overlay : null;
	} catch {
		return null;
	}
}

function tasks(): ReadonlySet<string> {
	return new Set(cgroups.flatMap(cgroup => [...tasksBelow(cgroup)]));
}

/** Kills by pid, and says what is there afterwards, and how long it took. */
async function cut(
	what: string,
	killed: {readonly brokers: readonly number[]; readonly shells?: readonly number[]},
) {
	const {brokers, shells = []} = killed;
	const [jobsBefore, before] = [await stage.jobs(), tasks()];
	const bootsBefore = await until('the tree is whole', tree);
	const pids = [...brokers.map(rank => bootsBefore[rank]!.pid), ...shells];
	say(
		`\n  kill -9 ${pids.length > 4 ? `${pids.slice(0, 3).join(' ')} … (${pids.length})` : pids.join(' ')}   (${what})`,
	);
	const startMs = performance.now();
	for (const pid of pids) process.kill(pid, 'SIGKILL');
	const boots = await until('all ranks are back', async () => {
		const now = await tree();
		return now !== null && brokers.every(rank => now[rank]!.pid !== bootsBefore[rank]!.pid) ? now : null;
	});
	const wholeMs = performance.now() - startMs;
	const restarted = ranks.filter(rank => boots[rank]!.boot_count > bootsBefore[rank]!.boot_count);
	const jobs = await until('all running jobs are found again', async () => {
		const now = await stage.jobs();
		return now.every(job => isFoundAgain(job, {jobsBefore, restarted})) ? now : null;
	});
	const after = tasks();
	const kept = [...before].filter(one => after.has(one)).length;
	say(
		`  the tree is whole again after ${Math.round(wholeMs)} ms: ${restarted.length} of ${SIZE} brokers have restarted`,
	);
	say(`  tasks that are still the same process, by pid and start time: ${kept} of ${before.size}`);
	say(
		`  jobs: ${countState(jobs, 'RUN')} running, each found again (${countState(jobsBefore, 'RUN')} before); ` +
			`${countState(jobs, 'SCHED')} waiting (${countState(jobsBefore, 'SCHED')} before)`,
	);
	if (kept !== before.size || countState(jobs, 'SCHED') !== countState(jobsBefore, 'SCHED'))
		process.exitCode = 1;
	return restarted;
}

/** A job that runs was found on each of its ranks that has restarted. */
function isFoundAgain(
	{id, state, ranks: text = '', reattached = 0}: Job,
	{jobsBefore, restarted}: {readonly jobsBefore: readonly Job[]; readonly restarted: readonly number[]},
): boolean {
	if (state !== 'RUN') return true;
	const before = jobsBefore.find(job => job.id === id)?.reattached ?? 0;
	const own = Idset.parse(text);
	return reattached - before >= restarted.filter(rank => own.has(rank)).length;
}

async function shellPids(): Promise<number[]> {
	return Promise.all(
		ranks.map(async rank => Number(await coppice('getattr', '-r', String(rank), 'shell.pid'))),
	);
}

async function play(): Promise<void> {
	say('Coppice: a tree of brokers that can be cut down anywhere, and grows back around its jobs.\n');
	const startMs = performance.now();
	await stage.start('-s', String(SIZE), '--topo', 'kary:2', '--conf', `resource.cores=${CORES}`);
	await until('the tree is whole', tree);
	say(`${SIZE} brokers are up after ${Math.round(performance.now() - startMs)} ms, in ${stage.dir}.`);
	const cgroup = await coppice('getattr', 'job-cgroup');
	cgroups = ranks.map(rank => cgroup.replace(/\.0$/, `.${rank}`));

	const open = `${stage.dir}/open`;
	const script = `i=0; while [ ! -e ${open} ]; do i=$((i + 1)); echo line $i; sleep 0.1; done; exit 3`;
	const watched = spawn(process.execPath, [COPPICE, 'run', '-N3', '-n3', '-l', 'sh', '-c', script], {
		env,
		stdio: ['ignore', 'pipe', 'inherit'],
	});
	let output = '';
	watched.stdout.on('data', chunk => (output += String(chunk)));
	const ended = new Promise<number | null>(resolve => watched.once('exit', resolve));
	const gate = `while [ ! -e ${open} ]; do sleep 0.5; done`;
	await coppice(
		'submit',
		'--quiet',
		'-N15',
		'-n30',
		'sh',
		'-c',
		`${gate}; exit $((COPPICE_TASK_RANK % 2 * 42))`,
	);
	await coppice('submit', '--quiet', '--cc=1-8', 'sh', '-c', `${gate}; exit 7`);
	await coppice('submit', '--quiet', '--cc=1-5', '-N2', '-n2', '-c3', 'sh', '-c', 'exit 0');
	const running = await until('jobs run', async () => {
		const now = await stage.jobs();
		return countState(now, 'RUN') === 10 ? now : null;
	});
	say(
		`${countState(running, 'RUN')} jobs run: one on all ranks with two tasks on each, one on three in front of a waiting ` +
			`'coppice run',\nand 8 small ones: ${tasks().size} tasks. ${countState(running, 'SCHED')} wait for room.`,
	);

	say('\nThe exit criterion: rank 0 is cut down. Every broker restarts, and nothing else happens:');
	const all = await cut('the broker of rank 0', {brokers: [0]});
	say('\nNow all brokers and all job shells at once; nobody is left but launchers, shims and tasks:');
	await cut('15 brokers, 15 shells', {brokers: ranks, shells: await shellPids()});
	say('\nAnd one in the middle: only what is below it restarts:');
	const some = await cut('the broker of rank 1', {brokers: [1]});

	await coppice('exec', '-r', '0', 'touch', open);
	const jobs = await until('all jobs end', async () => {
		const now = await stage.jobs();
		return now.every(({state}) => state === 'INACTIVE') ? now : null;
	});
	const status = await ended;
	await conclude({jobs, output, status, restarts: [all.length, some.length]});
}

async function conclude(seen: {
	readonly jobs: readonly Job[];
	readonly output: string;
	readonly status: number | null;
	readonly restarts: readonly number[];
}): Promise<void> {
	const {jobs, output, status, restarts} = seen;
	const codes = new Map<number, number>();
	for (const {returncode = -1} of jobs) codes.set(returncode, (codes.get(returncode) ?? 0) + 1);
	const told = [...codes].sort(([a], [b]) => a - b).map(([code, count]) => `${count} with ${code}`);
	say(`\nAll ${jobs.length} jobs have ended with their true exit statuses: ${told.join(', ')}.`);
	const failed = jobs.filter(({exception}) => exception !== undefined).length;
	say(`Exceptions: ${failed === 0 ? 'none' : failed}.`);
	const lines = [0, 1, 2].map(task => output.split('\n').filter(line => line.startsWith(`${task}: `)));
	const isWhole = lines.every(
		(own, task) => own.length > 0 && own.every((line, index) => line === `${task}: line ${index + 1}`),
	);
	const counts = lines.map(({length}) => length).join(', ');
	say(
		`'coppice run' went through all of it: ${counts} lines of its three tasks ${isWhole ? 'complete, none twice' : 'DIFFER'}, ` +
			`exit status ${status} (3 was asked for).`,
	);
	const {ok, facts} = JSON.parse(await coppice('log', 'verify', '--json')) as {ok: boolean; facts: number};
	say(
		`The root's event log proves itself: ${facts} facts, ${ok ? 'the chain holds, none is illegal' : 'NOT OK'}.`,
	);
	const isRight = isWhole && status === 3 && failed === 0 && ok && restarts[0] === SIZE && restarts[1] === 7;
	if (!isRight) process.exitCode = 1;
}

await stage.run(async () => {
	try {
		await play();
	} finally {
		root?.close();
	}
});
