/** A node that the instance drains by itself, because of what happened on it: no new work until an admin has looked at it. */
import type {Core} from '../core.ts';
import {DRAIN_REASON_LENGTH_MAX} from './drains.ts';

/** Says why in the log too. One that is drained with a reason keeps that one, and one without keeps its time. */
export function drainForFault(
	core: Core,
	{rank, userid, reason: text}: {readonly rank: number; readonly userid: number; readonly reason: string},
): void {
	const reason = text.slice(0, DRAIN_REASON_LENGTH_MAX);
	core.log('err', reason);
	const before = core.state.nodes.get(rank)?.context.drain;
	if (before != null && before.reason !== '') return;
	core.post({type: 'node.drain', rank, reason, userid, sinceMs: before?.sinceMs ?? core.clock.epochMs()});
}
