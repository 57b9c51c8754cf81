/** Goal: idsets read and print as RFC 22 says, and behave as sets of numbers do. */
import test from 'ava';
import fc from 'fast-check';
import {Idset, IDSET_ID_MAX, IDSET_RANGES_MAX} from '../../src/formats/idset.ts';

const ids = fc.array(fc.oneof(fc.integer({min: 0, max: 30}), fc.integer({min: 0, max: IDSET_ID_MAX})), {
	maxLength: 25,
});
const ascending = (values: Iterable<number>) => [...new Set(values)].sort((a, b) => a - b);

test('the vectors decode and encode as in Flux', t => {
	const plain = {range: false} as const;
	t.is(Idset.parse('1,7-9,16').format(plain), '1,7,8,9,16');
	t.is(Idset.parse('[2,3,4,5]').format(plain), '2,3,4,5');
	t.is(Idset.parse('[]').format(plain), '');
	t.is(Idset.parse('').format(plain), '');
	t.is(Idset.parse('1048576').format(), '1048576');
	t.is(Idset.parse('2,3,4,5').format(), '2-5');
	t.is(Idset.parse('1-3,7-9,14,16').format(), '1-3,7-9,14,16');
	const brackets = {brackets: true} as const;
	t.is(Idset.parse('2').format(brackets), '2');
	t.is(Idset.parse('7-9').format(brackets), '[7-9]');
	t.is(Idset.parse('1,7-9,16').format(brackets), '[1,7-9,16]');
	t.is(Idset.empty.format(brackets), '');
	t.is(Idset.parse('1,2-1024').count, 1024);
	t.is(`${Idset.range(0, IDSET_ID_MAX)}`, `0-${IDSET_ID_MAX}`);
});

test('bad texts are refused with EINVAL and the reason', t => {
	const bad = [
		'4.2',
		'x',
		'1-2x',
		'01,2',
		'00',
		'3,2',
		'3-0',
		'2,2,2,2',
		'[0 0]',
		'[[0]]',
		'[[0,2]',
		'[0,2]]',
	];
	bad.push(
		'0,[2',
		'0]2',
		'0-',
		'[0-]',
		'-5',
		'[-5]',
		' 1',
		'1 ',
		'1,,2',
		'1,',
		',1',
		'1-2-3',
		'1-3,3',
		'[',
		'0,2]',
	);
	for (const text of bad)
		t.throws(() => Idset.parse(text), {code: 'EINVAL', message: /^invalid idset "/}, text);
});

test('ids and texts beyond the limits are refused', t => {
	t.throws(() => Idset.parse('4294967295'), {code: 'ERANGE'});
	t.throws(() => Idset.parse('1-99999999999999999999999'), {code: 'ERANGE'});
	const elements = Array.from({length: IDSET_RANGES_MAX + 1}, (_, i) => 2 * i);
	t.throws(() => Idset.parse(elements.join(',')), {code: 'E2BIG'});
	t.is(Idset.parse(elements.slice(1).join(',')).count, IDSET_RANGES_MAX);
	for (const id of [-1, 1.5, IDSET_ID_MAX + 1, Number.NaN])
		t.throws(() => Idset.from([id]), {message: /no id/});
});

test('the documented unions, differences and intersections', t => {
	const parse = (text: string) => Idset.parse(text);
	t.is(`${parse('0').union(parse('1'))}`, '0-1');
	t.is(`${parse('0-1').difference(parse('0'))}`, '1');
	t.is(`${parse('0-1').intersect(parse('1-2'))}`, '1');
	t.true(parse('0-1').intersect(parse('2-3')).isEmpty);
	t.is(`${parse('0-9').difference(parse('2,4-5,9'))}`, '0-1,3,6-8');
	t.is(`${parse('0-1,3').with(2).without(0)}`, '1-3');
	t.is(`${parse('1-3,7').take(4)}`, '1-3,7');
	t.is(`${parse('1-3,7').take(2)}`, '1-2');
	t.true(Idset.range(3, 2).isEmpty);
});

test('set operations agree with sets of numbers', t => {
	fc.assert(
		fc.property(ids, ids, (left, right) => {
			const [a, b] = [Idset.from(left), Idset.from(right)];
			const [inA, inB] = [new Set(left), new Set(right)];
			t.deepEqual([...a.union(b)], ascending([...left, ...right]));
			t.deepEqual([...a.intersect(b)], ascending(left.filter(id => inB.has(id))));
			t.deepEqual([...a.difference(b)], ascending(left.filter(id => !inB.has(id))));
			t.is(
				a.isSubsetOf(b),
				left.every(id => inB.has(id)),
			);
			t.is(a.equals(b), inA.size === inB.size && left.every(id => inB.has(id)));
			for (const result of [a.union(b), a.intersect(b), a.difference(b)]) {
				t.true(Idset.parse(result.format()).equals(result)); // Ranges are merged and ascend, or this is refused.
			}
		}),
	);
});

test('queries agree with a sorted array, and every set survives its text', t => {
	fc.assert(
		fc.property(
			ids,
			fc.integer({min: 0, max: 32}),
			fc.boolean(),
			fc.boolean(),
			(values, probe, range, brackets) => {
				const set = Idset.from(values);
				const sorted = ascending(values);
				t.is(set.count, sorted.length);
				t.is(set.first, sorted[0]);
				t.is(set.last, sorted.at(-1));
				t.is(set.has(probe), sorted.includes(probe));
				t.is(
					set.next(probe),
					sorted.find(id => id > probe),
				);
				t.is(
					set.prev(probe),
					sorted.findLast(id => id < probe),
				);
				t.deepEqual([...set.take(probe)], sorted.slice(0, probe));
				t.true(Idset.parse(set.format({range, brackets})).equals(set));
			},
		),
	);
});
