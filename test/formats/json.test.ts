/** Goal: no bit of an integer is lost, and in all else this is the JSON of the language. */
import test from 'ava';
import fc from 'fast-check';
import {parseJson, Real, stringifyJson} from '../../src/formats/json.ts';

/** Values as `parseJson` gives them: an integer is a BigInt exactly when no number holds it. */
const {value: jsonValue} = fc.letrec<{value: unknown}>(tie => ({
	value: fc.oneof(
		{maxDepth: 4},
		fc.constantFrom(null, true, false),
		fc
			.double({noDefaultInfinity: true, noNaN: true})
			.filter(n => !Object.is(n, -0) && (Number.isSafeInteger(n) || !Number.isInteger(n))),
		fc
			.bigInt({min: -(2n ** 70n), max: 2n ** 70n})
			.map(n => (Number.isSafeInteger(Number(n)) ? Number(n) : n)),
		fc.string({
			unit: fc.constantFrom('\0', 'n', 's', '"', '\\', '1', ':', '9007199254740993', 'ƒ', ' ', '\n'),
		}),
		fc.array(tie('value'), {maxLength: 4}),
		fc.dictionary(fc.constantFrom('\0n1', '\0s', 'a', '9007199254740993', '__proto__', '"'), tie('value'), {
			maxKeys: 3,
			noNullPrototype: true,
		}),
	),
}));

test('integers beyond 2^53 are read exactly, others stay numbers', t => {
	t.is(parseJson('14495537038360583'), 14495537038360583n);
	t.is(parseJson('-18446744073709551615'), -18446744073709551615n);
	t.is(parseJson('9007199254740991'), 9007199254740991);
	t.is(parseJson('9007199254740992'), 9007199254740992n);
	t.is(parseJson('1700501129.0455660001'), Number('1700501129.0455660001'));
	t.is(parseJson('12345678901234567890e2'), Number('12345678901234567890e2'));
	t.deepEqual(parseJson(' {"id" : 14495537038360583 , "s":"14495537038360583"} '), {
		id: 14495537038360583n,
		s: '14495537038360583',
	});
	t.deepEqual(parseJson('[14495537038360583,-1,"\\u0000n5","\\u0000s"]'), [
		14495537038360583n,
		-1,
		'\0n5',
		'\0s',
	]);
	t.deepEqual(parseJson('{"\\u0000n14495537038360583":14495537038360583}'), {
		'\0n14495537038360583': 14495537038360583n,
	});
});

test('a BigInt prints as an integer, a Real with a fraction', t => {
	t.is(stringifyJson({id: 14495537038360583n, n: -1n}), '{"id":14495537038360583,"n":-1}');
	t.is(stringifyJson([new Real(5), new Real(-0.5), new Real(1e21), new Real(0)]), '[5.0,-0.5,1e+21,0.0]');
});

test('what is no JSON is refused, also around large integers', t => {
	const big = '12345678901234567890';
	const bad = [
		'',
		'{',
		'01',
		'nul',
		`{${big}:1}`,
		`0${big}`,
		`${big}"a"`,
		`${big} ${big}`,
		`--${big}`,
		`[${big},]`,
	];
	for (const text of bad) t.throws(() => parseJson(text), {code: 'EINVAL', message: /^invalid JSON: /}, text);
});

test('deep nesting ends in an error, not in a crash', t => {
	const deep = `${'['.repeat(200_000)}12345678901234567890${']'.repeat(200_000)}`;
	t.throws(() => parseJson(deep), {code: 'EINVAL'});
});

test('every value survives', t => {
	fc.assert(
		fc.property(jsonValue, value => {
			t.deepEqual(parseJson(stringifyJson(value)), value);
		}),
		{numRuns: 500},
	);
});

test('without large integers it reads and writes what JSON does', t => {
	fc.assert(
		fc.property(fc.jsonValue(), value => {
			const text = JSON.stringify(value);
			t.is(stringifyJson(value), text);
			const spaced = JSON.stringify(value, null, 2);
			const numbers = JSON.stringify(parseJson(spaced), (_key, v: unknown) =>
				typeof v === 'bigint' ? Number(v) : v,
			);
			t.is(numbers, JSON.stringify(JSON.parse(spaced)));
		}),
	);
	const odd = {
		a: undefined,
		b: [undefined, () => 1],
		c: Infinity,
		d: new Date(0),
		e: {toJSON: (key: string) => key},
	};
	t.is(stringifyJson(odd), JSON.stringify(odd));
	t.is(stringifyJson(Number.NaN), 'null');
});
