/** Goal: host lists read and print as RFC 29 and Flux do; no text makes more hosts than the limit. */
import test from 'ava';
import fc from 'fast-check';
import {Hostlist, HOSTLIST_HOSTS_MAX, HOSTLIST_RANGES_MAX} from '../../src/formats/hostlist.ts';

const host = fc
	.tuple(
		fc.constantFrom('', 'foo', 'f0', 'foo-1a-'),
		fc.constantFrom('', '0', '00', '9'),
		fc.nat(12),
		fc.constantFrom('', '', '-eth0'),
	)
	.map(([prefix, zeros, id, suffix]) => `${prefix}${zeros}${id}${suffix}`);

test('the vectors of RFC 29 expand', t => {
	const hosts = (text: string) => Hostlist.parse(text).hosts.join(' ');
	t.is(hosts('[1-3,5-6]'), '1 2 3 5 6');
	t.is(hosts('foo[0-4]-eth2'), 'foo0-eth2 foo1-eth2 foo2-eth2 foo3-eth2 foo4-eth2');
	t.is(hosts('[00-02]'), '00 01 02');
	t.is(hosts('[00-2]'), '00 01 02');
	t.is(hosts('foo[1,1,2,1]'), 'foo1 foo1 foo2 foo1');
	t.is(hosts('[9-11]'), '9 10 11');
	t.is(hosts(''), '');
});

test('texts come back as Flux writes them', t => {
	const vectors: readonly (readonly [string, string, number])[] = [
		['foo-1a-2,foo-1a-3', 'foo-1a-[2-3]', 2],
		['foo1,fooi,foo2,foo3', 'foo1,fooi,foo[2-3]', 4],
		['fooi,foo1,foo2,foo3,foo5,foo7,foo8', 'fooi,foo[1-3,5,7-8]', 7],
		[',1,2,3,4,5,9,', '[1-5,9]', 6],
		['foo[1,3]-bar', 'foo1-bar,foo3-bar', 2],
		['[00-03]p', '00p,01p,02p,03p', 4],
		['p[00-3]p', 'p00p,p01p,p02p,p03p', 4],
		['14636', '14636', 1],
		['foo12,foo[4,1-2]', 'foo[12,4,1-2]', 4],
		['foo[1,1,2,1]', 'foo[1,1-2,1]', 4],
		['foo,foo', 'foo,foo', 2],
		['foo9,foo10', 'foo[9-10]', 2],
		['foo09,foo10', 'foo[09-10]', 2],
		['foo9,foo010', 'foo[9,010]', 2],
	];
	for (const [text, encoded, count] of vectors) {
		const list = Hostlist.parse(text);
		t.is(`${list}`, encoded);
		t.is(list.count, count);
	}
	const appended = Hostlist.parse('foo12')
		.append(Hostlist.parse('foo[4,1-2]'))
		.append(Hostlist.parse('bar[26-30]'));
	t.is(`${appended}`, 'foo[12,4,1-2],bar[26-30]');
	t.is(appended.count, 9);
});

test('find compares whole names', t => {
	const vectors: readonly (readonly [string, string, number])[] = [
		['tst0,tst', 'tst', 1],
		['foo[1-5]-eth0', 'foo3-eth0', 2],
		['i[0-5]', 'i00', -1],
		['i[00-05]', 'i04', 4],
		['f00[7-8,10]', 'f0010', 2],
		['f0010001[07-08]', 'f001000108', 1],
		['cornp2', 'corn2', -1],
	];
	for (const [text, name, index] of vectors) t.is(Hostlist.parse(text).find(name), index, `${text} ${name}`);
	t.true(Hostlist.parse('a,b').has('b'));
});

test('delete, sort, uniq and nth', t => {
	t.is(`${Hostlist.parse('foo[2-5]').delete(Hostlist.parse('foo3'))}`, 'foo[2,4-5]');
	t.is(`${Hostlist.parse('a,b,a').delete(Hostlist.parse('a'))}`, 'b');
	t.is(`${Hostlist.parse('foo,f,bar,baz').sort()}`, 'bar,baz,f,foo');
	t.is(`${Hostlist.parse('n10,n9,n,n2,n02').sort()}`, 'n,n[2,02,9-10]');
	t.is(`${Hostlist.parse('[0-20],12,15').uniq()}`, '[0-20]');
	const list = Hostlist.parse('a[1-3]');
	t.is(list.nth(2), 'a3');
	t.throws(() => list.nth(3), {code: 'ENOENT'});
	t.throws(() => list.nth(-1), {code: 'EINVAL'});
	t.deepEqual([...list], ['a1', 'a2', 'a3']);
});

