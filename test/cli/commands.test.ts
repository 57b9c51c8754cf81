/** Goal: each command asks what it should and prints what its user expects. Method: one row each, against scripted answers. */
import test from 'ava';
import {SystemError} from '../../src/formats/errno.ts';
import {Idset} from '../../src/formats/idset.ts';
import {ResourceSet, type RankResources} from '../../src/formats/resource-set.ts';
import {COMMANDS} from '../../src/cli/command-table.ts';
import {jobEvents, JOB_F58, JOB_ID, serveJob} from './fake-job.ts';
import {FakeWorld, until} from './fake-world.ts';

const EVENTLOG = jobEvents({status: 256})
	.map(event => `${JSON.stringify(event)}\n`)
	.join('');

/** Three nodes: n0 is free, n1 partly held, n2 down. */
function schedStatus(): object {
	const node = (rank: number, cores: string): [number, RankResources] => [
		rank,
		{host: `n${rank}`, cores: Idset.parse(cores), gpus: Idset.empty},
	];
	const properties = new Map([['big', Idset.parse('1')]]);
	const all = ResourceSet.from([node(0, '0-1'), node(1, '0-3'), node(2, '0-1')], {properties});
	return {
		all: all.encode(),
		down: all.pick(Idset.parse('2')).encode(),
		allocated: ResourceSet.from([node(1, '0-2')], {properties}).encode(),
	};
}

/** A broker that has one attribute or answer of each kind. */
function scripted(): FakeWorld {
	const world = new FakeWorld();
	const attributes: Readonly<Record<string, string>> = {
		size: '3',
		hostlist: 'n[0-3]',
		'instance-level': '0',
		hostname: 'n0',
		rank: '0',
	};
	world.broker
		.on('attr.get', request => {
			const {name} = request.payload as {name: string};
			const value = attributes[name];
			if (value === undefined) throw new SystemError('ENOENT', 'no such attribute');
			request.respond({value, flags: 1});
		})
		.answer('attr.list', {names: ['size', 'hostname']})
		.answer('attr.set', undefined)
		.answer('state-machine.get', {state: 'run', duration: 181_440})
		.on('groups.get', request => {
			const {name} = request.payload as {name: string};
			request.respond({members: name === 'broker.torpid' ? '2' : '0,2'});
		})
		.answer('resource.status', {
			online: '0-1',
			exclude: '',
			torpid: '',
			allocated: '1',
			hosts: 'n[0-2]',
			drain: {
				'1': {timestamp: 1_795_348_770, reason: ''},
				'2': {timestamp: 1_795_348_740, reason: 'disk'},
			},
		})
		.answer('resource.sched-status', schedStatus())
		.answer('resource.drain', undefined)
		.answer('resource.undrain', undefined)
		.answer('resource.held', {held: [{id: JOB_ID, kind: 'ghost', reason: 'r'}]})
		.answer('resource.release', undefined)
		.answer('job-manager.queue-list', {queues: []})
		.answer('job-manager.queue-status', {
			enable: true,
			start: false,
			stop_reason: 'tea',
			duration_max: 3600,
			alloc_pending: 2,
			running: 1,
		})
		.answer('job-manager.queue-start', undefined)
		.answer('job-manager.queue-enable', undefined)
		.answer('job-manager.drain', {pending: 0})
		.answer('job-manager.idle', {pending: 3})
		.answer('job-manager.raise', undefined)
		.answer('job-manager.kill', undefined)
		.answer('job-manager.urgency', {old_urgency: 16})
		.answer('job-manager.raiseall', {count: 3, errors: 0})
		.answer('job-info.lookup', {id: JOB_ID, eventlog: EVENTLOG, jobspec: '{"version":1}'})
		.answer('broker.startlog', {
			periods: [
				{epoch: 1, start: 1_795_340_000, end: 1_795_340_078, pid: 1, crashed: false},
				{epoch: 2, start: 1_795_340_100, pid: 2, crashed: true, panic: 'EIO: disk\nmore'},
				{epoch: 3, start: 1_795_348_779, pid: 3, crashed: false},
			],
		})
		.answer('event-log.stat', {path: '/s', head: 9, damages: ['one', 'two']})
		.answer('event-log.verify', {ok: false, records: 1, problems: ['bad']})
		.answer('event-log.replay', {seq: 9, match: true})
		.answer('event-log.salvage', {plan: ['drop 3'], done: false})
		.answer('event-log.lost-found', {entries: [{id: JOB_ID, reason: 'r', seq: 1, facts: 2}]})
		.stream('event-log.dump', [
			{seq: 1, type: 'a'},
			{seq: 2, type: 'b'},
		])
		.stream('log.dmesg', [
			'<48>1 2026-11-22T12:17:44.791118Z 0 broker 20057 - - one',
			'<24>1 2026-11-22T12:17:44.991118Z 1 job-manager - - - two',
		]);
	return world;
}

