/**
 * One question to all ranks at or below this one, with one deadline. Invariant: each of them has an answer in the end, or the
 * reason why there is none; nobody waits for a rank that is known to be silent.
 */
import {SystemError} from '../../formats/errno.ts';
import type {Topology} from '../../net/overlay/topology.ts';
import type {Core} from '../core.ts';
import type {Membership} from '../membership.ts';
import type {Peers} from '../peers.ts';

/** From the question to the answer, without those who did not answer. */
export const TREE_TIMEOUT_MS = 5000;

export interface AskTreeOptions {
	readonly core: Core;
	readonly peers: Peers;
	readonly membership: Membership;
	readonly topology: Topology;
}

export interface TreeQuery {
	readonly topic: string;
	readonly payload?: object;
	readonly timeoutMs?: number;
}

export async function askTree<A extends object>(
	{core, peers, membership, topology}: AskTreeOptions,
	{topic, payload = {}, timeoutMs = TREE_TIMEOUT_MS}: TreeQuery,
): Promise<ReadonlyMap<number, A | SystemError>> {
	const ranks = topology.subtreeOf(core.rank);
	const answers = new Map<number, A | SystemError>();
	for (const rank of ranks.filter(one => membership.isTorpid(one))) {
		const who = `rank ${rank} (${membership.hostOf(rank)})`;
		answers.set(rank, new SystemError('ETIMEDOUT', `${who} is torpid, and was not asked`));
	}
	const asked = ranks.filter(rank => !answers.has(rank));
	for (const [rank, {error, payload: answer}] of await peers.requestAll(asked, topic, payload, {timeoutMs})) {
		answers.set(rank, error ?? (answer as A));
	}
	return answers;
}
