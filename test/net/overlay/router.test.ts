/**
 * Goal: the router's promises one by one: where a request goes, what is refused, who answers in whose place, and which
 * streams are stopped by whom.
 * Method: real routers in a row or a tree, joined by queues that the test empties.
 */
import test from 'ava';
import {errnoName, errnumOf, SystemError} from '../../../src/formats/errno.ts';
import {
	NODEID_ANY,
	PAYLOAD_BYTES_MAX,
	ROLE_LOCAL,
	ROLE_OWNER,
	ROUTE_HOPS_MAX,
	TOPIC_BYTES_MAX,
	type Message,
	type Request,
	type Response,
} from '../../../src/net/message.ts';
import {nextHop} from '../../../src/net/overlay/next-hop.ts';
import {Router} from '../../../src/net/overlay/router.ts';
import {Topology} from '../../../src/net/overlay/topology.ts';
import {ServiceRegistry} from '../../../src/net/service-registry.ts';
import {ManualClock} from '../clocks.ts';
import {lone} from './lone-router.ts';
import {isGoodEnd, requestOf, RouterNet, type Asked} from './router-net.ts';

/** Ranks 0, 1, … in a row. */
const row = (size: number) => Topology.kary(size, 1);

function textOf(asked: Asked): string {
	return Buffer.from(asked.final?.payload ?? []).toString('utf8');
}

function endOf({final}: Asked): string {
	return final === null ? 'none' : final.errnum === 0 ? 'ok' : (errnoName(final.errnum) ?? '?');
}

test('any, upstream and rank name the way from each place', t => {
	const topology = Topology.kary(15, 2);
	const registry = new ServiceRegistry();
	registry.register('here.op', () => undefined);
	const from = (rank: number, fields: Partial<Request>) => {
		const way = nextHop(requestOf({topic: 'gone.op', ...fields}), {rank, topology, registry});
		return way instanceof SystemError ? way.code : way;
	};
	t.is(from(3, {topic: 'here.op'}), 'local');
	t.is(from(3, {}), 1);
	t.is(from(0, {}), 'local', 'the root says that there is none');
	t.is(from(3, {topic: 'here.op', upstream: true, nodeid: 3}), 1, 'the own broker is passed by');
	t.is(from(1, {topic: 'here.op', upstream: true, nodeid: 3}), 'local');
	t.is(from(1, {upstream: true, nodeid: 3}), 0);
	t.is(from(0, {upstream: true, nodeid: 0}), 'EHOSTUNREACH');
	t.is(from(3, {nodeid: 3}), 'local');
	t.is(from(1, {nodeid: 9}), 4);
	t.is(from(1, {nodeid: 4}), 4);
	t.is(from(1, {nodeid: 2}), 0);
	t.is(from(3, {nodeid: 8}), 8);
	t.is(from(3, {nodeid: 9}), 1);
	t.is(from(0, {nodeid: 14}), 2);
	t.is(from(0, {nodeid: 15}), 'EHOSTUNREACH');
	t.is(from(3, {nodeid: NODEID_ANY - 1}), 'EHOSTUNREACH');
	for (let at = 0; at < topology.size; at += 1) {
		for (let to = 0; to < topology.size; to += 1) {
			let here = at;
			for (let steps = 0; here !== to; steps += 1) {
				t.true(steps < 7, `${at} to ${to} goes round`);
				here = Number(from(here, {nodeid: to}));
			}
		}
	}
});

test('who cannot be reached is named, with the host and the reason, and nothing is pending', t => {
	const {router, client, route, answers, facts} = lone();
	router.removeHop(4, new SystemError('EHOSTUNREACH', 'lost'));
	route({nodeid: 9, matchtag: 7}, client('c1'));
	route({nodeid: 99, matchtag: 8}, client('c1'));
	route({nodeid: 9, matchtag: 0, noresponse: true}, client('c1'));
	t.deepEqual(
		answers.map(({matchtag, errnum, payload}) => [
			matchtag,
			errnoName(errnum),
			Buffer.from(payload).toString(),
		]),
		[
			[7, 'EHOSTUNREACH', 'a.b: rank 4 (h4): nobody has seen 4'],
			[8, 'EHOSTUNREACH', 'a.b: rank 99 is not in this instance'],
		],
	);
	t.deepEqual(
		facts.map(({type}) => type),
		['rpc.request', 'rpc.lost'],
		'of the one that wants no answer',
	);
});

