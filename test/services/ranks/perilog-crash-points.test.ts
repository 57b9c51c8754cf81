/**
 * Goal: prologs and epilogs of a job over several ranks run once each, whoever dies when; a failing one drains its node and
 * leaves no job stuck. Method: as in crash-points.test.ts, each step of one life of a job, with its rank and the root killed.
 */
import test from 'ava';
import type {JobSnapshot} from '../../../src/machines/job.ts';
import type {PerilogPlan} from '../../../src/machines/job-perilog.ts';
import {EPILOG_TASK, PROLOG_TASK, type LaunchSpec} from '../../../src/ports/process-host.ts';
import {scriptOf, type TaskScript} from '../../../src/sim/task-script.ts';
import {jobspecOf} from '../job-fixture.ts';
import {RanksWorld, type CrashPoint} from './ranks-world.ts';

const SIZE = 3;

interface Play {
	readonly name: string;
	readonly argv: readonly string[];
	readonly prolog?: string;
	readonly epilog?: string;
	/** What the script of this rank does instead. */
	readonly odd?: {readonly name: 'prolog' | 'epilog'; readonly rank: number; readonly command: string};
	readonly expected: readonly unknown[];
	/** What each rank starts, in this order; default: all that there is. */
	readonly starts?: RegExp;
	/** The ranks that are drained in the end. */
	readonly drained?: readonly number[];
	/** The job is cancelled as soon as this is so. */
	readonly cancelWhen?: (job: JobSnapshot) => boolean;
	readonly events: RegExp;
}

const BOTH = {prolog: 'sleep 0.05', epilog: 'sleep 0.05'} as const;
const isIn = (phase: string) => (job: JobSnapshot) =>
	Object.values(job.context.ranks).every(part => part.phase === phase);

const PLAYS: readonly Play[] = [
	{
		...BOTH,
		name: 'a job with prologs and epilogs',
		argv: ['sh', '-c', 'sleep 0.1; exit 3'],
		expected: ['FAILED', 'exited', 768],
		events:
			/alloc prolog-start prolog-finish start finish epilog-start (release )*epilog-finish release free clean$/,
	},
	{
		name: 'a job whose prolog fails on one rank',
		argv: ['sleep', '1000'],
		prolog: 'sleep 1000',
		epilog: 'true',
		odd: {name: 'prolog', rank: 1, command: "sh -c 'sleep 0.1; exit 7'"},
		expected: ['FAILED', 'none', null],
		// A rank that was told of the end before it could start has nothing to undo.
		starts: /^(prolog epilog)?$/,
		drained: [1],
		events:
			/alloc prolog-start exception prolog-finish (epilog-start )?(release )*(epilog-finish )?release free clean$/,
	},
	{
		...BOTH,
		name: 'a job whose epilog fails on one rank',
		argv: ['sleep', '0.1'],
		odd: {name: 'epilog', rank: 2, command: 'exit 9'},
		expected: ['COMPLETED', 'exited', 0],
		drained: [2],
		events:
			/start (exception )?finish (exception )?epilog-start (release )*(exception )?(release )*epilog-finish release free clean$/,
	},
	{
		name: 'a job that is cancelled in its prolog',
		argv: ['sleep', '1000'],
		prolog: 'sleep 1000',
		epilog: 'sleep 0.05',
		cancelWhen: isIn('prolog'),
		expected: ['CANCELED', 'none', null],
		starts: /^prolog epilog$/,
		events: /prolog-start exception prolog-finish epilog-start (release )*epilog-finish release free clean$/,
	},
	{
		name: 'a job with an epilog that is cancelled while it runs',
		argv: ['sleep', '1000'],
		epilog: 'sleep 0.05',
		cancelWhen: job => job.context.started,
		expected: ['CANCELED', 'signaled', 15],
		events: /alloc start exception finish epilog-start (release )*epilog-finish release free clean$/,
	},
];

function scriptFor({odd}: Play): (spec: LaunchSpec, task: number) => TaskScript | undefined {
	return (spec, task) => {
		const name = task === PROLOG_TASK ? 'prolog' : task === EPILOG_TASK ? 'epilog' : null;
		if (name === null || odd?.name !== name) return undefined;
		if (spec[name]?.env.COPPICE_RANK !== String(odd.rank)) return undefined;
		return scriptOf(['sh', '-c', odd.command.replace(/^sh -c '(.*)'$/, '$1')]);
	};
}

function planOf({prolog, epilog}: Play): PerilogPlan {
	const script = (command: string) => ({argv: command.split(' '), timeoutMs: 60_000});
	return {
		...(prolog === undefined ? {} : {prolog: script(prolog)}),
		...(epilog === undefined ? {} : {epilog: script(epilog)}),
	};
}

