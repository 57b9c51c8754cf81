/**
 * The HEAD file: what the log's end was after the last fsynced commit, kept outside of LevelDB so that a cut tail
 * is noticed. Two slots, written in turns, far enough apart that no sector holds both: a torn write loses
 * one of them, and the other is one commit older. It is never fsynced itself, so it may be behind; never ahead.
 *
 * slot (512 bytes): `CPHD` · CRC-32C of the rest that counts, 4 bytes little-endian · length of the body, 2 bytes
 * little-endian · body, MessagePack `[version, counter, logId, seq, hash, mark]` · zeros.
 */
import {decode, encode} from '@msgpack/msgpack';
import {crc32c} from './crc32c.ts';
import {HASH_BYTES} from './record-codec.ts';

export const HEAD_FILE = 'HEAD';
/** The most bytes of the owner's mark, encoded. */
export const HEAD_MARK_BYTES_MAX = 256;

export interface Head {
	readonly logId: string;
	readonly seq: number;
	readonly hash: Uint8Array;
	/** A small value of the log's owner, MessagePack: what must survive the loss of the log (the last job id). */
	readonly mark: unknown;
}

const SLOT_BYTES = 512;
const SLOT_OFFSETS = [0, 4096] as const;
const FILE_BYTES = SLOT_OFFSETS[1] + SLOT_BYTES;
const HEADER_BYTES = 10;
const MAGIC = Buffer.from('CPHD');
const VERSION = 1;
const CODEC = {useBigInt64: true} as const;

/** The two slots in memory; `next` gives the whole file's bytes for the next commit. */
export class HeadFile {
	#bytes = new Uint8Array(FILE_BYTES);
	#counter = 0;

	/** The newest valid slot of `bytes`, or null when there is none; further writes go on from there. */
	load(bytes: Uint8Array): Head | null {
		this.#bytes = new Uint8Array(FILE_BYTES);
		this.#bytes.set(bytes.subarray(0, FILE_BYTES));
		let newest: {counter: number; head: Head} | null = null;
		for (const offset of SLOT_OFFSETS) {
			const slot = decodeSlot(this.#bytes.subarray(offset, offset + SLOT_BYTES));
			if (slot !== null && (newest === null || slot.counter > newest.counter)) newest = slot;
		}
		this.#counter = newest?.counter ?? 0;
		return newest?.head ?? null;
	}

	/** The bytes of the file with `head` in the slot of the older one. They are overwritten by the next call. */
	next(head: Head): Uint8Array {
		this.#counter += 1;
		const offset = SLOT_OFFSETS[this.#counter % 2]!;
		this.#bytes.fill(0, offset, offset + SLOT_BYTES);
		this.#bytes.set(encodeSlot(this.#counter, head), offset);
		return this.#bytes;
	}
}

function encodeSlot(counter: number, head: Head): Uint8Array {
	const body = encode([VERSION, counter, head.logId, head.seq, head.hash, head.mark], CODEC);
	if (body.length > SLOT_BYTES - HEADER_BYTES) throw new Error(`HEAD of ${body.length} bytes does not fit`);
	const slot = Buffer.alloc(HEADER_BYTES + body.length);
	MAGIC.copy(slot);
	slot.writeUInt16LE(body.length, 8);
	slot.set(body, HEADER_BYTES);
	slot.writeUInt32LE(crc32c(slot.subarray(8)), 4);
	return slot;
}

function decodeSlot(bytes: Uint8Array): {counter: number; head: Head} | null {
	const slot = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
	if (!slot.subarray(0, 4).equals(MAGIC)) return null;
	const end = HEADER_BYTES + slot.readUInt16LE(8);
	if (end > SLOT_BYTES || slot.readUInt32LE(4) !== crc32c(slot.subarray(8, end))) return null;
	const fields = decode(slot.subarray(HEADER_BYTES, end), CODEC) as readonly unknown[];
	const [version, counter, logId, seq, hash, mark] = fields;
	if (version !== VERSION || typeof counter !== 'number' || typeof logId !== 'string') return null;
	if (typeof seq !== 'number' || !(hash instanceof Uint8Array) || hash.length !== HASH_BYTES) return null;
	return {counter, head: {logId, seq, hash: Uint8Array.from(hash), mark}};
}
