/**
 * Snapshots: the owner's state after all facts up to a sequence number, as a cache. All of them may be deleted
 * without harm. Key: the sequence number; value: MessagePack `[version, hash, SHA-256 of bytes, bytes]`, `hash`
 * being the chain hash of the record that ends there, so that a snapshot of another course of the log is refused.
 */
import {decode, encode} from '@msgpack/msgpack';
import type {Store, StoreOp} from '../ports/store.ts';
import {keyspaceRange, KEYSPACE, seqOfKey, snapshotKey} from './keyspaces.ts';
import {sameBytes, sha256} from './record-codec.ts';
import {recordAt} from './record-scan.ts';

/** Two are kept, so that one damaged record does not cost a replay from the base. */
export const SNAPSHOTS_KEPT_MAX = 2;

export interface Snapshot {
	readonly seq: number;
	readonly bytes: Uint8Array;
	/** The chain hash of the record that ends at `seq`. */
	readonly hash: Uint8Array;
}

const VERSION = 1;

export function snapshotOp({seq, bytes, hash}: Snapshot): StoreOp {
	const value = encode([VERSION, hash, sha256(bytes), bytes]);
	return {type: 'put', key: snapshotKey(seq), value};
}

export function dropSnapshotOp(seq: number): StoreOp {
	return {type: 'del', key: snapshotKey(seq)};
}

export interface FoundSnapshots {
	/** The sequence numbers of all that are there, ascending, the invalid ones too. */
	readonly seqs: readonly number[];
	readonly newest: Snapshot | null;
}

/** Looks for the newest snapshot that is whole and belongs to this log; an unreadable keyspace has none. */
export async function findSnapshots(store: Store): Promise<FoundSnapshots> {
	const seqs: number[] = [];
	let newest: Snapshot | null = null;
	try {
		for await (const [key, value] of store.iterate({...keyspaceRange(KEYSPACE.snapshot), reverse: true})) {
			const seq = seqOfKey(key);
			if (seq === null) continue;
			seqs.push(seq);
			newest ??= await validSnapshot(store, seq, value);
		}
	} catch {
		// They are a cache: what LevelDB cannot read is not there, and what else it cannot read the scan will name.
	}
	return {seqs: seqs.reverse(), newest};
}

/** The snapshot in `value`, or null when it is damaged or does not fit the record that ends at `seq`. */
export async function validSnapshot(store: Store, seq: number, value: Uint8Array): Promise<Snapshot | null> {
	const snapshot = decodeSnapshot(seq, value);
	if (snapshot === null) return null;
	const record = await recordAt(store, seq);
	if (record === null || record.endSeq !== seq || !sameBytes(record.chainHash, snapshot.hash)) return null;
	return snapshot;
}

export function decodeSnapshot(seq: number, value: Uint8Array): Snapshot | null {
	let fields: readonly unknown[];
	try {
		fields = decode(value) as readonly unknown[];
	} catch {
		return null;
	}
	if (!Array.isArray(fields)) return null;
	const [version, hash, digest, bytes] = fields as readonly unknown[];
	if (version !== VERSION || !(hash instanceof Uint8Array) || !(digest instanceof Uint8Array)) return null;
	if (!(bytes instanceof Uint8Array) || !sameBytes(sha256(bytes), digest)) return null;
	return {seq, hash, bytes};
}
