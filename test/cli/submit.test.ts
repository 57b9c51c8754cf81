/** Goal: each copy is one job, in order, whatever happens to the connection. Method: a scripted broker that counts. */
import test from 'ava';
import fc from 'fast-check';
import {SystemError} from '../../src/formats/errno.ts';
import {encodeEvent} from '../../src/formats/eventlog.ts';
import {unwrapSigned} from '../../src/formats/sign-none.ts';
import {jobEvents} from './fake-job.ts';
import {FakeWorld} from './fake-world.ts';
import type {ScriptedBroker} from './scripted-broker.ts';

interface Sent {
	readonly J: string;
	readonly request_id: string;
}

interface Spec {
	readonly tasks: readonly [{readonly command: readonly string[]}];
	readonly attributes: {readonly system: {readonly environment: Readonly<Record<string, string>>}};
}

const specOf = ({J}: Sent) => JSON.parse(unwrapSigned(J).payload) as Spec;

test('every copy becomes one job, in order, though answers are lost', async t => {
	await fc.assert(
		fc.asyncProperty(
			fc.integer({min: 1, max: 300}),
			fc.array(fc.nat({max: 400}), {maxLength: 4}),
			async (count, cuts) => {
				const world = new FakeWorld();
				const idOf = new Map<string, bigint>();
				let requests = 0;
				world.broker.on('job-ingest.submit', request => {
					const {request_id: requestId} = request.payload as Sent;
					if (!idOf.has(requestId)) idOf.set(requestId, BigInt(idOf.size + 1));
					requests += 1;
					if (cuts.includes(requests)) world.broker.cut();
					else request.respond({id: idOf.get(requestId)});
				});
				const {stdout, exitCode} = await world.run([
					'submit',
					`--cc=0-${count - 1}`,
					'--request-id=r',
					'true',
				]);
				t.is(exitCode, 0);
				t.is(idOf.size, count);
				const ids = stdout.trimEnd().split('\n');
				t.is(ids.length, count);
				const printed = await world.run(['job', 'id', ...ids]);
				t.deepEqual(
					printed.stdout.trimEnd().split('\n'),
					Array.from({length: count}, (_, cc) => String(idOf.get(`r.${cc}`))),
				);
			},
		),
		{numRuns: 25},
	);
});

test('ids that cannot be printed are in the error, of every job that was sent, and no more are sent', async t => {
	await fc.assert(
		fc.asyncProperty(fc.integer({min: 1, max: 300}), fc.nat({max: 150}), async (count, printable) => {
			const world = new FakeWorld();
			let accepted = 0;
			world.broker.on('job-ingest.submit', request => request.respond({id: 1000 + (accepted += 1)}));
			const argv = ['submit', `--cc=1-${count}`, 'true'];
			const {exitCode, stdout, stderr} = await world.run(argv, {stdoutBytesMax: printable * 4});
			const printed = stdout.split('\n').slice(0, -1);
			t.is(printed.length, Math.min(count, printable));
			const told = /^coppice submit: ENOSPC: standard output: .*; submitted all the same: (.+)\n$/.exec(
				stderr,
			);
			t.is(exitCode, printable < count ? 1 : 0);
			const names = [...printed, ...(told?.[1]?.split(' ') ?? [])];
			t.is(names.length, accepted);
			t.is(new Set(names).size, accepted);
			t.true(accepted <= printable + 128);
		}),
		{numRuns: 20},
	);
});

test('a copy finds its id in its environment and in {cc}; one of --bcc only in {cc}', async t => {
	const world = new FakeWorld();
	world.broker.answer('job-ingest.submit', {id: 1234});
	await world.run(['submit', '--cc=3,5', '--env=-*', 'echo', '{cc}']);
	await world.run(['submit', '--bcc=7', '--env=-*', 'echo', '{cc}']);
	const specs = world.broker.payloadsOf('job-ingest.submit').map(payload => specOf(payload as Sent));
	t.deepEqual(
		specs.map(({tasks, attributes}) => [tasks[0].command[1], attributes.system.environment]),
		[
			['3', {COPPICE_JOB_CC: '3'}],
			['5', {COPPICE_JOB_CC: '5'}],
			['7', {}],
		],
	);
});

test('a broker that is full is asked again with the same request id', async t => {
	const world = new FakeWorld();
	let busy = 3;
	world.broker.on('job-ingest.submit', request => {
		if (busy-- > 0) throw new SystemError('EAGAIN', 'too many requests');
		request.respond({id: 1234});
	});
	const {stdout} = await world.run(['submit', 'true']);
	t.is(stdout, 'fNH\n');
	const ids = world.broker.payloadsOf('job-ingest.submit').map(payload => (payload as Sent).request_id);
	t.deepEqual(new Set(ids).size, 1);
	t.is(ids.length, 4);
});