const ROWS: readonly {
	readonly argv: readonly string[];
	readonly stdout: string;
	readonly stderr?: string;
	readonly exitCode?: number;
}[] = [
	{argv: ['getattr', 'size'], stdout: '3\n'},
	{
		argv: ['getattr', 'no'],
		stdout: '',
		stderr: 'coppice getattr: no: ENOENT: no such attribute\n',
		exitCode: 1,
	},
	{argv: ['lsattr'], stdout: 'hostname\nsize\n'},
	{argv: ['lsattr', '--json'], stdout: '{"hostname":"n0","size":"3"}\n'},
	{argv: ['setattr', 'a', '-1'], stdout: ''},
	{argv: ['job', 'id', '--to=hex', JOB_F58], stdout: '0x337f9d38000007\n'},
	{argv: ['job', 'id', '--to=f58', '1234'], stdout: 'fNH\n'},
	{
		argv: ['job', 'id', 'l0l'],
		stdout: '',
		stderr:
			'coppice job id: EINVAL: invalid job id "l0l": not a decimal number, f58 or dotted hexadecimal id\n',
		exitCode: 1,
	},
	{argv: ['job', 'kill', '-s', 'usr1', JOB_F58], stdout: ''},
	{argv: ['job', 'kill', '-s', 'FROB', JOB_F58], stdout: '', exitCode: 2},
	{
		argv: ['job', 'urgency', '-v', JOB_F58, 'hold'],
		stdout: '',
		stderr: 'coppice job urgency: old urgency: 16\n',
	},
	{argv: ['job', 'info', JOB_F58, 'jobspec'], stdout: '{"version":1}\n'},
	{argv: ['job', 'info', JOB_F58, 'frob'], stdout: '', exitCode: 2},
	{argv: ['job', 'info', JOB_F58, 'eventlog'], stdout: EVENTLOG},
	{argv: ['job', 'eventlog', '-f', 'json', JOB_F58], stdout: EVENTLOG},
	{argv: ['cancel', JOB_F58, '1234'], stdout: ''},
	{argv: ['cancel', '--all'], stdout: '', stderr: 'coppice cancel: Canceled 3 jobs (0 errors)\n'},
	{argv: ['cancel', '-n', '--all'], stdout: '', stderr: 'coppice cancel: Would cancel 3 jobs\n'},
	{argv: ['cancel'], stdout: '', exitCode: 2},
	{
		argv: ['startlog'],
		stdout:
			'2026-11-22 09:33 - 2026-11-22 09:34 (1.3m)\n2026-11-22 09:35 - crashed: EIO: disk\n2026-11-22 11:59 - running (21s)\n',
	},
	{argv: ['startlog', '--check', '-q'], stdout: '', exitCode: 1},
	{
		argv: ['dmesg'],
		stdout:
			'2026-11-22T12:17:44.791118Z broker.info[0]: one\n2026-11-22T12:17:44.991118Z job-manager.err[1]: two\n',
	},
	{argv: ['dmesg', '-H'], stdout: '[Nov22 12:17] broker[0]: one\n[  +0.200000] job-manager[1]: two\n'},
	{argv: ['log', 'stat'], stdout: 'path: /s\nhead: 9\ndamages:\n  one\n  two\n'},
	{argv: ['log', 'stat', '--json'], stdout: '{"path":"/s","head":9,"damages":["one","two"]}\n'},
	{argv: ['log', 'verify'], stdout: 'ok: false\nrecords: 1\nproblems:\n  bad\n', exitCode: 1},
	{argv: ['log', 'replay'], stdout: 'seq: 9\nmatch: true\n'},
	{argv: ['log', 'salvage'], stdout: 'plan:\n  drop 3\ndone: false\n'},
	{argv: ['log', 'lost+found'], stdout: `entries:\n  id=${JOB_ID} reason=r seq=1 facts=2\n`},
	{argv: ['log', 'dump'], stdout: '{"seq":1,"type":"a"}\n{"seq":2,"type":"b"}\n'},
	{
		argv: ['resource', 'list'],
		stdout:
			'     STATE PROPERTIES NNODES   NCORES NODELIST\n' +
			'      free                 1        2 n0\n' +
			'      free big             1        1 n1\n' +
			' allocated big             1        3 n1\n' +
			'      down                 1        2 n2\n',
	},
	{
		argv: ['resource', 'list', '-n', '-s', 'up,all', '-i', 'n[0-1]', '-o', '{state} {ncores} {rlist}'],
		stdout: 'up 2 rank0/core[0-1]\nup 4 rank1/core[0-3]\nall 2 rank0/core[0-1]\nall 4 rank1/core[0-3]\n',
	},
	{argv: ['resource', 'list', '-s', 'frob'], stdout: '', exitCode: 2},
	{argv: ['resource', 'list', '-q', 'frob'], stdout: '', exitCode: 2},
	{argv: ['resource', 'info'], stdout: '3 Nodes, 8 Cores, 0 GPUs\n'},
	{argv: ['resource', 'info', '-s', 'free', '-i', '1'], stdout: '1 Nodes, 1 Cores, 0 GPUs\n'},
	{
		argv: ['resource', 'status'],
		stdout:
			'       STATE UP NNODES NODELIST\n' +
			'       avail  y      1 n0\n' +
			'    draining  y      1 n1\n' +
			'     drained  n      1 n2\n',
	},
	{
		argv: ['resource', 'status', '-s', 'offline,torpid', '--json'],
		stdout: '{"status":[{"state":"offline","up":false,"nnodes":1,"ranks":"2","nodelist":"n2"}]}\n',
	},
	{
		argv: ['resource', 'drain', '-o', 'long'],
		stdout:
			'TIME                 STATE    RANKS    REASON                         NODELIST\n' +
			'2026-11-22T11:59:00  drained  2        disk                           n2\n' +
			'2026-11-22T11:59:30  draining 1                                       n1\n',
	},
	{argv: ['resource', 'drain', '-f', '-u', '1'], stdout: '', exitCode: 2},
	{argv: ['resource', 'undrain'], stdout: '', exitCode: 2},
	{
		argv: ['queue', 'list'],
		stdout:
			' EN ST TDEFAULT   TLIMIT     NNODES     NCORES      NGPUS\n  y  n      inf       1h      0-inf      0-inf      0-inf\n',
	},
	{
		argv: ['queue', 'status', '-v'],
		stdout:
			'Job submission is enabled\nScheduling is stopped: tea\n' +
			'2 alloc requests queued\n0 alloc requests pending to scheduler\n1 running jobs\n',
	},
	{argv: ['queue', 'stop', '-m', 'tea'], stdout: 'Scheduling is stopped: tea\n'},
	{argv: ['queue', 'enable', '--quiet'], stdout: ''},
	{argv: ['queue', 'stop', '-a', '-q', 'x'], stdout: '', exitCode: 2},
	{argv: ['queue', 'drain'], stdout: ''},
	{argv: ['queue', 'idle'], stdout: '3 pending jobs\n'},
	{argv: ['log', 'lost+found', '--held'], stdout: `held:\n  id=${JOB_ID} kind=ghost reason=r\n`},
	{argv: ['log', 'lost+found', '--release', JOB_F58], stdout: ''},
	{argv: ['repl', '-e', 'jobs'], stdout: '{"expression":"jobs"}\n'},
	{argv: ['repl', '-e', 'watch()'], stdout: '{"seq":1}\n{"seq":2}\n'},
	{argv: ['--version'], stdout: 'coppice 1.2.3\n'},
];

