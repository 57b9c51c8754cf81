/**
 * Goal: a job over several ranks comes to the same end whoever dies when: no task runs twice in an attempt, nothing is left.
 * Method: every commit, order and message of one life of a job is a step; the job is played again once for each step and
 * side, with the rank whose step it is killed there, and with the root killed there.
 */
import test from 'ava';
import {jobspecOf} from '../job-fixture.ts';
import {RanksWorld, type CrashPoint, type RanksOptions} from './ranks-world.ts';

interface Play {
	readonly name: string;
	readonly argv: readonly string[];
	readonly expected: readonly unknown[];
	/** PMI barriers that its tasks meet at. */
	readonly barriers?: number;
	/** What happens to it while it runs. */
	readonly meanwhile?: (world: RanksWorld, id: bigint) => void;
}

const PLAYS: readonly Play[] = [
	{
		name: 'a job of three ranks',
		argv: ['sh', '-c', 'sleep 0.2; exit 3'],
		expected: ['FAILED', 'exited', 768],
	},
	{
		name: 'a job of three ranks whose tasks meet at two barriers',
		argv: ['sh', '-c', 'sleep 0.1; barrier 2; exit 3'],
		expected: ['FAILED', 'exited', 768],
		barriers: 2,
	},
	{
		name: 'a job of three ranks that is cancelled',
		argv: ['sleep', '1000'],
		expected: ['CANCELED', 'signaled', 15],
		meanwhile: (world, id) => {
			world.root?.manager.raise(id, {type: 'cancel', severity: 0, note: '', userid: 1000});
		},
	},
];

const RANKS: Omit<RanksOptions, 'crashes'> = {size: 3};

async function run(
	{argv, barriers = 0, meanwhile}: Play,
	crashes: readonly CrashPoint[],
	options: object = {},
) {
	const world = new RanksWorld({...RANKS, ...options, crashes});
	world.start();
	const {clock} = world;
	let id: bigint | null = null;
	let isRaised = false;
	const look = () => {
		const {root} = world;
		const core = world.get(0).life?.core;
		if (root !== null && core != null) {
			const jobspec = jobspecOf({argv, ntasks: 3, nnodes: 3});
			const submit = {jobspec, urgency: 16, flags: 0, userid: 1000, requestId: 'one'};
			const given = root.manager.submit(submit);
			// As a client hears it: through the gate.
			core.leave(() => (id = given));
			const job = core.state.jobs.get(given);
			if (job?.context.started === true && job.value === 'run' && !isRaised) {
				meanwhile?.(world, given);
				core.leave(() => (isRaised = true));
			}
		}
		clock.setTimer(20, look);
	};
	look();
	const row = () => (id === null ? undefined : world.root?.archive.job(id));
	const what = () => {
		const jobs = [...(world.get(0).life?.core?.state.jobs.values() ?? [])];
		return `the job ends; ${jobs.map(({value, context}) => `${value} ${JSON.stringify(context.ranks)}`).join()}`;
	};
	await clock
		.run(() => row() !== undefined && world.isWhole, {withinMs: 100_000, what: ''})
		.catch((error: unknown) => {
			throw new Error(`${String(error)} ${what()}`);
		});
	const steps = [...world.steps];
	world.disarm();
	await clock.pass(3000);
	const {result, outcome, waitStatus} = row()!;
	const problems: string[] = [];
	for (const {rank, node, life} of world.ranks) {
		const starts = new Map<string, number>();
		for (const start of node.starts) starts.set(start, (starts.get(start) ?? 0) + 1);
		for (const [start, count] of starts) if (count > 1) problems.push(`${start} started ${count} times`);
		if (node.starts.length !== 1) problems.push(`rank ${rank} started ${node.starts.length} tasks`);
		const passages = node.passages.map(({barrier, puts}) => `${barrier}: ${Object.keys(puts).sort().join()}`);
		const wanted = Array.from({length: barriers}, (_, i) => `${i + 1}: ${i + 1}.0,${i + 1}.1,${i + 1}.2`);
		if (passages.join('; ') !== wanted.join('; '))
			problems.push(`rank ${rank} passed ${passages.join('; ')}`);
		if (node.aliveTasks > 0) problems.push(`rank ${rank} has tasks alive`);
		if (node.parts.size > 0) problems.push(`rank ${rank} has directories: ${[...node.parts.keys()].join()}`);
		const parts = life?.core?.state.parts;
		if (parts === undefined || parts.size > 0) problems.push(`rank ${rank} remembers parts`);
	}
	if (world.get(0).life!.core!.state.jobs.size > 0) problems.push('a job is active');
	return {end: [result, outcome, waitStatus], problems, steps, world};
}

for (const play of PLAYS) {
	test(`${play.name} comes to the same end wherever a rank or the root dies`, async t => {
		const calm = await run(play, []);
		t.deepEqual(calm.end, play.expected);
		t.deepEqual(calm.problems, []);
		t.true(calm.steps.length > 40, `${calm.steps.length} steps`);
		const faults: string[] = [];
		let crashes = 0;
		for (const [index, {rank, name}] of calm.steps.entries()) {
			for (const when of ['before', 'after'] as const) {
				for (const victim of rank === 0 ? [0] : [rank, 0]) {
					const crash = {step: index + 1, when, rank: victim};
					const at = `rank ${victim} killed ${when} step ${index + 1} of rank ${rank} (${name})`;
					try {
						const {end, problems, world} = await run(play, [crash]);
						crashes += world.crashCount;
						if (JSON.stringify(end) !== JSON.stringify(play.expected))
							problems.push(`ended as ${end.join()}`);
						if (problems.length > 0) faults.push(`${at}: ${problems.join('; ')}`);
					} catch (error) {
						faults.push(`${at}: ${String(error)}`);
					}
				}
			}
		}
		t.deepEqual(faults.slice(0, 6), []);
		t.true(crashes > calm.steps.length, `${crashes} crashes`);
	});
}