test('bad texts are refused with EINVAL and the reason', t => {
	const bad = [
		'[]',
		'foo[]',
		'foo[',
		'foo[1,3',
		'foo[[1,3]',
		'foo]',
		'foo[x-y]',
		'foo[0-1,2--5]',
		'foo[3-1]',
		'a b',
	];
	for (const text of [...bad, 'a[1][2]', 'foo[1 ]', 'foo[,1]', 'ƒ', 'a\n', 'foo[-1]', ']a[']) {
		t.throws(() => Hostlist.parse(text), {code: 'EINVAL', message: /^invalid hostlist "/}, text);
	}
	for (const name of ['', 'a,b', 'a[1]', 'a b'])
		t.throws(() => Hostlist.from([name]), {code: 'EINVAL'}, name);
});

test('texts beyond the limits are refused before they are expanded', t => {
	t.throws(() => Hostlist.parse('foo[0-1048576]'), {code: 'ERANGE'});
	t.throws(() => Hostlist.parse('foo[0-999999999999999]'), {code: 'ERANGE'});
	t.is(Hostlist.parse('foo[0-1048575]').count, HOSTLIST_HOSTS_MAX);
	t.throws(() => Hostlist.parse('foo[0-1048575],a'), {code: 'ERANGE'});
	t.throws(() => Hostlist.parse('foo[0-1000000],bar[0-1000000]'), {code: 'ERANGE'});
	t.throws(
		() =>
			Hostlist.parse(
				`foo[${Array<number>(HOSTLIST_RANGES_MAX + 1)
					.fill(1)
					.join()}]`,
			),
		{code: 'ERANGE'},
	);
	t.is(
		Hostlist.parse(`foo[${Array<number>(HOSTLIST_RANGES_MAX).fill(1).join()}]`).count,
		HOSTLIST_RANGES_MAX,
	);
});

test('several texts are one list, within the same limit, and a bad one is named', t => {
	t.is(`${Hostlist.parseAll(['a[1-2]', '', 'b,a3'])}`, 'a[1-2],b,a3');
	t.throws(() => Hostlist.parseAll(['a', 'b[']), {code: 'EINVAL', message: /^\[1\]: invalid hostlist "b\["/});
	const bomb = Array<string>(1_000_000).fill('n[0-1048575]');
	t.throws(() => Hostlist.parseAll(bomb), {code: 'ERANGE', message: /\[1\]/});
});

test('a list of more ranges than one pair of brackets may hold still reads back', t => {
	const names = Array.from({length: HOSTLIST_RANGES_MAX + 5}, (_, i) => `n${2 * i}`);
	const list = Hostlist.from(names);
	t.deepEqual(Hostlist.parse(list.toString()).hosts, names);
});

test('numbers too long for a number keep every digit', t => {
	const names = [
		'a12345678901234567890',
		'a12345678901234567891',
		'a00000000000000000000',
		'a99999999999999999999',
	];
	t.deepEqual(Hostlist.parse(Hostlist.from(names).toString()).hosts, names);
	const edge = ['a999999999999999', 'a1000000000000000'];
	t.deepEqual(Hostlist.parse(Hostlist.from(edge).toString()).hosts, edge);
});

test('every list survives its text, and sorting keeps its hosts', t => {
	fc.assert(
		fc.property(fc.array(host), names => {
			const list = Hostlist.from(names);
			t.deepEqual(Hostlist.parse(list.toString()).hosts, names);
			t.deepEqual([...list.sort()].sort(), [...names].sort());
			t.deepEqual(Hostlist.parse(list.sort().toString()).hosts, list.sort().hosts);
			t.deepEqual([...list.uniq()].sort(), [...new Set(names)].sort());
		}),
	);
});
