/**
 * Goal: bad input gets a clear error, the exit status that belongs to it, and loses nothing. Method: the real command as a
 * shell calls it, against one real instance, which at the end has only the jobs that it should have.
 */
import {execFile, execFileSync} from 'node:child_process';
import {mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {COPPICE} from '../chaos/coppice-command.ts';
import {Instance, isInactive} from '../chaos/instance.ts';

const instance = new Instance({cores: 4});
test.before(async () => {
	await instance.start();
	writeFileSync(join(instance.root, 'lost'), '#!/no/such/sh\n', {mode: 0o755});
	mkdirSync(join(instance.root, 'sub'));
	execFileSync('mkfifo', ['-m', '755', join(instance.root, 'pipe')]);
});
test.after.always(() => instance.destroy());

interface Ended {
	readonly status: number;
	readonly stdout: string;
	readonly stderr: string;
}

function coppice(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
	return ended(COPPICE, argv, env);
}

function ended(
	program: string,
	argv: readonly string[],
	env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
	return new Promise(resolve => {
		const child = execFile(
			program,
			argv,
			{
				cwd: instance.root,
				env: {...process.env, COPPICE_URI: instance.uri, COPPICE_F58_FORCE_ASCII: '1', ...env},
				timeout: 60_000,
			},
			(_error, stdout, stderr) => resolve({status: child.exitCode ?? -1, stdout, stderr}),
		);
		child.stdin?.end();
	});
}

/** A line with redirections; with the command of this checkout. */
function inShell(line: string): Promise<Ended> {
	return ended('sh', ['-c', `coppice() { exec ${COPPICE} "$@"; }; ${line}`]);
}

interface Row {
	readonly line: string;
	readonly status: number;
	readonly stderr: RegExp;
	readonly env?: Readonly<Record<string, string>>;
}

/** Mistakes that no instance hears of. */
const MISTAKES: readonly Row[] = [
	{
		line: 'submit --ntask=2 true',
		status: 2,
		stderr: /^coppice submit: unknown option --ntask; did you mean --ntasks\?/,
	},
	{line: 'submit -Z true', status: 2, stderr: /unknown option -Z/},
	{line: 'submit -n -3 true', status: 2, stderr: /option --ntasks: '-3' is not an integer >= 1/},
	{line: 'submit -n 1.5 true', status: 2, stderr: /'1\.5' is not an integer/},
	{line: 'submit -t 5x true', status: 2, stderr: /option --time-limit: invalid duration "5x"/},
	{line: 'submit -t -1 true', status: 2, stderr: /option --time-limit/},
	{line: 'submit --urgency=99 true', status: 2, stderr: /'99' is not an integer within 0\.\.31/},
	{
		line: 'submit --cc=5-3 true',
		status: 2,
		stderr: /option --cc: invalid idset "5-3": the range 5-3 runs backwards/,
	},
	{line: 'submit --cc= true', status: 2, stderr: /option --cc: .*empty/},
	{
		line: 'submit --cc=0-1000000000 true',
		status: 2,
		stderr: /option --cc: 1000000001 copies, more than 1000000/,
	},
	{line: 'submit --cc=1 --bcc=1 true', status: 2, stderr: /exclude each other/},
	{line: 'submit --requires=host:[ true', status: 2, stderr: /constraint\.hostlist\[0\]: invalid hostlist/},
	{line: 'submit -o a..b true', status: 2, stderr: /--setopt=a\.\.b: a key is empty/},
	{line: 'submit -S .foo=1 true', status: 2, stderr: /attributes\.foo is neither system nor user/},
	{line: 'submit -S duration=-4 true', status: 1, stderr: /EINVAL: .*attributes\.system\.duration/},
	{line: 'submit -S system.queue=7 true', status: 1, stderr: /EINVAL: .*attributes\.system\.queue/},
	{
		line: 'submit --env-file=/nowhere true',
		status: 1,
		stderr: /^coppice submit: ENOENT: \/nowhere: no such file or directory\n$/,
	},
	{line: 'submit --env=A=$UNSET_SO_FAR true', status: 2, stderr: /variable UNSET_SO_FAR is not set/},
	{line: 'submit', status: 2, stderr: /a command is missing/},
	{line: 'run', status: 2, stderr: /^coppice run: a command is missing/},
	{line: 'bulksubmit :::: /nowhere', status: 1, stderr: /ENOENT: \/nowhere/},
	{line: 'job attach zzz', status: 1, stderr: /EINVAL: invalid job id "zzz"/},
	{line: 'job eventlog', status: 2, stderr: /ID is missing/},
	{line: 'cancel', status: 2, stderr: /an ID or --all is missing/},
	{line: 'jobs -f nope', status: 2, stderr: /option --filter: 'nope' is none of/},
	{
		line: 'jobs -o lnog',
		status: 2,
		stderr: /no format 'lnog', and no field in it; the formats are default, long, /,
	},
	{line: 'queue list -o long', status: 2, stderr: /no format 'long'.*; the formats are default$/m},
	{line: 'jobs -o {nope}', status: 2, stderr: /unknown field 'nope'/},
	{line: 'jobs --since=x', status: 2, stderr: /option --since/},
	{line: 'job kill -s NOPE f1', status: 2, stderr: /option --signal: .*NOPE/},
	{line: 'job wait-event -t x f1 y', status: 2, stderr: /option --timeout: invalid duration/},
	{
		line: 'jobs',
		env: {COPPICE_URI: 'nonsense'},
		status: 1,
		stderr: /^coppice jobs: COPPICE_URI: EINVAL: .*local:\/\/\/path/,
	},
	{line: '--uri tcp://a:1 jobs', status: 1, stderr: /^coppice jobs: option --uri: EINVAL/},
	{
		line: '--uri local:///nowhere jobs',
		status: 1,
		stderr:
			/^coppice jobs: ENOENT: no broker serves local:\/\/\/nowhere: .*coppice start --detach starts one/,
	},
	{
		line: '--uri local:///tmp jobs',
		status: 1,
		stderr: /^coppice jobs: ECONNREFUSED: no broker serves local:\/\/\/tmp/,
	},
	{line: 'submti true', status: 2, stderr: /^coppice: unknown command 'submti'; did you mean submit\?/},
];

/** Requests that the instance refuses. */
const REFUSALS: readonly Row[] = [
	{line: 'submit -q nope true', status: 1, stderr: /EINVAL: no queue 'nope'/},
	{line: 'job attach f1', status: 1, stderr: /failed to attach to f1: ENOENT: no job/},
	{line: 'job info f1 jobspec', status: 1, stderr: /f1: ENOENT/},
	{line: 'job wait-event f1 start', status: 1, stderr: /f1: ENOENT/},
	{line: 'cancel f1', status: 1, stderr: /f1: ENOENT/},
	{line: 'getattr nope', status: 1, stderr: /nope: ENOENT/},
	{line: 'ping nope', status: 1, stderr: /nope: ENOSYS/},
	{line: 'ping -r 7 broker', status: 1, stderr: /rank 7 is not in this instance/},
	{
		line: 'overlay lookup 0-1000000000',
		status: 1,
		stderr: /ENOENT: rank 1: the instance has the ranks 0 to 0/,
	},
	{
		line: 'run -n2 --input=1,7 cat',
		status: 1,
		stderr: /EINVAL: shell option input\.stdin\.ranks: the job has no task 7, only 0-1/,
	},
	{
		line: 'run -n2 -o pty.ranks=2 cat',
		status: 1,
		stderr: /EINVAL: shell option pty\.ranks: the job has no task 2, only 0-1/,
	},
	{line: 'jobs -a -q nope', status: 1, stderr: /ENOENT: no queue 'nope': the instance has no named queues/},
	{line: 'cancel --all -q nope', status: 1, stderr: /ENOENT: no queue 'nope'/},
	{line: 'jobs -i nohost', status: 1, stderr: /ENOENT: no host 'nohost' in this instance/},
	{line: 'jobs -i 99', status: 1, stderr: /ENOENT: rank 99: the instance has the ranks 0 to 0/},
	{line: 'resource list -i 9', status: 1, stderr: /ENOENT: rank 9/},
	{line: 'health nope', status: 1, stderr: /nope: ENOSYS/},
	{line: 'queue status -q nope', status: 1, stderr: /ENOENT: no queue 'nope'/},
	{line: 'resource drain 9 x', status: 1, stderr: /coppice resource drain: E/},
];

for (const {line, status, stderr, env} of [...MISTAKES, ...REFUSALS]) {
	test(`coppice ${line}${env === undefined ? '' : ` with ${JSON.stringify(env)}`}`, async t => {
		const ended = await coppice(line.split(' '), env);
		t.regex(ended.stderr, stderr);
		t.deepEqual([ended.status, ended.stdout], [status, '']);
		t.is(ended.stderr.trimEnd().split('\n').length, 1, 'one line');
	});
}

/** Jobs that are accepted, and can't run. */
const FAILURES: readonly Row[] = [
	{line: 'run /no/such/program', status: 127, stderr: /\/no\/such\/program: No such file or directory/},
	{line: 'run no-such-program', status: 127, stderr: /no-such-program: No such file or directory/},
	{line: 'run /etc/passwd', status: 126, stderr: /\/etc\/passwd: Permission denied/},
	{line: 'run --cwd=/nowhere true', status: 126, stderr: /cwd \/nowhere: No such file or directory/},
	{
		line: 'run --output=/nowhere/x true',
		status: 1,
		stderr: /stdout: \/nowhere\/x: No such file or directory/,
	},
	{
		line: 'run ./lost',
		status: 127,
		stderr: /\.\/lost: its interpreter \/no\/such\/sh: No such file or directory/,
	},
	{line: 'run ./pipe', status: 126, stderr: /\.\/pipe: Permission denied/},
	{
		line: 'batch --watch --quiet --output=none lost',
		status: 127,
		stderr: /ENOENT: \S+: its interpreter \/no\/such\/sh: no such file or directory/,
	},
	{line: 'run --error=/nowhere/x true', status: 1, stderr: /stderr: \/nowhere\/x: No such file or directory/},
	{line: 'run -N2 true', status: 1, stderr: /unsatisfiable request: the instance has 1 node/},
	{line: 'run -n99 true', status: 1, stderr: /unsatisfiable request: .*99 core/},
];

for (const {line, status, stderr} of FAILURES) {
	test(`coppice ${line} says what could not be done`, async t => {
		const ended = await coppice(line.split(' '));
		t.regex(ended.stderr, stderr);
		t.deepEqual([ended.status, ended.stdout], [status, '']);
	});
}

test('a log that cannot be written is told, and the jobs are there all the same', async t => {
	const ended = await coppice(['submit', '--log=/nowhere/log', 'true']);
	t.is(ended.status, 1);
	t.regex(ended.stderr, /ENOENT: \/nowhere\/log: no such file/);
});

test('what a disk has no room for is said, with the job that was submitted all the same', async t => {
	const ended = await inShell('coppice submit true >/dev/full');
	t.is(ended.status, 1);
	const told = /^coppice submit: ENOSPC: standard output: .*; submitted all the same: (\S+)\n$/.exec(
		ended.stderr,
	);
	t.truthy(told, ended.stderr);
	t.is((await coppice(['job', 'status', told![1]!])).status, 0);
});

test('the status of a job is told also where stderr takes nothing', async t => {
	const ended = await inShell("coppice -v run sh -c 'echo out; exit 3' 2>/dev/full");
	t.deepEqual(ended, {status: 3, stdout: 'out\n', stderr: ''});
});

test('a directory is no standard input, and makes no job', async t => {
	const ended = await inShell('coppice run cat </');
	t.deepEqual(ended, {
		status: 1,
		stdout: '',
		stderr: 'coppice run: EISDIR: standard input: it is a directory\n',
	});
});

test('job attach -i names only tasks that take standard input', async t => {
	const {stdout} = await coppice(['submit', '-n3', '--input=0,2', 'cat']);
	const id = stdout.trim();
	for (const [tasks, why] of [
		['9', /EINVAL: no task 9 of the job takes standard input: its tasks 0,2 do/],
		['0-1', /EINVAL: no task 1 of the job/],
	] as const) {
		const ended = await coppice(['job', 'attach', '-i', tasks, id]);
		t.is(ended.status, 1);
		t.regex(ended.stderr, why);
	}
	t.is((await inShell(`echo x | coppice job attach ${id}`)).stdout, 'x\nx\n');
});

test('a relative working directory begins here', async t => {
	const {stdout} = await coppice(['run', '--cwd=./sub/../sub', 'pwd']);
	t.is(stdout, `${join(instance.root, 'sub')}\n`);
});

test('an env file that is there counts', async t => {
	const path = join(instance.root, 'rules');
	writeFileSync(path, 'COLOR=green\n');
	const ended = await coppice(['run', `--env-file=${path}`, 'sh', '-c', 'echo $COLOR']);
	t.deepEqual(ended, {status: 0, stdout: 'green\n', stderr: ''});
});

test.after('nothing of it left a job behind, and the instance is well', async t => {
	const jobs = await instance.jobsUntil('all have ended', rows => rows.every(isInactive));
	t.is(jobs.length, FAILURES.length + 6);
	t.is((await coppice(['health'])).status, 0);
});
