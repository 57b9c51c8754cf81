/**
 * From the configuration of a cluster to the place of one of its hosts in the tree. Pure. Invariant: all hosts derive the
 * same ranks, topology and addresses from the same configuration.
 */
import {SystemError} from '../formats/errno.ts';
import {tlsUri} from '../net/address.ts';
import type {Topology} from '../net/overlay/topology.ts';
import {placeOf, type BrokerConfig} from './config.ts';
import {topologyOf} from './tree-shape.ts';

export interface Bootstrap {
	/** The index of the host in `bootstrap.hosts`. */
	readonly rank: number;
	readonly size: number;
	readonly topology: Topology;
	/** By rank. */
	readonly hosts: readonly string[];
	/** Where its children connect; null for a leaf. An address is listened at as it is, a name on all interfaces. */
	readonly listenUri: string | null;
	/** Where its parent listens; null for the root. */
	readonly parentUri: string | null;
}

export interface ThisHost {
	/** As the system says it: the whole name of `bootstrap.hosts`, or that name with a domain behind it. */
	readonly hostname: string;
	/** The rank that it must have; without it, the one that it has. */
	readonly rank?: number | undefined;
}

/** Whether the configuration is that of a cluster: several hosts, each with one broker. */
export function isCluster({bootstrap}: Pick<BrokerConfig, 'bootstrap'>): boolean {
	return bootstrap.hosts.length > 1;
}

/**
 * @throws {SystemError} EINVAL, with the place of `bootstrap.hosts`: the host is not in the list, there is no such rank,
 * or it is another host's.
 */
export function bootstrapOf(
	config: Pick<BrokerConfig, 'bootstrap' | 'tbon'>,
	{hostname, rank: expected}: ThisHost,
): Bootstrap {
	const {hosts, ports} = config.bootstrap;
	const refuse = (text: string) =>
		new SystemError('EINVAL', `${placeOf(config, 'bootstrap.hosts')}: bootstrap.hosts: ${text}`);
	if (expected !== undefined && hosts[expected] === undefined) {
		throw refuse(`there is no rank ${expected}; the ranks of its hosts are 0 to ${hosts.length - 1}`);
	}
	const rank = rankOf(hostname, hosts);
	if (rank === null) throw refuse(`this host, ${hostname}, is not one of them`);
	if (expected !== undefined && expected !== rank) {
		throw refuse(`rank ${expected} is ${hosts[expected]}, and this host, ${hostname}, is rank ${rank}`);
	}
	const topology = topologyOf({topo: config.tbon.topo, size: hosts.length, bootstrap: config.bootstrap});
	const portOf = (of: number) => ports[ports.length === 1 ? 0 : of]!;
	const parent = topology.parentOf(rank);
	return {
		rank,
		size: hosts.length,
		topology,
		hosts,
		listenUri: topology.childrenOf(rank).length === 0 ? null : tlsUri(boundHost(hosts[rank]!), portOf(rank)),
		parentUri: parent === null ? null : tlsUri(hosts[parent]!, portOf(parent)),
	};
}

function rankOf(hostname: string, hosts: readonly string[]): number | null {
	const whole = hosts.indexOf(hostname);
	if (whole >= 0) return whole;
	const short = hosts.indexOf(hostname.split('.', 1)[0]!);
	return short >= 0 ? short : null;
}

/**
 * What to bind for a host of that name. Not what the name means here: Debian's /etc/hosts, for one, lets a host's own name
 * mean 127.0.1.1, where no other host can reach it.
 */
function boundHost(host: string): string {
	const isAddress = host.includes(':') || /^[0-9]+(?:\.[0-9]+){3}$/.test(host);
	return isAddress ? host : '*';
}
