/** What can be wrong with hosts, ports, parents and key of an instance taken together. Pure. */
import {isHost} from '../net/address.ts';
import {RANKS_MAX} from '../net/overlay/topology.ts';
import type {BrokerConfig} from './config.ts';
import {baseFanout} from './tree-shape.ts';

/** A fault, and the keys to whose places it points. */
export interface BootstrapFault {
	/** The way to each value: `['bootstrap.parents', 'n3']` is that of one host. */
	readonly at: readonly (readonly [key: string, ...names: string[]])[];
	readonly text: string;
}

type Tree = Pick<BrokerConfig, 'bootstrap' | 'tbon'>;

/** The first fault, or null. */
export function bootstrapFault(config: Tree): BootstrapFault | null {
	return hostsFault(config) ?? portsFault(config) ?? parentsFault(config) ?? keyFault(config);
}

const HOSTS = 'bootstrap.hosts';

function hostsFault({bootstrap: {hosts}}: Tree): BootstrapFault | null {
	const fault = (text: string) => ({at: [[HOSTS]] as const, text: `${HOSTS}: ${text}`});
	if (hosts.length > RANKS_MAX) return fault(`at most ${RANKS_MAX} hosts, are ${hosts.length}`);
	const ranks = new Map<string, number>();
	for (const [rank, host] of hosts.entries()) {
		if (!isHost(host)) return fault(`${JSON.stringify(host)} is neither a host's name nor its address`);
		const first = ranks.get(host);
		if (first !== undefined) return fault(`${host} is there twice, as rank ${first} and as rank ${rank}`);
		ranks.set(host, rank);
	}
	return null;
}

function portsFault({bootstrap: {hosts, ports}}: Tree): BootstrapFault | null {
	if (ports.length <= 1 || ports.length === hosts.length) return null;
	const text = `must be one port, or one a host; ${ports.length} ports for ${hosts.length} hosts`;
	return {at: [['bootstrap.ports'], [HOSTS]], text: `bootstrap.ports: ${text}`};
}

function parentsFault({bootstrap: {hosts, parents}, tbon}: Tree): BootstrapFault | null {
	const fault = (host: string, text: string): BootstrapFault => ({
		at: [['bootstrap.parents', host]],
		text: `bootstrap.parents.${host}: ${text}`,
	});
	const known = new Set(hosts);
	for (const [host, parent] of Object.entries(parents)) {
		const unknown = [host, parent].find(name => !known.has(name));
		if (unknown !== undefined) return fault(host, `${unknown} is not one of ${HOSTS}`);
		if (host === hosts[0]) return fault(host, 'the first host is the root, and has no parent');
	}
	const cycle = findCycle(hosts, parents, baseFanout(tbon.topo));
	if (cycle === null) return null;
	// Of the hosts in a cycle at least one was given its parent: the ranks of kary:N have none.
	const given = cycle.find(host => Object.hasOwn(parents, host)) ?? '';
	return fault(given, `a cycle, which never reaches the root: ${cycle.join(', ')}`);
}

/** The hosts of a cycle, the first once more at the end; null when every host leads to the first one. */
function findCycle(
	hosts: readonly string[],
	parents: Readonly<Record<string, string>>,
	fanout: number,
): readonly string[] | null {
	const ranks = new Map(hosts.map((host, rank) => [host, rank]));
	const parentOf = (host: string): string => {
		if (Object.hasOwn(parents, host)) return parents[host]!;
		return hosts[fanout === 0 ? 0 : Math.floor((ranks.get(host)! - 1) / fanout)]!;
	};
	const isRooted = new Set(hosts.slice(0, 1));
	for (const start of Object.keys(parents)) {
		const path = new Set<string>();
		for (let at = start; !isRooted.has(at); at = parentOf(at)) {
			if (path.has(at)) return [...[...path].slice([...path].indexOf(at)), at];
			path.add(at);
		}
		for (const host of path) isRooted.add(host);
	}
	return null;
}

function keyFault({bootstrap: {hosts, key}}: Tree): BootstrapFault | null {
	if (hosts.length <= 1 || key !== null) return null;
	const text = `${hosts.length} hosts need a key, and the same one: make it with 'coppice keygen FILE'`;
	return {at: [[HOSTS]], text: `bootstrap.key: ${text}`};
}
