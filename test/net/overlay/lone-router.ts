/** A router without a net: what it sends is recorded. */
import type {Message, Request, Response} from '../../../src/net/message.ts';
import type {Origin} from '../../../src/net/overlay/pending-rpcs.ts';
import {Router, type RpcFactBody} from '../../../src/net/overlay/router.ts';
import {Topology} from '../../../src/net/overlay/topology.ts';
import {ServiceRegistry} from '../../../src/net/service-registry.ts';
import {ManualClock} from '../clocks.ts';
import {requestOf} from './router-net.ts';

/** One router with neighbours that only record: parent 0, itself 1, children 3 and 4. */
export function lone() {
	const clock = new ManualClock();
	const facts: RpcFactBody[] = [];
	const sent: {readonly to: number; readonly message: Message}[] = [];
	const answers: Response[] = [];
	const queued = new Map<number, number>();
	const keepsUp = new Map<number, boolean>();
	const router = new Router({
		rank: 1,
		topology: Topology.kary(15, 2),
		hosts: ['h0', 'h1', 'h2', 'h3', 'h4'],
		registry: new ServiceRegistry(),
		clock,
		post: fact => facts.push(fact),
		whyAway: rank => `nobody has seen ${rank}`,
	});
	const hopOrigin = (rank: number): Origin => ({
		name: `${rank}-life`,
		peer: `rank ${rank}`,
		deliver: message => {
			sent.push({to: rank, message});
			return true;
		},
	});
	const join = (rank: number) =>
		router.addHop({
			rank,
			origin: hopOrigin(rank),
			get queuedBytes() {
				return queued.get(rank) ?? 0;
			},
			send: message => {
				sent.push({to: rank, message});
				return keepsUp.get(rank) ?? true;
			},
			setFlow: () => false,
		});
	for (const rank of [0, 3, 4]) join(rank);
	const marks: string[] = [];
	const client = (name: string, canWait = true): Origin => ({
		name,
		peer: name,
		deliver: response => {
			answers.push(response);
			return true;
		},
		...(canWait
			? {pause: () => marks.push(`${name} waits`), resume: () => marks.push(`${name} goes on`)}
			: {}),
	});
	const route = (fields: Partial<Request>, origin: Origin) => {
		const local: Request[] = [];
		router.route(requestOf({topic: 'a.b', ...fields}), origin, request => local.push(request));
		return local.length > 0 ? 'local' : sent.length === 0 ? undefined : sent.at(-1)?.to;
	};
	return {router, clock, facts, sent, answers, queued, keepsUp, marks, client, route, join};
}
