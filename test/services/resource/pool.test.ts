/**
 * Goal: no core is given twice, what is let go can be given again, and a request is refused only if it doesn't fit. Method:
 * arbitrary requests and releases against a plain count of single cores.
 */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import {Idset} from '../../../src/formats/idset.ts';
import {ResourceSet} from '../../../src/formats/resource-set.ts';
import {ResourcePool, type PoolRequest} from '../../../src/services/resource/pool.ts';

const RUNS = {numRuns: 200, seed: 5};

const total = fc
	.array(fc.record({cores: fc.integer({min: 1, max: 6}), gpus: fc.integer({min: 0, max: 2})}), {
		minLength: 1,
		maxLength: 5,
	})
	.map(nodes =>
		ResourceSet.from(
			nodes.map(({cores, gpus}, rank) => [
				rank,
				{host: `n${rank}`, cores: Idset.range(0, cores - 1), gpus: Idset.range(0, gpus - 1)},
			]),
		),
	);

/** Slots are a multiple of nodes, as in every jobspec. */
const request: fc.Arbitrary<PoolRequest> = fc
	.record({
		slots: fc.integer({min: 1, max: 4}),
		coresPerSlot: fc.integer({min: 1, max: 3}),
		gpusPerSlot: fc.constantFrom(0, 0, 1),
		nnodes: fc.option(fc.integer({min: 1, max: 4})),
		exclusive: fc.constantFrom(false, false, true),
	})
	.map(({slots, nnodes, exclusive, ...rest}) => ({
		...rest,
		nnodes,
		nslots: slots * (nnodes ?? 1),
		exclusive: exclusive && nnodes !== null,
	}));

type Step = {kind: 'hold'; request: PoolRequest; upMask: number} | {kind: 'release'; which: number};

const steps: fc.Arbitrary<Step[]> = fc.array(
	fc.oneof(
		{
			weight: 3,
			arbitrary: fc.record({
				kind: fc.constant('hold' as const),
				request,
				upMask: fc.constantFrom(31, 31, 21),
			}),
		},
		{weight: 1, arbitrary: fc.record({kind: fc.constant('release' as const), which: fc.nat()})},
	),
	{maxLength: 25},
);

/** Every core and gpu of a set by its name. */
function thingsOf(set: ResourceSet): string[] {
	return [...set.ranks].flatMap(([rank, {cores, gpus}]) => [
		...Array.from(cores, id => `${rank}/core${id}`),
		...Array.from(gpus, id => `${rank}/gpu${id}`),
	]);
}

/** Slots that fit on a node, by plain counting. */
function fitsOn(pool: ResourcePool, rank: number, wanted: PoolRequest): number {
	const all = pool.total.ranks.get(rank)!;
	const free = pool.free().ranks.get(rank);
	const cores = free?.cores.count ?? 0;
	const gpus = free?.gpus.count ?? 0;
	if (wanted.exclusive && (cores !== all.cores.count || gpus !== all.gpus.count)) return 0;
	const byCores = Math.floor(cores / wanted.coresPerSlot);
	return wanted.gpusPerSlot === 0 ? byCores : Math.min(byCores, Math.floor(gpus / wanted.gpusPerSlot));
}

function fits(pool: ResourcePool, wanted: PoolRequest, isUp: (rank: number) => boolean): boolean {
	const slots = [...pool.total.ranks.keys()].filter(isUp).map(rank => fitsOn(pool, rank, wanted));
	if (wanted.nnodes === null) return slots.reduce((sum, count) => sum + count, 0) >= wanted.nslots;
	return slots.filter(count => count >= wanted.nslots / wanted.nnodes!).length >= wanted.nnodes;
}

function assertSatisfies(set: ResourceSet, wanted: PoolRequest, pool: ResourcePool): void {
	if (wanted.nnodes !== null) assert.equal(set.nodeCount, wanted.nnodes);
	let slots = 0;
	for (const [rank, {cores, gpus}] of set.ranks) {
		if (wanted.exclusive) assert.ok(cores.equals(pool.total.ranks.get(rank)!.cores));
		const here = Math.floor(cores.count / wanted.coresPerSlot);
		if (!wanted.exclusive)
			assert.deepEqual([cores.count, gpus.count], [here * wanted.coresPerSlot, here * wanted.gpusPerSlot]);
		if (wanted.nnodes !== null) assert.ok(here >= wanted.nslots / wanted.nnodes);
		slots += here;
	}
	if (wanted.exclusive) assert.ok(slots >= wanted.nslots);
	else assert.equal(slots, wanted.nslots);
}

