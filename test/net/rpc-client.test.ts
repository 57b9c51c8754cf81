/** Goal: every RPC ends exactly once, in the way that the client's docs say, whatever happens around it. */
import test from 'ava';
import {SystemError} from '../../src/formats/errno.ts';
import {encodeMessage, RPC_PENDING_MAX, type Message, type Request} from '../../src/net/message.ts';
import {encodePayload} from '../../src/net/payload.ts';
import {RpcClient} from '../../src/net/rpc-client.ts';
import type {RpcRequest} from '../../src/net/rpc-request.ts';
import {STREAM_BUFFER_BYTES, STREAM_BUFFER_BYTES_MAX} from '../../src/net/rpc-stream.ts';
import type {Link} from '../../src/ports/transport.ts';
import {ManualClock} from './clocks.ts';
import {rpcPair} from './rpc-pair.ts';

test('a call resolves to the value that the handler responds', async t => {
	const pair = rpcPair(t);
	pair.serve('math.double', request => request.respond({x: (request.payload as {x: bigint}).x * 2n}));
	pair.serve('math.nothing', request => request.respond());
	t.deepEqual(await pair.client.call('math.double', {x: 2n ** 60n}), {x: 2n ** 61n});
	t.is(await pair.client.call('math.nothing'), undefined);
	t.is(pair.client.pendingCount, 0);
	t.is(pair.session.pendingCount, 0);
	t.is(pair.clock.armedCount, 0);
});

test('an error arrives with its code and text', async t => {
	const pair = rpcPair(t);
	pair.serve('job.find', () => {
		throw new SystemError('ENOENT', 'job ƒ7 is unknown');
	});
	await t.throwsAsync(pair.client.call('job.find'), {code: 'ENOENT', message: 'job ƒ7 is unknown'});
	await t.throwsAsync(pair.client.call('no.such'), {
		code: 'ENOSYS',
		message: 'No service matching no.such is registered',
	});
});

test('a request carries its addressing, credentials and deadline', async t => {
	const requests: Request[] = [];
	const channel = {
		peer: 'p',
		send: (message: Message) => requests.push(message as Request) > 0,
		pause: () => {},
		resume: () => {},
		close: () => {},
	};
	const client = new RpcClient(channel, {clock: new ManualClock(), userid: 7, rolemask: 5});
	void client.call('a.b', 1, {nodeid: 3, upstream: true, timeoutMs: 10.5});
	client.notify('a.c', 2, {nodeid: 4});
	const [call, notify] = requests;
	t.like(call, {
		matchtag: 1,
		nodeid: 3,
		upstream: true,
		noresponse: false,
		userid: 7,
		rolemask: 5,
		deadlineMs: 11,
	});
	t.like(notify, {matchtag: 0, nodeid: 4, upstream: false, noresponse: true, deadlineMs: null});
});

test('a call is 30 s long by default, and its timeout names topic and peer', async t => {
	const {client, clock} = silent();
	const call = client.call('slow.op');
	const check = t.throwsAsync(call, {
		code: 'ETIMEDOUT',
		message: 'slow.op: no answer from the peer within 30000 ms',
	});
	await clock.advance(29_999);
	t.is(clock.armedCount, 1);
	await clock.advance(1);
	await check;
	const remote = t.throwsAsync(client.call('slow.op', null, {nodeid: 5, timeoutMs: 10}), {
		message: /from rank 5 through the peer within 10 ms/,
	});
	await clock.advance(10);
	await remote;
});

/** A client whose requests go nowhere. */
function silent() {
	const clock = new ManualClock();
	const requests: Request[] = [];
	const channel = {
		peer: 'the peer',
		send: (message: Message) => requests.push(message as Request) > 0,
		pause: () => {},
		resume: () => {},
		close: () => {},
	};
	return {clock, requests, client: new RpcClient(channel, {clock})};
}

