/** Goal: messages come back as they were sent; bytes that are no message are refused by name, and crash nothing. */
import test from 'ava';
import {encode} from '@msgpack/msgpack';
import fc from 'fast-check';
import {SystemError} from '../../src/formats/errno.ts';
import {encodeFrame} from '../../src/net/frame.ts';
import {
	decodeMessage,
	encodeMessage,
	NODEID_ANY,
	serviceOf,
	type Message,
	type Request,
	type Response,
} from '../../src/net/message.ts';

const u32 = fc.oneof(
	fc.integer({min: 0, max: 0xffff_ffff}),
	fc.constantFrom(0, 127, 128, 255, 256, 65535, 65536, 0xffff_ffff),
);
const word = fc.stringMatching(/^[a-z0-9_-]{1,20}$/);
const topic = fc.tuple(word, word).map(([service, method]) => `${service}.${method}`);
const route = fc.array(fc.oneof(word, fc.constant('ƒkRfastb')), {maxLength: 64});
const payload = fc.uint8Array({maxLength: 100}).map(bytes => Buffer.from(bytes));
const credentials = {userid: u32, rolemask: u32};
const message: fc.Arbitrary<Message> = fc.oneof(
	fc
		.record({
			...credentials,
			type: fc.constant('request' as const),
			topic,
			matchtag: fc.integer({min: 1, max: 0xffff_ffff}),
			nodeid: u32,
			upstream: fc.boolean(),
			streaming: fc.boolean(),
			noresponse: fc.boolean(),
			route,
			deadlineMs: fc.option(u32),
			payload,
		})
		.map(request => (request.noresponse ? {...request, streaming: false, matchtag: 0} : request)),
	fc.record({
		...credentials,
		type: fc.constant('response' as const),
		topic,
		matchtag: fc.integer({min: 1, max: 0xffff_ffff}),
		errnum: fc.integer({min: 0, max: 4095}),
		streaming: fc.boolean(),
		route,
		payload,
	}),
	fc.record({
		...credentials,
		type: fc.constant('event' as const),
		topic: word,
		sequence: fc.maxSafeNat(),
		payload,
	}),
	fc.record({
		type: fc.constant('control' as const),
		controlType: fc.integer({min: 0, max: 255}),
		status: u32,
		payload,
	}),
);

const REQUEST: Request = {
	type: 'request',
	topic: 'kvs.lookup',
	matchtag: 1,
	nodeid: NODEID_ANY,
	upstream: false,
	streaming: false,
	noresponse: false,
	userid: 1000,
	rolemask: 1,
	route: [],
	deadlineMs: 30_000,
	payload: Buffer.alloc(0),
};
const RESPONSE: Response = {
	type: 'response',
	topic: 'kvs.lookup',
	matchtag: 1,
	errnum: 0,
	streaming: false,
	userid: 1000,
	rolemask: 1,
	route: [],
	payload: Buffer.alloc(0),
};

test('every message comes back as it was sent', t => {
	const types = new Set<string>();
	fc.assert(
		fc.property(message, sent => {
			types.add(sent.type);
			t.deepEqual(decodeMessage(encodeMessage(sent)), sent);
		}),
	);
	t.is(types.size, 4);
});

test('a decoded payload is a view of its frame, not a copy', t => {
	const frame = encodeMessage({...REQUEST, payload: Buffer.from('abc')});
	t.is(decodeMessage(frame).payload.buffer, frame.buffer);
});

/** Decodes, and lets only the errors through that a link may end with. */
function judge(frame: Uint8Array): Message | SystemError {
	try {
		return decodeMessage(frame);
	} catch (error) {
		if (!(error instanceof SystemError)) throw error;
		if (!['EPROTO', 'EMSGSIZE', 'EPROTONOSUPPORT'].includes(error.code)) throw error;
		return error;
	}
}

test('random, cut, lengthened and bit-flipped frames are refused or decoded within bounds', t => {
	// A million in a long run: COPPICE_FUZZ_RUNS=1000000.
	const numRuns = Number(process.env['COPPICE_FUZZ_RUNS'] ?? 2000);
	let refused = 0;
	let decoded = 0;
	const look = (frame: Uint8Array) => {
		const result = judge(frame);
		if (result instanceof SystemError) refused += 1;
		else {
			decoded += 1;
			encodeMessage(result); // Checks every bound once more.
		}
	};
	const damage = fc.tuple(message, fc.nat(), fc.integer({min: 1, max: 255}), fc.uint8Array({maxLength: 20}));
	fc.assert(
		fc.property(damage, ([sent, at, mask, extra]) => {
			const frame = encodeMessage(sent);
			const flipped = Buffer.from(frame);
			flipped[at % frame.length]! ^= mask;
			look(flipped);
			look(frame.subarray(0, at % frame.length));
			look(Buffer.concat([frame, extra]));
			look(extra);
			// With true lengths, so that the fault lies in the header.
			look(encodeFrame(extra.length === 0 ? Buffer.from([0x90]) : extra, frame));
			const header = frame.subarray(6, 6 + frame.readUInt16BE(4));
			look(
				encodeFrame(
					Buffer.concat([header.subarray(0, at % header.length), extra, Buffer.from([mask])]),
					extra,
				),
			);
		}),
		{numRuns},
	);
	t.true(refused > numRuns * 3 && decoded > numRuns / 10, `${refused} refused, ${decoded} decoded`);
});

