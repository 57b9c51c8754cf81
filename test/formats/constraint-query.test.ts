import test from 'ava';
import fc from 'fast-check';
import {parseConstraintQuery} from '../../src/formats/constraint-query.ts';

const vectors: readonly (readonly [string, unknown])[] = [
	['', {}],
	['  ', {}],
	['gpu', {properties: ['gpu']}],
	['gpu,^slow', {properties: ['gpu', '^slow']}],
	['host:n[1-3,5]', {hostlist: ['n[1-3,5]']}],
	['rank:0-3', {ranks: ['0-3']}],
	['a b', {and: [{properties: ['a']}, {properties: ['b']}]}],
	['a and b', {and: [{properties: ['a']}, {properties: ['b']}]}],
	['a&b', {and: [{properties: ['a']}, {properties: ['b']}]}],
	['a||b', {or: [{properties: ['a']}, {properties: ['b']}]}],
	['a b or c', {or: [{and: [{properties: ['a']}, {properties: ['b']}]}, {properties: ['c']}]}],
	['a AND (b|c)', {and: [{properties: ['a']}, {or: [{properties: ['b']}, {properties: ['c']}]}]}],
	['not a b', {and: [{not: [{properties: ['a']}]}, {properties: ['b']}]}],
	['-host:n1', {not: [{hostlist: ['n1']}]}],
	['-(a b)', {not: [{and: [{properties: ['a']}, {properties: ['b']}]}]}],
	['a-b', {properties: ['a-b']}],
	['"a"-\'b\'', {properties: ['a-b']}],
	['property:x', {properties: ['x']}],
];

for (const [query, constraint] of vectors) {
	test(`${JSON.stringify(query)} is ${JSON.stringify(constraint)}`, t => {
		t.deepEqual(parseConstraintQuery(query) as unknown, constraint);
	});
}

test('a malformed query is refused with the reason', t => {
	const cases: readonly (readonly [string, RegExp])[] = [
		['a and', /missing at its end/],
		['or a', /unexpected or/],
		['a or or b', /unexpected or/],
		['(a', /not closed/],
		['a)', /unexpected '\)'/],
		['()', /unexpected '\)'/],
		['not', /missing at its end/],
		['x:1', /unknown operator "x"/],
		['toString:1', /unknown operator "toString"/],
		['rank:', /has no value/],
		['rank:3-1', /ranks\[0\]: invalid idset/],
		['host:a[', /invalid hostlist/],
		['"a', /can't read/],
		['a,', /invalid property ""/],
		[`${'('.repeat(5000)}a`, /nested deeper/],
		[`${'-'.repeat(60_000)}a`, /nested deeper/],
		['a'.repeat(70_000), /longer than/],
	];
	for (const [query, message] of cases)
		t.throws(() => parseConstraintQuery(query), {code: 'EINVAL', message}, query);
});

test('any text gives a constraint or EINVAL', t => {
	const piece = fc.constantFrom(
		'a',
		'b:',
		'rank:',
		'host:',
		'0-1',
		'(',
		')',
		'-',
		' ',
		'&',
		'|',
		'not',
		'and',
		'or',
		'"',
		"'",
		',',
	);
	fc.assert(
		fc.property(fc.array(piece), pieces => {
			try {
				t.is(typeof parseConstraintQuery(pieces.join('')), 'object');
			} catch (error) {
				t.is((error as {code?: unknown}).code, 'EINVAL', String(error));
			}
		}),
		{numRuns: 500},
	);
});
