/** Goal: any split of a byte stream gives the same frames, and no bytes of a peer do harm. */
import test from 'ava';
import fc from 'fast-check';
import {Deframer, encodeFrame, headerEnd} from '../../src/net/frame.ts';
import {FRAME_BYTES_MAX} from '../../src/ports/transport.ts';

const bytes = (min: number, max: number) => fc.uint8Array({minLength: min, maxLength: max});

function take(deframer: Deframer, chunk: Uint8Array): Buffer[] {
	const frames: Buffer[] = [];
	deframer.feed(chunk);
	for (let frame = deframer.next(); frame !== null; frame = deframer.next()) frames.push(Buffer.from(frame));
	return frames;
}

test('a frame is length, header length, header, payload', t => {
	t.is(
		encodeFrame(Buffer.from('abc'), Buffer.from('xyzxy')).toString('hex'),
		'0000000a' + '0003' + '616263' + '78797a7879',
	);
});

test('whatever the chunks, the same frames come out', t => {
	fc.assert(
		fc.property(
			fc.array(fc.tuple(bytes(1, 40), bytes(0, 300)), {maxLength: 10}),
			fc.array(fc.integer({min: 1, max: 500})),
			(parts, cuts) => {
				const frames = parts.map(([header, payload]) => encodeFrame(header, payload));
				const stream = Buffer.concat(frames);
				const deframer = new Deframer();
				const received: Buffer[] = [];
				let offset = 0;
				for (let index = 0; offset < stream.length; index++) {
					const end = offset + (cuts[index % Math.max(1, cuts.length)] ?? 1);
					received.push(...take(deframer, stream.subarray(offset, end)));
					offset = end;
				}
				t.deepEqual(received, frames);
				t.is(deframer.partialBytes, 0);
			},
		),
	);
});

test('a long frame in one-byte pieces costs linear time', t => {
	const time = (sizeBytes: number) => {
		const frame = encodeFrame(Buffer.from([0x90]), Buffer.alloc(sizeBytes));
		const deframer = new Deframer();
		const start = performance.now();
		let count = 0;
		for (const byte of frame) count += take(deframer, Buffer.from([byte])).length;
		t.is(count, 1);
		return performance.now() - start;
	};
	time(100_000);
	const small = time(100_000);
	const large = time(800_000);
	t.true(large < small * 8 * 8, `${small} ms for 100 kB, ${large} ms for 800 kB`);
});

test('the length of a frame alone makes nobody allocate it', t => {
	const deframer = new Deframer();
	const head = Buffer.alloc(6);
	head.writeUInt32BE(FRAME_BYTES_MAX - 4, 0);
	head.writeUInt16BE(1, 4);
	const before = process.memoryUsage().arrayBuffers;
	t.deepEqual(take(deframer, Buffer.concat([head, Buffer.alloc(100)])), []);
	t.true(process.memoryUsage().arrayBuffers - before < 1_000_000);
	t.is(deframer.partialBytes, 106);
});

test('taking frames can stop and go on later', t => {
	const deframer = new Deframer();
	const frame = encodeFrame(Buffer.from([1]), Buffer.from([2]));
	deframer.feed(Buffer.concat([frame, frame]));
	t.deepEqual(deframer.next(), frame);
	t.is(deframer.partialBytes, frame.length);
	t.throws(() => deframer.feed(frame), {message: /not used up/});
	t.deepEqual(deframer.next(), frame);
	t.is(deframer.next(), null);
});

const fault = test.macro((t, hex: string, code: string, message: RegExp) => {
	t.throws(() => take(new Deframer(), Buffer.from(hex, 'hex')), {code, message});
	for (let cut = 1; cut < 6; cut++) {
		const deframer = new Deframer();
		take(deframer, Buffer.from(hex, 'hex').subarray(0, cut));
		t.throws(() => take(deframer, Buffer.from(hex, 'hex').subarray(cut)), {code, message});
	}
});

test(
	'too long is EMSGSIZE',
	fault,
	'00fffffd0001',
	'EMSGSIZE',
	/frame of 16777217 bytes exceeds FRAME_BYTES_MAX \(16777216\)/,
);
test('far too long is EMSGSIZE', fault, 'ffffffffffff', 'EMSGSIZE', /frame of 4294967299 bytes/);
test(
	'no room for a header is EPROTO',
	fault,
	'000000020000',
	'EPROTO',
	/frame of 6 bytes has no room for a header/,
);
test('no room for the lengths is EPROTO', fault, '000000000000', 'EPROTO', /frame of 4 bytes has no room/);
test('an empty header is EPROTO', fault, '000000030000ff', 'EPROTO', /header of 0 bytes/);
test(
	'a header beyond its frame is EPROTO',
	fault,
	'000000040003ffff',
	'EPROTO',
	/header of 3 bytes does not fit into a frame of 8/,
);

test('the largest frame passes, and one byte more is refused by its sender', t => {
	const header = Buffer.from([0x90]);
	const largest = encodeFrame(header, Buffer.alloc(FRAME_BYTES_MAX - 7));
	t.is(take(new Deframer(), largest)[0]!.length, FRAME_BYTES_MAX);
	t.throws(() => encodeFrame(header, Buffer.alloc(FRAME_BYTES_MAX - 6)), {code: 'EMSGSIZE'});
	t.throws(() => encodeFrame(Buffer.alloc(65_536), Buffer.alloc(0)), {
		code: 'EMSGSIZE',
		message: /header of 65536/,
	});
});

test('headerEnd refuses what is not exactly one frame', t => {
	const frame = encodeFrame(Buffer.from([1, 2]), Buffer.from([3]));
	t.is(headerEnd(frame), 8);
	t.throws(() => headerEnd(Buffer.concat([frame, frame])), {
		code: 'EPROTO',
		message: /18 bytes says it has 9/,
	});
	t.throws(() => headerEnd(frame.subarray(0, 5)), {code: 'EPROTO'});
});
