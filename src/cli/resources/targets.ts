/** `-i`: some nodes of those that an answer names, by an idset or a hostlist. */
import {SystemError} from '../../formats/errno.ts';
import {Hostlist} from '../../formats/hostlist.ts';
import {Idset} from '../../formats/idset.ts';
import type {BrokerSession} from '../broker-session.ts';
import {UsageError} from '../command-error.ts';
import {RankHosts} from '../overlay/rank-hosts.ts';

/** The function that tells whether a node is among `targets`; undefined: every node is. @throws {UsageError} */
export function targetFilter(targets: string | undefined): (node: {rank: number; host: string}) => boolean {
	if (targets === undefined) return () => true;
	try {
		if (/^[\d,[\]-]+$/.test(targets)) {
			const ranks = Idset.parse(targets);
			return ({rank}) => ranks.has(rank);
		}
		const hosts = new Set(Hostlist.parse(targets).hosts);
		return ({host}) => hosts.has(host);
	} catch (error) {
		if (error instanceof SystemError) throw new UsageError(`option --include: ${error.message}`);
		throw error;
	}
}

/** @throws {SystemError} ENOENT: one of them is not in the instance. */
export async function assertTargets(session: BrokerSession, targets: string): Promise<void> {
	const hosts = await RankHosts.fetch(session);
	if (/^[\d,[\]-]+$/.test(targets)) for (const rank of Idset.parse(targets)) hosts.hostOf(rank);
	else for (const host of Hostlist.parse(targets)) hosts.rankOf(host);
}
