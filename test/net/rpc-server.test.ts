/** Goal: every request gets exactly one final response, whatever its handler or its sender does, or none when the sender is gone. */
import test from 'ava';
import fc from 'fast-check';
import {errnumOf, SystemError} from '../../src/formats/errno.ts';
import {
	CONTROL_GOODBYE,
	decodeMessage,
	encodeMessage,
	RPC_PENDING_MAX,
	type Control,
	type Request,
	type Response,
} from '../../src/net/message.ts';
import type {RpcRequest} from '../../src/net/rpc-request.ts';
import {LINKS_MAX, RpcServer} from '../../src/net/rpc-server.ts';
import {GATE_BYTES_HIGH} from '../../src/net/rpc-session.ts';
import {ServiceRegistry} from '../../src/net/service-registry.ts';
import type {Link, LinkEnd} from '../../src/ports/transport.ts';
import {encodePayload} from '../../src/net/payload.ts';
import {ManualClock} from './clocks.ts';
import {rpcPair} from './rpc-pair.ts';
import {frameOf} from './transport-contract.ts';

const REQUEST: Request = {
	type: 'request',
	topic: 'svc.op',
	matchtag: 1,
	nodeid: 0,
	upstream: false,
	streaming: false,
	noresponse: false,
	userid: 1,
	rolemask: 1,
	route: [],
	deadlineMs: null,
	payload: Buffer.alloc(0),
};

test('a topic has one handler, until it is taken back', t => {
	const registry = new ServiceRegistry();
	const remove = registry.register('svc.op', () => {});
	t.throws(() => registry.register('svc.op', () => {}), {message: /has a handler already/});
	t.true(registry.has('svc'));
	t.false(registry.has('sv'));
	t.deepEqual(registry.topics, ['svc.op']);
	remove();
	t.is(registry.find('svc.op'), undefined);
	registry.register('svc.op', () => {});
	remove(); // Of an earlier registration: takes nothing away.
	t.not(registry.find('svc.op'), undefined);
});

test('a handler that fails otherwise than by a SystemError is EIO to its client, and reported', async t => {
	const pair = rpcPair(t);
	pair.serve('svc.sync', () => {
		throw new TypeError('x is not a function');
	});
	pair.serve('svc.async', async () => {
		await Promise.resolve();
		throw new TypeError('y is not a function');
	});
	await t.throwsAsync(pair.client.call('svc.sync'), {
		code: 'EIO',
		message: 'internal error in svc.sync: x is not a function',
	});
	await t.throwsAsync(pair.client.call('svc.async'), {code: 'EIO', message: /y is not/});
	t.deepEqual(pair.handlerErrors.splice(0).map(String), [
		'TypeError: x is not a function',
		'TypeError: y is not a function',
	]);
});

test('a second answer throws, is reported, and does not leave', async t => {
	const pair = rpcPair(t);
	pair.serve('svc.twice', request => {
		request.respond(1);
		request.respond(2);
	});
	t.is(await pair.client.call('svc.twice'), 1);
	t.is(pair.responses.length, 1);
	t.deepEqual(pair.handlerErrors.splice(0).map(String), ['Error: svc.twice was answered before']);
});

test('the streaming flag and the topic must agree', async t => {
	const pair = rpcPair(t);
	pair.serve('svc.one', request => request.respond());
	pair.serve('svc.many', request => request.end(), {streaming: 'always'});
	pair.serve('svc.both', request => (request.streaming ? request.end() : request.respond('one')), {
		streaming: 'optional',
	});
	await t.throwsAsync(pair.client.call('svc.many'), {code: 'EPROTO', message: /no streaming flag/});
	await t.throwsAsync(pair.client.stream('svc.one').next(), {code: 'EPROTO', message: /has one response/});
	t.is(await pair.client.call('svc.both'), 'one');
	t.true((await pair.client.stream('svc.both').next()).done);
});

