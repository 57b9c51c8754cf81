/** The topology that `tbon.topo` and `bootstrap.parents` make together. Pure. */
import {SystemError} from '../formats/errno.ts';
import {ROOT, Topology} from '../net/overlay/topology.ts';
import type {BrokerConfig} from './config.ts';

export interface ShapeQuestion {
	/** `kary:N`, or `custom`: flat. */
	readonly topo: string;
	readonly size: number;
	/** Parents are named host by host; without hosts there are none. */
	readonly bootstrap: Pick<BrokerConfig['bootstrap'], 'hosts' | 'parents'>;
}

/** @throws {SystemError} EINVAL for another `topo`, or a size out of bounds. */
export function topologyOf({topo, size, bootstrap: {hosts, parents}}: ShapeQuestion): Topology {
	const base = Topology.kary(size, baseFanout(topo));
	if (Object.keys(parents).length === 0) return base;
	const ranks = new Map(hosts.map((host, rank) => [host, rank]));
	return Topology.fromParents(
		Array.from({length: size}, (_, rank) => {
			const host = hosts[rank] ?? '';
			const named = Object.hasOwn(parents, host) ? ranks.get(parents[host]!) : base.parentOf(rank);
			return named ?? ROOT;
		}),
	);
}

/** The fan-out of the ranks whose parents are not named; 0: flat. @throws {SystemError} EINVAL */
export function baseFanout(topo: string): number {
	if (topo === 'custom') return 0;
	const match = /^kary:([1-9][0-9]{0,5})$/.exec(topo);
	if (match !== null) return Number(match[1]);
	throw new SystemError('EINVAL', `tbon.topo: must be kary:N (N at least 1) or custom, is '${topo}'`);
}
