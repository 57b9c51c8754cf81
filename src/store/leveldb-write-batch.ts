/**
 * LevelDB's write batch as its log holds it (db/write_batch.cc): sequence number of the first operation, 8 bytes
 * little-endian · count, 4 · operations: 1 · key · value, or 0 · key; each with its length as a varint32 in front.
 */
import {Reader, type TableEntry} from './leveldb-table-file.ts';
import type {LoggedBatch} from './leveldb-log-file.ts';

const HEADER_BYTES = 12;
const TYPE_VALUE = 1;
const TYPE_DELETION = 0;

/** The operations of a batch as far as its form holds. */
export function readWriteBatch({bytes, isMended}: LoggedBatch): readonly TableEntry[] {
	const batch = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
	if (batch.length < HEADER_BYTES) return [];
	const first = batch.readBigUInt64LE(0);
	const count = batch.readUInt32LE(8);
	const reader = new Reader(batch.subarray(HEADER_BYTES));
	const entries: TableEntry[] = [];
	while (entries.length < count && !reader.isAtEnd) {
		const type = reader.byte();
		if (type !== TYPE_VALUE && type !== TYPE_DELETION) break;
		const key = reader.take(reader.varint());
		const value = type === TYPE_VALUE ? reader.take(reader.varint()) : null;
		entries.push({key, value, order: first + BigInt(entries.length), isMended});
	}
	return entries;
}
