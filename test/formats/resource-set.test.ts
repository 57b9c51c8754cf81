/** Goal: R reads and prints as RFC 20 says, and set operations neither lose nor invent a core. */
import test from 'ava';
import fc from 'fast-check';
import {Idset} from '../../src/formats/idset.ts';
import type {RankResources} from '../../src/formats/resource-set.ts';
import {ResourceSet} from '../../src/formats/resource-set.ts';

const EXAMPLE = {
	version: 1,
	execution: {
		R_lite: [{rank: '19-22', children: {core: '0-47', gpu: '0-7'}}],
		nodelist: ['node[186-189]'],
		nslots: 32,
		starttime: 1676560542,
		expiration: 1676562342,
	},
};

const few = (max: number) => fc.uniqueArray(fc.integer({min: 0, max})).map(ids => Idset.from(ids));
const resourceSet = fc
	.uniqueArray(fc.tuple(fc.integer({min: 0, max: 12}), few(5), few(2)), {selector: ([rank]) => rank})
	.map(entries =>
		ResourceSet.from(
			entries.map(([rank, cores, gpus]): [number, RankResources] => [
				rank,
				{host: `n${rank % 3}x${rank}`, cores, gpus},
			]),
		),
	);

/** The set as single things: `rank/core3`. */
function things(set: ResourceSet): Set<string> {
	const all = [...set.ranks].flatMap(([rank, {cores, gpus}]) => [
		...Array.from(cores, id => `${rank}/core${id}`),
		...Array.from(gpus, id => `${rank}/gpu${id}`),
	]);
	return new Set(all);
}

test('the example of RFC 20 is read with all it says and encodes to itself', t => {
	const set = ResourceSet.parse(EXAMPLE);
	t.is(`${set.rankset}`, '19-22');
	t.is(set.ranks.get(20)?.host, 'node187');
	t.is(set.nodeCount, 4);
	t.is(set.coreCount, 192);
	t.is(set.gpuCount, 32);
	t.is(set.info.expiration, 1676562342);
	t.is(`${set.hostlist()}`, 'node[186-189]');
	t.deepEqual(set.encode() as unknown, EXAMPLE);
});

test('hosts go to ranks in ascending order across entries, and equal ranks share an entry', t => {
	const set = ResourceSet.parse({
		version: 1,
		execution: {
			R_lite: [
				{rank: '2', children: {core: '0'}},
				{rank: '0-1', children: {core: '0-1'}},
				{rank: '5', children: {core: '0'}},
			],
			nodelist: ['c,a', 'z[1-2]'],
			properties: {big: '0-1', 'amd@0': '5'},
		},
		scheduling: {writer: 'x'},
	});
	t.deepEqual(
		[...set.ranks].map(([rank, {host}]) => `${rank}=${host}`),
		['0=c', '1=a', '2=z1', '5=z2'],
	);
	t.deepEqual(set.encode(), {
		version: 1,
		execution: {
			R_lite: [
				{rank: '0-1', children: {core: '0-1'}},
				{rank: '2,5', children: {core: '0'}},
			],
			nodelist: ['c,a,z[1-2]'],
			starttime: 0,
			expiration: 0,
			properties: {big: '0-1', 'amd@0': '5'},
		},
		scheduling: {writer: 'x'},
	});
	t.deepEqual([...set.propertiesOf(1)], ['big']);
	t.deepEqual([...set.pick(Idset.parse('1-2')).info.properties.keys()], ['big']);
});

test('an empty set encodes as Flux does and reads back', t => {
	const {execution} = ResourceSet.empty.encode();
	t.deepEqual(execution.R_lite, []);
	t.deepEqual(execution.nodelist, ['']);
	t.true(ResourceSet.parse(ResourceSet.empty.encode()).isEmpty);
});

test('every fault is named with its path', t => {
	const execution = EXAMPLE.execution;
	const entry = execution.R_lite[0]!;
	const withEntry = (changes: object) => ({
		version: 1,
		execution: {...execution, R_lite: [{...entry, ...changes}]},
	});
	const cases: readonly (readonly [unknown, string])[] = [
		[null, 'R: must be an object, is null'],
		[{version: 2}, 'R.version: must be 1, is 2'],
		[{version: 1}, 'R.execution: must be an object, is missing'],
		[{version: 1, execution: {}}, 'R.execution.R_lite: must be an array, is missing'],
		[withEntry({rank: '1-'}), 'R.execution.R_lite[0].rank: invalid idset "1-"'],
		[withEntry({rank: 3}), 'R.execution.R_lite[0].rank: must be a string, is 3'],
		[withEntry({rank: ''}), 'R.execution.R_lite[0].rank: must be an idset of at least one rank'],
		[withEntry({children: {}}), 'R.execution.R_lite[0].children: must be at least one core or gpu'],
		[withEntry({children: {fpga: '0'}}), 'R.execution.R_lite[0].children.fpga: unknown member'],
		[withEntry({rank: '0-4294967294'}), 'R.execution.R_lite: must be at most 1048576 ranks'],
		[
			{version: 1, execution: {...execution, R_lite: [entry, entry]}},
			'R.execution.R_lite[1].rank: must be without rank 19',
		],
		[{version: 1, execution: {...execution, nodelist: ['a[']}}, 'R.execution.nodelist[0]: invalid hostlist'],
		[
			{version: 1, execution: {...execution, nodelist: ['a']}},
			'R.execution.nodelist: must be the hosts of 4 ranks',
		],
		[
			{version: 1, execution: {...execution, expiration: -1}},
			'R.execution.expiration: must be a number >= 0',
		],
		[{version: 1, execution: {...execution, nslots: 0}}, 'R.execution.nslots: must be an integer >= 1'],
		[
			{version: 1, execution: {...execution, properties: {'a|b': '19'}}},
			'R.execution.properties.a|b: a property',
		],
	];
	for (const [value, message] of cases) {
		const error = t.throws(() => ResourceSet.parse(value), {code: 'EINVAL'});
		t.true(error?.message.startsWith(message), `${error?.message} | ${message}`);
	}
});