for (const {argv, stdout, stderr, exitCode = 0} of ROWS) {
	test(`coppice ${argv.join(' ')}`, async t => {
		const result = await scripted().run(argv);
		t.is(result.stdout, stdout);
		if (stderr !== undefined) t.is(result.stderr, stderr);
		else if (exitCode === 0) t.is(result.stderr, '');
		t.is(result.exitCode, exitCode);
	});
}

test('uptime is one line, and a second one when something is closed', async t => {
	const {stdout} = await scripted().run(['uptime']);
	t.regex(
		stdout,
		/^ 12:00:\d\d run 2\.1d, {2}owner ada, {2}depth 0, {2}size 3, {2}2 drained, {2}1 offline, {2}1 torpid\n {2}scheduler disabled\n$/,
	);
});

test('requests carry what the options say', async t => {
	const world = scripted();
	await world.run(['job', 'raise', '-s3', '-t', 'note', '-m', 'text', JOB_F58]);
	await world.run(['job', 'kill', '-s9', JOB_F58]);
	await world.run(['cancel', '-m', 'why', JOB_F58]);
	await world.run(['cancel', '-S', 'pending', '-u', 'all']);
	await world.run(['getattr', '-r', '2', 'size']);
	await world.run(['log', 'salvage', '--yes']);
	await world.run(['log', 'dump', '--from=3', '--to=9']);
	t.deepEqual(
		world.broker.asked.map(({topic, payload}) => [topic, payload]),
		[
			['job-manager.raise', {id: JOB_ID, type: 'note', severity: 3, note: 'text'}],
			['job-manager.kill', {id: JOB_ID, signum: 9}],
			['job-manager.raise', {id: JOB_ID, type: 'cancel', severity: 0, note: 'why'}],
			['job-manager.raiseall', {dry_run: false, userid: -1, states: 14, severity: 0, type: 'cancel'}],
			['attr.get', {name: 'size'}],
			['event-log.salvage', {yes: true}],
			['event-log.dump', {from: 3, to: 9}],
		],
	);
	t.is(world.broker.asked[4]!.nodeid, 2);
});