test('answering a stream as a call, or a call as a stream, is a defect', async t => {
	const pair = rpcPair(t);
	pair.serve('svc.one', request => void request.respondStream(1));
	pair.serve('svc.many', request => request.respond(1), {streaming: 'always'});
	await t.throwsAsync(pair.client.call('svc.one'), {code: 'EIO', message: /does not stream/});
	await t.throwsAsync(pair.client.stream('svc.many').next(), {code: 'EIO', message: /streams/});
	t.is(pair.handlerErrors.splice(0).length, 2);
});

test('a request whose time has passed is answered ETIMEDOUT by the server, and its handler canceled', async t => {
	const pair = rpcPair(t);
	const reasons: string[] = [];
	let request: RpcRequest | undefined;
	pair.serve('svc.slow', one => {
		request = one;
		one.onCancel = reason => reasons.push(String(reason));
	});
	pair.session.receive({...REQUEST, topic: 'svc.slow', deadlineMs: 100});
	t.is(request!.deadline!.monotonicMs, pair.clock.monotonicMs() + 100);
	await pair.clock.advance(99);
	t.deepEqual(pair.responses, []);
	await pair.clock.advance(1);
	t.is(pair.responses[0]!.errnum, errnumOf('ETIMEDOUT'));
	t.deepEqual(reasons, [
		'ETIMEDOUT: svc.slow: rank 0 did not answer within the 100 ms that the request gave it',
	]);
	request!.respond('late'); // Dropped, and no defect.
	t.is(pair.responses.length, 1);
});

test('when the client goes away its handlers are canceled and nothing is sent', t => {
	const pair = rpcPair(t, {onForget: (request, {code}) => forgotten.push(`${request.key} ${code}`)});
	const forgotten: string[] = [];
	const reasons: string[] = [];
	const requests: RpcRequest[] = [];
	const handler = (request: RpcRequest) => {
		requests.push(request);
		request.onCancel = reason => reasons.push(reason.code);
	};
	pair.serve('svc.op', handler);
	pair.serve('svc.watch', handler, {streaming: 'always'});
	pair.session.receive(REQUEST);
	pair.session.receive({...REQUEST, topic: 'svc.watch', matchtag: 2, streaming: true, route: ['x', 'y']});
	pair.session.ended({code: 'ECONNRESET', message: 'gone'});
	t.deepEqual(reasons, ['ECONNRESET', 'ECONNRESET']);
	t.deepEqual(forgotten, ['1 1 ECONNRESET', '1 2 x y ECONNRESET']);
	requests[0]!.respond(1);
	requests[1]!.respondStream(1);
	requests[1]!.end();
	t.deepEqual(pair.responses, []);
	t.is(pair.server.sessions.size, 0);
	t.is(pair.session.pendingCount, 0);
});

test('a sender can cancel its own RPCs only, by topic and matchtag', t => {
	const pair = rpcPair(t);
	const canceled: string[] = [];
	pair.serve('svc.op', request => {
		request.onCancel = () => canceled.push(`${request.message.route.join()}:${request.matchtag}`);
	});
	for (const route of [['a'], ['b']]) pair.session.receive({...REQUEST, route});
	pair.session.receive(REQUEST);
	const cancel = {
		...REQUEST,
		topic: 'svc.op-cancel',
		matchtag: 0,
		noresponse: true,
		payload: encodePayload({matchtag: 1}),
	};
	pair.session.receive({...cancel, route: ['c']});
	pair.session.receive({...cancel, topic: 'svc.other-cancel'});
	pair.session.receive({...cancel, payload: encodePayload({matchtag: 2})});
	pair.session.receive({...cancel, payload: Buffer.from([0xc1])});
	t.deepEqual(canceled, []);
	pair.session.receive({...cancel, route: ['b']});
	t.deepEqual(canceled, ['b:1']);
	t.like(pair.responses[0], {errnum: errnumOf('ECANCELED'), route: ['b'], matchtag: 1});
	pair.session.receive({...cancel, route: ['b']}); // A late one cancels nothing.
	t.is(pair.responses.length, 1);
	t.is(pair.session.pendingCount, 2);
});