test('a request that was passed on too often is refused with ELOOP', t => {
	const {client, route, answers, sent} = lone();
	route({nodeid: 9, route: new Array<string>(ROUTE_HOPS_MAX - 1).fill('h')}, client('c1'));
	t.is(sent.length, 1);
	route({nodeid: 9, matchtag: 2, route: new Array<string>(ROUTE_HOPS_MAX).fill('h')}, client('c1'));
	t.is(sent.length, 1);
	t.is(errnoName(answers[0]?.errnum ?? 0), 'ELOOP');
});

test('two brokers that take each other for the way end a request after ROUTE_HOPS_MAX hops', t => {
	const registry = new ServiceRegistry();
	const clock = new ManualClock();
	const answers: Response[] = [];
	const links: Message[][] = [[], []];
	// Each has the other as its parent, as no topology can say.
	const routers = [0, 1].map(rank => {
		const topology = {size: 9, parentOf: () => 1 - rank, childToward: () => null} as unknown as Topology;
		const router = new Router({
			rank,
			topology,
			hosts: [],
			registry,
			clock,
			post: () => undefined,
			whyAway: () => '',
		});
		const send = (message: Message) => (links[1 - rank]?.push(message), true);
		const origin = {name: `${1 - rank}-x`, peer: '', deliver: send};
		router.addHop({rank: 1 - rank, origin, queuedBytes: 0, send, setFlow: () => false});
		return router;
	});
	const origin = {name: 'c1', peer: 'c1', deliver: (response: Response) => answers.push(response) > 0};
	routers[0]?.route(requestOf({topic: 'a.b', nodeid: 8}), origin, () => t.fail('it is for nobody here'));
	let steps = 0;
	for (; links.some(({length}) => length > 0); steps += 1) {
		for (const [rank, link] of links.entries()) {
			const message = link.shift();
			if (message?.type === 'request') routers[rank]?.fromHop(1 - rank, message, () => t.fail('local'));
			else if (message?.type === 'response') routers[rank]?.respond(1 - rank, message);
		}
		t.true(steps < 1000, 'it goes round for ever');
	}
	t.deepEqual(
		answers.map(({errnum, route}) => [errnoName(errnum), route]),
		[['ELOOP', []]],
	);
	for (const router of routers) t.is(router.pendingCounts.get(0) ?? router.pendingCounts.get(1), 0);
});

test('a request that cannot be passed on, or not be canceled there, is refused before it is tracked', t => {
	const {client, route, answers, sent, facts, router} = lone();
	const c1 = client('c1');
	route({nodeid: 9, payload: new Uint8Array(PAYLOAD_BYTES_MAX + 1)}, c1);
	route({nodeid: 9, topic: `a.${'b'.repeat(TOPIC_BYTES_MAX - 2)}`}, c1);
	route({nodeid: 9, topic: `a.${'ä'.repeat(125)}`}, c1);
	t.deepEqual(
		answers.map(({errnum}) => errnoName(errnum)),
		['EMSGSIZE', 'EINVAL', 'EINVAL'],
	);
	t.is(sent.length + facts.length, 0);
	router.originGone(c1);
	t.is(sent.length, 0);
});

test('a matchtag that is pending is refused, over whichever neighbour it went; another client has its own', t => {
	const {client, route, answers, sent} = lone();
	const c1 = client('c1');
	route({nodeid: 9, matchtag: 5}, c1);
	route({nodeid: 9, matchtag: 5}, c1);
	route({nodeid: 0, matchtag: 5}, c1);
	route({nodeid: 0, matchtag: 5}, client('c2'));
	t.deepEqual(
		answers.map(({errnum}) => errnoName(errnum)),
		['EPROTO', 'EPROTO'],
	);
	t.is(sent.length, 2);
});

