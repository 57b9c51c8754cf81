/** Small words of the log about itself, each with its checksum: sequence number (8 bytes) · hash (32) · CRC-32C (4). */
import type {Store, StoreOp} from '../ports/store.ts';
import {crc32c} from './crc32c.ts';
import {HASH_BYTES, NO_HASH} from './record-codec.ts';

export interface SeqMark {
	readonly seq: number;
	readonly hash: Uint8Array;
}

const BYTES = 8 + HASH_BYTES + 4;

export function metaOp(key: Uint8Array, {seq, hash}: SeqMark): StoreOp {
	const value = Buffer.alloc(BYTES);
	value.writeBigUInt64BE(BigInt(seq), 0);
	value.set(hash.length === 0 ? NO_HASH : hash, 8);
	value.writeUInt32LE(crc32c(value.subarray(0, BYTES - 4)), BYTES - 4);
	return {type: 'put', key, value};
}

/** The mark at `key`, or null when it is not there, damaged or unreadable. */
export function readMeta(store: Store, key: Uint8Array): SeqMark | null {
	let stored: Uint8Array | undefined;
	try {
		stored = store.get(key);
	} catch {
		return null; // The scan of the records will name what LevelDB cannot read.
	}
	if (stored?.length !== BYTES) return null;
	const value = Buffer.from(stored.buffer, stored.byteOffset, stored.length);
	if (value.readUInt32LE(BYTES - 4) !== crc32c(value.subarray(0, BYTES - 4))) return null;
	return {seq: Number(value.readBigUInt64BE(0)), hash: Uint8Array.from(value.subarray(8, 8 + HASH_BYTES))};
}
