/** Goal: whatever a task does, its job ends as it should, and neither its supervisors nor other jobs suffer. Method: real jobs that misbehave, each bounded by itself. */
import {join} from 'node:path';
import {writeFileSync} from 'node:fs';
import test from 'ava';
import {Instance, isInactive} from '../chaos/instance.ts';
import {isAlive, processesNaming} from '../chaos/processes.ts';

const instance = new Instance({cores: 4, confs: ['exec.kill-timeout=1s']});
test.before(async () => {
	await instance.start();
	await instance.ok('run', 'true'); // Shell and launcher are there from the first job on.
});
test.after.always(() => instance.destroy());

async function unharmed<T>(run: () => Promise<T>): Promise<T> {
	const before = await instance.processes();
	const result = await run();
	if (!Object.values(before).every(isAlive)) throw new Error(`a process of ours died\n${instance.logs()}`);
	return result;
}

test.serial(
	'a task that ignores SIGTERM, and one that left a daemon behind, are gone when their job is',
	async t => {
		t.timeout(120_000);
		await unharmed(async () => {
			const stubborn = await instance.ok(
				'submit',
				'sh',
				'-c',
				'trap "" TERM HUP INT; while :; do sleep 0.2; done',
			);
			const daemon = join(instance.root, 'daemon.sh');
			writeFileSync(daemon, 'sleep 1000 & exec setsid sh -c "setsid sleep 1000 & sleep 1000"');
			const forker = await instance.ok('submit', 'sh', '-c', `setsid sh ${daemon} & exit 4`);
			await instance.jobsUntil('the stubborn one runs', jobs =>
				jobs.some(({f58, state}) => f58 === stubborn && state === 'RUN'),
			);
			await instance.ok('cancel', stubborn);
			const jobs = await instance.jobsUntil('both end', all => all.every(isInactive));
			t.is(jobs.find(({f58}) => f58 === forker)?.returncode, 4);
			t.is(jobs.find(({f58}) => f58 === stubborn)?.result, 'CANCELED');
			t.deepEqual(
				jobs.flatMap(job => instance.pidsOf(job, 'payload')),
				[],
			);
			t.deepEqual(processesNaming(daemon), []);
		});
	},
);

test.serial('a fork bomb ends with its job', async t => {
	t.timeout(120_000);
	await unharmed(async () => {
		// 2^7 processes at most, each of which outlives its parent.
		const bomb = 'f() { [ $1 -gt 0 ] && { f $(($1-1)) & f $(($1-1)) & }; sleep 300; }; f 6';
		const id = await instance.ok('submit', '-t', '3s', 'sh', '-c', bomb);
		const jobs = await instance.jobsUntil('it ends', all => all.every(isInactive));
		t.is(jobs.find(({f58}) => f58 === id)?.result, 'TIMEOUT');
		t.is((await instance.run(['run', 'true'])).status, 0);
	});
});

test.serial('arguments that are empty arrive so', async t => {
	t.timeout(120_000);
	await unharmed(async () => {
		t.is((await instance.run(['run', 'sh', '-c', 'echo "$#:$1:$2"', 'x', '', ''])).stdout, '2::\n');
	});
});

test.serial('a hundred thousand short lines and 160 MiB arrive whole', async t => {
	t.timeout(180_000);
	await unharmed(async () => {
		const script = 'i=0; while [ $i -lt 100000 ]; do echo $i; i=$((i+1)); done';
		const lines = await instance.run(['run', 'sh', '-c', script], {timeoutMs: 120_000});
		t.is(lines.status, 0);
		t.is(lines.stdout.split('\n').length, 100_001);
		const startMs = performance.now();
		const bulk = await instance.run(['run', 'sh', '-c', 'head -c 167772160 /dev/zero | tr "\\0" a'], {
			timeoutMs: 120_000,
		});
		t.is(bulk.stdout.length, 167_772_160);
		t.log(`${(160_000 / (performance.now() - startMs)).toFixed(1)} MiB/s`);
	});
});

test.serial(
	'a task that closes its output, and one in a directory that is gone, end as they say',
	async t => {
		t.timeout(120_000);
		await unharmed(async () => {
			t.is((await instance.run(['run', 'sh', '-c', 'exec >&- 2>&-; sleep 0.2; exit 6'])).status, 6);
			const gone = await instance.run(['run', '--cwd', join(instance.root, 'nowhere'), 'true']);
			t.not(gone.status, 0);
			t.regex(gone.stderr, /nowhere/);
		});
	},
);

test.serial('output ends at its limit, and says so', async t => {
	t.timeout(120_000);
	await unharmed(async () => {
		const argv = ['run', '-o', 'output.limit=1M', 'sh', '-c', 'head -c 3000000 /dev/zero | tr "\\0" a'];
		const {status, stdout} = await instance.run(argv, {timeoutMs: 120_000});
		t.is(status, 0);
		t.regex(stdout, /^a{1048576}\ncoppice: output limit of 1048576 bytes reached: what follows is dropped\n/);
		t.regex(stdout, /coppice: 1951424 bytes of stdout were dropped\n$/);
	});
});

test.serial('arguments that fill the limits arrive, and those beyond them end the job with 126', async t => {
	t.timeout(120_000);
	await unharmed(async () => {
		const long = Array.from({length: 15}, () => 'a'.repeat(100_000));
		t.is((await instance.run(['run', 'sh', '-c', 'echo $#', 'x', ...long])).stdout, '15\n');
		// What a program may get is a quarter of its stack.
		const beyond = await instance.run(['run', '--rlimit=stack=2000000', 'true', ...long]);
		t.is(beyond.status, 126);
		t.regex(beyond.stderr, /Argument list too long/);
	});
});
