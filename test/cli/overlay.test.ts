/** Goal: `overlay` and `health` ask what they should and print what their user expects. Method: scripted answers of a tree of four. */
import test from 'ava';
import {SystemError} from '../../src/formats/errno.ts';
import {FakeWorld} from './fake-world.ts';

const NOW_S = 1_795_348_800;

function entry(rank: number, parent: number | null, more: object = {}) {
	const known = {pid: 100 + rank, uuid: `u${rank}`, boot_count: 1, version: '1'};
	return {
		rank,
		hostname: `n${rank}`,
		parent,
		...known,
		status: 'full',
		since: NOW_S - 90,
		error: null,
		...more,
	};
}

/** Rank 2 is lost, and rank 3 with it. */
const OVERLAY = [
	entry(0, null, {status: 'degraded'}),
	entry(1, 0),
	entry(2, 0, {status: 'lost', error: 'ETIMEDOUT: silent for 30.0 s'}),
	entry(3, 2, {status: 'lost', error: 'behind rank 2 (n2), which is lost', pid: null}),
];

const TREE = {
	rank: 0,
	size: 4,
	children: [
		{rank: 1, size: 1, children: []},
		{rank: 2, size: 2, children: [{rank: 3, size: 1, children: []}]},
	],
};

const HEALTH = {
	healthy: false,
	ranks: [
		{
			...{rank: 0, hostname: 'n0', status: 'degraded', loop_delay: 0.001, commit_latency: 0.0125},
			pending: [
				{service: 'attr', topic: 'attr.get', count: 2, age: 7.5, neighbour: null},
				{service: 'attr', topic: 'attr.get', count: 1, age: 3, neighbour: 1},
			],
		},
	],
	problems: [
		{
			rank: 0,
			hostname: 'n0',
			service: 'attr',
			topic: 'attr.get',
			age: 7.5,
			text: '2 requests have no answer',
		},
		{rank: 2, hostname: 'n2', service: 'overlay', topic: 'peer', age: 4, text: 'lost: silent'},
	],
};

function scripted(): FakeWorld {
	const world = new FakeWorld();
	world.broker
		.answer('attr.get', {value: 'n[0-3]', flags: 1})
		.answer('overlay.status', {overlay: OVERLAY})
		.answer('overlay.topology', TREE)
		.answer('overlay.disconnect-subtree', undefined)
		.answer('overlay.errors', {
			errors: [{rank: 0, hostname: 'n0', time: NOW_S, peer: '10.0.0.9:8050', error: 'EPERM: no'}],
		})
		.answer('health.status', HEALTH)
		.stream('overlay.trace', [
			{
				...{timestamp: NOW_S + 0.5, prefix: 'rx', rank: 1, name: null, type: 1, topic: 'attr.get'},
				...{payload_size: 11, payload: {name: 'rank'}, errnum: 0, errstr: ''},
			},
			{
				...{timestamp: NOW_S + 0.75, prefix: 'tx', rank: 1, name: null, type: 2, topic: 'attr.get'},
				...{payload_size: 2, payload: null, errnum: 2, errstr: 'no'},
			},
			{
				...{timestamp: NOW_S + 1, prefix: 'peer', rank: 1, name: null, type: 0, topic: 'peer.lost'},
				...{payload_size: 0, payload: null, errnum: 0, errstr: 'silent'},
			},
		]);
	return world;
}