test('--wait waits for all and exits with the highest status', async t => {
	const world = new FakeWorld();
	const statuses = [0, 3 << 8, 9];
	let submitted = 0;
	world.broker.on('job-ingest.submit', request => request.respond({id: (submitted += 1)}));
	serveEndings(world.broker, statuses);
	const {exitCode, stdout, stderr} = await world.run(['submit', '--wait', '--quiet', '--cc=0-2', 'x']);
	t.deepEqual([exitCode, stdout], [137, '']);
	t.is(stderr, 'coppice submit: f4: task(s) Killed\n');
});

test('--wait tells of each job once, however often its stream breaks', async t => {
	await fc.assert(
		fc.asyncProperty(
			fc.array(fc.constantFrom(0, 9, 15), {minLength: 1, maxLength: 40}),
			fc.array(fc.nat({max: 8}), {maxLength: 3}),
			async (statuses, cuts) => {
				const world = new FakeWorld();
				let submitted = 0;
				world.broker.on('job-ingest.submit', request => request.respond({id: (submitted += 1)}));
				const asked = serveEndings(world.broker, statuses, cuts);
				const argv = ['submit', '--wait', '--quiet', `--cc=1-${statuses.length}`, 'x'];
				const {exitCode, stderr} = await world.run(argv);
				t.is(exitCode, Math.max(...statuses.map(status => status && 128 + status)));
				const told = stderr.split('\n').filter(line => /task\(s\)/.test(line));
				t.is(told.length, statuses.filter(status => status !== 0).length);
				t.is(new Set(told).size, told.length);
				for (const [index, {length}] of asked.entries())
					t.true(length <= (asked[index - 1]?.length ?? length));
			},
		),
		{numRuns: 15},
	);
});

/** Answers waits for jobs 1, 2, … that end with these wait statuses; the links are cut after so many in each stream. */
function serveEndings(
	broker: ScriptedBroker,
	statuses: readonly number[],
	cuts: readonly number[] = [],
): (readonly number[])[] {
	const asked: (readonly number[])[] = [];
	broker.on('job-info.endings', async request => {
		const {ids} = request.payload as {ids: readonly number[]};
		const cutAfter = cuts[asked.length] ?? Infinity;
		asked.push(ids);
		for (const [index, id] of ids.entries()) {
			if (index >= cutAfter) return broker.cut();
			const eventlog = jobEvents({status: statuses[Number(id) - 1]})
				.map(encodeEvent)
				.join('');
			request.respondStream({endings: [{id, eventlog}]});
			await new Promise(resolve => setImmediate(resolve));
			if (!request.isOpen) return;
		}
		request.end();
	});
	return asked;
}

test('--env rules apply in order, with --env-remove and --env-file among them', async t => {
	const files = {'/home/u/rules': '# a comment\nZ=$Y-$$1\n-B*\n'};
	const env = {PATH: '/bin', B1: '1', B2: '2', Y: 'y', COPPICE_URI: 'local:///x'};
	const environment = async (...rules: string[]) => {
		const {stdout} = await new FakeWorld().run(['submit', '--dry-run', ...rules, 'x'], {env, files});
		return (JSON.parse(stdout) as Spec).attributes.system.environment;
	};
	const all = {HOME: '/home/u', PATH: '/bin', B1: '1', B2: '2', Y: 'y'};
	t.deepEqual(await environment(), all);
	t.deepEqual(await environment('--env-remove=*', '--env', 'PATH', '--env=B?'), {
		PATH: '/bin',
		B1: '1',
		B2: '2',
	});
	t.deepEqual(await environment('--env=-/[^P]/', '--env=X=${PATH}:/x'), {PATH: '/bin', X: '/bin:/x'});
	t.deepEqual(await environment('--env-file=~/rules', '--env=B1=new'), {
		HOME: '/home/u',
		PATH: '/bin',
		Y: 'y',
		Z: 'y-$1',
		B1: 'new',
	});
});

test('a rule with an unset variable, a bad copy list and a bad setting are usage errors', async t => {
	for (const options of [
		['--env=A=$NOPE'],
		['--env==x'],
		['--cc=3-1'],
		['--cc='],
		['--cc=1', '--bcc=2'],
		['--setopt=a=1', '--setopt=a.b=2'],
		['--setattr=.frob=1'],
		['--request-id='],
	]) {
		const {exitCode} = await new FakeWorld().run(['submit', '--dry-run', ...options, 'x']);
		const {exitCode: wet} = await new FakeWorld().run(['submit', ...options, 'x']);
		t.is(Math.max(exitCode, wet), 2, options.join(' '));
	}
});

