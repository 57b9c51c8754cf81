/**
 * Goal: what the tree tells of itself is true and in time while its processes hang, die and are declared dead; and clients of a
 * broker that comes back go on.
 * Method: seven brokers, `kary:2`, silent for 1 s is torpid, for 4 s is lost; signals to brokers and a shell; the command line
 * is asked.
 */
import {join} from 'node:path';
import test from 'ava';
import {signalProcess} from '../chaos/processes.ts';
import {Tree} from '../chaos/tree.ts';
import {until} from '../chaos/until.ts';

interface Entry {
	readonly rank: number;
	readonly status: string;
	readonly boot_count: number | null;
	readonly pid: number | null;
	readonly error: string | null;
}

interface Health {
	readonly healthy: boolean;
	readonly problems: readonly {
		rank: number;
		hostname: string;
		service: string;
		topic: string;
		age: number;
		text: string;
	}[];
}

const TORPID_MS = 1000;
const LOST_MS = 4000;
const LEAF = 3;
const LINES = 80;
const FULL = 'full full full full full full full';

const tree = new Tree({
	size: 7,
	cores: 4,
	confs: [`tbon.torpid=${TORPID_MS}ms`, `tbon.lost-timeout=${LOST_MS}ms`],
});

test.before(async () => {
	await tree.start();
	await tree.whole();
});

test.after.always(() => tree.destroy());

async function status(...more: readonly string[]): Promise<readonly Entry[]> {
	return (JSON.parse(await tree.ok('overlay', 'status', '--json', ...more)) as {overlay: Entry[]}).overlay;
}

async function health(...more: readonly string[]): Promise<Health & {readonly exitCode: number | null}> {
	const {status: exitCode, stdout} = await tree.run(['health', '--json', ...more]);
	return {...(JSON.parse(stdout) as Health), exitCode};
}

function words(entries: readonly Entry[]): string {
	return entries.map(entry => entry.status).join(' ');
}

async function full(): Promise<readonly Entry[]> {
	await tree.ok('overlay', 'status', '--summary', '--wait', 'full');
	return status();
}

test.serial('all ranks are there, healthy, and reached by their own names', async t => {
	t.is(words(await full()), FULL);
	t.like(await health(), {healthy: true, exitCode: 0, problems: []});
	for (const rank of tree.ranks) {
		t.is(await tree.ok('getattr', '-r', `${rank}`, 'rank'), `${rank}`);
		t.is(
			await tree.ok('overlay', 'lookup', await tree.ok('getattr', '-r', `${rank}`, 'hostname')),
			`${rank}`,
		);
	}
	t.regex(await tree.ok('uptime'), /size 7$/);
});

test.serial(
	'a stopped broker is torpid, then lost, named in time; when it wakes up it starts again',
	async t => {
		const before = await full();
		signalProcess(tree.brokers().get(LEAF)!, 'SIGSTOP');
		const startMs = performance.now();
		t.is((await status('-t', '2s'))[LEAF]!.status, 'torpid');
		t.true(performance.now() - startMs < 5000, 'the answer does not wait for it');
		const torpid = await health('-t', '2s');
		t.is(torpid.exitCode, 1);
		t.deepEqual(
			torpid.problems.map(({rank}) => rank),
			[LEAF],
		);
		const lost = await until('it is lost', async () => {
			const entries = await status();
			return entries[LEAF]!.status === 'lost' ? entries : null;
		});
		t.is(words(lost), 'degraded degraded full lost full full full');
		t.regex(lost[LEAF]!.error ?? '', /ETIMEDOUT: silent for/);
		const ping = await tree.run(['ping', '-c1', '-r', `${LEAF}`]);
		t.is(ping.status, 1);
		t.regex(ping.stderr, /^coppice ping: rank 3 \(\S+-3\): EHOSTUNREACH: lost contact \d+\.\ds ago/);
		signalProcess(tree.brokers().get(LEAF)!, 'SIGCONT');
		const after = await full();
		for (const {rank, boot_count: boots} of after) {
			t.is(boots, before[rank]!.boot_count! + (rank === LEAF ? 1 : 0), `rank ${rank}`);
		}
	},
);

