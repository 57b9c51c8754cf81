/** `event.publish` and `event.subscribe` (RFC 3; docs/services.md), and how a broker asks its parent for events that it missed. */
import {SystemError} from '../../formats/errno.ts';
import type {Event} from '../../net/message.ts';
import {TOPIC_BYTES_MAX} from '../../net/message.ts';
import {ROOT} from '../../net/overlay/topology.ts';
import type {Events} from '../../net/overlay/events.ts';
import {decodePayload, encodePayload} from '../../net/payload.ts';
import type {ServiceRegistry} from '../../net/service-registry.ts';
import {Fields} from '../fields.ts';
import type {RoutedPeers} from '../routed-peers.ts';

export interface EventTopics {
	readonly registry: ServiceRegistry;
	readonly peers: RoutedPeers;
	readonly events: Events;
	readonly isRoot: boolean;
}

/** More of a subscriber that does not read are dropped, and it is told so by ENOBUFS. */
const BEHIND_MAX = 1024;

export function registerEvents({registry, peers, events, isRoot}: EventTopics): void {
	registry.register('event.publish', async request => {
		if (!isRoot) {
			request.respond(await peers.client.call('event.publish', request.payload, {nodeid: ROOT}));
			return;
		}
		const fields = new Fields(request);
		const topic = fields.text('topic');
		if (!/^[!-~]+$/.test(topic) || topic.length > TOPIC_BYTES_MAX) {
			throw new SystemError(
				'EINVAL',
				`event topic must be 1 to ${TOPIC_BYTES_MAX} characters without spaces`,
			);
		}
		const {userid, rolemask} = request;
		const payload = encodePayload(fields.any('payload') ?? {});
		request.respond({seq: events.publish({topic, userid, rolemask, payload})});
	});
	registry.register(
		'event.subscribe',
		request => {
			const prefix = new Fields(request).text('topic', '');
			let behind = 0;
			const stop = events.subscribe(event => {
				if (!event.topic.startsWith(prefix) || !request.isOpen) return;
				const {topic, sequence, userid} = event;
				if (request.respondStream({topic, seq: sequence, userid, payload: decodePayload(event.payload)})) {
					behind = 0;
					return;
				}
				behind += 1;
				if (behind <= BEHIND_MAX) return;
				stop();
				request.error(new SystemError('ENOBUFS', `${behind} events were not read (BEHIND_MAX)`));
			});
			request.onDrain = () => (behind = 0);
			request.onCancel = () => stop();
		},
		{streaming: 'always'},
	);
	peers.handle('event.fetch', ({after}: {readonly after: number}) => events.after(after));
}

/** Asks the parent for the events after one, as far as it still has them; null: there is no parent. */
export async function fetchEvents(peers: RoutedPeers, after: number): Promise<readonly Event[] | null> {
	if (peers.parent === null) return null;
	const events = await peers.request(peers.parent, 'event.fetch', {after});
	if (!Array.isArray(events)) throw new SystemError('EPROTO', 'event.fetch: the answer is no list of events');
	return events as readonly Event[];
}
