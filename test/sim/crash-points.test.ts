/**
 * Goal: whenever a broker dies, it comes back to the same end: each job ends once, as its task did, nothing runs twice,
 * nothing is left over, and the log replays to the state in memory.
 * Method: count every effect of one life of a job on the world (commits, HEAD, launches, replies, …). Then play it again
 * once for each effect and side, with the broker killed just before or just after it, and for pairs of those.
 */
import test from 'ava';
import {SimRandom} from '../../src/sim/random.ts';
import {SimWorld, type CrashPoint} from '../../src/sim/world.ts';
import {checkQuiet, comeToRest, playOut, startCounts, StubbornClient} from './scenario.ts';

interface Play {
	readonly name: string;
	readonly play: (world: SimWorld) => Promise<readonly unknown[]>;
	/** What `play` must give, however often the broker dies. */
	readonly expected: readonly unknown[];
	/** Task starts on the node in the end. */
	readonly starts: number;
}

const outcome = (job: Record<string, unknown>) => [job.result, job.outcome, job.waitstatus];

const PLAYS: readonly Play[] = [
	{
		name: 'a job that exits 42',
		async play(world) {
			const client = new StubbornClient(world);
			const id = await client.submit(['sh', '-c', 'sleep 0.2; exit 42'], {requestId: 'one'});
			return outcome(await client.ended(id));
		},
		expected: [2, 'exited', 42 << 8],
		starts: 1,
	},
	{
		name: 'a job that is cancelled while it runs',
		async play(world) {
			const client = new StubbornClient(world);
			const id = await client.submit(['sleep', '1000'], {requestId: 'two'});
			await running(world, client, id);
			await client
				.call('job-manager.raise', {id, type: 'cancel', severity: 0, note: ''})
				.catch(() => undefined); // A retry may find it inactive.
			return outcome(await client.ended(id));
		},
		expected: [4, 'signaled', 15],
		starts: 1,
	},
	{
		name: 'a job that reaches its time limit',
		async play(world) {
			const client = new StubbornClient(world);
			const id = await client.submit(['sleep', '1000'], {requestId: 'three', durationS: 0.3});
			return outcome(await client.ended(id));
		},
		expected: [8, 'signaled', 14],
		starts: 1,
	},
	{
		name: 'two jobs on one core',
		async play(world) {
			const client = new StubbornClient(world);
			const first = await client.submit(['sleep', '0.1'], {requestId: 'four'});
			const second = await client.submit(['true'], {requestId: 'five'});
			return [...outcome(await client.ended(first)), ...outcome(await client.ended(second)), first < second];
		},
		expected: [1, 'exited', 0, 1, 'exited', 0, true],
		starts: 2,
	},
	{
		name: 'finished jobs that are purged',
		async play(world) {
			const client = new StubbornClient(world);
			const ids = [
				await client.submit(['sh', '-c', 'echo x'], {requestId: 'eleven'}),
				await client.submit(['true'], {requestId: 'twelve'}),
			];
			for (const id of ids) await client.ended(id);
			const purge = async (limits: object) => {
				for (;;) {
					const answer = await client.call('job-manager.purge', {...limits, force: true});
					// A rank that has not deleted its directory yet, or has just come back, has its job kept.
					const stats = await client.call('job-list.job-stats', {});
					if (answer['kept'] === 0) return stats['inactive_purged'];
					await new Promise<void>(resolve => void world.clock.setTimer(10, resolve));
				}
			};
			const purged = [await purge({num_limit: 1}), await purge({age_limit: 0})];
			const again = await client
				.submit(['true'], {requestId: 'eleven'})
				.catch((error: Error) => error.message);
			const listed = await client.call('job-list.list-id', {id: ids[0], attrs: []}).catch(() => 'gone');
			return [...purged, again, listed];
		},
		expected: [1, 2, 'request id eleven was used for a job that has been purged', 'gone'],
		starts: 2,
	},
	{
		name: 'a chain of jobs that depend on each other, one of which can never run',
		async play(world) {
			const client = new StubbornClient(world);
			const after = (scheme: string, id: bigint) => [{scheme, value: String(id)}];
			const first = await client.submit(['sh', '-c', 'exit 3'], {requestId: 'six'});
			const failed = {requestId: 'seven', dependencies: after('afternotok', first)};
			const second = await client.submit(['true'], failed);
			const third = await client.submit(['true'], {
				requestId: 'eight',
				dependencies: [
					...after('afterok', second),
					{scheme: 'begin-time', value: String(world.clock.epochMs() / 1000 + 0.1)},
				],
			});
			const never = {requestId: 'nine', dependencies: after('afterok', first)};
			const fourth = await client.submit(['true'], never);
			const fifth = {requestId: 'ten', dependencies: after('afterany', fourth)};
			const jobs = [first, second, third, fourth, await client.submit(['true'], fifth)];
			const ends: unknown[] = [];
			for (const id of jobs) {
				const job = await client.ended(id);
				ends.push(job.result, job.exception_type ?? null, (await removalsOf(client, id)).length);
			}
			return ends;
		},
		expected: [2, null, 0, 1, null, 1, 1, null, 2, 2, 'dependency', 0, 1, null, 1],
		starts: 4,
	},
];