test.serial(
	'a live broker that is declared dead starts again with its subtree, and its job does not notice',
	async t => {
		const gate = tree.newGate();
		await tree.submit(['-N', '7', '-n', '7'], 'gate', gate.path, '0');
		const running = await tree.jobsUntil('it runs', jobs => jobs.some(({state}) => state === 'RUN'));
		const tasks = await tree.tasksStarted(running.filter(({state}) => state === 'RUN'));
		const before = await full();
		await tree.ok('overlay', 'disconnect', '2');
		const after = await until('its subtree is back', async () => {
			const entries = await status();
			const isBack = [2, 5, 6].every(rank => entries[rank]!.boot_count === before[rank]!.boot_count! + 1);
			return isBack && words(entries) === FULL ? entries : null;
		});
		for (const rank of [0, 1, 3, 4]) t.is(after[rank]!.pid, before[rank]!.pid);
		t.regex(await tree.ok('overlay', 'errors', '--history'), /administrative disconnect/);
		await gate.open();
		const jobs = await tree.allInactive();
		t.deepEqual(await tree.check(jobs), []);
		t.is(tasks.length, 7);
		const again = await tree.run(['overlay', 'disconnect', '--parent', '0', '5']);
		t.is(again.status, 1);
		t.regex(again.stderr, /ENOENT: rank 5 is not a child of rank 0/);
	},
);

test.serial('the REPL of a rank tells its part of a job, and where the job is', async t => {
	const ended = await tree.ok('submit', '-N', '7', '-n', '7', 'sh', '-c', 'exit 3');
	await tree.ok('job', 'wait-event', ended, 'clean');
	const running = await tree.ok('submit', '-N', '7', '-n', '7', 'sleep', '600');
	await tree.ok('job', 'wait-event', running, 'start');
	const ask = async (where: readonly string[], expression: string) => {
		const {stdout, stderr} = await tree.run(['repl', ...where, '-e', expression]);
		return stdout === '' ? stderr : (JSON.parse(stdout) as string[]).join('\n');
	};
	const part = new RegExp(
		`^Rank ${LEAF} keeps its part of job ${running}; the job is in the log of rank 0\\.\nAttempt 1 is running here \\(fact \\d+ part\\.report`,
	);
	t.regex(await ask(['-r', `${LEAF}`], `why('${running}')`), part);
	t.regex(await ask(['--log', join(tree.statedir, `rank-${LEAF}`)], `why('${running}')`), part);
	t.regex(await ask(['-r', `${LEAF}`], `why('${ended}')`), /^It ended as FAILED.*\n.* exited with 3/);
	t.regex(
		await ask(['-r', `${LEAF}`], `job('${running}')`),
		/ENOENT: there is no job \S+ here: rank 3 keeps parts of jobs; rank 0 has/,
	);
	t.regex(await ask(['-r', `${LEAF}`], `why('f1')`), /^Rank 3 has no part of job f1/);
	await tree.ok('cancel', running);
});

test.serial('a stopped job shell is named by rank, host, service and pid', async t => {
	await tree.submit(['--wait', '-N', '7', '-n', '7'], 'exit', '0');
	await full();
	const shell = tree.find('shell', LEAF)!;
	signalProcess(shell, 'SIGSTOP');
	try {
		const {exitCode, problems} = await health();
		t.is(exitCode, 1);
		t.like(problems[0], {rank: LEAF, service: 'job-exec', topic: 'shell'});
		t.regex(problems[0]!.text, new RegExp(`pid ${shell.pid}`));
	} finally {
		signalProcess(shell, 'SIGCONT');
	}
	t.like(await health(), {healthy: true, exitCode: 0});
});

test.serial('clients of a leaf lose and double no line when the root dies, and then its parent', async t => {
	const before = await full();
	const env = {COPPICE_URI: `local://${tree.rundirOf(5)}/local-5`};
	const script = `i=0; while [ $i -lt ${LINES} ]; do echo line $i; i=$((i+1)); sleep 0.1; done`;
	const run = tree.spawn(['run', 'sh', '-c', script], {env});
	await until('it runs', () => run.stdout.includes('line 5\n'));
	const id = (await tree.jobs()).find(({state}) => state === 'RUN')!.f58;
	const followed = tree.spawn(['job', 'eventlog', '-F', '-f', 'json', id], {env});
	const attached = tree.spawn(['job', 'attach', id], {env});
	await until(
		'both are under way',
		() => followed.stdout.includes('"start"') && attached.stdout.includes('line 5\n'),
	);
	await tree.killBrokers([0]);
	await tree.whole(boots => boots.every(({boots: count}, rank) => count > before[rank]!.boot_count!));
	await tree.killBrokers([2]);
	const expected = Array.from({length: LINES}, (_, line) => `line ${line}\n`).join('');
	for (const command of [run, attached]) {
		const {status: exitCode, stdout, stderr} = await command.finished;
		t.is(stdout, expected);
		t.is(stderr, '');
		t.is(exitCode, 0);
	}
	const {status: exitCode, stdout} = await followed.finished;
	t.is(exitCode, 0);
	const names = stdout
		.trim()
		.split('\n')
		.map(line => (JSON.parse(line) as {name: string}).name);
	t.is(names[0], 'submit');
	t.is(names.at(-1), 'clean');
	for (const once of ['submit', 'alloc', 'start', 'finish', 'clean']) {
		t.is(names.filter(name => name === once).length, 1, once);
	}
});
