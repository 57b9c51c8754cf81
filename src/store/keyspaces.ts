/**
 * The keys of the database. The first byte names the keyspace; everything below `ROW_FIRST_BYTE_MIN` belongs to
 * the log itself, the rest to rows. Sequence numbers are 8 bytes big-endian, so that byte order is numeric order.
 */

export const KEYSPACE = {record: 0x01, snapshot: 0x02, meta: 0x03, blob: 0x20} as const;

/** Rows of the owner begin with a byte from here to before `ROW_FIRST_BYTE_END`: any printable character but the space. */
export const ROW_FIRST_BYTE_MIN = 0x21;
export const ROW_FIRST_BYTE_END = 0xff;
/** The range of all rows, blobs included. */
export const ALL_ROWS = {gte: Uint8Array.of(KEYSPACE.blob), lt: Uint8Array.of(ROW_FIRST_BYTE_END)} as const;

/** The first sequence number that is in the log: what is below it was truncated. */
export const META_BASE = metaKey('base');
/** The head at the moment of a clean close. */
export const META_CLEAN = metaKey('clean');

const WORD = 0x1_0000_0000;
const SEQ_KEY_BYTES = 9;

export function recordKey(seq: number): Uint8Array {
	return seqKey(KEYSPACE.record, seq);
}

export function snapshotKey(seq: number): Uint8Array {
	return seqKey(KEYSPACE.snapshot, seq);
}

/** The sequence number in a key of records or snapshots, or null when its form is wrong. */
export function seqOfKey(key: Uint8Array): number | null {
	if (key.length !== SEQ_KEY_BYTES) return null;
	const high = uint32At(key, 1);
	if (high >= 0x20_0000) return null; // Beyond 2^53.
	return high * WORD + uint32At(key, 5);
}

/** The range of all keys of one keyspace. */
export function keyspaceRange(keyspace: number): {gte: Uint8Array; lt: Uint8Array} {
	return {gte: Uint8Array.of(keyspace), lt: Uint8Array.of(keyspace + 1)};
}

/** A key as a string whose order is the byte order: for maps and comparisons in memory. */
export function keyText(key: Uint8Array): string {
	return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}

function metaKey(name: string): Uint8Array {
	return Uint8Array.from([KEYSPACE.meta, ...Buffer.from(name)]);
}

function seqKey(keyspace: number, seq: number): Uint8Array {
	if (!Number.isSafeInteger(seq) || seq < 0) throw new Error(`Sequence number ${seq} is not a safe integer`);
	const key = new Uint8Array(SEQ_KEY_BYTES);
	key[0] = keyspace;
	setUint32(key, 1, Math.floor(seq / WORD));
	setUint32(key, 5, seq % WORD);
	return key;
}

function setUint32(bytes: Uint8Array, at: number, value: number): void {
	bytes[at] = value >>> 24;
	bytes[at + 1] = value >>> 16;
	bytes[at + 2] = value >>> 8;
	bytes[at + 3] = value;
}

function uint32At(bytes: Uint8Array, at: number): number {
	return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