test('what is held and what is free is everything, each thing once; a request is refused only if it does not fit', t => {
	const seen = {found: 0, refused: 0, released: 0, down: 0};
	fc.assert(
		fc.property(total, steps, (all, todo) => {
			const pool = new ResourcePool(all);
			let next = 1n;
			for (const step of todo) {
				if (step.kind === 'release') {
					const ids = [...pool.held.keys()];
					const id = ids[step.which % Math.max(1, ids.length)];
					if (id === undefined) continue;
					pool.release(id);
					seen.released += 1;
				} else {
					const isUp = (rank: number) => ((step.upMask >> rank) & 1) === 1;
					const set = pool.find(step.request, isUp);
					assert.equal(set !== null, fits(pool, step.request, isUp));
					if (step.upMask !== 31) seen.down += 1;
					if (set === null) seen.refused += 1;
					else {
						seen.found += 1;
						assertSatisfies(set, step.request, pool);
						assert.ok([...set.ranks.keys()].every(isUp));
						pool.hold(next, set);
						next += 1n;
					}
				}
				const held = [...pool.held.values()].flatMap(thingsOf);
				assert.deepEqual([...held, ...thingsOf(pool.free())].sort(), thingsOf(all).sort());
				assert.deepEqual(thingsOf(pool.allocated()).sort(), held.sort());
			}
		}),
		RUNS,
	);
	t.true(
		Object.values(seen).every(count => count > 50),
		JSON.stringify(seen),
	);
});

test('feasible is what fits when every node is up and nothing is held', t => {
	fc.assert(
		fc.property(total, request, (all, wanted) => {
			const pool = new ResourcePool(all);
			assert.equal(
				pool.isFeasible(wanted),
				fits(pool, wanted, () => true),
			);
			pool.hold(1n, all);
			assert.equal(
				pool.isFeasible(wanted),
				fits(new ResourcePool(all), wanted, () => true),
			);
			assert.equal(
				pool.find(wanted, () => true),
				null,
			);
		}),
		RUNS,
	);
	t.pass();
});

test('what two jobs hold stays held until both let go', t => {
	const all = ResourceSet.from([[0, {host: 'n', cores: Idset.range(0, 3), gpus: Idset.empty}]]);
	const pool = new ResourcePool(all);
	const half = ResourceSet.from([[0, {host: 'n', cores: Idset.range(0, 1), gpus: Idset.empty}]]);
	pool.hold(1n, half);
	pool.hold(2n, half);
	t.is(pool.free().coreCount, 2);
	pool.release(1n);
	t.is(pool.free().coreCount, 2);
	pool.release(2n);
	pool.release(2n);
	t.true(pool.free().equals(all));
});

test('whatever is held twice, or beyond what a node has, and however nodes change: free is what nobody holds', t => {
	const ids = fc.uniqueArray(fc.nat(7), {maxLength: 5}).map(list => Idset.from(list));
	const resources = fc.record({host: fc.constant('n'), cores: ids, gpus: ids});
	const changes = fc.array(
		fc.oneof(
			fc.tuple(fc.constant('hold' as const), fc.bigInt(0n, 4n), resources),
			fc.tuple(fc.constant('release' as const), fc.bigInt(0n, 4n), resources),
			fc.tuple(fc.constant('define' as const), fc.constant(0n), resources),
		),
		{maxLength: 30},
	);
	fc.assert(
		fc.property(changes, todo => {
			const pool = new ResourcePool();
			let all = {cores: Idset.empty, gpus: Idset.empty};
			const held = new Map<bigint, typeof all>();
			for (const [kind, holder, what] of todo) {
				if (kind === 'define') {
					all = what;
					pool.define(0, what);
				} else if (kind === 'release') {
					held.delete(holder);
					pool.release(holder);
				} else {
					held.set(holder, what);
					pool.hold(holder, ResourceSet.from([[0, what]]));
				}
				const free = pool.free().ranks.get(0);
				for (const kindOfThing of ['cores', 'gpus'] as const) {
					const expected = [...held.values()].reduce(
						(left, taken) => left.difference(taken[kindOfThing]),
						all[kindOfThing],
					);
					assert.equal(String(free?.[kindOfThing] ?? Idset.empty), String(expected));
				}
			}
		}),
		RUNS,
	);
	t.pass();
});

test('a node that the configuration no longer has is held without harm', t => {
	const pool = new ResourcePool(
		ResourceSet.from([[0, {host: 'n', cores: Idset.range(0, 0), gpus: Idset.empty}]]),
	);
	const gone = ResourceSet.from([[7, {host: 'old', cores: Idset.range(0, 3), gpus: Idset.empty}]]);
	pool.hold(1n, gone);
	t.is(pool.free().coreCount, 1);
	pool.release(1n);
	t.is(pool.free().coreCount, 1);
});