async function run(play: Play, crashes: readonly CrashPoint[]) {
	const world = new RanksWorld({size: SIZE, perilog: planOf(play), node: {script: scriptFor(play)}, crashes});
	world.start();
	const {clock} = world;
	let id: bigint | null = null;
	let isRaised = false;
	const look = () => {
		const {root} = world;
		const core = world.get(0).life?.core;
		if (root !== null && core != null) {
			const jobspec = jobspecOf({argv: play.argv, ntasks: SIZE, nnodes: SIZE});
			const submit = {jobspec, urgency: 16, flags: 0, userid: 1000, requestId: 'one'};
			const given = root.manager.submit(submit);
			core.leave(() => (id = given));
			const job = core.state.jobs.get(given);
			if (job?.value === 'run' && play.cancelWhen?.(job) === true && !isRaised) {
				root.manager.raise(given, {type: 'cancel', severity: 0, note: '', userid: 1000});
				core.leave(() => (isRaised = true));
			}
		}
		clock.setTimer(20, look);
	};
	look();
	const row = () => (id === null ? undefined : world.root?.archive.job(id));
	await clock
		.run(() => row() !== undefined && world.isWhole, {withinMs: 100_000, what: 'the job ends'})
		.catch((error: unknown) => {
			const jobs = [...(world.get(0).life?.core?.state.jobs.values() ?? [])];
			const parts = jobs.map(({value, context}) => `${value} ${JSON.stringify(context.ranks)}`);
			throw new Error(`${String(error)} ${parts.join()}`);
		});
	const steps = [...world.steps];
	world.disarm();
	await clock.pass(3000);
	return {steps, world, fault: faultOf(play, world, row()!)};
}

function faultOf(
	play: Play,
	world: RanksWorld,
	row: NonNullable<ReturnType<NonNullable<RanksWorld['root']>['archive']['job']>>,
): string {
	const problems: string[] = [];
	const {result, outcome, waitStatus, events} = row;
	const end = JSON.stringify([result, outcome, waitStatus]);
	if (end !== JSON.stringify(play.expected)) problems.push(`ended as ${end}`);
	const names = events.map(({name}) => name).join(' ');
	if (!play.events.test(names)) problems.push(names);
	const all = [play.prolog && 'prolog', 'task', play.epilog && 'epilog'].filter(Boolean).join(' ');
	const expected = play.starts ?? new RegExp(`^${all}$`);
	for (const {rank, node, life} of world.ranks) {
		const starts = node.starts.map(start => start.split('/')[1]!.replace(/^\d+$/, 'task')).join(' ');
		if (!expected.test(starts)) problems.push(`rank ${rank} started ${starts}`);
		if (node.aliveTasks > 0) problems.push(`rank ${rank} has tasks alive`);
		if (node.parts.size > 0) problems.push(`rank ${rank} has directories`);
		const parts = life?.core?.state.parts;
		if (parts === undefined || parts.size > 0) problems.push(`rank ${rank} remembers parts`);
	}
	const {jobs, nodes} = world.get(0).life!.core!.state;
	if (jobs.size > 0) problems.push('a job is active');
	const drained = [...nodes.values()].filter(({context}) => context.drain !== null);
	const ranks = drained.map(({context}) => context.rank).sort();
	if (ranks.join() !== (play.drained ?? []).join()) problems.push(`drained: ${ranks.join()}`);
	for (const {context} of drained) {
		const reason = context.drain!.reason;
		const fits = new RegExp(
			`^${play.odd?.name} failed for job f\\w+: rank ${context.rank} .* exited with exit code=[79]$`,
		);
		if (!fits.test(reason)) problems.push(reason);
	}
	return problems.join('; ');
}

for (const play of PLAYS) {
	test(`${play.name} comes to the same end wherever a rank or the root dies`, async t => {
		const calm = await run(play, []);
		t.is(calm.fault, '');
		t.true(calm.steps.length > 40, `${calm.steps.length} steps`);
		const faults: string[] = [];
		let crashes = 0;
		for (const [index, {rank, name}] of calm.steps.entries()) {
			for (const when of ['before', 'after'] as const) {
				for (const victim of rank === 0 ? [0] : [rank, 0]) {
					const at = `rank ${victim} killed ${when} step ${index + 1} of rank ${rank} (${name})`;
					try {
						const {fault, world} = await run(play, [{step: index + 1, when, rank: victim}]);
						crashes += world.crashCount;
						if (fault !== '') faults.push(`${at}: ${fault}`);
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
