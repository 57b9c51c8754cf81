/** What a broker knows of its own place: who it is, and which children it has had. From its peer machines, so it outlives boots. */
import type {PeerSnapshot} from '../../machines/peer.ts';
import type {Topology} from '../../net/overlay/topology.ts';
import type {Core} from '../core.ts';

/** Times are epoch seconds. */
export interface RankIdentity {
	readonly rank: number;
	readonly pid: number;
	readonly uuid: string;
	readonly boot_count: number;
	readonly version: string;
	/** Of a broker itself: its start. Of a child: since when it is in its state. */
	readonly since: number;
}

export interface ChildReport extends RankIdentity {
	readonly state: PeerSnapshot['value'];
	/** Why it was lost, or ''. */
	readonly error: string;
}

export interface RankReport extends RankIdentity {
	readonly children: readonly ChildReport[];
}

export interface ReportOptions {
	readonly core: Core;
	readonly topology: Topology;
	readonly self: {readonly pid: number; readonly version: string};
}

/** Children that were never seen are not in it. */
export function reportOf({core, topology, self}: ReportOptions): RankReport {
	const {rank, state} = core;
	const {uuid, epoch, startMs} = state.broker.context;
	const children = topology.childrenOf(rank).flatMap(child => {
		const peer = state.peers.get(child);
		return peer === undefined ? [] : [childReport(child, peer)];
	});
	return {rank, ...self, uuid, boot_count: epoch, since: startMs / 1000, children};
}

function childReport(rank: number, {value, context}: PeerSnapshot): ChildReport {
	const {pid, uuid, bootCount, version, sinceMs, error} = context;
	return {rank, pid, uuid, boot_count: bootCount, version, since: sinceMs / 1000, state: value, error};
}
