/** Goal: `jobs` prints what people and scripts rely on. Method: jobs as the broker lists them, tables and JSON compared whole. */
import test from 'ava';
import fc from 'fast-check';
import {SystemError} from '../../src/formats/errno.ts';
import {parseTemplate} from '../../src/cli/format/template.ts';
import {briefDuration} from '../../src/cli/format/brief-duration.ts';
import {strftime} from '../../src/cli/format/strftime.ts';
import {FakeWorld} from './fake-world.ts';

const SUBMIT_S = 1_795_345_000;

const running = {
	id: 14495537038360583n,
	userid: 1000,
	urgency: 16,
	priority: 16,
	t_submit: SUBMIT_S + 0.1,
	t_run: SUBMIT_S + 200,
	state: 16,
	name: 'a-long-name-indeed',
	ntasks: 2,
	ncores: 2,
	nnodes: 2,
	ranks: '0-1',
	nodelist: 'n[0-1]',
	duration: 7200,
	expiration: SUBMIT_S + 7400,
	annotations: {},
	attempt: 1,
	reattached: 2,
	out_of_contact: '1',
};
const failed = {
	...running,
	id: 1234,
	state: 64,
	result: 2,
	outcome: 'exited',
	returncode: 42,
	waitstatus: 10752,
	t_cleanup: SUBMIT_S + 290,
	t_inactive: SUBMIT_S + 291,
	exception_occurred: true,
	exception_type: 'exec',
	exception_severity: 0,
	exception_note: 'what happened',
	out_of_contact: undefined,
};
const waiting = {
	id: 4321,
	userid: 7,
	urgency: 0,
	priority: 0,
	t_submit: SUBMIT_S,
	state: 8,
	name: 'sh',
	ntasks: 1,
};
const {out_of_contact: _, ...failedJob} = failed;

const worldWith = (...jobs: object[]) => {
	const world = new FakeWorld();
	world.broker.stream('job-list.list', [{jobs: jobs.slice(0, 1)}, {jobs: jobs.slice(1)}]);
	world.broker.on('job-list.list-id', request => {
		const {id} = request.payload as {id: number | bigint};
		const job = jobs.find(each => BigInt((each as {id: number | bigint}).id) === BigInt(id));
		if (job === undefined) throw new SystemError('ENOENT', 'no such job');
		request.respond({job});
	});
	return world;
};

test('the table has the columns of Flux', async t => {
	const {stdout, exitCode} = await worldWith(waiting, running, failedJob).run(['jobs', '-a']);
	t.is(exitCode, 0);
	t.deepEqual(
		stdout.split('\n'),
		[
			'       JOBID USER     NAME       ST NTASKS NNODES     TIME INFO',
			'        f2HW 7        sh          S      1      -        - held',
			' f2xC4BKSq4J ada      a-long-na+  R      2      2       1h n[0-1] (out of contact: 1)',
			'         fNH ada      a-long-na+  F      2      2     1.5m n[0-1]',
			'',
		].map(line => line.trimEnd()),
	);
});

test('job ids have a ƒ where the locale can show it, and nowhere else', async t => {
	const first = async (env: Record<string, string>) =>
		(await worldWith(failedJob).run(['jobs', '-n', '-o', '{id}'], {env})).stdout;
	t.is(await first({LANG: 'en_US.UTF-8'}), 'ƒNH\n');
	t.is(await first({LC_ALL: 'C', LANG: 'en_US.UTF-8'}), 'fNH\n');
	t.is(await first({LANG: 'C.utf8', COPPICE_F58_FORCE_ASCII: '1'}), 'fNH\n');
	t.is(await first({}), 'fNH\n');
});

test('the JSON of a job is complete and has no field without a value', async t => {
	const {stdout} = await worldWith(failedJob).run(['jobs', '-a', '--json']);
	t.deepEqual(JSON.parse(stdout), {
		jobs: [
			{
				id: '1234',
				f58: 'fNH',
				userid: 1000,
				name: 'a-long-name-indeed',
				state: 'INACTIVE',
				result: 'FAILED',
				status: 'FAILED',
				outcome: 'exited',
				returncode: 42,
				waitstatus: 10752,
				ntasks: 2,
				nnodes: 2,
				ncores: 2,
				ranks: '0-1',
				nodelist: 'n[0-1]',
				urgency: 16,
				priority: 16,
				duration: 7200,
				expiration: SUBMIT_S + 7400,
				t_submit: SUBMIT_S + 0.1,
				t_run: SUBMIT_S + 200,
				t_cleanup: SUBMIT_S + 290,
				t_inactive: SUBMIT_S + 291,
				exception: {type: 'exec', severity: 0, note: 'what happened'},
				annotations: {},
				attempt: 1,
				reattached: 2,
			},
		],
	});
	const active = JSON.parse((await worldWith(running).run(['jobs', '--json', 'f2xC4BKSq4J'])).stdout) as {
		jobs: object[];
	};
	t.like(active.jobs[0], {id: '14495537038360583', state: 'RUN', status: 'RUN', out_of_contact: '1'});
	t.false('result' in active.jobs[0]!);
	t.deepEqual(JSON.parse((await worldWith().run(['jobs', '--json'])).stdout), {jobs: []});
});