test('resource and queue commands ask as Flux does', async t => {
	const world = scripted();
	await world.run(['resource', 'drain', 'n[1-2]', 'bad', 'disk']);
	await world.run(['resource', 'drain', '-f', '1']);
	await world.run(['resource', 'drain', '-ff', '1', 'x']);
	await world.run(['resource', 'drain', '-u', '1', 'x']);
	await world.run(['resource', 'undrain', '-f', '1', 'mended']);
	await world.run(['queue', 'stop', '--quiet', '-q', 'batch', '-m', 'tea']);
	await world.run(['queue', 'enable', '--quiet', '-a']);
	t.deepEqual(
		world.broker.asked.map(({topic, payload}) => [topic, payload]),
		[
			['resource.drain', {targets: 'n[1-2]', reason: 'bad disk'}],
			['resource.drain', {targets: '1', mode: 'overwrite'}],
			['resource.drain', {targets: '1', reason: 'x', mode: 'force-overwrite'}],
			['resource.drain', {targets: '1', reason: 'x', mode: 'update'}],
			['resource.undrain', {targets: '1', reason: 'mended', mode: 'force'}],
			[
				'job-manager.queue-start',
				{start: false, all: false, nocheckpoint: false, name: 'batch', reason: 'tea'},
			],
			['job-manager.queue-enable', {enable: true, all: true}],
		],
	);
});

test('queue drain goes on waiting when the broker was restarted, and gives up after its timeout', async t => {
	const world = scripted();
	let asked = 0;
	world.broker.on('job-manager.drain', request => {
		asked += 1;
		if (asked === 1) world.broker.cut();
		else request.respond({pending: 0});
	});
	t.is((await world.run(['queue', 'drain'])).exitCode, 0);
	t.is(asked, 2);
	world.broker.on('job-manager.drain', () => {});
	const {stderr, exitCode} = await world.run(['queue', 'drain', '-t', '2s']);
	t.is(stderr, 'coppice queue drain: ETIMEDOUT: the queues are not empty after 2s\n');
	t.is(exitCode, 1);
});

