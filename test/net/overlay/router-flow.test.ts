/**
 * Goal: whoever is slow slows itself; what a neighbour can be owed and sent is bounded.
 * Method: real routers in a row with readers that stop, and one router whose neighbours say how much they have queued.
 */
import test from 'ava';
import {errnoName, SystemError} from '../../../src/formats/errno.ts';
import {fittingResponse, RESPONSE_QUEUE_BYTES_FULL} from '../../../src/net/overlay/fitting-response.ts';
import {HOP_PENDING_MAX, HOP_QUEUE_BYTES_FULL, HOP_QUEUE_BYTES_MAX} from '../../../src/net/overlay/router.ts';
import {Topology} from '../../../src/net/overlay/topology.ts';
import {lone} from './lone-router.ts';
import {RouterNet} from './router-net.ts';

/** Ranks 0, 1, … in a row. */
const row = (size: number) => Topology.kary(size, 1);

test('a reader that stops stops its own stream at its source, and no other; when it reads again all of it comes', t => {
	const net = new RouterNet(row(4), node => node.rank === 3 && node.serve('one'));
	const client = net.addClient(0);
	const reader = net.addClient(0);
	const stopped = net.ask(client, {topic: 'one.watch', nodeid: 3, streaming: true});
	const read = net.ask(reader, {topic: 'one.watch', nodeid: 3, streaming: true});
	net.deliver();
	client.isBehind = true;
	const [first, second] = net.at(3).sources;
	for (let count = 0; count < 200; count += 1) {
		for (const source of [first, second]) if (source !== undefined) net.at(3).emit(source);
		net.deliver();
	}
	t.is(read.values.length, 200);
	t.true(stopped.values.length < 5, `${stopped.values.length} values came while it was behind`);
	t.is(first?.next, stopped.values.length);
	const call = net.ask(client, {topic: 'one.echo', nodeid: 3});
	net.deliver();
	t.is(call.final?.errnum, 0, 'its calls go on');
	net.finish(250);
	t.is(stopped.values.length, 250);
});

test('a stopped stream stays stopped when a link on its way that was behind has caught up', t => {
	const net = new RouterNet(row(4), node => node.rank === 3 && node.serve('one'));
	const client = net.addClient(0);
	const asked = net.ask(client, {topic: 'one.watch', nodeid: 3, streaming: true});
	net.deliver();
	const [source] = net.at(3).sources;
	if (source === undefined) return t.fail();
	client.isBehind = true;
	// Bursts: links fall behind and catch up again and again, while the reader does not.
	for (let round = 0; round < 100; round += 1) {
		for (let count = 0; count < 10; count += 1) net.at(3).emit(source);
		for (const [from, to] of [
			[3, 2],
			[2, 1],
			[1, 0],
		] as const) {
			while ((net.at(from).links.get(to)?.queue.length ?? 0) > 0) net.step(net.at(from), net.at(to));
		}
		net.deliver();
	}
	t.true(client.valuesBehind < 40, `${client.valuesBehind} values were sent to a reader that does not read`);
	net.finish(300);
	t.is(asked.values.length, 300);
});

test('with too much queued for a neighbour clients wait, and requests of neighbours are refused', t => {
	const {client, route, router, queued, keepsUp, answers, sent, marks} = lone();
	queued.set(4, HOP_QUEUE_BYTES_MAX + 1);
	keepsUp.set(4, false);
	route({nodeid: 9, matchtag: 1}, client('c1'));
	route({nodeid: 9, matchtag: 1}, client('3-life', false));
	t.deepEqual(marks, ['c1 waits']);
	t.is(sent.length, 1);
	t.is(errnoName(answers[0]?.errnum ?? 0), 'EAGAIN');
	route({nodeid: 0, matchtag: 2}, client('3-life', false));
	t.is(sent.length, 2, 'the other neighbours are not concerned');
	queued.set(4, HOP_QUEUE_BYTES_FULL + 1);
	route({nodeid: 9, matchtag: 1}, client('c2'));
	t.is(errnoName(answers[1]?.errnum ?? 0), 'EAGAIN');
	queued.set(4, 0);
	router.hopDrained(4);
	t.deepEqual(marks, ['c1 waits', 'c1 goes on']);
	router.hopDrained(4);
	t.is(marks.length, 2);
});

test('clients that wait for a neighbour go on when it is lost', t => {
	const {client, route, router, queued, keepsUp, marks} = lone();
	queued.set(4, HOP_QUEUE_BYTES_MAX + 1);
	keepsUp.set(4, false);
	route({nodeid: 9}, client('c1'));
	router.removeHop(4, new SystemError('EHOSTUNREACH', 'lost'));
	t.deepEqual(marks, ['c1 waits', 'c1 goes on']);
});

test('more than HOP_PENDING_MAX requests over a neighbour are refused, and room comes back', t => {
	const {client, route, router, answers, facts} = lone();
	const c1 = client('c1');
	for (let matchtag = 1; matchtag <= HOP_PENDING_MAX; matchtag += 1) route({nodeid: 9, matchtag}, c1);
	t.is(answers.length, 0);
	route({nodeid: 9, matchtag: HOP_PENDING_MAX + 1}, c1);
	t.is(errnoName(answers[0]?.errnum ?? 0), 'EAGAIN');
	router.removeHop(4, new SystemError('EHOSTUNREACH', 'lost'));
	t.is(answers.length, HOP_PENDING_MAX + 1);
	t.is(facts.length, 2 * HOP_PENDING_MAX);
	t.is(router.pendingCounts.get(4), undefined);
	route({nodeid: 0, matchtag: 1}, c1);
	t.is(router.pendingCounts.get(0), 1);
});

test('a response that a neighbour has no room for is an error in its place; errors and streams pass', t => {
	const response = {
		...({
			type: 'response',
			topic: 'a.b',
			matchtag: 1,
			userid: 1,
			rolemask: 1,
			route: [],
			streaming: false,
		} as const),
		...{errnum: 0, payload: new Uint8Array(1024)},
	};
	const least = RESPONSE_QUEUE_BYTES_FULL - 1024;
	t.is(fittingResponse(response, least), response);
	const cut = fittingResponse(response, least + 1);
	t.is(errnoName(cut.errnum), 'ENOBUFS');
	t.regex(Buffer.from(cut.payload).toString(), /no room for a response of 1024 bytes/);
	for (const other of [{errnum: 5}, {streaming: true}]) {
		t.deepEqual(fittingResponse({...response, ...other}, least + 1), {...response, ...other});
	}
});
