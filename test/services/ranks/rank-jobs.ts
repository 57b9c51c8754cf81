/** What the tests of jobs over several ranks do with a simulated instance, and ask of it. */

import type {ExecutionContext} from 'ava';
import type {JobContext} from '../../../src/machines/job.ts';
import {jobspecOf} from '../job-fixture.ts';
import {RanksWorld, type RanksOptions} from './ranks-world.ts';

export const LONG = ['sleep', '1000'];

export async function worldOf(options: Partial<RanksOptions> = {}): Promise<RanksWorld> {
	const world = new RanksWorld({size: 3, ...options});
	world.start();
	await whole(world);
	return world;
}

export const whole = (world: RanksWorld) =>
	world.clock.run(() => world.isWhole, {withinMs: 60_000, what: 'all ranks are reconciled'});

export function submit(world: RanksWorld, argv: readonly string[], system: object = {}, nnodes = 3): bigint {
	const jobspec = jobspecOf({argv, ntasks: nnodes, nnodes, systemAttributes: {...system}});
	return world.root!.manager.submit({jobspec, urgency: 16, flags: 0, userid: 1000, requestId: null});
}

export const jobOf = (world: RanksWorld, id: bigint) => world.get(0).life?.core?.state.jobs.get(id);
export const rowOf = (world: RanksWorld, id: bigint) => world.root?.archive.job(id);
export const namesOf = (job: JobContext | undefined) => (job?.events ?? []).map(({name}) => name);

export async function started(world: RanksWorld, id: bigint, attempt = 1): Promise<void> {
	const isStarted = () => {
		const job = jobOf(world, id);
		return job?.context.started === true && job.context.attempt === attempt;
	};
	await world.clock.run(isStarted, {withinMs: 20_000, what: `attempt ${attempt} of job ${id} has started`});
}

export async function ended(world: RanksWorld, id: bigint): Promise<JobContext & {readonly result: string}> {
	await world.clock.run(() => rowOf(world, id) !== undefined, {
		withinMs: 100_000,
		what: `job ${id} ends; ${world.ranks.map(({lines}) => lines.slice(-3).join()).join(' | ')}`,
	});
	return rowOf(world, id)!;
}

export async function nothingIsLeft(t: ExecutionContext, world: RanksWorld): Promise<void> {
	await world.clock.pass(5000);
	for (const {rank, node, life} of world.ranks) {
		t.is(node.aliveTasks, 0, `tasks on rank ${rank}`);
		t.is(node.parts.size, 0, `directories on rank ${rank}`);
		t.is(life?.core?.state.parts.size, 0, `parts that rank ${rank} remembers`);
		const counts = new Map<string, number>();
		for (const start of node.starts) counts.set(start, (counts.get(start) ?? 0) + 1);
		t.true(
			[...counts.values()].every(count => count === 1),
			`started once: ${node.starts.join()}`,
		);
	}
	t.deepEqual([...world.root!.scheduling.resources.pool.held.keys()], []);
}

export async function reboot(world: RanksWorld, rank: number): Promise<void> {
	world.kill(rank, {hold: true});
	world.get(rank).node.reboot(`boot-2-of-${rank}`);
	world.get(rank).release();
	await whole(world);
}