test('a time limit without a unit is in minutes', async t => {
	const duration = async (limit: string) => {
		const {stdout} = await new FakeWorld().run(['submit', '--dry-run', '-t', limit, 'x']);
		return (JSON.parse(stdout) as {attributes: {system: {duration: number}}}).attributes.system.duration;
	};
	t.deepEqual(
		await Promise.all(['5', '0.5', '90s', '1.5h', 'inf', '0'].map(duration)),
		[300, 30, 90, 5400, 0, 0],
	);
});

test('--dependency and --begin-time become dependencies of the jobspec, each copy with its own', async t => {
	const dry = (...options: string[]) => new FakeWorld().run(['submit', '--dry-run', ...options, 'x']);
	const dependenciesOf = async (...options: string[]) => {
		const {stdout} = await dry(...options);
		return stdout
			.trim()
			.split('\n')
			.map(
				line =>
					(JSON.parse(line) as {attributes: {system: {dependencies?: object[]}}}).attributes.system
						.dependencies,
			);
	};
	t.deepEqual(
		await dependenciesOf('--dependency=afterok:f2', '--dependency=singleton', '--begin-time=1700.5'),
		[
			[
				{scheme: 'afterok', value: 'f2'},
				{scheme: 'singleton', value: ''},
				{scheme: 'begin-time', value: '1700.5'},
			],
		],
	);
	t.deepEqual(await dependenciesOf('--dependency=begin-time:1970-01-02T00:00:00Z'), [
		[{scheme: 'begin-time', value: '86400'}],
	]);
	t.deepEqual(await dependenciesOf('--cc=1-2', '--dependency=afterany:{cc}'), [
		[{scheme: 'afterany', value: '1'}],
		[{scheme: 'afterany', value: '2'}],
	]);
	t.deepEqual(await dependenciesOf(), [undefined]);
	t.regex((await dry('--begin-time=soon')).stderr, /option --begin-time: .*soon/);
	t.regex((await dry('--dependency=Not:1')).stderr, /option --dependency: .*Not:1/);
});

test('--requeue is an attribute, and --tasks-per-node makes tasks for all nodes', async t => {
	const specs: Spec[] = [];
	const submit = async (...options: string[]) => {
		const world = new FakeWorld();
		world.broker.on('job-ingest.submit', request => {
			specs.push(specOf(request.payload as Sent));
			request.respond({id: 1n});
		});
		return world.run(['submit', ...options, 'true']);
	};
	t.is((await submit('--requeue', '-N2', '--tasks-per-node=3')).exitCode, 0);
	t.like(specs[0], {
		resources: [{type: 'node', count: 2, with: [{type: 'slot', count: 3}]}],
		attributes: {system: {requeue: true}},
	});
	t.is((await submit('-N2')).exitCode, 0);
	t.false('requeue' in specs[1]!.attributes.system);
	t.regex((await submit('--tasks-per-node=3')).stderr, /needs --nodes/);
	t.regex((await submit('-N2', '-n6', '--tasks-per-node=3')).stderr, /exclude each other/);
});

test('--cores and --requires say how much and where', async t => {
	const specs: Spec[] = [];
	const submit = async (...options: string[]) => {
		const world = new FakeWorld();
		world.broker.on('job-ingest.submit', request => {
			specs.push(specOf(request.payload as Sent));
			request.respond({id: 1n});
		});
		return world.run(['submit', ...options, 'true']);
	};
	const slot = (count: number, cores: number) => ({
		type: 'slot',
		count,
		label: 'task',
		with: [{type: 'core', count: cores}],
	});
	await submit('--cores=6');
	await submit('--cores=6', '-N2');
	await submit('--cores=6', '-N2', '--tasks-per-node=2');
	t.deepEqual(
		specs.map(spec => (spec as unknown as {resources: unknown}).resources),
		[
			[slot(6, 1)],
			[{type: 'node', count: 2, with: [slot(3, 1)]}],
			[{type: 'node', count: 2, with: [slot(1, 3)]}],
		],
	);
	t.like(specs[2], {tasks: [{count: {per_slot: 2}}]});
	await submit('--requires=big and -host:n[1-2]', '-q', 'batch');
	t.like(specs[3], {
		attributes: {
			system: {
				queue: 'batch',
				constraints: {and: [{properties: ['big']}, {not: [{hostlist: ['n[1-2]']}]}]},
			},
		},
	});
	t.regex((await submit('--cores=5', '-N2')).stderr, /5 cores can't be spread evenly over 2 nodes/);
	t.regex((await submit('--cores=4', '-c2')).stderr, /--cores and --cores-per-task exclude each other/);
	t.regex((await submit('--requires=(a')).stderr, /option --requires: .*'\(' is not closed/);
});