test('the lowest free matchtag is taken, and one that was given up only after its late response', async t => {
	const {client, clock, requests} = silent();
	const answer = (matchtag: number, value: unknown) =>
		client.receive({
			type: 'response',
			topic: 'a.b',
			matchtag,
			errnum: 0,
			streaming: false,
			userid: 0,
			rolemask: 0,
			route: [],
			payload: encodePayload(value),
		});
	const short = t.throwsAsync(client.call('a.b', 0, {timeoutMs: 5}), {code: 'ETIMEDOUT'});
	const second = client.call('a.b');
	await clock.advance(5);
	await short;
	t.deepEqual(requests.at(-1)!.topic, 'a.b-cancel');
	const third = client.call('a.b');
	t.is(requests.at(-1)!.matchtag, 3); // 1 is still held.
	answer(1, 'late');
	const fourth = client.call('a.b');
	t.is(requests.at(-1)!.matchtag, 1);
	answer(1, 'fourth');
	answer(1, 'once more');
	answer(3, 'third');
	answer(2, 'second');
	t.deepEqual(await Promise.all([second, third, fourth]), ['second', 'third', 'fourth']);
	t.is(client.pendingCount, 0);
});

test('a response with the right matchtag and another topic is dropped', async t => {
	const {client, requests} = silent();
	const call = client.call('a.b');
	const {userid, rolemask, route} = requests[0]!;
	const response = {
		type: 'response',
		matchtag: 1,
		errnum: 0,
		streaming: false,
		userid,
		rolemask,
		route,
	} as const;
	client.receive({...response, topic: 'x.y', payload: encodePayload('wrong')});
	client.receive({...response, topic: 'a.b', payload: encodePayload('right')});
	t.is(await call, 'right');
});

test('the end of the link rejects all that is pending with ECONNRESET, once, and later calls with ENOTCONN', async t => {
	const pair = rpcPair(t);
	pair.serve('slow.op', () => {});
	pair.serve('slow.watch', () => {}, {streaming: 'always'});
	let rejections = 0;
	const calls = [1, 2, 3].map(async () =>
		pair.client.call('slow.op').catch(error => (rejections++, String(error))),
	);
	const stream = pair.client.stream('slow.watch');
	const next = stream.next();
	let ends = 0;
	pair.client.onEnd = () => (ends += 1);
	pair.cut();
	pair.cut();
	for (const text of await Promise.all(calls)) {
		t.is(text, 'ECONNRESET: slow.op: no answer, the connection to the server ended (ECONNRESET: cut)');
	}
	await t.throwsAsync(next, {code: 'ECONNRESET'});
	t.deepEqual(await stream.next(), {value: undefined, done: true});
	t.is(rejections, 3);
	t.is(ends, 1);
	await t.throwsAsync(pair.client.call('slow.op'), {code: 'ENOTCONN', message: /has ended/});
	t.throws(() => pair.client.stream('slow.watch'), {code: 'ENOTCONN'});
	t.throws(() => pair.client.notify('slow.op'), {code: 'ENOTCONN'});
	t.is(pair.clock.armedCount, 0);
});

test('an aborted call is ECANCELED with the reason, and its handler hears of it', async t => {
	const pair = rpcPair(t);
	const reasons: string[] = [];
	pair.serve('slow.op', request => {
		request.onCancel = reason => reasons.push(reason.code);
	});
	const aborter = new AbortController();
	const call = pair.client.call('slow.op', null, {signal: aborter.signal});
	aborter.abort(new Error('changed my mind'));
	const error = await t.throwsAsync(call, {code: 'ECANCELED'});
	t.is((error.cause as Error).message, 'changed my mind');
	t.deepEqual(reasons, ['ECANCELED']);
	t.is(pair.session.pendingCount, 0);
	t.is(pair.client.pendingCount, 0); // The server's ECANCELED freed the matchtag.
	await t.throwsAsync(pair.client.call('slow.op', null, {signal: aborter.signal}), {code: 'ECANCELED'});
	t.is(pair.requests.filter(({topic}) => topic === 'slow.op').length, 1);
});

test('what cannot be sent leaves no trace', async t => {
	const pair = rpcPair(t);
	await t.throwsAsync(pair.client.call('nodot'), {code: 'EINVAL'});
	await t.throwsAsync(pair.client.call('a.b', {x: undefined}), {code: 'EINVAL'});
	await t.throwsAsync(pair.client.call(`a.${'b'.repeat(250)}`), {code: 'EINVAL'});
	await t.throwsAsync(pair.client.call('a.b', 'x'.repeat(17_000_000)), {code: 'EMSGSIZE'});
	t.throws(() => pair.client.stream('nodot', null, {idleTimeoutMs: 5, timeoutMs: 5}), {code: 'EINVAL'});
	t.is(pair.client.pendingCount, 0);
	t.is(pair.clock.armedCount, 0);
	pair.serve('a.b', request => request.respond(request.matchtag));
	t.is(await pair.client.call('a.b'), 1);
});

