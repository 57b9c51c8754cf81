/**
 * Goal: whatever happens to brokers, links and clients, each request gets exactly one final response if whoever asked is
 * still there, and none otherwise; then nothing is pending anywhere, and every RPC machine is done.
 * Method: random trees of real routers and sessions; random requests, cancels, deadlines, slow readers, losses and
 * departures, in any order of arrival; then everything is let run out.
 */
import test from 'ava';
import fc from 'fast-check';
import {errnoName} from '../../../src/formats/errno.ts';
import {topologies} from './arbitraries.ts';
import {RouterNet, type Client} from './router-net.ts';

const RANKS_MAX = 9;
const STREAM_VALUES = 25;

const request = fc.record({
	kind: fc.constant('ask' as const),
	client: fc.nat(),
	method: fc.constantFrom('echo', 'hold', 'watch', 'watch', 'fail', 'none'),
	service: fc.constantFrom('one', 'two'),
	to: fc.oneof(fc.constantFrom('any' as const, 'upstream' as const), fc.nat(RANKS_MAX)),
	isNote: fc.boolean(),
	deadlineMs: fc.option(fc.integer({min: 1, max: 400})),
});
const step = fc.oneof(
	{weight: 30, arbitrary: request},
	{weight: 80, arbitrary: fc.record({kind: fc.constant('deliver' as const), which: fc.nat()})},
	{weight: 20, arbitrary: fc.record({kind: fc.constant('emit' as const), rank: fc.nat(), which: fc.nat()})},
	{weight: 8, arbitrary: fc.record({kind: fc.constant('answer' as const), rank: fc.nat(), which: fc.nat()})},
	{
		weight: 8,
		arbitrary: fc.record({kind: fc.constant('cancel' as const), client: fc.nat(), which: fc.nat()}),
	},
	{weight: 6, arbitrary: fc.record({kind: fc.constant('behind' as const), client: fc.nat()})},
	{weight: 6, arbitrary: fc.record({kind: fc.constant('drain' as const), client: fc.nat()})},
	{weight: 6, arbitrary: fc.record({kind: fc.constant('pass' as const), ms: fc.integer({min: 1, max: 150})})},
	{weight: 3, arbitrary: fc.record({kind: fc.constant('come' as const), rank: fc.nat()})},
	{weight: 2, arbitrary: fc.record({kind: fc.constant('leave' as const), client: fc.nat()})},
	{weight: 2, arbitrary: fc.record({kind: fc.constant('lose' as const), rank: fc.nat()})},
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

function pick<T>(list: readonly T[], which: number): T | undefined {
	return list.length === 0 ? undefined : list[which % list.length];
}

function ask(net: RouterNet, client: Client, one: Extract<Step, {kind: 'ask'}>): void {
	const {method, service, to, isNote, deadlineMs} = one;
	const noresponse = isNote && method === 'echo';
	net.ask(client, {
		topic: `${service}.${method}`,
		streaming: method === 'watch',
		noresponse,
		deadlineMs: noresponse ? null : deadlineMs,
		upstream: to === 'upstream',
		...(to === 'any' ? {} : {nodeid: to === 'upstream' ? client.node.rank : to}),
	});
}

async function take(net: RouterNet, one: Step): Promise<void> {
	const present = net.clients.filter(({isGone}) => !isGone);
	const client = 'client' in one ? pick(present, one.client) : undefined;
	switch (one.kind) {
		case 'ask':
			if (client !== undefined) ask(net, client, one);
			break;
		case 'deliver': {
			const link = pick(net.busy, one.which);
			if (link !== undefined) net.step(...link);
			break;
		}
		case 'emit': {
			const node = net.at(one.rank);
			const source = pick(node.sources, one.which);
			while (source !== undefined && source.next < STREAM_VALUES && node.emit(source));
			break;
		}
		case 'answer': {
			const held = pick(net.at(one.rank).held, one.which);
			if (held?.isOpen === true) held.respond({id: (held.payload as {id: number}).id, value: 0});
			break;
		}
		case 'cancel': {
			const asked = pick(client?.asked.filter(({request}) => !request.noresponse) ?? [], one.which);
			if (asked?.final === null) client?.cancel(asked);
			break;
		}
		case 'behind':
			if (client !== undefined) client.isBehind = true;
			break;
		case 'drain':
			client?.drain();
			break;
		case 'pass':
			await net.clock.advance(one.ms);
			break;
		case 'come':
			net.addClient(one.rank);
			break;
		case 'leave':
			client?.leave();
			break;
		case 'lose':
			net.lose(one.rank % net.topology.size);
			break;
	}
}

test('exactly one final response for each request, whatever happens, and nothing is left behind', async t => {
	const seen = new Map<string, number>();
	const note = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1);
	const services = fc.array(fc.constantFrom('', 'one', 'two', 'one two'), {minLength: 10, maxLength: 10});
	const steps = fc.array(step, {maxLength: 250, size: 'max'});
	await fc.assert(
		fc.asyncProperty(topologies(RANKS_MAX), services, steps, async (topology, has, walk) => {
			const net = new RouterNet(topology, node => {
				for (const service of has[node.rank]?.split(' ') ?? []) if (service !== '') node.serve(service);
			});
			for (let rank = 0; rank < topology.size; rank += 1) net.addClient(rank);
			for (const one of walk) await take(net, one);
			net.deliver();
			// What a service still works on, somebody waits for: all else was canceled.
			const awaited = new Set(
				net.clients
					.filter(({isGone}) => !isGone)
					.flatMap(({asked}) => asked.filter(({final}) => final === null).map(({id}) => id)),
			);
			for (const {held, sources} of net.nodes) {
				const working = [...held, ...sources.map(({request}) => request)].filter(({isOpen}) => isOpen);
				for (const {payload} of working) t.true(awaited.has((payload as {id: number}).id));
			}
			net.finish(STREAM_VALUES);
			await net.clock.advance(1000);
			net.finish(STREAM_VALUES);
			for (const {asked, isGone} of net.clients) {
				for (const {
					id,
					request: {topic, noresponse, streaming},
					final,
					values,
				} of asked) {
					if (noresponse) t.is(final, null, `request ${id} wants no response`);
					else if (!isGone) t.not(final, null, `request ${id} (${topic}) has no final response`);
					if (final === null) continue;
					const end = final.errnum === 0 ? 'ok' : errnoName(final.errnum);
					note(end ?? String(final.errnum));
					if (streaming && end === 'ENODATA') t.is(values.length, STREAM_VALUES);
				}
			}
			for (const node of net.nodes) {
				t.deepEqual(
					[...node.router.pendingCounts.values()].filter(count => count > 0),
					[],
					`rank ${node.rank} owes`,
				);
				t.is(
					[...node.server.sessions].reduce((sum, {pendingCount}) => sum + pendingCount, 0),
					0,
				);
				t.deepEqual([...node.state.rpcs.keys()], [], `open RPC machines of rank ${node.rank}`);
				t.deepEqual(node.failures, []);
			}
			t.is(net.clock.armedCount, 0, 'timers are left');
		}),
		{numRuns: 150},
	);
	const expected = ['ECANCELED', 'EHOSTUNREACH', 'ENODATA', 'ENOENT', 'ENOSYS', 'ETIMEDOUT', 'ok'];
	for (const end of expected)
		t.true((seen.get(end) ?? 0) > 5, `${end} hardly happens: ${JSON.stringify([...seen])}`);
	t.deepEqual(
		[...seen.keys()].filter(end => !expected.includes(end) && end !== 'ECONNRESET'),
		[],
		'errors that nothing of this should cause',
	);
});
