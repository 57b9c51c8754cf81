/** Goal: ids read and print as Flux's do, and the generator only ascends, whatever its clock does. */
import test from 'ava';
import fc from 'fast-check';
import type {JobIdForm} from '../../src/formats/jobid.ts';
import {
	decodeJobid,
	encodeJobid,
	JOBID_FORMS,
	JOBID_MAX,
	JOBID_RANK_MAX,
	JOBID_TIME_MS_MAX,
	jobidParts,
	nextJobid,
} from '../../src/formats/jobid.ts';

const F58: readonly (readonly [bigint, string])[] = [
	[0n, '1'],
	[1n, '2'],
	[57n, 'z'],
	[1234n, 'NH'],
	[1888n, 'ZZ'],
	[3363n, 'zz'],
	[3364n, '211'],
	[4369n, '2JL'],
	[65535n, 'LUv'],
	[4294967295n, '7YXq9G'],
	[633528662n, 'xyzzy'],
	[6731191091817518n, 'uZZybuNNy'],
	[JOBID_MAX - 1n, 'jpXCZedGfVP'],
	[JOBID_MAX, 'jpXCZedGfVQ'],
];

test('every vector of RFC 19 encodes to its F58 text and decodes back', t => {
	for (const [id, digits] of F58) {
		t.is(encodeJobid(id, 'f58'), `ƒ${digits}`);
		t.is(encodeJobid(id, 'f58plain'), `f${digits}`);
		t.is(decodeJobid(`ƒ${digits}`), id);
		t.is(decodeJobid(`f${digits}`), id);
	}
	t.is(decodeJobid('f111'), 0n);
	t.is(decodeJobid(`f${'1'.repeat(30)}2`), 1n);
});

test('one id has the documented text in each form and the documented parts', t => {
	const id = 6731191091817518n;
	t.is(encodeJobid(id, 'dec'), '6731191091817518');
	t.is(encodeJobid(id, 'hex'), '0x17e9fb8df16c2e');
	t.is(encodeJobid(id, 'dothex'), '0017.e9fb.8df1.6c2e');
	t.is(encodeJobid(id, 'kvs'), 'job.0017.e9fb.8df1.6c2e');
	t.deepEqual(jobidParts(id), {timeMs: 401210253, generator: 15451, sequence: 46});
});

test('dotted, hexadecimal and padded texts decode', t => {
	t.is(decodeJobid('1.2.3.4'), 281483566841860n);
	t.is(decodeJobid('a.b.c.d'), 2814797012533261n);
	t.is(decodeJobid('0.0.0.ffff'), 65535n);
	t.is(decodeJobid(' 0xffff   '), 65535n);
	t.is(decodeJobid('1653142978560'), decodeJobid('fkRfastb'));
});

