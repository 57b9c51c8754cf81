/** The way of a request from here: any, upstream or rank (DESIGN section 6). Pure. */
import {SystemError} from '../../formats/errno.ts';
import {NODEID_ANY, serviceOf, type Request} from '../message.ts';
import type {ServiceRegistry} from '../service-registry.ts';
import type {Topology} from './topology.ts';

export interface Place {
	readonly rank: number;
	readonly topology: Topology;
	readonly registry: ServiceRegistry;
}

/** 'local', the rank of a neighbour, or EHOSTUNREACH: there is no way, whoever is online. */
export function nextHop(
	{nodeid, upstream, topic}: Pick<Request, 'nodeid' | 'upstream' | 'topic'>,
	{rank, topology, registry}: Place,
): 'local' | number | SystemError {
	const parent = topology.parentOf(rank);
	if (nodeid === NODEID_ANY || upstream) {
		const isPassedBy = upstream && nodeid === rank;
		if (!isPassedBy && (parent === null || registry.has(serviceOf(topic)))) return 'local';
		if (parent !== null) return parent;
		return new SystemError('EHOSTUNREACH', `${topic}: rank ${rank} is the root, nothing is above it`);
	}
	if (nodeid === rank) return 'local';
	// A rank that is not below us is above us, or below somebody above us; the root has all below it.
	const next = nodeid < topology.size ? (topology.childToward(rank, nodeid) ?? parent) : null;
	if (next !== null) return next;
	return new SystemError('EHOSTUNREACH', `${topic}: rank ${nodeid} is not in this instance`);
}
