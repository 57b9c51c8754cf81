/**
 * Goal: jobs start in order, none overtakes, and what one lets go the next one gets. Method: a scheduler over real job
 * machines in a core that posts at once, with arbitrary jobs and ends.
 */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import {requestOf} from '../../../src/formats/jobspec.ts';
import {outlineOf} from '../../../src/formats/stored-jobspec.ts';
import {Scheduler} from '../../../src/services/scheduler/scheduler.ts';
import {SoleMembership} from '../../../src/services/membership.ts';
import {Resources} from '../../../src/services/resource/resources.ts';
import {FakeCore} from '../fake-core.ts';
import {jobspecOf, resourcesOf} from '../job-fixture.ts';

const CORES = 8;

function clusterOf(cores = CORES) {
	const core = new FakeCore();
	const resources = resourcesIn(core);
	resources.report(0, resourcesOf(1, cores).encode());
	const scheduler = new Scheduler({core, resources});
	core.reconciled(0);
	return {core, pool: resources.pool, scheduler};
}

function resourcesIn(core: FakeCore): Resources {
	const resources = new Resources({core, membership: new SoleMembership('n0')});
	resources.begin();
	return resources;
}

test('the head of the queue waits for its resources, and nobody overtakes it', t => {
	const {core, pool} = clusterOf();
	const big = {jobspec: jobspecOf({ntasks: 6})};
	const first = core.submit(big);
	const second = core.submit(big);
	const small = core.submit({jobspec: jobspecOf()});
	core.settle();
	t.is(core.valueOf(first), 'run');
	t.is(core.valueOf(second), 'sched');
	t.is(core.valueOf(small), 'sched', 'it would fit, but the head waits');
	core.end(first);
	core.settle();
	t.deepEqual([core.valueOf(second), core.valueOf(small)], ['run', 'run']);
	t.is(pool.free().coreCount, 1);
});

test('a job of higher urgency goes first, and a held one lets the others by', t => {
	const {core} = clusterOf(1);
	const running = core.submit({});
	core.settle();
	const usual = core.submit({});
	const urgent = core.submit({urgency: 20});
	const held = core.submit({urgency: 0});
	core.settle();
	core.end(running);
	core.settle();
	t.deepEqual([core.valueOf(usual), core.valueOf(urgent), core.valueOf(held)], ['sched', 'run', 'sched']);
	core.end(urgent);
	core.settle();
	core.end(usual);
	core.settle();
	t.is(core.valueOf(held), 'sched');
	core.post({type: 'job.urgency', id: held, urgency: 16, userid: 1000});
	core.settle();
	t.is(core.valueOf(held), 'run');
});

test('what can never be satisfied ends with an alloc exception and blocks nobody', t => {
	const {core} = clusterOf(4);
	const never = core.submit({jobspec: jobspecOf({ntasks: 5})});
	const small = core.submit({});
	core.settle();
	t.is(core.valueOf(never), 'inactive');
	t.is(core.lastOf(never).exception?.type, 'alloc');
	t.regex(core.lastOf(never).exception?.note ?? '', /unsatisfiable request: .*4 core/);
	t.is(core.valueOf(small), 'run');
});

test('without contact to the rank nothing starts, and with it everything that fits', t => {
	const {core, scheduler} = clusterOf();
	core.unreconciled(0);
	const id = core.submit({});
	core.settle();
	t.is(core.valueOf(id), 'sched');
	core.reconciled(0);
	scheduler.wake();
	core.settle();
	t.is(core.valueOf(id), 'run');
});

test('R carries the start and the end of the time limit', t => {
	const {core} = clusterOf();
	const id = core.submit({jobspec: jobspecOf({durationS: 60})});
	core.settle();
	const {execution} = core.lastOf(id).R as {execution: {starttime: number; expiration: number}};
	t.is(execution.expiration - execution.starttime, 60);
});

test('resources of lost+found stay held over a restart', t => {
	const {core} = clusterOf();
	const id = core.submit({jobspec: jobspecOf({ntasks: 6})});
	core.settle();
	core.state.setAside({type: 'job.clean', id, atMs: 1}, {seq: 1, reason: 'test'});
	t.is(resourcesIn(new FakeCore(core.state)).pool.free().coreCount, 2);
	core.state.released.add(id);
	t.is(resourcesIn(new FakeCore(core.state)).pool.free().coreCount, CORES, 'until an admin releases them');
});