const malformed = test.macro((t, header: unknown, expected: RegExp, code: string = 'EPROTO') => {
	t.throws(() => decodeMessage(encodeFrame(encode(header), Buffer.alloc(0))), {code, message: expected});
});

const U32 = 0xffff_ffff;
const good = [1, 1, 0, 'a.b', 1, U32, 0, 0, [], null];
const withField = (index: number, value: unknown) => good.map((field, at) => (at === index ? value : field));

test('the pattern of these tests is a good header', t => {
	t.is(decodeMessage(encodeFrame(encode(good), Buffer.alloc(0))).type, 'request');
});
test('no array', malformed, 'text', /header is not an array/);
test('an empty array', malformed, [], /version is cut off/);
test('too many fields', malformed, new Array(11).fill(0), /header has 11 elements, the limit is 10/);
test('a field missing', malformed, good.slice(0, 9), /header has 9 fields, not 10/);
test('another version', malformed, withField(0, 2), /message version 2 is not supported/, 'EPROTONOSUPPORT');
test('an unknown type', malformed, withField(1, 3), /type is 3/);
test('an unknown flag', malformed, withField(2, 0x80), /flags are 128/);
test('an empty topic', malformed, withField(3, ''), /topic is empty/);
test('a topic without a method', malformed, withField(3, 'a'), /not service\.method/);
test('a topic ending in a dot', malformed, withField(3, 'a.'), /not service\.method/);
test('a topic with a space', malformed, withField(3, 'a b.c'), /topic contains the byte 32/);
test(
	'a topic too long',
	malformed,
	withField(3, `a.${'b'.repeat(254)}`),
	/topic has 256 bytes, the limit is 255/,
);
test('a topic that is a number', malformed, withField(3, 7), /topic is not a string/);
test('a topic that is not UTF-8', t => {
	const header = Buffer.from(encode(withField(3, 'a.bé')));
	header[header.indexOf(0xc3)] = 0xff;
	t.throws(() => decodeMessage(encodeFrame(header, Buffer.alloc(0))), {
		code: 'EPROTO',
		message: /topic is not UTF-8/,
	});
});
test('matchtag 0 that wants a response', malformed, withField(4, 0), /matchtag is 0/);
test('a negative matchtag', malformed, withField(4, -1), /matchtag is not an unsigned integer/);
test('a fractional matchtag', malformed, withField(4, 1.5), /matchtag is not an unsigned integer/);
test('a nodeid beyond 32 bits', malformed, withField(5, 2 ** 33), /nodeid is 8589934592/);
test('noresponse with a matchtag', malformed, withField(2, 4), /matchtag is not 0/);
test(
	'noresponse and streaming',
	malformed,
	withField(2, 0x44).map((field, at) => (at === 4 ? 0 : field)),
	/exclude each other/,
);
test('a route that is no array', malformed, withField(8, 'x'), /route is not an array/);
test(
	'a route of 65 hops',
	malformed,
	withField(8, new Array(65).fill('x')),
	/route has 65 elements, the limit is 64/,
);
test('a hop too long', malformed, withField(8, ['x'.repeat(65)]), /hop has 65 bytes/);
test('an empty hop', malformed, withField(8, ['']), /hop is empty/);
test('a deadline that is a text', malformed, withField(9, 'x'), /deadline is not an unsigned integer/);
test(
	'a response with matchtag 0',
	malformed,
	[1, 2, 0, 'a.b', 0, 0, 0, 0, []],
	/matchtag of a response is 0/,
);
test('an errnum beyond 4095', malformed, [1, 2, 0, 'a.b', 1, 4096, 0, 0, []], /errnum is 4096/);
test('bytes after the header', t => {
	const header = Buffer.concat([encode(good), Buffer.from([0])]);
	t.throws(() => decodeMessage(encodeFrame(header, Buffer.alloc(0))), {
		code: 'EPROTO',
		message: /header has 1 bytes too many/,
	});
});

test('a sender is refused what a receiver would refuse', t => {
	const refused = (bad: Message, expected: RegExp) =>
		t.throws(() => encodeMessage(bad), {code: 'EINVAL', message: expected});
	refused({...REQUEST, topic: 'nodot'}, /service\.method/);
	refused({...REQUEST, topic: 'a b.c'}, /spaces/);
	refused({...REQUEST, topic: `a.${'b'.repeat(254)}`}, /256 bytes/);
	refused({...REQUEST, matchtag: 0}, /matchtag is 0/);
	refused({...REQUEST, nodeid: -1}, /nodeid is -1/);
	refused({...REQUEST, deadlineMs: 0.5}, /deadline is 0.5/);
	refused({...REQUEST, route: new Array<string>(65).fill('x')}, /65 hops/);
	refused({...REQUEST, route: ['x'.repeat(65)]}, /hop has 65 bytes/);
	refused({...RESPONSE, matchtag: 0}, /matchtag of a response/);
	refused({...RESPONSE, errnum: 5000}, /errnum is 5000/);
	t.throws(() => encodeMessage({...REQUEST, payload: Buffer.alloc(17_000_000)}), {code: 'EMSGSIZE'});
});

test('a service is what stands before the last dot', t => {
	t.is(serviceOf('job-manager.kill'), 'job-manager');
	t.is(serviceOf('0-shell-f.x.y'), '0-shell-f.x');
	t.is(serviceOf('none'), '');
});