test('what leaves carries the own tag, the route so far and less time, and no local role', t => {
	const {client, route, sent} = lone();
	route(
		{nodeid: 9, matchtag: 5, rolemask: ROLE_LOCAL | ROLE_OWNER, route: ['x'], deadlineMs: 1000},
		client('c1'),
	);
	const [{message} = {message: null}] = sent;
	if (message?.type !== 'request') return t.fail();
	t.deepEqual(message.route, ['x', 'c1']);
	t.is(message.rolemask, ROLE_OWNER);
	t.true((message.deadlineMs ?? 0) < 1000 && (message.deadlineMs ?? 0) >= 900);
	t.is(message.nodeid, 9);
});

test('only the neighbour that was asked can answer, under the tag and topic that it got; once', t => {
	const {client, route, router, sent, answers, facts} = lone();
	route({nodeid: 9, matchtag: 5, streaming: true}, client('c1'));
	const asked = sent[0]?.message as Request;
	const {topic, matchtag, userid, rolemask, route: way} = asked;
	const good: Response = {
		...{type: 'response', topic, matchtag, userid, rolemask, route: way, streaming: true, errnum: 0},
		payload: new Uint8Array(0),
	};
	router.respond(3, good);
	router.respond(4, {...good, matchtag: matchtag + 1});
	router.respond(4, {...good, topic: 'a.c'});
	t.is(answers.length, 0);
	router.respond(4, good);
	router.respond(4, good);
	router.respond(4, {...good, errnum: 61});
	router.respond(4, {...good, errnum: 61});
	router.respond(4, good);
	t.deepEqual(
		answers.map(one => [one.matchtag, one.route, one.errnum]),
		[
			[5, [], 0],
			[5, [], 0],
			[5, [], 61],
		],
	);
	t.deepEqual(
		facts.map(({type}) => type),
		['rpc.request', 'rpc.answer', 'rpc.end'],
	);
});

test('responses of an earlier life of a neighbour are dropped', t => {
	const {client, route, router, sent, answers, join} = lone();
	route({nodeid: 9, matchtag: 5}, client('c1'));
	const {topic, matchtag, userid, rolemask, route: way} = sent[0]?.message as Request;
	router.removeHop(4, new SystemError('EHOSTUNREACH', 'lost'));
	join(4);
	route({nodeid: 9, matchtag: 5}, client('c1'));
	const late = {topic, matchtag, userid, rolemask, route: way, streaming: false, errnum: 0};
	router.respond(4, {type: 'response', ...late, payload: Buffer.from('late')});
	t.deepEqual(
		answers.map(({errnum}) => errnoName(errnum)),
		['EHOSTUNREACH'],
	);
});

test('an answer that is late is not taken for the next one under the same tag, however many hops away', async t => {
	const net = new RouterNet(row(3), node => node.rank === 0 && node.serve('one'));
	const client = net.addClient(2);
	const first = net.ask(client, {topic: 'one.hold', deadlineMs: 100});
	await net.clock.advance(500); // Rank 1 takes nothing in, and rank 2 gives up alone.
	t.is(endOf(first), 'ETIMEDOUT');
	const second = net.ask(client, {topic: 'one.hold'});
	t.is(second.request.matchtag, first.request.matchtag);
	net.step(net.at(2), net.at(1));
	net.step(net.at(1), net.at(0));
	const [held] = net.at(0).held;
	held?.respond({id: first.id, value: 0}); // Before it hears that nobody waits.
	net.deliver();
	t.is(endOf(second), 'none');
	net.finish(0);
	t.is(endOf(second), 'ok');
});

test('of all who wait for a service that hangs, its own broker says so first', async t => {
	for (const deadlineMs of [100, 1000, 30_000]) {
		const net = new RouterNet(row(4), node => node.rank === 0 && node.serve('one'));
		const asked = net.ask(net.addClient(3), {topic: 'one.hold', deadlineMs});
		net.deliver();
		for (let passedMs = 0; passedMs < deadlineMs && asked.final === null; passedMs += 1) {
			await net.clock.advance(1);
			net.deliver();
		}
		t.is(endOf(asked), 'ETIMEDOUT');
		t.regex(textOf(asked), /rank 0 did not answer/);
	}
});