test('one job that fails does not stop the others, and is named', async t => {
	const world = scripted();
	world.broker.on('job-manager.raise', request => {
		if (Number((request.payload as {id: unknown}).id) === 1234)
			throw new SystemError('ENOENT', 'job is inactive');
		request.respond();
	});
	const {stderr, exitCode} = await world.run(['cancel', '1234', JOB_F58]);
	t.is(stderr, 'coppice cancel: 1234: ENOENT: job is inactive\n');
	t.is(exitCode, 1);
	t.is(world.broker.payloadsOf('job-manager.raise').length, 2);
});

test('eventlog as text, with offsets, and followed over a lost connection', async t => {
	const world = scripted();
	const {stdout} = await world.run(['job', 'eventlog', '-T', 'offset', JOB_F58]);
	t.is(stdout.split('\n')[0], '0.000000 submit userid=1000 urgency=16 flags=0 version=1');
	serveJob(world.broker, {events: jobEvents({status: 0}), cuts: [4, 6, 0]});
	const followed = await world.run(['job', 'eventlog', '-F', '-f', 'json', JOB_F58]);
	t.deepEqual(
		followed.stdout,
		jobEvents({status: 0})
			.map(event => `${JSON.stringify(event)}\n`)
			.join(''),
	);
});

test('wait-event prints the event that it waited for', async t => {
	const world = scripted();
	serveJob(world.broker, {events: jobEvents({status: 256}), cuts: [5]});
	const wait = (...argv: string[]) => world.run(['job', 'wait-event', ...argv]);
	t.is((await wait(JOB_F58, 'start')).stdout, '100.500000 start\n');
	t.is((await wait('-v', JOB_F58, 'depend')).stdout.split('\n').length, 4);
	t.is((await wait('-q', '-m', 'status=256', JOB_F58, 'finish')).stdout, '');
	const never = await wait('-m', 'status=0', JOB_F58, 'finish');
	t.is(never.stderr, `coppice job wait-event: ${JOB_F58}: ENODATA: event 'finish' was never received\n`);
	t.is(never.exitCode, 1);
});

test('wait-event gives up after its timeout', async t => {
	const world = scripted();
	world.broker.on('job-info.eventlog-watch', () => {});
	const {stderr, exitCode} = await world.run(['job', 'wait-event', '-t', '2s', JOB_F58, 'clean']);
	t.is(stderr, `coppice job wait-event: ${JOB_F58}: ETIMEDOUT: timeout on event 'clean'\n`);
	t.is(exitCode, 1);
});

test('job status exits with the highest status', async t => {
	const world = scripted();
	serveJob(world.broker, {events: jobEvents({status: 5 << 8}), cuts: [3]});
	t.is((await world.run(['job', 'status', JOB_F58, JOB_F58])).exitCode, 5);
	const verbose = await world.run(['job', 'status', '-v', JOB_F58]);
	t.is(verbose.stderr.split('\n').at(-2), `coppice job status: ${JOB_F58}: task(s) exited with exit code 5`);
});

test('job wait: 0 and 1 by the job, 2 when there is none', async t => {
	const world = scripted();
	world.broker.answer('job-manager.wait', {id: JOB_ID, success: true, errstr: ''});
	t.deepEqual(await world.run(['job', 'wait']).then(({exitCode, stdout}) => [exitCode, stdout]), [
		0,
		`${JOB_F58}\n`,
	]);
	world.broker.answer('job-manager.wait', {
		id: JOB_ID,
		success: false,
		errstr: 'task(s) exited with exit code 1',
	});
	const failed = await world.run(['job', 'wait', JOB_F58]);
	t.deepEqual([failed.exitCode, failed.stdout], [1, '']);
	t.is(failed.stderr, `coppice job wait: ${JOB_F58}: task(s) exited with exit code 1\n`);
	let left = 2;
	world.broker.on('job-manager.wait', request => {
		if (left-- <= 0) throw new SystemError('ECHILD', 'there are no more waitable jobs');
		request.respond({id: JOB_ID, success: true, errstr: ''});
	});
	t.is((await world.run(['job', 'wait', '--all'])).exitCode, 0);
	t.is((await world.run(['job', 'wait'])).exitCode, 2);
});

