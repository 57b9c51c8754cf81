/** Goal: filters, orders and configuration as a Flux user expects them. Method: a scripted broker. */
import test from 'ava';
import {configKey, configView} from '../../src/cli/config-view.ts';
import {parseConfig} from '../../src/broker/config.ts';
import {FakeWorld} from './fake-world.ts';

const JOBS = [
	{id: 1, userid: 1000, state: 16, name: 'b', ranks: '0-1', nodelist: 'n[0-1]', queue: 'batch'},
	{id: 2, userid: 1000, state: 16, name: 'a', ranks: '2', nodelist: 'n2', queue: 'batch'},
	{id: 3, userid: 1000, state: 8, name: 'c', queue: 'batch'},
];

test('jobs are sorted by --sort, or by what the format says', async t => {
	const world = new FakeWorld();
	world.broker.stream('job-list.list', [{jobs: JOBS}]);
	const list = async (...argv: readonly string[]) =>
		(await world.run(['jobs', '-n', ...argv])).stdout.trimEnd().split('\n');
	t.deepEqual(await list('-o', '{name}'), ['b', 'a', 'c']);
	t.deepEqual(await list('-o', '{name}', '--sort=name'), ['a', 'b', 'c']);
	t.deepEqual(await list('-o', 'sort:-name {name}'), ['c', 'b', 'a']);
	t.deepEqual(await list('-o', 'sort:-name {name}', '--sort', 'state,name'), ['a', 'b', 'c']);
	t.deepEqual(await list('-o', '{name}', '-i', '1-2'), ['b', 'a']);
	t.deepEqual(await list('-o', '{name}', '-i', 'n2'), ['a']);
	const {exitCode, stderr} = await world.run(['jobs', '--sort=nope']);
	t.is(exitCode, 2);
	t.regex(stderr, /option --sort: unknown field 'nope'/);
	await world.run(['jobs', '-q', 'batch,debug']);
	const [constraint] = world.broker.payloadsOf('job-list.list').slice(-1) as {constraint: unknown}[];
	t.true(JSON.stringify(constraint).includes('{"queue":["batch","debug"]}'));
});

test('jobs --watch tells each status of each job once, and ends with the jobs that are named', async t => {
	const world = new FakeWorld();
	const states = [8, 8, 16, 16, 64];
	let looks = 0;
	world.broker.on('job-list.list-id', request => {
		const state = states[Math.min(looks, states.length - 1)];
		looks += 1;
		if (looks === 2) world.broker.cut();
		else request.respond({job: {id: 1234, userid: 1000, state, result: 1, name: 'x'}});
	});
	const {exitCode, stdout} = await world.run(['jobs', '--watch', '-o', '{name} {status}', 'fNH']);
	t.is(exitCode, 0);
	t.deepEqual(stdout.split('\n'), ['NAME STATUS', 'x SCHED', 'x RUN', 'x COMPLETED', '']);
});

test('cancel --queue cancels the jobs of that queue', async t => {
	const world = new FakeWorld();
	world.broker.stream('job-list.list', [{jobs: JOBS}]);
	world.broker.answer('job-manager.raise', {});
	const dry = await world.run(['cancel', '-n', '-q', 'batch']);
	t.is(dry.stderr, 'coppice cancel: Would cancel 3 jobs\n');
	t.deepEqual(world.broker.payloadsOf('job-manager.raise'), []);
	const {stderr} = await world.run(['cancel', '-q', 'batch', '-S', 'running', '-m', 'why']);
	t.is(stderr, 'coppice cancel: Canceled 3 jobs (0 errors)\n');
	t.deepEqual(world.broker.payloadsOf('job-manager.raise')[0], {
		id: 1n,
		type: 'cancel',
		severity: 0,
		note: 'why',
	});
	t.is((await world.run(['cancel', '-q', 'batch', 'f1'])).exitCode, 2);
});

test('raiseall and killall ask for --force', async t => {
	const world = new FakeWorld();
	world.broker.answer('job-manager.raiseall', {count: 2, errors: 0});
	world.broker.answer('job-manager.killall', {count: 1, errors: 1});
	t.is(
		(await world.run(['job', 'raiseall', 'test'])).stderr,
		'coppice job raiseall: Command matched 2 jobs (-f to confirm)\n',
	);
	t.is((await world.run(['job', 'raiseall', '-f', '-s0', 'test', 'a', 'b'])).exitCode, 0);
	t.like(world.broker.payloadsOf('job-manager.raiseall')[1], {
		dry_run: false,
		severity: 0,
		type: 'test',
		note: 'a b',
	});
	const killed = await world.run(['job', 'killall', '-f', '-s', 'USR1', '-u', 'all']);
	t.deepEqual([killed.exitCode, killed.stderr], [1, 'coppice job killall: Signaled 1 job (1 errors)\n']);
	t.deepEqual(world.broker.payloadsOf('job-manager.killall'), [{dry_run: false, userid: -1, signum: 10}]);
});

test('configuration is shown by the names that it is written with', async t => {
	const world = new FakeWorld();
	const config = parseConfig([
		{kind: 'argument', text: 'exec.lease=90s'},
		{kind: 'argument', text: 'queues.debug.duration-max="1h"'},
	]);
	world.broker.answer('config.get', config);
	const get = async (...argv: readonly string[]) => (await world.run(['config', 'get', ...argv])).stdout;
	t.is(await get('exec.lease'), '1.5m\n');
	t.is(await get('tbon.lost-timeout'), '30s\n');
	t.is(await get('log.retention'), '1000000\n');
	t.is(await get('queues.debug'), '{"requires":[],"duration-max":"1h"}\n');
	t.is(await get('-d', '7', 'resource.gpus'), '7\n');
	const {exitCode, stderr} = await world.run(['config', 'get', 'exec.nope']);
	t.is(exitCode, 1);
	t.regex(stderr, /exec\.nope: ENOENT/);
	t.is(configKey('tbon.reconnectMsMax'), 'tbon.reconnect-max');
});

test('every key that config get shows is one that a file may have', t => {
	const view = configView(parseConfig([]));
	for (const [section, keys] of Object.entries(view)) {
		for (const [key, value] of Object.entries(keys as object)) {
			if (section === 'queues') continue;
			const text = `${section}.${key}=${JSON.stringify(value)}`;
			t.notThrows(() => parseConfig([{kind: 'argument', text}]), text);
		}
	}
});

test('dmesg --clear and --read-clear forget the lines', async t => {
	const world = new FakeWorld();
	world.broker.stream('log.dmesg', []);
	world.broker.answer('log.clear', {});
	await world.run(['dmesg', '-C']);
	t.deepEqual(
		world.broker.asked.map(({topic}) => topic),
		['log.clear'],
	);
	await world.run(['dmesg', '-c']);
	t.deepEqual(
		world.broker.asked.map(({topic}) => topic),
		['log.clear', 'log.dmesg', 'log.clear'],
	);
	t.is((await world.run(['dmesg', '-f', '-c'])).exitCode, 2);
});
