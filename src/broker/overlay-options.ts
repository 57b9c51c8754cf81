/**
 * From configuration and identity to a rank's place in the tree. Pure. Invariant: all ranks of an instance derive the same
 * topology, hosts and addresses from the same instance and configuration.
 */
import {join} from 'node:path';
import {SystemError} from '../formats/errno.ts';
import type {OverlayOptions} from '../net/overlay/overlay-options.ts';
import {ROOT, Topology} from '../net/overlay/topology.ts';
import type {BrokerConfig} from './config.ts';
import {rankHostname, type InstanceInfo} from './instance.ts';

export interface OverlayQuestion {
	readonly config: Pick<BrokerConfig, 'bootstrap' | 'tbon'>;
	/** `size` and `topo` are those of the instance. */
	readonly info: Pick<InstanceInfo, 'hostname' | 'rundir' | 'size' | 'topo'>;
	readonly rank: number;
}

/**
 * The place of `rank` in the tree. Without `bootstrap.hosts` all ranks are on this host and use unix sockets in the run
 * directory; with it there is one host a rank, and they use TLS.
 *
 * @throws {SystemError} EINVAL when `rank` is no rank of the instance, or size and hosts do not go together.
 */
export function overlayOptionsOf({config, info, rank}: OverlayQuestion): OverlayOptions {
	const {bootstrap, tbon} = config;
	const isLocal = bootstrap.hosts.length === 0;
	if (!isLocal && bootstrap.hosts.length !== info.size) {
		const counts = `${info.size} brokers, but bootstrap.hosts names ${bootstrap.hosts.length}`;
		throw new SystemError('EINVAL', `the instance has ${counts}`);
	}
	if (!Number.isInteger(rank) || rank < 0 || rank >= info.size) {
		throw new SystemError('EINVAL', `rank ${rank}: the instance has the ranks 0 to ${info.size - 1}`);
	}
	const topology = topologyOf({topo: info.topo, size: info.size, bootstrap});
	const uriOf = (of: number) =>
		isLocal
			? `local://${overlaySocketPath(info.rundir, of)}`
			: `tls://${bootstrap.hosts[of]}:${bootstrap.ports[of] ?? bootstrap.ports[0]}`;
	const parent = topology.parentOf(rank);
	return {
		topology,
		hosts: isLocal ? rankHostnames(info) : bootstrap.hosts,
		listenUri: topology.childrenOf(rank).length === 0 ? null : uriOf(rank),
		parentUri: parent === null ? null : uriOf(parent),
		torpidMs: tbon.torpidMs,
		lostTimeoutMs: tbon.lostTimeoutMs,
		keepaliveMs: tbon.keepaliveMs,
		reconnectMsMax: tbon.reconnectMsMax,
	};
}

/** Where the children of a rank connect when they are on its host. */
export function overlaySocketPath(rundir: string, rank: number): string {
	return join(rundir, `tbon-${rank}`);
}

function rankHostnames(info: OverlayQuestion['info']): string[] {
	return Array.from({length: info.size}, (_, rank) => rankHostname(info, rank));
}

interface TopologyQuestion {
	readonly topo: string;
	readonly size: number;
	readonly bootstrap: BrokerConfig['bootstrap'];
}

/** `kary:N`, or `custom`: flat; then those parents that the configuration names host by host. */
function topologyOf({topo, size, bootstrap: {hosts, parents}}: TopologyQuestion): Topology {
	const fanout = topo === 'custom' ? 0 : Number(/^kary:([1-9][0-9]{0,5})$/.exec(topo)?.[1]);
	if (!Number.isInteger(fanout)) {
		throw new SystemError('EINVAL', `tbon.topo: must be kary:N (N at least 1) or custom, is '${topo}'`);
	}
	const base = Topology.kary(size, fanout);
	if (Object.keys(parents).length === 0) return base;
	const ranks = new Map(hosts.map((host, rank) => [host, rank]));
	return Topology.fromParents(
		Array.from({length: size}, (_, rank) => {
			const named = parents[hosts[rank] ?? ''];
			return (named === undefined ? base.parentOf(rank) : ranks.get(named)) ?? ROOT;
		}),
	);
}
