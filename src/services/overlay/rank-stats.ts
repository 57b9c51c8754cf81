/** Counters of what a broker owes and is owed, by neighbour (docs/services.md, `overlay.stats`). */
import type {Overlay} from '../../net/overlay/overlay.ts';
import {SCATTER_TOPIC} from '../../net/overlay/scatter.ts';
import type {Topology} from '../../net/overlay/topology.ts';
import type {Core} from '../core.ts';

/** What a gathering over the tree itself makes pending while it looks. */
const OWN_TOPICS: ReadonlySet<string> = new Set([
	SCATTER_TOPIC,
	'overlay.stats',
	'overlay.status',
	'health.status',
]);

export interface RankStats {
	readonly rank: number;
	readonly hostname: string;
	readonly 'child-count': number;
	readonly 'child-connected': number;
	readonly 'parent-count': number;
	/** RPCs that were passed on and are owed a response, streams included; without those of the gathering itself. */
	readonly 'parent-rpc': number;
	readonly 'child-rpc': number;
	/** RPCs that services of this broker have not finished, streams included. */
	readonly 'local-rpc': number;
	readonly rpcs: readonly {
		readonly neighbour: number | null;
		readonly topic: string;
		readonly count: number;
	}[];
}

export interface StatsOptions {
	readonly core: Core;
	readonly overlay: Overlay;
	readonly topology: Topology;
}

export function statsOf({core, overlay, topology}: StatsOptions): RankStats {
	const {rank} = core;
	const parent = topology.parentOf(rank);
	const children = topology.childrenOf(rank);
	const rpcs = pendingOf({core, overlay});
	const countOf = (isMeant: (neighbour: number | null) => boolean) =>
		rpcs
			.filter(({neighbour, topic}) => isMeant(neighbour) && !OWN_TOPICS.has(topic))
			.reduce((sum, {count}) => sum + count, 0);
	return {
		rank,
		hostname: overlay.hostOf(rank),
		'child-count': children.length,
		'child-connected': children.filter(child => overlay.isOnline(child)).length,
		'parent-count': parent === null ? 0 : 1,
		'parent-rpc': countOf(neighbour => neighbour !== null && neighbour === parent),
		'child-rpc': countOf(neighbour => neighbour !== null && neighbour !== parent),
		'local-rpc': countOf(neighbour => neighbour === null),
		rpcs,
	};
}

/** RPCs without a final response by who owes it: a neighbour, or (null) a service of this broker. */
export function pendingOf({core, overlay}: Pick<StatsOptions, 'core' | 'overlay'>): RankStats['rpcs'] {
	const counts = new Map<string, {neighbour: number | null; topic: string; count: number}>();
	const count = (neighbour: number | null, topic: string) => {
		const key = `${neighbour} ${topic}`;
		const entry = counts.get(key) ?? {neighbour, topic, count: 0};
		entry.count += 1;
		counts.set(key, entry);
	};
	for (const {neighbour, rpc} of overlay.router.pending()) count(neighbour, rpc.request.topic);
	for (const {context} of core.state.rpcs.values())
		if (context.target === 'local') count(null, context.topic);
	return [...counts.values()];
}
