/**
 * Goal: jobs that depend on each other end as the rules of dependencies say, whatever becomes of the broker, and no job runs
 * that must not, or twice, or before what it waits for.
 * Method: arbitrary graphs of jobs with arbitrary ends; the broker dies at arbitrary effects. How each job must end is worked
 * out from the graph alone, by rules written without a look at the code.
 */
import test from 'ava';
import {SimRandom} from '../../src/sim/random.ts';
import {SimWorld, type CrashPoint} from '../../src/sim/world.ts';
import {checkQuiet, comeToRest, playOut, startCounts, StubbornClient} from './scenario.ts';

const SCHEMES = ['afterok', 'afternotok', 'afterany', 'afterstart', 'afterexcept'] as const;
type Scheme = (typeof SCHEMES)[number];

interface Planned {
	readonly exit: number;
	/** On jobs before it, by index. */
	readonly after: readonly {readonly scheme: Scheme; readonly on: number}[];
	readonly isSingleton: boolean;
}

type End = 'completed' | 'failed' | 'never';

const SEEDS = Number(process.env.COPPICE_TEST_SEEDS ?? 25);
const RESULTS: Readonly<Record<End, number>> = {completed: 1, failed: 2, never: 2};

function plan(random: SimRandom): Planned[] {
	return Array.from({length: 4 + random.below(7)}, (_, index) => ({
		exit: random.below(3) === 0 ? 1 : 0,
		after: Array.from({length: index === 0 ? 0 : random.below(3)}, () => ({
			scheme: SCHEMES[random.below(SCHEMES.length)] ?? 'afterok',
			on: random.below(index),
		})),
		isSingleton: random.below(4) === 0,
	}));
}

/** A job runs unless one of its conditions can't come true any more. */
function endsOf(jobs: readonly Planned[]): End[] {
	const ends: End[] = [];
	for (const {exit, after} of jobs) {
		const holds = ({scheme, on}: Planned['after'][number]) => {
			const end = ends[on];
			if (scheme === 'afterok') return end === 'completed';
			if (scheme === 'afternotok') return end !== 'completed';
			if (scheme === 'afterstart') return end !== 'never';
			if (scheme === 'afterexcept') return end === 'never';
			return true;
		};
		ends.push(after.every(holds) ? (exit === 0 ? 'completed' : 'failed') : 'never');
	}
	return ends;
}

interface Seen {
	readonly result: unknown;
	readonly times: {readonly run: number; readonly ran: number; readonly over: number} | null;
	readonly exception: unknown;
}

async function play(world: SimWorld, jobs: readonly Planned[]): Promise<Seen[]> {
	const client = new StubbornClient(world);
	const ids: bigint[] = [];
	for (const [index, {exit, after, isSingleton}] of jobs.entries()) {
		const dependencies = [
			...after.map(({scheme, on}) => ({scheme, value: String(ids[on])})),
			...(isSingleton ? [{scheme: 'singleton', value: ''}] : []),
		];
		const name = isSingleton ? 'single' : `job-${index}`;
		const argv = ['sh', '-c', `sleep 0.0${1 + (index % 4)}; exit ${exit}`];
		ids.push(await client.submit(argv, {requestId: `job-${index}`, dependencies, name}));
	}
	const seen: Seen[] = [];
	for (const id of ids) {
		const job = await client.ended(id);
		const {t_run: run, t_cleanup: ran, t_inactive: over} = job as Record<string, number | undefined>;
		const times = run === undefined ? null : {run, ran: ran ?? Infinity, over: over ?? Infinity};
		seen.push({result: job.result, exception: job.exception_type, times});
	}
	return seen;
}

function faultsOf(jobs: readonly Planned[], seen: readonly Seen[]): string[] {
	const faults: string[] = [];
	for (const [index, end] of endsOf(jobs).entries()) {
		const {result, exception, times} = seen[index]!;
		if (result !== RESULTS[end]) faults.push(`job ${index} has the result ${String(result)}, must be ${end}`);
		if ((exception === 'dependency') !== (end === 'never')) faults.push(`job ${index}: ${String(exception)}`);
		if ((times === null) !== (end === 'never')) faults.push(`job ${index} ran: ${times !== null}`);
		for (const {scheme, on} of jobs[index]!.after) {
			const before = seen[on]!.times;
			if (times === null || before === null) continue;
			const isEarly = times.run < (scheme === 'afterstart' ? before.run : before.over);
			if (isEarly) faults.push(`job ${index} ran before its ${scheme} of ${on}`);
		}
	}
	const singles = seen.filter((_, index) => jobs[index]!.isSingleton).flatMap(({times}) => times ?? []);
	const isOverlap = singles.some(({run}, index) => index > 0 && run < singles[index - 1]!.over);
	if (isOverlap) faults.push('two singletons ran at a time');
	return faults;
}

async function faultsUnder(seed: number, crashes: readonly CrashPoint[]) {
	const jobs = plan(new SimRandom(seed));
	const world = new SimWorld({seed, cores: 2, crashes});
	world.start();
	const faults = faultsOf(jobs, await playOut(world, () => play(world, jobs)));
	await comeToRest(world);
	const twice = [...startCounts(world)].filter(([, count]) => count > 1);
	if (twice.length > 0) faults.push(`started more than once: ${JSON.stringify(twice)}`);
	const steps = world.steps.length;
	return {faults: [...faults, ...(await checkQuiet(world))], steps, crashCount: world.crashCount, jobs};
}

test.serial('jobs end as what they depend on says, wherever the broker dies', async t => {
	const ends = new Set<End>();
	let crashCount = 0;
	for (let seed = 1; seed <= SEEDS; seed += 1) {
		const calm = await faultsUnder(seed, []);
		t.deepEqual(calm.faults, [], `seed ${seed}`);
		for (const end of endsOf(calm.jobs)) ends.add(end);
		const random = new SimRandom(1000 + seed);
		const crashes = Array.from({length: 4}, () => 1 + random.below(calm.steps))
			.sort((a, b) => a - b)
			.map(step => ({step, when: random.below(2) === 0 ? ('before' as const) : ('after' as const)}));
		const wild = await faultsUnder(seed, crashes);
		t.deepEqual(wild.faults, [], `seed ${seed}, ${JSON.stringify(crashes)}`);
		crashCount += wild.crashCount;
	}
	t.is(ends.size, 3);
	t.true(crashCount > SEEDS);
});