test('what is no job id is refused with EINVAL, and what is too large with ERANGE', t => {
	const bad = ['', 'f', 'boo', '-1', 'flux', 'f1230', 'f0', 'fO', 'fI', 'fl', 'x1', 'aaa', '0x', '1 2', '1a'];
	bad.push('0.0.0', '0.0.0.0.0', '0.0.0.g', '0.0.0.', '.0.0.0', '00000.0.0.0', 'job.1', '🦄');
	bad.push('foo-bar-baz--qux-quux-corge');
	for (const text of bad)
		t.throws(() => decodeJobid(text), {code: 'EINVAL', message: /^invalid job id "/}, text);
	const large = ['18446744073709551616', '0x10000000000000000', 'fjpXCZedGfVR', `f${'z'.repeat(1000)}`];
	for (const text of [...large, '9'.repeat(5000)]) t.throws(() => decodeJobid(text), {code: 'ERANGE'});
});

test('emoji and words are those of RFC 19', t => {
	const emoji: readonly (readonly [bigint, string])[] = [
		[0n, '😃'],
		[1n, '😄'],
		[57n, '🙊'],
		[1234n, '😁👌'],
		[65535n, '💁📚'],
	];
	for (const [id, text] of emoji) {
		t.is(encodeJobid(id, 'emoji'), text);
		t.is(decodeJobid(text), id);
	}
	t.is(decodeJobid('😃😃😄'), 1n);
	// The RFC does not tell which ids its examples are: what they must do is read, and print again.
	for (const text of ['🚹💂🙌😳💱🏃', '😄😹🎇📥🏧🙉🔞', '🚹💂🈳💰🎩🏃'])
		t.is(encodeJobid(decodeJobid(text), 'emoji'), text);
	const words = ['reform-remote-galileo--heart-package-academy', 'random-idea-yoyo--sugar-printer-academy'];
	for (const text of words) t.is(encodeJobid(decodeJobid(text), 'words'), text);
	t.is(encodeJobid(0n, 'words'), 'academy-academy-academy--academy-academy-academy');
	t.is(decodeJobid('Academy-acrobat-academy--academy-academy-academy'), 1626n);
});

test('words and emoji that are no job id are refused with the reason', t => {
	t.throws(() => decodeJobid('bogus-bogus'), {code: 'EINVAL', message: /'bogus' is none of the words/});
	t.throws(() => decodeJobid('academy-academy'), {code: 'EINVAL', message: /six words/});
	t.throws(() => decodeJobid('😃🦄'), {code: 'EINVAL', message: /none of the emoji/});
	t.throws(() => decodeJobid('📚'.repeat(8)), {code: 'ERANGE'});
	t.throws(() => decodeJobid('amen-amen-amen--academy-academy-academy'), {
		code: 'EINVAL',
		message: /exceed 32 bits/,
	});
	t.throws(() => encodeJobid(-1n, 'dec'), {code: 'ERANGE'});
	t.throws(() => encodeJobid(JOBID_MAX + 1n, 'f58'), {code: 'ERANGE'});
});

test('every id survives every form', t => {
	fc.assert(
		fc.property(fc.bigInt(0n, JOBID_MAX), fc.constantFrom<JobIdForm>(...JOBID_FORMS), (id, form) => {
			t.is(decodeJobid(encodeJobid(id, form)), id);
		}),
	);
});

test('the generator ascends strictly whatever the clock and the ranks do', t => {
	const step = fc.record({
		nowMs: fc.double({min: -10, max: 50, noNaN: true}),
		rank: fc.integer({min: 0, max: 3}),
	});
	fc.assert(
		fc.property(fc.array(step, {maxLength: 50}), fc.integer({min: 0, max: 1023}), (steps, sequence) => {
			let last = (20n << 24n) | (1n << 10n) | BigInt(sequence);
			for (const {nowMs, rank} of steps) {
				const next = nextJobid(last, nowMs, rank);
				t.true(next > last);
				t.is(jobidParts(next).generator, rank);
				t.true(jobidParts(next).timeMs >= Math.floor(nowMs));
				last = next;
			}
		}),
	);
	t.true(nextJobid(0n, 0, 0) > 0n);
});

test('a full sequence takes the next millisecond, a new millisecond starts at 0', t => {
	const full = (5n << 24n) | (2n << 10n) | 1023n;
	t.deepEqual(jobidParts(nextJobid(full, 5, 2)), {timeMs: 6, generator: 2, sequence: 0});
	t.deepEqual(jobidParts(nextJobid(full - 1n, 3, 2)), {timeMs: 5, generator: 2, sequence: 1023});
	t.deepEqual(jobidParts(nextJobid(full, 5, 3)), {timeMs: 5, generator: 3, sequence: 0});
	t.deepEqual(jobidParts(nextJobid(full, 5, 1)), {timeMs: 6, generator: 1, sequence: 0});
	t.deepEqual(jobidParts(nextJobid(full, 9.7, 2)), {timeMs: 9, generator: 2, sequence: 0});
});

test('the generator refuses reserved ranks and the end of time', t => {
	t.throws(() => nextJobid(0n, 1, JOBID_RANK_MAX + 1), {message: /rank/});
	t.throws(() => nextJobid(0n, Number.NaN, 0), {message: /time/});
	t.throws(() => nextJobid(0n, JOBID_TIME_MS_MAX + 1, 0), {code: 'EOVERFLOW'});
	t.notThrows(() => nextJobid(0n, JOBID_TIME_MS_MAX, 0));
});
