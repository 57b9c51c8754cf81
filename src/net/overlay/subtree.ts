/** What a broker tells its parent about those below it: who is online, and who is torpid. Pure. */
import {Idset} from '../../formats/idset.ts';
import {SystemError} from '../../formats/errno.ts';
import {decodePayload, encodePayload} from '../payload.ts';

export interface SubtreeState {
	readonly online: Idset;
	/** Of those online. */
	readonly torpid: Idset;
}

export function encodeSubtree({online, torpid}: SubtreeState): Uint8Array {
	return encodePayload({online: online.toString(), torpid: torpid.toString()});
}

/** @throws {SystemError} EPROTO, EINVAL for what is no state of a subtree. */
export function decodeSubtree(payload: Uint8Array): SubtreeState {
	const {online, torpid} = (decodePayload(payload) ?? {}) as {
		readonly online?: unknown;
		readonly torpid?: unknown;
	};
	return {online: parse(online), torpid: parse(torpid)};
}

function parse(text: unknown): Idset {
	if (typeof text !== 'string') throw new SystemError('EPROTO', 'the state of a subtree has no idset');
	return text === '' ? Idset.empty : Idset.parse(text);
}
