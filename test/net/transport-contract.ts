/**
 * What every Transport must do, whatever carries its frames. Run by unix-transport.test.ts and test/sim/transport.test.ts.
 */
import type {ExecutionContext, SerialFn, TestFn} from 'ava';
import {LINK_QUEUE_BYTES_MAX, type Link, type LinkEnd, type Transport} from '../../src/ports/transport.ts';
import {encodeFrame} from '../../src/net/frame.ts';

export interface TransportFixture {
	readonly server: Transport;
	readonly client: Transport;
	/** A fresh address that nobody listens at. */
	readonly address: string;
	/** Lets time pass until `isTrue`; rejects with `what` when that takes too long. */
	until(isTrue: () => boolean, what: string): Promise<void>;
	/** Lets `durationMs` pass, at least roughly. */
	pass(durationMs: number): Promise<void>;
	/** Waits for a promise, letting time pass. */
	readonly settle: <T>(promise: Promise<T>) => Promise<T>;
}

export type MakeFixture = (t: ExecutionContext) => Promise<TransportFixture>;

/** Registers the suite's tests under the name of the implementation. */
export function transportContract(
	test: TestFn | SerialFn,
	{name, make}: {name: string; make: MakeFixture},
): void {
	const contract = (title: string, run: (t: ExecutionContext, fixture: TransportFixture) => Promise<void>) =>
		test(`${name}: ${title}`, async t => run(t, await make(t)));

	contract('frames arrive whole and in order, of any size, both ways', async (t, fixture) => {
		const [near, far] = await pair(t, fixture);
		const sizes = [1, 100, 0, 65_536, 3, 1_000_000, 7];
		for (const size of sizes) near.link.send(frameOf(size, size % 251));
		for (const size of sizes) far.link.send(frameOf(size, 1));
		await fixture.until(
			() => far.frames.length === sizes.length && near.frames.length === sizes.length,
			'all',
		);
		t.deepEqual(
			far.frames.map(frame => Buffer.compare(frame, frameOf(frame.length - 7, (frame.length - 7) % 251))),
			sizes.map(() => 0),
		);
		t.deepEqual(
			far.frames.map(frame => frame.length - 7),
			sizes,
		);
		t.deepEqual(
			near.frames.map(frame => frame.length - 7),
			sizes,
		);
	});

	contract('a frame can be changed by its sender after its delivery without harm', async (t, fixture) => {
		const [near, far] = await pair(t, fixture);
		const frame = frameOf(10, 5);
		near.link.send(frame);
		await fixture.until(() => far.frames.length === 1, 'the frame');
		frame.fill(0);
		t.deepEqual(far.frames[0], frameOf(10, 5));
	});

	contract('both ends are told of the end exactly once, after the last frame', async (t, fixture) => {
		const [near, far] = await pair(t, fixture);
		for (let count = 0; count < 100; count++) near.link.send(frameOf(1000, count));
		near.link.close({code: 'ECANCELED', message: 'enough'});
		near.link.close();
		near.link.destroy();
		await fixture.until(() => near.ends.length > 0 && far.ends.length > 0, 'the ends');
		await fixture.pass(250);
		t.deepEqual(near.ends, [{code: 'ECANCELED', message: 'enough'}]);
		t.is(far.ends.length, 1);
		t.is(far.ends[0]!.code, 'ECONNRESET');
		t.is(far.framesAtEnd, far.frames.length);
	});

	contract('close hands over what is queued, destroy need not', async (t, fixture) => {
		const [near, far] = await pair(t, fixture);
		for (let count = 0; count < 1000; count++) near.link.send(frameOf(1000, count % 251));
		near.link.close();
		await fixture.until(() => far.ends.length > 0, 'the end');
		t.is(far.frames.length, 1000);
	});

	contract('nothing is sent or delivered after the end of a link', async (t, fixture) => {
		const [near, far] = await pair(t, fixture);
		near.link.destroy();
		t.true(near.link.send(frameOf(1, 1)));
		far.link.send(frameOf(1, 1));
		await fixture.until(() => near.ends.length === 1 && far.ends.length === 1, 'the ends');
		t.is(near.frames.length, 0);
		t.is(far.frames.length, 0);
		t.true(far.link.send(frameOf(1, 1)));
		t.is(far.link.queuedBytes, 0);
	});

	contract('onEnd does not run within close or destroy', async (t, fixture) => {
		for (const how of ['close', 'destroy'] as const) {
			const [near, , stopListening] = await pair(t, fixture);
			near.link[how]();
			t.is(near.ends.length, 0);
			await fixture.until(() => near.ends.length === 1, 'the end');
			await fixture.settle(stopListening());
		}
	});

	contract('a paused reader makes the sender wait, and resuming lets it go on', async (t, fixture) => {
		const [near, far] = await pair(t, fixture);
		far.link.pause();
		let sent = 0;
		let drains = -1;
		// Once for each time that what lies between the two has taken it all: the buffers of TCP are large, and grow.
		while (near.drains !== drains) {
			drains = near.drains;
			while (near.link.send(frameOf(10_000, sent % 251))) sent += 1;
			sent += 1;
			t.true(near.link.queuedBytes > 0);
			await fixture.pass(30);
			t.true(drains < 30, 'the sender is never made to wait');
		}
		t.is(far.frames.length, 0);
		far.link.resume();
		await fixture.until(() => far.frames.length === sent && near.drains === drains + 1, 'the drain');
		t.is(near.link.queuedBytes, 0);
		t.true(far.frames.every((frame, index) => frame[7] === index % 251));
	});

	contract(
		'a reader that pauses within onFrame gets no further frame until it resumes',
		async (t, fixture) => {
			const [near, far] = await pair(t, fixture);
			const seen: number[] = [];
			far.link.onFrame = frame => {
				seen.push(frame[7]!);
				if (seen.length === 3) far.link.pause();
			};
			for (let count = 0; count < 10; count++) near.link.send(frameOf(1, count));
			await fixture.until(() => seen.length >= 3, 'three frames');
			await fixture.pass(20);
			t.deepEqual(seen, [0, 1, 2]);
			far.link.resume();
			await fixture.until(() => seen.length === 10, 'the rest');
			t.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
		},
	);

	contract(
		'a reader that never reads ends the link with ENOBUFS at LINK_QUEUE_BYTES_MAX',
		async (t, fixture) => {
			const [near, far] = await pair(t, fixture);
			far.link.pause();
			const frame = frameOf(4_000_000, 1);
			let sentBytes = 0;
			while (near.ends.length === 0 && sentBytes < LINK_QUEUE_BYTES_MAX + 8_000_000) {
				near.link.send(frame);
				sentBytes += frame.length;
			}
			await fixture.until(() => near.ends.length === 1, 'the end');
			t.is(near.ends[0]!.code, 'ENOBUFS');
			t.regex(near.ends[0]!.message, /LINK_QUEUE_BYTES_MAX/);
			t.is(near.link.queuedBytes, 0);
			far.link.resume();
			await fixture.until(() => far.ends.length === 1, 'the other end');
		},
	);

	contract('close gives a reader that does not read 200 ms, no more', async (t, fixture) => {
		const [near, far] = await pair(t, fixture);
		far.link.pause();
		while (near.link.send(frameOf(100_000, 1)));
		near.link.close();
		await fixture.pass(100);
		t.is(near.ends.length, 0);
		await fixture.pass(200);
		await fixture.until(() => near.ends.length === 1, 'the end');
		far.link.resume();
		await fixture.until(() => far.ends.length === 1, 'the other end');
	});

	contract('connecting where nobody listens is refused by name', async (t, fixture) => {
		const error = await t.throwsAsync(
			fixture.settle(fixture.client.connect(fixture.address, {timeoutMs: 1000})),
		);
		t.true(['ECONNREFUSED', 'ENOENT'].includes((error as unknown as {code: string}).code));
	});

	contract(
		'an address that is served is refused with EADDRINUSE, and free after close',
		async (t, fixture) => {
			const {server, address} = fixture;
			const listener = await fixture.settle(server.listen(address, () => {}));
			t.is(listener.address, address);
			await t.throwsAsync(fixture.settle(server.listen(address, () => {})), {code: 'EADDRINUSE'});
			await fixture.settle(listener.close());
			const again = await fixture.settle(server.listen(address, () => {}));
			await fixture.settle(again.close());
		},
	);

	contract('links outlive their listener, and new ones are refused', async (t, fixture) => {
		const [near, far, close] = await pair(t, fixture);
		await fixture.settle(close());
		near.link.send(frameOf(1, 1));
		await fixture.until(() => far.frames.length === 1, 'the frame');
		await t.throwsAsync(fixture.settle(fixture.client.connect(fixture.address, {timeoutMs: 1000})));
		near.link.destroy();
	});

	contract('a malformed address is refused with EINVAL', async (t, fixture) => {
		const {client, server} = fixture;
		for (const address of ['', 'local://relative', 'tcp:///x', `local:///${'x'.repeat(107)}`]) {
			await t.throwsAsync(
				fixture.settle(client.connect(address, {timeoutMs: 100})),
				{code: 'EINVAL'},
				address,
			);
			await t.throwsAsync(fixture.settle(server.listen(address, () => {})), {code: 'EINVAL'}, address);
		}
	});
}