test('more than RPC_PENDING_MAX requests are refused by the client', async t => {
	const {client} = silent();
	const calls = Array.from({length: RPC_PENDING_MAX}, async () => client.call('a.b').catch(() => {}));
	await t.throwsAsync(client.call('a.b'), {code: 'EAGAIN', message: /4096 \(RPC_PENDING_MAX\)/});
	client.ended({code: 'ECONNRESET', message: 'x'});
	await Promise.all(calls);
});

test('a malformed value rejects its call with EPROTO and harms no other', async t => {
	const {client, requests} = silent();
	const bad = client.call('a.b');
	const good = client.call('a.b');
	const {userid, rolemask, route, topic} = requests[0]!;
	const response = {type: 'response', topic, errnum: 0, streaming: false, userid, rolemask, route} as const;
	client.receive({...response, matchtag: 1, payload: Buffer.from([0xc1])});
	client.receive({...response, matchtag: 2, payload: Buffer.from([1])});
	await t.throwsAsync(bad, {code: 'EPROTO'});
	t.is(await good, 1);
});

test('a stream yields its values in order and ends at ENODATA', async t => {
	const pair = rpcPair(t);
	pair.serve(
		'count.to',
		request => {
			for (let n = 1; n <= (request.payload as number); n++) request.respondStream(n);
			request.end();
		},
		{streaming: 'always'},
	);
	const values: unknown[] = [];
	for await (const value of pair.client.stream('count.to', 3)) values.push(value);
	t.deepEqual(values, [1, 2, 3]);
	t.is(pair.client.pendingCount, 0);
});

test('an error ends a stream after the values before it', async t => {
	const pair = rpcPair(t);
	pair.serve(
		'count.fail',
		request => {
			request.respondStream(1);
			throw new SystemError('EIO', 'disk gone');
		},
		{streaming: 'always'},
	);
	const values: unknown[] = [];
	const read = async () => {
		for await (const value of pair.client.stream('count.fail')) values.push(value);
	};
	await t.throwsAsync(read(), {code: 'EIO', message: 'disk gone'});
	t.deepEqual(values, [1]);
});

test('leaving a stream cancels it, and the handler stops', async t => {
	const pair = rpcPair(t);
	let request: RpcRequest | undefined;
	pair.serve('log.watch', one => void (request = one), {streaming: 'always'});
	const stream = pair.client.stream('log.watch');
	request!.respondStream('line');
	for await (const line of stream) {
		t.is(line, 'line');
		break;
	}
	t.true(request!.isCanceled);
	t.like(pair.requests.at(-1), {topic: 'log.watch-cancel', noresponse: true});
	t.is(pair.client.pendingCount, 0);
	t.deepEqual(await stream.next(), {value: undefined, done: true});
});

test('a stream can be bounded in time, as a whole and between values', async t => {
	const pair = rpcPair(t);
	let request: RpcRequest | undefined;
	pair.serve('log.watch', one => void (request = one), {streaming: 'always'});
	const whole = pair.client.stream('log.watch', null, {timeoutMs: 50});
	const wholeEnd = t.throwsAsync(whole.next(), {code: 'ETIMEDOUT', message: /log.watch/});
	await pair.clock.advance(50);
	await wholeEnd;
	const idle = pair.client.stream('log.watch', null, {idleTimeoutMs: 50});
	await pair.clock.advance(40);
	request!.respondStream(1);
	t.deepEqual(await idle.next(), {value: 1, done: false});
	await pair.clock.advance(40);
	t.false(request!.isCanceled); // The value gave it another 50 ms.
	const idleEnd = t.throwsAsync(idle.next(), {
		code: 'ETIMEDOUT',
		message: 'log.watch of the server: nothing came within 50 ms',
	});
	await pair.clock.advance(10);
	await idleEnd;
	t.true(request!.isCanceled);
	t.is(pair.client.pendingCount, 0);
	t.is(pair.clock.armedCount, 0);
});