test('a handler may end its stream in its own way when it is canceled', t => {
	const pair = rpcPair(t);
	pair.serve(
		'svc.watch',
		request => {
			request.onCancel = () => {
				request.respondStream('bye');
				request.end();
			};
		},
		{streaming: 'always'},
	);
	pair.session.receive({...REQUEST, topic: 'svc.watch', streaming: true});
	pair.session.receive({
		...REQUEST,
		topic: 'svc.watch-cancel',
		matchtag: 0,
		noresponse: true,
		payload: encodePayload({matchtag: 1}),
	});
	t.deepEqual(
		pair.responses.map(({errnum}) => errnum),
		[0, errnumOf('ENODATA')],
	);
});

test('SERVICE.disconnect cancels all RPCs of its sender to that service, silently', t => {
	const pair = rpcPair(t);
	const canceled: string[] = [];
	for (const topic of ['svc.op', 'other.op']) {
		pair.serve(topic, request => {
			request.onCancel = reason =>
				canceled.push(`${request.message.route.join()} ${request.topic} ${reason.code}`);
		});
	}
	for (const route of [
		['a', 'x'],
		['b', 'x'],
	]) {
		pair.session.receive({...REQUEST, route});
		pair.session.receive({...REQUEST, route, topic: 'other.op', matchtag: 2});
	}
	pair.session.receive({
		...REQUEST,
		topic: 'svc.disconnect',
		matchtag: 0,
		noresponse: true,
		route: ['a', 'x'],
	});
	t.deepEqual(canceled, ['a,x svc.op ECONNRESET']);
	pair.session.disconnect('b');
	t.deepEqual(canceled.slice(1), ['b,x svc.op ECONNRESET', 'b,x other.op ECONNRESET']);
	t.deepEqual(pair.responses, []);
});

test('a request without response gets none, not even an error', t => {
	const pair = rpcPair(t);
	let served = 0;
	pair.serve('svc.note', request => {
		served += 1;
		request.respond('ignored');
	});
	pair.serve('svc.bad', () => {
		throw new SystemError('ENOENT', 'x');
	});
	pair.client.notify('svc.note');
	pair.client.notify('svc.bad');
	pair.client.notify('svc.none');
	t.is(served, 1);
	t.deepEqual(pair.responses, []);
});

test('beyond RPC_PENDING_MAX a request is refused with EAGAIN that names the limit', t => {
	const pair = rpcPair(t);
	pair.serve('svc.op', () => {});
	for (let matchtag = 1; matchtag <= RPC_PENDING_MAX; matchtag++)
		pair.session.receive({...REQUEST, matchtag});
	t.deepEqual(pair.responses, []);
	pair.session.receive({...REQUEST, matchtag: 5000});
	t.is(pair.responses[0]!.errnum, errnumOf('EAGAIN'));
	t.regex(Buffer.from(pair.responses[0]!.payload).toString(), /4096 \(RPC_PENDING_MAX\)/);
});

test('a matchtag that is in use is refused, and its RPC goes on', t => {
	const pair = rpcPair(t);
	let request: RpcRequest | undefined;
	pair.serve('svc.op', one => void (request ??= one));
	pair.session.receive(REQUEST);
	pair.session.receive(REQUEST);
	t.deepEqual(
		pair.responses.map(({errnum}) => errnum),
		[errnumOf('EPROTO')],
	);
	request!.respond();
	t.is(pair.responses[1]!.errnum, 0);
});

test('a response too large for a frame becomes EMSGSIZE', async t => {
	const pair = rpcPair(t);
	pair.serve('svc.huge', request => request.respond('x'.repeat(17_000_000)));
	await t.throwsAsync(pair.client.call('svc.huge'), {
		code: 'EMSGSIZE',
		message: /svc.huge: response of 17000005 bytes/,
	});
});