/** One end of a link, with all that happened to it. */
export interface End {
	readonly link: Link;
	readonly frames: Buffer[];
	readonly ends: LinkEnd[];
	framesAtEnd: number;
	drains: number;
}

/** A whole frame with a one-byte header and `size` bytes of payload. */
export function frameOf(size: number, fill: number): Buffer {
	return encodeFrame(Buffer.from([0x90]), Buffer.alloc(size, fill));
}

export function record(link: Link): End {
	const end: End = {link, frames: [], ends: [], framesAtEnd: 0, drains: 0};
	link.onFrame = frame => end.frames.push(Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength));
	link.onDrain = () => (end.drains += 1);
	link.onEnd = reason => {
		end.ends.push(reason);
		end.framesAtEnd = end.frames.length;
	};
	return end;
}

export async function pair(
	t: ExecutionContext,
	fixture: TransportFixture,
): Promise<[near: End, far: End, close: () => Promise<void>]> {
	const accepted: End[] = [];
	const listener = await fixture.settle(
		fixture.server.listen(fixture.address, link => accepted.push(record(link))),
	);
	const near = record(await fixture.settle(fixture.client.connect(fixture.address, {timeoutMs: 1000})));
	await fixture.until(() => accepted.length === 1, 'the accepted link');
	t.teardown(() => {
		near.link.destroy();
		accepted[0]!.link.destroy();
	});
	let closed = false;
	const close = async () => {
		if (closed) return;
		closed = true;
		await listener.close();
	};
	t.teardown(close);
	return [near, accepted[0]!, close];
}
