/** Who is whose parent, from `overlay.topology`. */
import type {BrokerSession} from '../broker-session.ts';
import {listField, numberField} from '../fields.ts';

const TOPIC = 'overlay.topology';

/** The parent of each rank; the root has none. */
export async function fetchParents(session: BrokerSession): Promise<ReadonlyMap<number, number>> {
	const parents = new Map<number, number>();
	const walk = (node: unknown) => {
		const rank = numberField(node, 'rank', TOPIC);
		for (const child of listField(node, 'children', TOPIC)) {
			parents.set(numberField(child, 'rank', TOPIC), rank);
			walk(child);
		}
	};
	walk(await session.call(TOPIC, {rank: 0}, {idempotent: true}));
	return parents;
}