const ROWS: readonly {
	readonly argv: readonly string[];
	readonly stdout: string;
	readonly stderr?: string;
	readonly exitCode?: number;
}[] = [
	{
		argv: ['overlay', 'status'],
		stdout:
			'0 n0: degraded\n├─ 1 n1: full\n└─ 2 n2: lost ETIMEDOUT: silent for 30.0 s\n' +
			'   └─ 3 n3: lost behind rank 2 (n2), which is lost\n',
	},
	{argv: ['overlay', 'status', '-r1', '-v'], stdout: '1 n1: full for 1.5m\n'},
	{argv: ['overlay', 'status', '--summary'], stdout: 'degraded\n'},
	{argv: ['overlay', 'status', '--summary', '--wait', 'degraded'], stdout: 'degraded\n'},
	{
		argv: ['overlay', 'status', '--wait', 'full', '--wait-timeout', '1s'],
		stdout: '',
		stderr: 'coppice overlay status: ETIMEDOUT: rank 0 is degraded, and not full within 1s\n',
		exitCode: 1,
	},
	{argv: ['overlay', 'status', '--wait', 'good'], stdout: '', exitCode: 2},
	{argv: ['overlay', 'status', '-r', '9'], stdout: '', exitCode: 1},
	{
		argv: ['overlay', 'status', '--down'],
		stdout:
			'0 n0: degraded\n└─ 2 n2: lost ETIMEDOUT: silent for 30.0 s\n' +
			'   └─ 3 n3: lost behind rank 2 (n2), which is lost\n',
	},
	{argv: ['overlay', 'status', '--json'], stdout: `${JSON.stringify({overlay: OVERLAY})}\n`},
	{argv: ['overlay', 'parentof', '3'], stdout: '2\n'},
	{argv: ['overlay', 'parentof', 'n1'], stdout: '0\n'},
	{
		argv: ['overlay', 'parentof', '0'],
		stdout: '',
		stderr: 'coppice overlay parentof: ENOENT: rank 0 (n0) is the root: it has no parent\n',
		exitCode: 1,
	},
	{argv: ['overlay', 'lookup', '1-3'], stdout: 'n[1-3]\n'},
	{argv: ['overlay', 'lookup', 'n[0,2]'], stdout: '0,2\n'},
	{
		argv: ['overlay', 'lookup', '4'],
		stdout: '',
		stderr: 'coppice overlay lookup: ENOENT: rank 4: the instance has the ranks 0 to 3\n',
		exitCode: 1,
	},
	{argv: ['overlay', 'lookup', 'no'], stdout: '', exitCode: 1},
	{argv: ['overlay', 'disconnect', 'n3'], stdout: ''},
	{argv: ['overlay', 'disconnect', '0'], stdout: '', exitCode: 2},
	{
		argv: ['overlay', 'errors'],
		stdout: 'n2: ETIMEDOUT: silent for 30.0 s\nn3: behind rank 2 (n2), which is lost\n',
	},
	{
		argv: ['overlay', 'errors', '--history'],
		stdout: '2026-11-22T12:00:00 rank 0 (n0): 10.0.0.9:8050: EPERM: no\n',
	},
	{
		argv: ['overlay', 'trace', '-f'],
		stdout:
			'2026-11-22T12:00:00.500 rx 1 > attr.get [11]\n  {"name":"rank"}\n' +
			'2026-11-22T12:00:00.750 tx 1 < attr.get [2] ENOENT: no\n' +
			'2026-11-22T12:00:01.000 peer 1 - peer.lost [0] silent\n',
	},
	{argv: ['overlay', 'trace', '-t', 'frob'], stdout: '', exitCode: 2},
	{
		argv: ['health'],
		stdout:
			' RANK HOST SERVICE   TOPIC                AGE COUNT PROBLEM\n' +
			'    0 n0   attr      attr.get          7.500s       2 requests have no answer\n' +
			'    0 n0   broker    event-loop        0.001s       -\n' +
			'    0 n0   event-log commit            0.013s       -\n' +
			'    0 n0   attr      attr.get via 1    3.000s     1 -\n' +
			'    2 n2   overlay   peer              4.000s       lost: silent\n',
		exitCode: 1,
	},
	{
		argv: ['health', '-qn', '-o', '{rank} {service} {problem}'],
		stdout: '0 attr 2 requests have no answer\n2 overlay lost: silent\n',
		exitCode: 1,
	},
	{argv: ['health', '--json'], stdout: `${JSON.stringify(HEALTH)}\n`, exitCode: 1},
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

test('a healthy instance gives exit status 0', async t => {
	const world = scripted();
	world.broker.answer('health.status', {healthy: true, ranks: [], problems: []});
	world.broker.answer('attr.ping', {seq: 0});
	t.is((await world.run(['health', 'attr'])).exitCode, 0);
	t.deepEqual(world.broker.payloadsOf('health.status'), [{service: 'attr'}]);
});

test('a disconnect is asked of the parent, or of the rank that is named', async t => {
	const world = scripted();
	await world.run(['overlay', 'disconnect', '3']);
	await world.run(['overlay', 'disconnect', '--parent', '1', '3']);
	const asked = world.broker.asked.filter(({topic}) => topic === 'overlay.disconnect-subtree');
	t.deepEqual(
		asked.map(({payload, nodeid}) => [payload, nodeid]),
		[
			[{rank: 3}, 2],
			[{rank: 3}, 1],
		],
	);
	world.broker.on('overlay.disconnect-subtree', () => {
		throw new SystemError('EALREADY', 'rank 3 (n3) is lost or offline already');
	});
	const {stderr, exitCode} = await world.run(['overlay', 'disconnect', '3']);
	t.is(stderr, 'coppice overlay disconnect: 3: EALREADY: rank 3 (n3) is lost or offline already\n');
	t.is(exitCode, 1);
});

test('the timeout of a gathering goes along', async t => {
	const world = scripted();
	await world.run(['overlay', 'status', '-t', '500ms']);
	await world.run(['overlay', 'trace', '-t', 'request,event', '--rank', '2', '--at', '1', 'kvs.*']);
	t.deepEqual(world.broker.payloadsOf('overlay.status'), [{timeout: 0.5}]);
	t.deepEqual(world.broker.payloadsOf('overlay.trace'), [
		{typemask: 5, topic_glob: 'kvs.*', nodeid: 2, full: false},
	]);
	t.is(world.broker.asked.at(-1)!.nodeid, 1);
});