/** What the job was waiting for, in the order in which that came about. */
async function removalsOf(client: StubbornClient, id: bigint): Promise<readonly unknown[]> {
	const {eventlog} = await client.call('job-info.lookup', {id, keys: ['eventlog'], flags: 0});
	const events = String(eventlog)
		.trim()
		.split('\n')
		.map(line => JSON.parse(line) as {name: string; context?: {description?: string}});
	return events.filter(({name}) => name === 'dependency-remove').map(({context}) => context?.description);
}

async function running(world: SimWorld, client: StubbornClient, id: bigint): Promise<void> {
	for (;;) {
		// Before the root has heard of the start, a cancel is one of a job that did not start.
		const {eventlog} = await client.call('job-info.lookup', {id, keys: ['eventlog'], flags: 0});
		if (String(eventlog).includes('"start"') && world.node.aliveTasks > 0) return;
		await new Promise<void>(resolve => void world.clock.setTimer(10, resolve));
	}
}

async function run({play}: Play, crashes: readonly CrashPoint[], keepWrites?: number) {
	const world = new SimWorld({seed: 1, cores: 1, crashes, ...(keepWrites === undefined ? {} : {keepWrites})});
	world.start();
	const seen = await playOut(world, () => play(world));
	await comeToRest(world);
	const steps = world.steps.length;
	return {world, seen, steps, problems: await checkQuiet(world)};
}

function fault(one: Play, {world, seen, problems}: Awaited<ReturnType<typeof run>>): string | null {
	if (problems.length > 0) return problems.join('; ');
	if (JSON.stringify(seen) !== JSON.stringify(one.expected)) return `ended as ${JSON.stringify(seen)}`;
	const starts = startCounts(world);
	if (starts.size !== one.starts) return `${starts.size} tasks were started, not ${one.starts}`;
	const twice = [...starts].filter(([, count]) => count > 1);
	return twice.length === 0 ? null : `started more than once: ${JSON.stringify(twice)}`;
}

for (const one of PLAYS) {
	test.serial(`${one.name} comes to the same end wherever the broker dies`, async t => {
		const calm = await run(one, []);
		t.is(fault(one, calm), null);
		const length = calm.steps;
		t.true(length > 20, 'the effects are counted');
		const faults: string[] = [];
		let crashes = 0;
		for (let step = 1; step <= length; step += 1) {
			for (const when of ['before', 'after'] as const) {
				const ended = await run(one, [{step, when}]).catch((error: unknown) => String(error));
				const wrong = typeof ended === 'string' ? ended : fault(one, ended);
				if (typeof ended !== 'string') crashes += ended.world.crashCount;
				if (wrong !== null)
					faults.push(`killed ${when} step ${step} (${calm.world.steps[step - 1]}): ${wrong}`);
			}
		}
		t.deepEqual(faults.slice(0, 5), []);
		t.true(crashes >= 2 * (length - 2), 'all but the last runs have their crash');
	});

	test.serial(`${one.name} comes to the same end when the broker dies twice`, async t => {
		const length = (await run(one, [])).steps;
		const random = new SimRandom(7);
		const faults: string[] = [];
		for (let pair = 0; pair < PAIRS; pair += 1) {
			const first = 1 + random.below(length);
			const second = first + 1 + random.below(Math.ceil(length / 2));
			const when = () => (random.float() < 0.5 ? 'before' : 'after');
			const crashes: CrashPoint[] = [
				{step: first, when: when()},
				{step: second, when: when()},
			];
			const ended = await run(one, crashes, random.float() < 0.5 ? 0 : undefined).catch((error: unknown) =>
				String(error),
			);
			const wrong = typeof ended === 'string' ? ended : fault(one, ended);
			if (wrong !== null) faults.push(`${JSON.stringify(crashes)}: ${wrong}`);
		}
		t.deepEqual(faults.slice(0, 5), []);
	});
}

/** Pairs for each play; `npm run chaos` plays many more. */
const PAIRS = Number(process.env.COPPICE_TEST_PAIRS ?? 60);
