/**
 * Goal: every rank is reached from the root, and the ways that different questions give agree. Method: the vectors of
 * the field's standard system; properties over arbitrary trees, compared with plain recursions.
 */
import test from 'ava';
import fc from 'fast-check';
import {ROOT, Topology} from '../../../src/net/overlay/topology.ts';
import {Idset} from '../../../src/formats/idset.ts';

const ranksOf = (topology: Topology) => Array.from({length: topology.size}, (_, rank) => rank);

function internalRanks(topology: Topology): string {
	return Idset.from(ranksOf(topology).filter(rank => topology.childrenOf(rank).length > 0)).toString();
}

const VECTORS: readonly (readonly [size: number, fanout: number, internal: string])[] = [
	[1, 2, ''],
	[2, 2, '0'],
	[4, 2, '0-1'],
	[4, 0, '0'],
	[16, 2, '0-7'],
	[48, 16, '0-2'],
];

for (const [size, fanout, internal] of VECTORS) {
	test(`of ${size} ranks with kary:${fanout} the internal ones are '${internal}'`, t => {
		t.is(internalRanks(Topology.kary(size, fanout)), internal);
	});
}

test('kary:2 of 16 ranks has the known ways, subtrees and depth', t => {
	const topology = Topology.kary(16, 2);
	t.is(topology.childToward(1, 10), 4);
	t.is(topology.subtreeOf(1).length, 8);
	t.is(topology.subtreeOf(2).length, 7);
	t.is(Math.max(...ranksOf(topology).map(rank => topology.depthOf(rank))), 4);
});

/** Ranks in any order: of `n` choices, the k-th says which of the ranks that are placed already is the parent. */
const trees = fc.oneof(
	fc.tuple(fc.integer({min: 1, max: 80}), fc.nat(9)).map(([size, fanout]) => Topology.kary(size, fanout)),
	fc.array(fc.tuple(fc.nat(), fc.nat()), {maxLength: 60}).map(choices => {
		const order = choices
			.map(([key], index) => ({key, rank: index + 1}))
			.sort((a, b) => a.key - b.key)
			.map(({rank}) => rank);
		const placed = [ROOT];
		const parents = Array.from({length: choices.length + 1}, () => ROOT);
		for (const [index, rank] of order.entries()) {
			parents[rank] = placed[choices[index]![1] % placed.length]!;
			placed.push(rank);
		}
		return Topology.fromParents(parents);
	}),
);

test('every rank but the root has one parent, whose child it is, and leads to the root', t => {
	fc.assert(
		fc.property(trees, topology => {
			t.is(topology.parentOf(ROOT), null);
			for (const rank of ranksOf(topology)) {
				t.true(isAscending(topology.childrenOf(rank)));
				for (const child of topology.childrenOf(rank)) t.is(topology.parentOf(child), rank);
				if (rank === ROOT) continue;
				t.true(topology.childrenOf(topology.parentOf(rank)!).includes(rank));
				t.is(topology.depthOf(rank), topology.depthOf(topology.parentOf(rank)!) + 1);
				t.true(topology.depthOf(rank) < topology.size);
			}
			t.deepEqual(topology.subtreeOf(ROOT), ranksOf(topology));
		}),
	);
});

test('childToward names the child in whose subtree a rank is, and nothing for ranks elsewhere', t => {
	fc.assert(
		fc.property(trees, topology => {
			for (const from of ranksOf(topology)) {
				const children = topology.childrenOf(from);
				for (const rank of ranksOf(topology)) {
					const below = children.find(child => topology.subtreeOf(child).includes(rank));
					t.is(topology.childToward(from, rank), below ?? null);
				}
			}
		}),
		{numRuns: 30},
	);
});

test('a subtree is its rank and the subtrees of its children, each rank once', t => {
	fc.assert(
		fc.property(trees, topology => {
			for (const rank of ranksOf(topology)) {
				const below = topology.childrenOf(rank).flatMap(child => topology.subtreeOf(child));
				t.deepEqual(
					topology.subtreeOf(rank),
					[rank, ...below].sort((a, b) => a - b),
				);
				t.true(isAscending(topology.subtreeOf(rank)));
			}
		}),
	);
});

test('following childToward from the root reaches every rank in as many steps as it is deep', t => {
	fc.assert(
		fc.property(trees, topology => {
			for (const rank of ranksOf(topology)) {
				let at: number = ROOT;
				for (let step = 0; step < topology.depthOf(rank); step += 1) at = topology.childToward(at, rank)!;
				t.is(at, rank);
				t.is(topology.childToward(rank, rank), null);
			}
		}),
	);
});

test('parents that form a cycle, or are no ranks, are refused by name', t => {
	const refuses = (parents: readonly number[], message: RegExp) =>
		t.throws(() => Topology.fromParents(parents), {code: 'EINVAL', message});
	refuses([0, 2, 1], /rank 1 form a cycle: 1 → 2 → 1/);
	refuses([0, 0, 4, 2, 3], /form a cycle/);
	refuses([0, 1], /rank 1 cannot have rank 1/);
	refuses([0, 2], /rank 1 cannot have rank 2/);
	refuses([0, -1], /rank 1 cannot have rank -1/);
	refuses([0, 0.5], /rank 1 cannot have rank 0.5/);
	refuses([], /1 to 16384 ranks, not 0/);
	t.throws(() => Topology.kary(4, -1), {code: 'EINVAL', message: /fan-out/});
	t.throws(() => Topology.kary(16_385, 2), {code: 'EINVAL', message: /not 16385/});
});

test('what is given as the parent of the root is ignored', t => {
	const topology = Topology.fromParents([1, 0]);
	t.is(topology.parentOf(ROOT), null);
	t.deepEqual(topology.subtreeOf(ROOT), [0, 1]);
});

function isAscending(ranks: readonly number[]): boolean {
	return ranks.every((rank, index) => index === 0 || ranks[index - 1]! < rank);
}