test('behind a broker that hangs, the one next to it says so, in time', async t => {
	for (const deadlineMs of [100, 1000, 30_000]) {
		const net = new RouterNet(row(4), node => node.rank === 0 && node.serve('one'));
		const asked = net.ask(net.addClient(3), {topic: 'one.hold', deadlineMs});
		const others = () => net.busy.filter(([, to]) => to.rank !== 0);
		const deliver = () => {
			for (let [next] = others(); next !== undefined; [next] = others()) net.step(...next);
		};
		deliver();
		for (let passedMs = 0; passedMs < deadlineMs && asked.final === null; passedMs += 1) {
			await net.clock.advance(1);
			deliver();
		}
		t.is(endOf(asked), 'ETIMEDOUT');
		t.regex(textOf(asked), /^one\.hold: no answer over rank 0 /);
	}
});

test('a cancel goes where its request went, and the answer to it comes back', t => {
	const net = new RouterNet(row(4), node => node.rank === 0 && node.serve('one'));
	const client = net.addClient(3);
	const other = net.ask(client, {topic: 'one.hold'});
	const asked = net.ask(client, {topic: 'one.watch', streaming: true});
	net.deliver();
	client.cancel(asked);
	net.deliver();
	t.is(endOf(asked), 'ECANCELED');
	t.is(endOf(other), 'none');
	client.cancel(asked); // It is over: nothing happens.
	net.deliver();
	net.finish(0);
	t.true(isGoodEnd(other));
});

test('SERVICE.disconnect cancels what its sender asked of that service, wherever it is, and leaves no trace', t => {
	const net = new RouterNet(row(3), node => {
		if (node.rank === 0) for (const service of ['one', 'two']) node.serve(service);
	});
	const client = net.addClient(2);
	const stranger = net.ask(net.addClient(2), {topic: 'one.hold'});
	net.ask(client, {topic: 'one.hold'});
	net.ask(client, {topic: 'one.watch', streaming: true});
	const other = net.ask(client, {topic: 'two.hold'});
	net.deliver();
	client.disconnect('one');
	net.deliver();
	t.deepEqual(
		net.at(0).held.map(({isOpen}) => isOpen),
		[true, false, true],
	);
	t.deepEqual([...net.at(1).router.pendingCounts.values()], [2, 0]);
	net.finish(0);
	t.true(isGoodEnd(stranger) && isGoodEnd(other));
	for (const {state} of net.nodes) t.is(state.rpcs.size, 0);
});

test('a request without response is in the log of each hop, as passed on or as lost, and leaves nothing open', t => {
	const {client, route, router, facts, sent} = lone();
	const note = {nodeid: 9, matchtag: 0, noresponse: true};
	route(note, client('c1'));
	router.removeHop(4, new SystemError('EHOSTUNREACH', 'lost'));
	route(note, client('c1'));
	t.deepEqual(
		facts.map(fact => [
			fact.type,
			fact.key,
			'target' in fact ? fact.target : 'errnum' in fact && fact.errnum,
		]),
		[
			['rpc.request', 'c1:0', 'rank 4'],
			['rpc.end', 'c1:0', 0],
			['rpc.request', 'c1:0', 'nobody'],
			['rpc.lost', 'c1:0', errnumOf('EHOSTUNREACH')],
		],
	);
	t.is(sent.length, 1);
	const net = new RouterNet(row(3), node => node.rank === 0 && node.serve('one'));
	net.ask(net.addClient(2), {topic: 'one.echo', noresponse: true});
	net.deliver();
	t.deepEqual(net.at(0).notes, [1]);
	for (const {state} of net.nodes) t.is(state.rpcs.size, 0);
});

test('pings pass, and are no facts', t => {
	const {client, route, router, facts} = lone();
	const c1 = client('c1');
	route({nodeid: 9, topic: 'broker.ping'}, c1);
	t.is(router.pendingCounts.get(4), 1);
	router.originGone(c1);
	t.is(router.pendingCounts.get(4), 0);
	t.deepEqual(facts, []);
});
