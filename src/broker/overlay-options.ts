/**
 * From configuration and identity to a rank's place in the tree. Pure. Invariant: all ranks of an instance derive the same
 * topology, hosts and addresses from the same instance and configuration.
 */
import {join} from 'node:path';
import {SystemError} from '../formats/errno.ts';
import type {OverlayOptions} from '../net/overlay/overlay-options.ts';
import {bootstrapOf, isCluster, type Bootstrap} from './bootstrap.ts';
import type {BrokerConfig} from './config.ts';
import {rankHostname, type InstanceInfo} from './instance.ts';
import {topologyOf} from './tree-shape.ts';

export interface OverlayQuestion {
	readonly config: Pick<BrokerConfig, 'bootstrap' | 'tbon'>;
	/** `size` and `topo` are those of the instance. */
	readonly info: Pick<InstanceInfo, 'hostname' | 'rundir' | 'size' | 'topo'>;
	readonly rank: number;
}

/**
 * The place of `rank` in the tree. Where `bootstrap.hosts` names several hosts, there is one broker on each, and they
 * use TLS; otherwise all are on this host and use unix sockets in the run directory.
 *
 * @throws {SystemError} EINVAL when `rank` is no rank of the instance, or size and hosts do not go together.
 */
export function overlayOptionsOf({config, info, rank}: OverlayQuestion): OverlayOptions {
	const {hosts} = config.bootstrap;
	if (isCluster(config) && hosts.length !== info.size) {
		const counts = `${info.size} brokers, but bootstrap.hosts names ${hosts.length}`;
		throw new SystemError('EINVAL', `the instance has ${counts}`);
	}
	if (!Number.isInteger(rank) || rank < 0 || rank >= info.size) {
		throw new SystemError('EINVAL', `rank ${rank}: the instance has the ranks 0 to ${info.size - 1}`);
	}
	const place = isCluster(config)
		? bootstrapOf(config, {hostname: hosts[rank]!, rank})
		: placeOnOneHost(info, rank);
	const {torpidMs, lostTimeoutMs, keepaliveMs, reconnectMsMax} = config.tbon;
	return {
		topology: place.topology,
		hosts: place.hosts,
		listenUri: place.listenUri,
		parentUri: place.parentUri,
		torpidMs,
		lostTimeoutMs,
		keepaliveMs,
		reconnectMsMax,
	};
}

/** Where the children of a rank connect when they are on its host. */
export function overlaySocketPath(rundir: string, rank: number): string {
	return join(rundir, `tbon-${rank}`);
}

function placeOnOneHost(info: OverlayQuestion['info'], rank: number): Bootstrap {
	const {size, topo, rundir} = info;
	const topology = topologyOf({topo, size, bootstrap: {hosts: [], parents: {}}});
	const uriOf = (of: number) => `local://${overlaySocketPath(rundir, of)}`;
	const parent = topology.parentOf(rank);
	return {
		rank,
		size,
		topology,
		hosts: Array.from({length: size}, (_, of) => rankHostname(info, of)),
		listenUri: topology.childrenOf(rank).length === 0 ? null : uriOf(rank),
		parentUri: parent === null ? null : uriOf(parent),
	};
}