test('attach to an unknown job says so', async t => {
	const world = scripted();
	world.broker.on('job-info.eventlog-watch', () => {
		throw new SystemError('ENOENT', 'no such job');
	});
	const {stderr, exitCode} = await world.run(['job', 'attach', 'fNH']);
	t.is(stderr, 'coppice job attach: failed to attach to fNH: ENOENT: no such job\n');
	t.is(exitCode, 1);
});

test('repl goes on after a mistake', async t => {
	const world = scripted();
	const lines = ['a', '', 'bad(', 'watch()', 'exit', 'c'];
	const {stdout, stderr, exitCode} = await world.run(['repl'], {lines});
	t.deepEqual([stdout, exitCode], ['<{"expression":"a"}>\n<{"seq":1}>\n<{"seq":2}>\n', 0]);
	t.is(stderr, "coppice repl: EINVAL: ')' is missing at 4\n");
});

test('shutdown returns when socket and daemon are gone', async t => {
	const world = scripted();
	world.processes.set(77, 'start');
	world.broker.on('attr.get', request => {
		const {name} = request.payload as {name: string};
		if (name !== 'daemon.pid') throw new SystemError('ENOENT', 'no such attribute');
		request.respond({value: '77', flags: 0});
	});
	world.broker.on('shutdown.start', request => {
		request.respondStream({log: 'canceling 2 jobs'});
		request.end();
	});
	let isDone = false;
	const stopping = world.run(['shutdown', '--keep-jobs', '--timeout=30s']).finally(() => (isDone = true));
	await until(() => world.broker.payloadsOf('shutdown.start').length === 1, 'the request');
	t.like(world.broker.payloadsOf('shutdown.start')[0], {keep_jobs: true, timeout: 30});
	world.broker.isUp = false;
	world.socketExists = false;
	t.false(isDone);
	world.processes.delete(77);
	const {exitCode, stderr} = await stopping;
	t.deepEqual([exitCode, stderr], [0, 'coppice shutdown: canceling 2 jobs\n']);
});

test('shutdown names who is late', async t => {
	const world = scripted();
	world.broker.on('shutdown.start', request => {
		request.respondStream({log: 'waiting for job f1'});
		request.end();
	});
	const {exitCode, stderr} = await world.run(['shutdown', '-q', '--timeout=20s']);
	t.is(exitCode, 1);
	t.is(stderr, 'coppice shutdown: rank 0 (n0): ETIMEDOUT: not down after 20s: waiting for job f1\n');
});

test('without an instance commands end soon and say where they looked', async t => {
	const world = scripted();
	world.broker.isUp = false;
	const {exitCode, stderr} = await world.run(['--uri', 'local:///nowhere', 'uptime']);
	t.is(exitCode, 1);
	t.regex(
		stderr,
		/^coppice uptime: ECONNREFUSED: no broker serves local:\/\/\/nowhere: .*; is the instance started\?/,
	);
});

test('a command that only reads survives a restart of the broker; one that acts is not repeated', async t => {
	const world = scripted();
	let asked = 0;
	world.broker.on('attr.get', request => {
		asked += 1;
		if (asked === 1) world.broker.cut();
		else request.respond({value: 'v', flags: 0});
	});
	t.is((await world.run(['getattr', 'x'])).stdout, 'v\n');
	world.broker.on('job-manager.kill', () => world.broker.cut());
	const {exitCode, stderr} = await world.run(['job', 'kill', '1234']);
	t.is(exitCode, 1);
	t.regex(stderr, /^coppice job kill: 1234: ECONNRESET: /);
	t.is(world.broker.payloadsOf('job-manager.kill').length, 1);
});

test('every command has help with an example, and asks nobody for it', async t => {
	for (const {name, describe} of COMMANDS) {
		const world = scripted();
		const {exitCode, stdout} = await world.run([...name.split(' '), '--help']);
		t.is(exitCode, 0, name);
		t.true(stdout.startsWith(`Usage: coppice ${name} [OPTIONS]`), name);
		t.regex(stdout, /\nExamples?:\n {2}.*coppice /, name);
		t.true(describe.length > 0);
		t.deepEqual(world.broker.asked, []);
	}
	t.regex((await scripted().run(['--help'])).stdout, /\n {2}submit /);
	t.regex((await scripted().run(['job', '--help'])).stdout, /\n {2}job attach /);
});
