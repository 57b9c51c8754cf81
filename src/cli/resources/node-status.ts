/** What `resource status` and `drain` show: nodes by their administrative state. */
import {Hostlist} from '../../formats/hostlist.ts';
import {Idset} from '../../formats/idset.ts';
import {isObject} from '../../formats/shape.ts';
import type {BrokerSession} from '../broker-session.ts';
import {UsageError} from '../command-error.ts';
import {objectOf, scalarText, textField} from '../fields.ts';

export const NODE_STATES = [
	'all',
	'online',
	'avail',
	'offline',
	'exclude',
	'drain',
	'draining',
	'drained',
	'torpid',
	'allocated',
	'housekeeping',
] as const;
export type NodeState = (typeof NODE_STATES)[number];

/** The states that `resource status` shows when none are named. */
export const NODE_STATES_DEFAULT = 'avail,exclude,draining,drained,torpid,housekeeping';

export interface NodeLine {
	readonly state: NodeState;
	readonly isUp: boolean;
	readonly ranks: Idset;
	readonly nodelist: Hostlist;
	/** Of a drain. */
	readonly reason: string;
	/** Epoch seconds, of a drain. */
	readonly timestamp: number | null;
}

/** The administrative state of all nodes. */
export interface NodeStatus {
	readonly ranks: Idset;
	readonly hostOf: (rank: number) => string;
	readonly online: Idset;
	readonly exclude: Idset;
	readonly torpid: Idset;
	readonly allocated: Idset;
	readonly drains: readonly Drain[];
}

interface Drain {
	readonly ranks: Idset;
	readonly reason: string;
	readonly timestamp: number;
}

export async function fetchNodeStatus(
	session: BrokerSession,
	isWanted: (node: {rank: number; host: string}) => boolean,
): Promise<NodeStatus> {
	const topic = 'resource.status';
	const answer = await session.call(topic, {}, {idempotent: true});
	const idset = (name: string) => Idset.parse(textField(answer, name, topic));
	const hosts = Hostlist.parse(textField(answer, 'hosts', topic)).hosts;
	const hostOf = (rank: number) => hosts[rank] ?? `rank${rank}`;
	const ranks = Idset.from(hosts.flatMap((host, rank) => (isWanted({rank, host}) ? [rank] : [])));
	const drain = objectOf(answer, topic)['drain'];
	const drains = Object.entries(isObject(drain) ? drain : {}).map(([text, said]) => ({
		ranks: Idset.parse(text).intersect(ranks),
		reason: isObject(said) ? scalarText(said['reason']) : '',
		timestamp: isObject(said) ? Number(said['timestamp']) : 0,
	}));
	return {
		ranks,
		hostOf,
		online: idset('online').intersect(ranks),
		exclude: idset('exclude').intersect(ranks),
		torpid: idset('torpid').intersect(ranks),
		allocated: idset('allocated').intersect(ranks),
		drains: drains.filter(one => !one.ranks.isEmpty),
	};
}

/** The lines of the states, in their order; a state without nodes has none, but for `avail` when nothing else is shown. */
export function nodeLines(status: NodeStatus, states: readonly NodeState[]): readonly NodeLine[] {
	return states.flatMap(state =>
		setsOf(status, state).flatMap(({ranks, reason, timestamp}) =>
			[true, false].flatMap(isUp => {
				const those = isUp ? ranks.intersect(status.online) : ranks.difference(status.online);
				if (those.isEmpty) return [];
				const nodelist = Hostlist.from(Array.from(those, status.hostOf));
				return [{state, isUp, ranks: those, nodelist, reason, timestamp}];
			}),
		),
	);
}

/** One line for each drain. */
export function drainLines(status: NodeStatus): readonly NodeLine[] {
	return [...nodeLines(status, ['draining', 'drained'])].sort(
		(a, b) => (a.timestamp ?? 0) - (b.timestamp ?? 0) || (a.ranks.first ?? 0) - (b.ranks.first ?? 0),
	);
}

interface NodeGroup {
	readonly ranks: Idset;
	readonly reason: string;
	readonly timestamp: number | null;
}

function setsOf(status: NodeStatus, state: NodeState): readonly NodeGroup[] {
	const {ranks, online, exclude, torpid, allocated, drains} = status;
	const drained = drains.reduce((all, one) => all.union(one.ranks), Idset.empty);
	const one = (set: Idset): readonly NodeGroup[] => [{ranks: set, reason: '', timestamp: null}];
	switch (state) {
		case 'all':
			return one(ranks);
		case 'online':
			return one(online);
		case 'offline':
			return one(ranks.difference(online));
		case 'avail':
			return one(ranks.difference(exclude).difference(drained));
		case 'exclude':
			return one(exclude);
		case 'torpid':
			return one(torpid);
		case 'allocated':
			return one(allocated);
		case 'housekeeping':
			return [];
		case 'drain':
			return drains;
		case 'draining':
			return drains.map(drain => ({...drain, ranks: drain.ranks.intersect(allocated)}));
		case 'drained':
			return drains.map(drain => ({...drain, ranks: drain.ranks.difference(allocated)}));
		default:
			return state satisfies never;
	}
}

/** @throws {UsageError} */
export function parseNodeStates(text: string): readonly NodeState[] {
	return text.split(',').map(name => {
		const state = NODE_STATES.find(one => one === name);
		if (state === undefined) {
			throw new UsageError(`option --states: '${name}' is none of ${NODE_STATES.join(', ')}`);
		}
		return state;
	});
}

export function nodeLineJson({state, isUp, ranks, nodelist, reason, timestamp}: NodeLine): object {
	return {
		state,
		up: isUp,
		nnodes: ranks.count,
		ranks: ranks.toString(),
		nodelist: nodelist.toString(),
		...(timestamp === null ? {} : {reason, timestamp}),
	};
}