test('responses leave only through leave, in order, and not after the link has gone', t => {
	const held: (() => void)[] = [];
	const pair = rpcPair(t, {leave: run => held.push(run)});
	pair.serve('svc.op', request => request.respond(request.matchtag));
	for (const matchtag of [1, 2, 3]) pair.session.receive({...REQUEST, matchtag});
	t.deepEqual(pair.responses, []);
	held.shift()!();
	held.shift()!();
	t.deepEqual(
		pair.responses.map(({matchtag}) => matchtag),
		[1, 2],
	);
	pair.session.ended({code: 'ECONNRESET', message: 'gone'});
	held.shift()!();
	t.is(pair.responses.length, 2);
});

test('a stream is told when the link is behind and when it has caught up', t => {
	const pair = rpcPair(t);
	let request: RpcRequest | undefined;
	let drains = 0;
	pair.serve(
		'svc.watch',
		one => {
			request = one;
			one.onDrain = () => (drains += 1);
		},
		{streaming: 'always'},
	);
	pair.session.receive({...REQUEST, topic: 'svc.watch', streaming: true});
	t.true(request!.respondStream(1));
	pair.session.drained();
	t.is(drains, 0);
	pair.keepsUp = false;
	t.false(request!.respondStream(2));
	pair.keepsUp = true;
	t.false(request!.respondStream(3));
	pair.session.drained();
	t.is(drains, 1);
	t.true(request!.respondStream(4));
});

test('a stream whose responses wait for the gate is told to wait, and to go on when they have passed', t => {
	const gate: (() => void)[] = [];
	const pair = rpcPair(t, {leave: run => gate.push(run)});
	let sent = 0;
	pair.serve(
		'svc.watch',
		request => {
			const go = () => {
				for (let isOpen = true; isOpen; sent += 1) isOpen = request.respondStream('x'.repeat(16 * 1024));
			};
			request.onDrain = go;
			go();
		},
		{streaming: 'always'},
	);
	pair.session.receive({...REQUEST, topic: 'svc.watch', streaming: true});
	const first = sent;
	t.true(first * 16 * 1024 >= GATE_BYTES_HIGH && first < 12, `${first} values`);
	gate.shift()!();
	pair.session.drained(); // That of the channel, which was not behind.
	t.is(sent, first);
	for (const run of gate.splice(0)) run();
	t.is(pair.responses.length, first);
	t.is(sent, 2 * first);
	pair.keepsUp = false;
	for (const run of gate.splice(0)) run();
	t.is(sent, 2 * first, 'now the channel is behind');
	pair.keepsUp = true;
	pair.session.drained();
	t.is(sent, 3 * first);
});

test('the hooks see each request and each response, and which is final', async t => {
	const seen: string[] = [];
	const pair = rpcPair(t, {
		onRequest: ({topic}) => seen.push(`request ${topic}`),
		onResponse: ({topic}, {errnum}, isFinal) =>
			seen.push(`response ${topic} ${errnum}${isFinal ? ' final' : ''}`),
	});
	pair.serve(
		'svc.watch',
		request => {
			request.respondStream(1);
			request.end();
		},
		{streaming: 'always'},
	);
	for await (const _ of pair.client.stream('svc.watch'));
	t.deepEqual(seen, ['request svc.watch', 'response svc.watch 0', 'response svc.watch 61 final']);
});

test('a panic answers every open RPC once', async t => {
	const pair = rpcPair(t);
	pair.serve('svc.op', () => {});
	const calls = [1, 2].map(async () =>
		t.throwsAsync(pair.client.call('svc.op'), {code: 'EHOSTUNREACH', message: 'rank 0 panics'}),
	);
	pair.server.failAll(new SystemError('EHOSTUNREACH', 'rank 0 panics'));
	await Promise.all(calls);
	t.is(pair.responses.length, 2);
});