test('a slow consumer stops the reading of the link until half of its buffer is taken', async t => {
	const pair = rpcPair(t);
	let request: RpcRequest | undefined;
	pair.serve('log.watch', one => void (request = one), {streaming: 'always'});
	pair.serve('slow.op', () => {});
	const stream = pair.client.stream('log.watch');
	const line = 'x'.repeat(10_000);
	let count = 0;
	for (let sizeBytes = 0; sizeBytes <= STREAM_BUFFER_BYTES; sizeBytes += line.length) {
		t.true(pair.reading);
		request!.respondStream(line);
		count += 1;
	}
	t.false(pair.reading);
	// A call's response may lie behind the values: the link is read while one waits.
	const call = pair.client.call('slow.op', null, {timeoutMs: 10});
	t.true(pair.reading);
	const check = t.throwsAsync(call, {code: 'ETIMEDOUT'});
	await pair.clock.advance(10);
	await check;
	t.false(pair.reading);
	for (let taken = 0; taken < count; taken++) {
		t.deepEqual(await stream.next(), {value: line, done: false});
		if (taken < count / 2 - 2) t.false(pair.reading);
	}
	t.true(pair.reading);
	await stream.return();
});

test('leaving a full stream lets the link be read again', async t => {
	const pair = rpcPair(t);
	let request: RpcRequest | undefined;
	pair.serve('log.watch', one => void (request = one), {streaming: 'always'});
	const stream = pair.client.stream('log.watch');
	request!.respondStream('x'.repeat(STREAM_BUFFER_BYTES + 1));
	t.false(pair.reading);
	await stream.return();
	t.true(pair.reading);
});

test('a stream that cannot be slowed ends with ENOBUFS at its limit', async t => {
	const pair = rpcPair(t);
	let request: RpcRequest | undefined;
	pair.serve('log.watch', one => void (request = one), {streaming: 'always'});
	const stream = pair.client.stream('log.watch');
	const line = 'x'.repeat(8_000_000);
	for (let sizeBytes = 0; sizeBytes <= STREAM_BUFFER_BYTES_MAX; sizeBytes += line.length) {
		request!.respondStream(line);
	}
	await t.throwsAsync(stream.next(), {code: 'ENOBUFS', message: /STREAM_BUFFER_BYTES_MAX/});
	t.true(request!.isCanceled);
	t.true(pair.reading);
});

test('a peer that breaks the protocol loses the link, by name', async t => {
	const ends: string[] = [];
	const link: Link = {
		peer: 'bad',
		onFrame: () => {},
		onEnd: () => {},
		onDrain: () => {},
		send: () => true,
		queuedBytes: 0,
		pause: () => {},
		resume: () => {},
		close: () => {},
		destroy: reason => {
			ends.push(`${reason!.code}: ${reason!.message}`);
			link.onEnd(reason!);
		},
	};
	const client = RpcClient.over(link, {clock: new ManualClock()});
	const call = client.call('a.b');
	link.onFrame(Buffer.from([0, 0, 0, 3, 0, 1, 0xc1]));
	await t.throwsAsync(call, {
		code: 'ECONNRESET',
		message: /EPROTO: bad: malformed message: header is not an array/,
	});
	t.deepEqual(ends, ['EPROTO: bad: malformed message: header is not an array']);
});

test('a goodbye becomes the reason of the end, and a ping is answered', async t => {
	const {client, requests} = silent();
	client.receive({type: 'control', controlType: 1, status: 9, payload: Buffer.alloc(0)});
	t.deepEqual(
		encodeMessage(requests[0]!),
		encodeMessage({type: 'control', controlType: 2, status: 9, payload: Buffer.alloc(0)}),
	);
	const call = client.call('a.b');
	client.receive({type: 'control', controlType: 3, status: 11, payload: Buffer.from('too many of you')});
	client.ended({code: 'ECONNRESET', message: 'closed'});
	await t.throwsAsync(call, {code: 'ECONNRESET', message: /EAGAIN: too many of you/});
	t.deepEqual(client.end, {code: 'EAGAIN', message: 'too many of you'});
});
