/** Goal: values come back equal or are refused; no bytes of a peer make the decoder crash or allocate beyond them. */
import test from 'ava';
import {encode} from '@msgpack/msgpack';
import fc from 'fast-check';
import {errnumOf, SystemError} from '../../src/formats/errno.ts';
import {
	decodeError,
	decodePayload,
	encodeErrorText,
	encodePayload,
	PAYLOAD_DEPTH_MAX,
} from '../../src/net/payload.ts';

const value = fc.letrec(tie => ({
	value: fc.oneof(
		{maxDepth: 5},
		fc.constant(null),
		fc.boolean(),
		fc.integer(),
		fc.double({noNaN: true, noDefaultInfinity: true}).map(number => number + 0), // JSON has no -0.
		fc.bigInt({min: 0n, max: 0xffff_ffff_ffff_ffffn}),
		fc.bigInt({min: -0x8000_0000_0000_0000n, max: -1n}),
		fc.string({unit: 'grapheme', maxLength: 80}),
		fc.array(tie('value'), {maxLength: 20}),
		fc.dictionary(
			fc.string({maxLength: 40}).filter(key => key !== '__proto__'),
			tie('value'),
			{
				maxKeys: 20,
				noNullPrototype: true,
			},
		),
	),
})).value;

test('every value that JSON can carry comes back equal, and 64-bit integers as BigInt', t => {
	fc.assert(fc.property(value, sent => t.deepEqual(decodePayload(encodePayload(sent)), sent)));
});

test('no value is no payload', t => {
	t.is(encodePayload(undefined).length, 0);
	t.is(decodePayload(new Uint8Array(0)), undefined);
});

test('raw bytes are carried as the whole value only', t => {
	for (const length of [0, 3, 300, 70_000]) {
		const bytes = new Uint8Array(length).fill(7);
		t.deepEqual(new Uint8Array(decodePayload(encodePayload(bytes)) as Uint8Array), bytes);
	}
	t.throws(() => encodePayload({data: new Uint8Array(1)}), {code: 'EINVAL', message: /Uint8Array/});
	t.throws(() => decodePayload(encode([new Uint8Array(1)])), {
		code: 'EPROTO',
		message: /bytes within a value/,
	});
});

class Plain {
	readonly x = 1;
}

const lossy: [string, unknown, RegExp][] = [
	['undefined in an object', {a: {b: undefined}}, /carry b: it is undefined/],
	['undefined in an array', [1, undefined], /carry \[1\]: it is undefined/],
	['a hole in an array', new Array(2), /carry \[0\]: it is undefined/],
	['a Map', new Map([[1, 2]]), /a Map/],
	['a nested Set', {a: [new Set([1])]}, /a Set/],
	['a Date', new Date(0), /a Date/],
	['a class instance', new Plain(), /a Plain/],
	['NaN', {a: NaN}, /carry a: it is NaN/],
	['Infinity', Infinity, /it is Infinity/],
	['a function', {a: () => 1}, /carry a: it is function/],
	['a symbol', [Symbol('x')], /it is symbol/],
	['a bigint beyond 64 bits', {a: 2n ** 64n}, /more than 64 bits/],
	['a negative bigint beyond 64 bits', -(2n ** 63n) - 1n, /more than 64 bits/],
];
for (const [title, bad, message] of lossy) {
	test(`${title} is refused, not lost`, t => {
		t.throws(() => encodePayload(bad), {code: 'EINVAL', message});
	});
}

test('a value nested too deep is refused on both sides, and the deepest passes', t => {
	const nest = (depth: number) => {
		let nested: unknown = 1;
		for (let level = 0; level < depth; level++) nested = [nested];
		return nested;
	};
	t.deepEqual(decodePayload(encodePayload(nest(PAYLOAD_DEPTH_MAX))), nest(PAYLOAD_DEPTH_MAX));
	t.throws(() => encodePayload(nest(PAYLOAD_DEPTH_MAX + 1)), {code: 'EINVAL', message: /deep/});
	t.throws(() => decodePayload(encode(nest(PAYLOAD_DEPTH_MAX + 1))), {
		code: 'EPROTO',
		message: /deeper than 64/,
	});
	t.throws(() => decodePayload(Buffer.alloc(1_000_000, 0x91)), {code: 'EPROTO', message: /deeper than 64/});
});

const malformed = test.macro((t, hex: string, message: RegExp) => {
	t.throws(() => decodePayload(Buffer.from(hex.replaceAll(' ', ''), 'hex')), {code: 'EPROTO', message});
});

test('bytes after the value', malformed, '01 02', /1 bytes too many/);
test('a cut text', malformed, 'a3 61 62', /cut off/);
test('a cut integer', malformed, 'cf 00 00', /cut off/);
test('an array longer than its bytes', malformed, 'dd ffffffff 01', /cut off/);
test('an object longer than its bytes', malformed, 'df ffffffff a1 61 01', /no string|cut off/);
test('a key that is a number', malformed, '81 01 02', /key that is no string/);
test('a text that is not UTF-8', malformed, 'a2 c3 28', /not UTF-8/);
test('an extension', malformed, 'd6 ff 00000000', /type byte 0xd6/);
test('the unused type byte', malformed, 'c1', /type byte 0xc1/);
test('a NaN from a peer', malformed, 'cb 7ff8000000000000', /number NaN/);
test('the key __proto__', malformed, '81 a9 5f5f70726f746f5f5f 01', /__proto__/);

test('a claimed count makes nobody allocate', t => {
	const claim = Buffer.concat([Buffer.from('dd01000000', 'hex'), Buffer.alloc(1000, 0xc0)]);
	const before = process.memoryUsage().heapUsed;
	for (let count = 0; count < 100; count++) t.throws(() => decodePayload(claim), {code: 'EPROTO'});
	t.true(process.memoryUsage().heapUsed - before < 50_000_000);
});

test('random and damaged payloads give a value or EPROTO', t => {
	const numRuns = Number(process.env['COPPICE_FUZZ_RUNS'] ?? 2000);
	let values = 0;
	const look = (bytes: Uint8Array) => {
		try {
			decodePayload(bytes);
			values += 1;
		} catch (error) {
			if (!(error instanceof SystemError) || error.code !== 'EPROTO') throw error;
		}
	};
	fc.assert(
		fc.property(
			value,
			fc.nat(),
			fc.integer({min: 1, max: 255}),
			fc.uint8Array({maxLength: 40}),
			(sent, at, mask, junk) => {
				const bytes = Buffer.from(encodePayload(sent));
				look(bytes.subarray(0, at % (bytes.length + 1)));
				look(junk);
				bytes[at % bytes.length]! ^= mask;
				look(bytes);
			},
		),
		{numRuns},
	);
	t.true(values > numRuns / 10);
});

test('an error carries its text, or strerror says it', t => {
	const round = (error: SystemError) => decodeError(error.errnum, encodeErrorText(error.message));
	t.is(String(round(new SystemError('ENOENT', 'job ƒ1 is unknown'))), 'ENOENT: job ƒ1 is unknown');
	t.is(String(decodeError(errnumOf('EHOSTUNREACH'), new Uint8Array(0))), 'EHOSTUNREACH: No route to host');
	t.is(String(decodeError(55, Buffer.from('odd'))), 'EIO: odd (errno 55)');
	t.is(encodeErrorText('x'.repeat(100_000)).length, 65_536);
});