test('whatever comes and goes: no core twice, everyone in turn, and all run in the end', t => {
	const jobs = fc.array(
		fc.record({
			ntasks: fc.integer({min: 1, max: CORES}),
			urgency: fc.integer({min: 1, max: 3}),
			end: fc.nat(),
		}),
		{minLength: 1, maxLength: 20},
	);
	fc.assert(
		fc.property(jobs, todo => {
			const {core, pool, scheduler} = clusterOf();
			const check = () => {
				const running = [...core.state.jobs.values()].filter(({value}) => value === 'run');
				const used = running.reduce(
					(sum, {context}) => sum + requestOf(outlineOf(context.jobspec)).nslots,
					0,
				);
				assert.equal(CORES - used, pool.free().coreCount);
				const head = scheduler.queueOf('').first;
				if (head === undefined) return;
				const wanted = requestOf(outlineOf(core.state.jobs.get(head.id)!.context.jobspec)).nslots;
				assert.ok(wanted > pool.free().coreCount, 'the head fits, and was not started');
			};
			for (const {ntasks, urgency, end} of todo) {
				core.submit({jobspec: jobspecOf({ntasks}), urgency});
				core.settle();
				check();
				const running = [...core.state.jobs.values()].filter(({value}) => value === 'run');
				if (end % 2 === 0) core.end(running[end % running.length]!.context.id);
				core.settle();
				check();
			}
			for (let left = todo.length; left > 0; left -= 1) {
				const running = [...core.state.jobs.values()].find(({value}) => value === 'run');
				if (running === undefined) break;
				core.end(running.context.id);
				core.settle();
				check();
			}
			assert.equal(core.state.jobs.size, 0);
			assert.equal(core.state.archive.completed, todo.length);
			assert.equal(pool.free().coreCount, CORES);
			assertInTurn(core.starts, todo);
		}),
		{numRuns: 40, seed: 9},
	);
	t.pass();
});

/** Of two jobs of one urgency the earlier one started first. */
function assertInTurn(starts: readonly bigint[], todo: readonly {readonly urgency: number}[]): void {
	for (const urgency of [1, 2, 3]) {
		const ids = starts.filter(id => todo[Number(id) - 1]!.urgency === urgency);
		assert.deepEqual(
			ids,
			[...ids].sort((a, b) => (a < b ? -1 : 1)),
		);
	}
}

test('a job that names its resources itself waits for nobody and holds nothing', t => {
	const {core, pool} = clusterOf(1);
	const running = core.submit({});
	core.settle();
	const waiting = core.submit({});
	const R = resourcesOf(1, 1).encode();
	const system = {systemAttributes: {'alloc-bypass': {R}}} as unknown as Parameters<typeof jobspecOf>[0];
	const bypassing = core.submit({jobspec: jobspecOf({ntasks: 1, nnodes: 1, ...system})});
	core.settle();
	t.deepEqual(
		[core.valueOf(running), core.valueOf(waiting), core.valueOf(bypassing)],
		['run', 'sched', 'run'],
	);
	core.end(bypassing);
	core.settle();
	t.is(core.valueOf(waiting), 'sched', 'what it named was never its own');
	t.is(pool.held.size, 1);
	core.end(running);
	core.settle();
	t.is(core.valueOf(waiting), 'run');
});

test('a job that names a rank out of contact waits for it', t => {
	const {core, scheduler} = clusterOf(1);
	const R = resourcesOf(2, 1).encode();
	const system = {systemAttributes: {'alloc-bypass': {R}}} as unknown as Parameters<typeof jobspecOf>[0];
	const id = core.submit({jobspec: jobspecOf({ntasks: 2, nnodes: 2, ...system})});
	core.settle();
	t.is(core.valueOf(id), 'sched');
	t.regex(scheduler.whyPending(id) ?? '', /out of contact/);
	core.reconciled(1);
	scheduler.wake();
	core.settle();
	t.is(core.valueOf(id), 'run');
});
