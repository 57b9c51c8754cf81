import test from 'ava';
import fc from 'fast-check';
import {
	checkConstraint,
	compileConstraint,
	CONSTRAINT_DEPTH_MAX,
	matches,
} from '../../src/formats/constraint.ts';

const node = {rank: 3, hostname: 'n3', properties: new Set(['big', 'amd'])};

const vectors: readonly (readonly [unknown, boolean])[] = [
	[{}, true],
	[{and: []}, true],
	[{or: []}, true],
	[{not: []}, false],
	[{properties: []}, true],
	[{properties: ['big']}, true],
	[{properties: ['big', 'amd']}, true],
	[{properties: ['big', 'gpu']}, false],
	[{properties: ['^gpu']}, true],
	[{properties: ['^big']}, false],
	[{properties: ['big', '^amd']}, false],
	[{hostlist: ['n[1-2]', 'n3']}, true],
	[{hostlist: ['n[1-2]']}, false],
	[{hostlist: ['n03']}, false],
	[{ranks: ['0-2', '3']}, true],
	[{ranks: ['0-2,4']}, false],
	[{and: [{ranks: ['3']}, {properties: ['gpu']}]}, false],
	[{or: [{ranks: ['0']}, {properties: ['big']}]}, true],
	[{or: [{ranks: ['0']}, {properties: ['gpu']}]}, false],
	[{not: [{properties: ['gpu']}]}, true],
	[{not: [{ranks: ['3']}, {properties: ['gpu']}]}, true],
	[{not: [{ranks: ['3']}, {properties: ['big']}]}, false],
	[{and: [{or: [{hostlist: ['x']}, {not: [{ranks: ['9']}]}]}, {properties: ['amd']}]}, true],
];

for (const [constraint, expected] of vectors) {
	test(`${JSON.stringify(constraint)} ${expected ? 'matches' : 'does not match'} the node`, t => {
		t.is(matches(constraint, node), expected);
	});
}

test('a malformed constraint is refused with the path of the fault', t => {
	const cases: readonly (readonly [unknown, string])[] = [
		[[], 'c: must be an object, is []'],
		[{foo: []}, 'c.foo: unknown operator'],
		[{and: {}}, 'c.and: must be an array, is {}'],
		[{and: [{or: [1]}]}, 'c.and[0].or[0]: must be an object, is 1'],
		[{properties: 'x'}, 'c.properties: must be an array, is "x"'],
		[{properties: [1]}, 'c.properties[0]: must be a string, is 1'],
		[{properties: ['a|b']}, 'c.properties[0]: invalid property "a|b"'],
		[{properties: ['^']}, 'c.properties[0]: invalid property "^"'],
		[{hostlist: ['a', 'b[']}, 'c.hostlist[1]: invalid hostlist'],
		[{ranks: ['3-1']}, 'c.ranks[0]: invalid idset'],
		[{ranks: ['1'], hostlist: ['a']}, 'c: must have one operator, has ranks, hostlist'],
	];
	for (const [constraint, message] of cases) {
		const error = t.throws(() => checkConstraint(constraint, 'c'), {code: 'EINVAL'});
		t.true(error?.message.startsWith(message), `${error?.message} | ${message}`);
	}
});

test('nesting is bounded', t => {
	const nest = (depth: number) => {
		let constraint: object = {ranks: ['3']};
		for (let i = 0; i < depth; i += 1) constraint = {and: [constraint]};
		return constraint;
	};
	t.true(matches(nest(CONSTRAINT_DEPTH_MAX), node));
	t.throws(() => checkConstraint(nest(CONSTRAINT_DEPTH_MAX + 1)), {code: 'EINVAL', message: /nested deeper/});
	t.throws(() => checkConstraint(nest(5000)), {code: 'EINVAL', message: /nested deeper/});
});

test('a compiled constraint is the same for every node', t => {
	const {tree} = fc.letrec<{tree: object}>(tie => ({
		tree: fc.oneof(
			{maxDepth: 3},
			fc.uniqueArray(fc.constantFrom('0', '1', '2-3')).map(ranks => ({ranks})),
			fc.array(fc.constantFrom('a', '^b')).map(properties => ({properties})),
			fc.array(tie('tree'), {maxLength: 3}).map(and => ({and})),
			fc.array(tie('tree'), {minLength: 1, maxLength: 3}).map(or => ({or})),
			fc.array(tie('tree'), {maxLength: 3}).map(not => ({not})),
		),
	}));
	const nodes = [0, 1, 2, 3, 4].flatMap(rank =>
		[[], ['a'], ['b'], ['a', 'b']].map(names => ({rank, hostname: `n${rank}`, properties: new Set(names)})),
	);
	fc.assert(
		fc.property(tree, fc.array(tree, {minLength: 1, maxLength: 3}), (constraint, others) => {
			const compiled = compileConstraint(constraint);
			for (const each of nodes) {
				t.is(compiled(each), matches(constraint, each));
				t.is(matches({not: [constraint]}, each), !compiled(each));
				// De Morgan.
				const or = matches({or: others}, each);
				t.is(or, !matches({and: others.map(other => ({not: [other]}))}, each));
			}
		}),
		{numRuns: 50},
	);
});
