/** Why a neighbour can't be reached, in words for whoever wanted to. Pure. */
import type {PeerSnapshot} from '../../machines/peer.ts';

export function whyAway(peer: PeerSnapshot | undefined, nowMs: number): string {
	if (peer === undefined) return 'it has not been online so far';
	const {value, context} = peer;
	const ago = seconds(Math.max(0, nowMs - context.sinceMs));
	return value === 'lost' ? `lost contact ${ago} ago (${context.error})` : `it has been ${value} for ${ago}`;
}

/** `2.1s` */
export function seconds(ms: number): string {
	return `${(ms / 1000).toFixed(1)}s`;
}