test('whatever handler and sender do, in any order, at most one final response leaves', t => {
	const step = fc.constantFrom('respond', 'error', 'cancel', 'timeout', 'gone', 'fail-all', 'throw');
	fc.assert(
		fc.property(fc.array(step, {minLength: 1, maxLength: 6}), steps => {
			const responses: Response[] = [];
			const clock = new ManualClock();
			const registry = new ServiceRegistry();
			let request: RpcRequest | undefined;
			registry.register('svc.op', one => void (request = one));
			const server = new RpcServer({registry, clock});
			const session = server.open({peer: 'p', send: response => responses.push(response) > 0});
			let cancels = 0;
			session.receive(REQUEST);
			request!.onCancel = () => (cancels += 1);
			for (const name of steps) {
				const gone = new SystemError('EHOSTUNREACH', 'x');
				try {
					if (name === 'respond') request!.respond(1);
					else if (name === 'error') request!.error(5);
					else if (name === 'cancel') request!.cancel(gone, {silent: false});
					else if (name === 'gone') session.ended({code: 'ECONNRESET', message: 'x'});
					else if (name === 'fail-all') server.failAll(gone);
				} catch (error) {
					t.regex(String(error), /was answered before/);
				}
			}
			const first = steps.find(name => name !== 'timeout' && name !== 'throw');
			t.is(responses.length, first === undefined || first === 'gone' ? 0 : 1);
			t.is(cancels, first === 'cancel' || first === 'gone' || first === 'fail-all' ? 1 : 0);
		}),
	);
});

function fakeLink(): {link: Link; sent: Buffer[]; closed: LinkEnd[]} {
	const sent: Buffer[] = [];
	const closed: LinkEnd[] = [];
	const link: Link = {
		peer: 'client',
		onFrame: () => {},
		onEnd: () => {},
		onDrain: () => {},
		send: frame => sent.push(Buffer.from(frame)) > 0,
		queuedBytes: 0,
		pause: () => {},
		resume: () => {},
		close: reason => void closed.push(reason!),
		destroy: () => {},
	};
	return {link, sent, closed};
}

test('a peer that breaks the protocol is told so, and loses its link', t => {
	const server = new RpcServer({registry: new ServiceRegistry(), clock: new ManualClock()});
	const {link, sent, closed} = fakeLink();
	server.accept(link);
	link.onFrame(frameOf(0, 0));
	const goodbye = decodeMessage(sent[0]!) as Control;
	t.is(goodbye.controlType, CONTROL_GOODBYE);
	t.is(goodbye.status, errnumOf('EPROTO'));
	t.is(closed[0]!.code, 'EPROTO');
	t.regex(closed[0]!.message, /version is cut off/);
});

test('a client that does not take its responses is not read until it does', t => {
	const registry = new ServiceRegistry();
	registry.register('svc.op', request => request.respond());
	const server = new RpcServer({registry, clock: new ManualClock()});
	const {link, sent} = fakeLink();
	const calls: string[] = [];
	link.send = frame => {
		sent.push(Buffer.from(frame));
		return sent.length !== 2;
	};
	link.pause = () => calls.push('pause');
	link.resume = () => calls.push('resume');
	server.accept(link);
	link.onFrame(encodeMessage(REQUEST));
	t.deepEqual(calls, []);
	link.onFrame(encodeMessage(REQUEST));
	t.deepEqual(calls, ['pause']);
	link.onDrain();
	t.deepEqual(calls, ['pause', 'resume']);
});

test('beyond LINKS_MAX a link is refused with a reason', t => {
	const server = new RpcServer({registry: new ServiceRegistry(), clock: new ManualClock()});
	for (let count = 0; count < LINKS_MAX; count++) t.not(server.accept(fakeLink().link), null);
	const {link, sent, closed} = fakeLink();
	t.is(server.accept(link), null);
	t.is((decodeMessage(sent[0]!) as Control).status, errnumOf('EAGAIN'));
	t.regex(closed[0]!.message, /2048 \(LINKS_MAX\)/);
	const [session] = server.sessions;
	session!.ended({code: 'ECONNRESET', message: 'x'});
	t.not(server.accept(fakeLink().link), null);
});