test('subtracting what is not there is refused and names it', t => {
	const set = ResourceSet.parse(EXAMPLE);
	const one = (rank: number, resources: Partial<RankResources>) =>
		ResourceSet.from([[rank, {host: 'node186', cores: Idset.empty, gpus: Idset.empty, ...resources}]]);
	t.throws(() => set.difference(one(1, {cores: Idset.parse('0')})), {
		code: 'EINVAL',
		message: /rank 1 \(node186\)/,
	});
	t.throws(() => set.difference(one(19, {cores: Idset.parse('47-48')})), {message: /rank 19 .* core 48/});
	t.throws(() => set.difference(one(19, {gpus: Idset.parse('8')})), {message: /gpu 8/});
	for (const operation of ['union', 'intersect', 'difference'] as const) {
		t.throws(() => set[operation](one(20, {cores: Idset.parse('0')})), {
			code: 'EINVAL',
			message: /resource sets disagree/,
		});
	}
	t.is(set.difference(set.pick(Idset.parse('19-21'))).coreCount, 48);
	t.true(set.difference(set).isEmpty);
});

test('set operations agree with sets of single cores and gpus', t => {
	fc.assert(
		fc.property(resourceSet, resourceSet, (a, b) => {
			const [inA, inB] = [things(a), things(b)];
			t.deepEqual(things(a.union(b)), new Set([...inA, ...inB].sort(byRank)));
			const both = [...inA].filter(thing => inB.has(thing));
			t.deepEqual(things(a.intersect(b)), new Set(both));
			const rest = a.difference(a.intersect(b));
			t.deepEqual(things(rest), new Set([...inA].filter(thing => !inB.has(thing))));
			t.true(rest.union(a.intersect(b)).equals(a));
			if (both.length < inB.size) t.throws(() => a.difference(b), {code: 'EINVAL'});
			t.is(a.coreCount + a.gpuCount, inA.size);
			t.is(a.isEmpty, inA.size === 0);
			for (const set of [a.union(b), a.intersect(b), rest]) {
				for (const {cores, gpus} of set.ranks.values()) t.false(cores.isEmpty && gpus.isEmpty);
			}
		}),
	);
});

test('every set survives its encoding', t => {
	fc.assert(
		fc.property(resourceSet, few(12), (set, ids) => {
			const properties = new Map([['p', ids]]);
			const full = set.withInfo({starttime: 1.5, expiration: 60, properties});
			const back = ResourceSet.parse(JSON.parse(JSON.stringify(full)));
			t.true(back.equals(full));
			const encoded = full.encode();
			t.deepEqual(back.encode(), encoded);
			t.is(ResourceSet.parse(encoded), full);
			t.deepEqual([...full.info.properties.keys()], ids.intersect(set.rankset).isEmpty ? [] : ['p']);
		}),
	);
});

function byRank(a: string, b: string): number {
	const key = (thing: string) => {
		const [rank, kind, id] = /^(\d+)\/(core|gpu)(\d+)$/.exec(thing)!.slice(1);
		return Number(rank) * 1000 + (kind === 'gpu' ? 500 : 0) + Number(id);
	};
	return key(a) - key(b);
}

test('append joins what shares nothing, and remap counts ranks from 0', t => {
	const setOf = (rank: string, core: string, nodelist: string, properties = {}) =>
		ResourceSet.parse({
			version: 1,
			execution: {R_lite: [{rank, children: {core}}], nodelist: [nodelist], properties},
		});
	const a = setOf('3-4', '0-1', 'n[3-4]', {big: '4'});
	const b = setOf('4,9', '2-3', 'n[4,9]', {big: '9', fast: '4'});
	const both = a.append(b);
	t.deepEqual(both.encode().execution.R_lite, [
		{rank: '3', children: {core: '0-1'}},
		{rank: '4', children: {core: '0-3'}},
		{rank: '9', children: {core: '2-3'}},
	]);
	t.throws(() => both.append(b), {code: 'EINVAL', message: /rank 4 \(n4\) has core 2-3 in both/});
	const remapped = both.remap().encode().execution;
	t.deepEqual(
		remapped.R_lite.map(({rank}) => rank),
		['0', '1', '2'],
	);
	t.deepEqual(remapped.nodelist, ['n[3-4,9]']);
	t.deepEqual(remapped.properties, {big: '1-2', fast: '1'});
	t.true(both.remap().remap().equals(both.remap()));
});