test('jobs that are named are shown, and one that is not known is told', async t => {
	const {stdout, stderr, exitCode} = await worldWith(failedJob).run([
		'jobs',
		'-no',
		'{id.dec} {status}',
		'0x4d2',
		'99',
	]);
	t.is(stdout, '1234 FAILED\n');
	t.is(stderr, 'coppice jobs: f2i: ENOENT: no such job\n');
	t.is(exitCode, 1);
});

test('options become the constraint of the list', async t => {
	const asked = async (...options: string[]) => {
		const world = worldWith();
		await world.run(['jobs', ...options]);
		return world.broker.payloadsOf('job-list.list')[0];
	};
	const own = {userid: [1000]};
	t.like(await asked(), {max_entries: 1001, attrs: ['all'], constraint: {and: [{states: [62]}, own]}});
	t.like(await asked('-a'), {constraint: {and: [{states: [126]}, own]}});
	t.like(await asked('-A', '-f', 'running,failed'), {
		constraint: {and: [{or: [{states: [48]}, {results: [2]}]}]},
	});
	t.like(await asked('-c5', '--name=x', '--since=1000.5'), {
		max_entries: 6,
		since: 1000.5,
		constraint: {and: [{states: [126]}, own, {name: ['x']}]},
	});
});

test('formats: padding, cutting, conversions, headings, columns that vanish or grow', async t => {
	const table = async (format: string, ...more: string[]) =>
		(await worldWith(failedJob).run(['jobs', '-a', '-o', format, ...more])).stdout;
	t.is(await table('{id.dec:>6}|{name:<8.8+}|{ntasks:^3}|', '-n'), '  1234|a-long-+| 2 |\n');
	t.is(
		await table('{name:>4.4} {runtime!F} {runtime:.1f} {runtime!H}'),
		'NAME RUNTIME RUNTIME RUNTIME\na-lo 1.5m 90.0 0:01:30\n',
	);
	t.is(
		await table('{t_run!d:%Y-%m-%d %H:%M::>18} {t_run!D}', '-n'),
		'  2026-11-22 11:00 2026-11-22T11:00:00\n',
	);
	t.is(
		await table('?:{queue:>8} +:{name:<4} {{{returncode}}}'),
		' NAME               {RC}\n a-long-name-indeed {42}\n',
	);
	t.is(
		await table('{exception.type}: {inactive_reason}', '-n'),
		'exec: Exception: type=exec note=what happened\n',
	);
});

test('a format that makes no sense is a usage error', async t => {
	for (const format of ['{frob}', '{id', '{id!x}', '{id:>x>}', '{id:9999}', 'x}']) {
		const {exitCode, stderr} = await worldWith().run(['jobs', '-o', format]);
		t.is(exitCode, 2, format);
		t.regex(stderr, /^coppice jobs: option --format: /);
	}
});

test('a format of any text is read or refused, never worse', t => {
	fc.assert(
		fc.property(
			fc.string({unit: fc.constantFrom('{', '}', ':', '?', '+', 'a', '.', '!', 'd', '>', '9', ' ')}),
			format => {
				try {
					parseTemplate(format);
				} catch (error) {
					if ((error as Error).name !== 'UsageError') throw error;
				}
				t.pass();
			},
		),
	);
});

test('strftime writes local time', t => {
	t.is(strftime('%F %T %b %e %I%p %z %%', SUBMIT_S, -90), '2026-11-22 09:26:40 Nov 22 09AM -0130 %');
});

test('--stats counts, --stats-only exits 1 when nothing is active', async t => {
	const world = worldWith();
	const states = {depend: 1, priority: 0, sched: 2, run: 1, cleanup: 1, inactive: 4, total: 9};
	const counts = {successful: 3, failed: 1, canceled: 0, timeout: 0, inactive_purged: 0};
	world.broker.answer('job-list.job-stats', {job_states: states, ...counts});
	const busy = await world.run(['jobs', '--stats-only']);
	t.deepEqual([busy.stdout, busy.exitCode], ['2 running, 3 completed, 1 failed, 3 pending\n', 0]);
	const none = {depend: 0, priority: 0, sched: 0, run: 0, cleanup: 0, inactive: 4, total: 4};
	world.broker.answer('job-list.job-stats', {job_states: none, ...counts});
	t.is((await world.run(['jobs', '--stats-only'])).exitCode, 1);
	const idle = {running: 0, completed: counts.successful, failed: counts.failed, pending: 0, purged: 0};
	const only = await world.run(['jobs', '--stats-only', '--json']);
	t.deepEqual(JSON.parse(only.stdout), {stats: idle});
	world.broker.on('job-list.list', request => request.end());
	t.deepEqual(JSON.parse((await world.run(['jobs', '--stats', '--json'])).stdout), {stats: idle, jobs: []});
});

test('a brief duration never has an exponent', t => {
	t.deepEqual([0, 0.19, 45, 181_440, 86_400 * 123].map(briefDuration), [
		'0s',
		'190ms',
		'45s',
		'2.1d',
		'123d',
	]);
	fc.assert(
		fc.property(fc.double({min: 0, max: 3e7, noNaN: true}), seconds => {
			t.notRegex(briefDuration(seconds === 0 ? 0 : Math.max(seconds, 1e-3)), /e/);
		}),
	);
});
