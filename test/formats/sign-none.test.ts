import {Buffer} from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import {unwrapSigned, wrapSigned} from '../../src/formats/sign-none.ts';

const base64 = (text: string | Uint8Array) => Buffer.from(text as string).toString('base64');
const HEADER = 'version\0i1\0userid\0i0\0mechanism\0snone\0';

test('the header of user 0 is that of Flux', t => {
	t.is(wrapSigned(0, '{}'), 'dmVyc2lvbgBpMQB1c2VyaWQAaTAAbWVjaGFuaXNtAHNub25lAA==.e30=.none');
	t.deepEqual(unwrapSigned(`${base64('mechanism\0snone\0userid\0i7\0version\0i1\0')}.e30=.none`), {
		userid: 7,
		payload: '{}',
	});
});

test('every payload survives', t => {
	const payload = fc.string({unit: 'grapheme'}).filter(text => !text.includes('\0'));
	fc.assert(
		fc.property(fc.integer({min: 0, max: 2 ** 32 - 2}), payload, (userid, text) => {
			t.deepEqual(unwrapSigned(wrapSigned(userid, text)), {userid, payload: text});
		}),
	);
	t.is(unwrapSigned(wrapSigned(1, '\ufeff{}')).payload, '\ufeff{}');
});

test('a damaged or foreign wrapper is refused with the reason', t => {
	const header = (text: string) => `${base64(text)}.e30=.none`;
	const cases: readonly (readonly [string, RegExp])[] = [
		['', /not of the form/],
		['a.b', /not of the form/],
		[`${base64(HEADER)}.e30=.none.x`, /not of the form/],
		[`${base64(HEADER)}.e30=.munge`, /other than none/],
		[`${base64(HEADER)}.e30.none`, /payload is not padded base64/],
		[`${base64(HEADER)}.e3 =.none`, /payload is not padded base64/],
		[`${base64(HEADER)}.${base64(Uint8Array.of(0xff))}.none`, /payload is not UTF-8/],
		[`${base64(HEADER)}.${base64('a\0')}.none`, /NUL/],
		['!!!!.e30=.none', /header is not padded base64/],
		[header(HEADER.slice(0, -1)), /damaged header/],
		[header(`${HEADER}x\0`), /damaged header/],
		[header(`${HEADER}x\0sy\0`), /unknown key "x"/],
		[header(`${HEADER}userid\0i1\0`), /userid is in the header twice/],
		[header(HEADER.replace('i1', 'i2')), /version is not 1/],
		[header(HEADER.replace('snone', 'smunge')), /mechanism is not none/],
		[header(HEADER.replace('i0', 'i-1')), /userid is no user id/],
		[header(HEADER.replace('i0', 'i4294967295')), /userid is no user id/],
		[header('version\0i1\0mechanism\0snone\0'), /userid is no user id/],
	];
	for (const [text, reason] of cases) {
		const error = t.throws(() => unwrapSigned(text), {code: 'EINVAL', message: reason}, text);
		t.true(error?.message.startsWith('could not unwrap jobspec: '));
	}
	t.throws(() => wrapSigned(-1, ''), {message: /no user id/});
});

test('what is not padded base64 of the usual alphabet is refused, whatever the decoder makes of it', t => {
	const unit = fc.constantFrom(...'AZaz09+/=-_ \n\0!\u0141\u2603');
	const four = fc.string({unit, minLength: 4, maxLength: 4});
	fc.assert(
		fc.property(
			fc.oneof(
				fc.string({unit}),
				fc.array(four).map(parts => parts.join('')),
			),
			text => {
				const isBase64 = text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
				const read = () => unwrapSigned(`${base64(HEADER)}.${text}.none`);
				try {
					read();
					t.true(isBase64, text);
				} catch (error) {
					t.is(/not padded base64/.test((error as Error).message), !isBase64, text);
				}
			},
		),
		{numRuns: 20_000},
	);
});
