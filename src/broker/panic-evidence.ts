/**
 * What a broker keeps of its panics, and what follows from it (DESIGN section 3.7): input that made it panic three times is
 * not taken again. Pure. Invariant: only a broken invariant is held against an input; what the world does, as a full disk or a
 * lost parent, is nobody's fault here.
 */
import {createHash} from 'node:crypto';

/** After so many panics an input is refused, or a job set aside. */
export const PANICS_MAX = 3;
/** So much of a payload is kept with the evidence. */
export const EVIDENCE_PAYLOAD_BYTES_MAX = 64 * 1024;

/** Whose input was in hand. */
export type Culprit =
	| {
			readonly kind: 'request';
			readonly topic: string;
			/** The connection that it came over: a client's number. */
			readonly sender: string;
			readonly userid: number;
			/** `digestOf` its topic and payload: the same input is the same digest. */
			readonly digest: string;
			/** Base64, at most `EVIDENCE_PAYLOAD_BYTES_MAX` bytes of it. */
			readonly payload: string;
	  }
	| {readonly kind: 'job'; /** Decimal. */ readonly id: string};

export interface Panic {
	/** Of Coppice: another release may have mended it. */
	readonly version: string;
	/** Epoch milliseconds. */
	readonly atMs: number;
	readonly pid: number;
	readonly reason: string;
	/** Empty: no invariant was broken, the world made it end. */
	readonly stack: string;
	readonly culprit: Culprit | null;
	/** Requests that had no answer yet, oldest first: whoever looks for the cause of a panic without a culprit begins here. */
	readonly pending: readonly {readonly topic: string; readonly sender: string}[];
}

/** A panic that was kept, and where. */
export interface KeptPanic {
	readonly path: string;
	readonly panic: Panic;
}

/** Where panics are kept: outside the log, which may be what made the broker panic. */
export interface PanicEvidence {
	/** Those of earlier lives, oldest first. */
	readonly kept: readonly KeptPanic[];
	/** Keeps one, now: the process ends. What can't be written is lost. */
	keep(panic: Panic): void;
}

export interface Refused {
	readonly culprit: Culprit;
	readonly count: number;
	/** The newest. */
	readonly evidence: KeptPanic;
}

/** The inputs that have made this version panic too often. */
export function refusedOf(kept: readonly KeptPanic[], version: string): readonly Refused[] {
	const byKey = new Map<string, Refused>();
	for (const evidence of kept) {
		const {culprit} = evidence.panic;
		if (culprit === null || evidence.panic.version !== version) continue;
		const key = keyOf(culprit);
		byKey.set(key, {culprit, count: (byKey.get(key)?.count ?? 0) + 1, evidence});
	}
	return [...byKey.values()].filter(({count}) => count >= PANICS_MAX);
}

export function digestOf(topic: string, payload: Uint8Array): string {
	return createHash('sha256').update(`${topic}\0`).update(payload).digest('hex');
}

function keyOf(culprit: Culprit): string {
	return culprit.kind === 'job' ? `job ${culprit.id}` : `request ${culprit.digest}`;
}
