/**
 * Rows: values that the owner writes in the same batch as its facts (the archive of finished jobs, blobs of the
 * content store). They are outside of the chain, so each proves itself: a blob is named by its SHA-256, every other
 * row carries a CRC-32C of key and value (4 bytes little-endian, in front).
 */
import {SystemError} from '../formats/errno.ts';
import type {Store, StoreEntry, StoreOp} from '../ports/store.ts';
import {crc32c} from './crc32c.ts';
import {keyText, KEYSPACE, ROW_FIRST_BYTE_END, ROW_FIRST_BYTE_MIN} from './keyspaces.ts';
import {sameBytes, sha256} from './record-codec.ts';

/** One row to write; null deletes. The key begins with a printable character, or is a blob's. */
export interface Row {
	readonly key: Uint8Array;
	readonly value: Uint8Array | null;
}

export interface RowRange {
	readonly gte: Uint8Array;
	readonly lt: Uint8Array;
	readonly reverse?: boolean;
	readonly limit?: number;
}

const CRC_BYTES = 4;

/** The key of the blob with this SHA-256. */
export function blobKey(hash: Uint8Array): Uint8Array {
	return Buffer.concat([Uint8Array.of(KEYSPACE.blob), hash]);
}

export function rowOp({key, value}: Row): StoreOp {
	const first = key[0] ?? 0;
	const isRow = first >= ROW_FIRST_BYTE_MIN && first < ROW_FIRST_BYTE_END;
	if (!isRow && first !== KEYSPACE.blob) {
		throw new Error(`A row's key may not begin with byte ${first}`);
	}
	return value === null ? {type: 'del', key} : {type: 'put', key, value: sealRow(key, value)};
}

function sealRow(key: Uint8Array, value: Uint8Array): Uint8Array {
	if (key[0] === KEYSPACE.blob) return value;
	const sealed = Buffer.allocUnsafe(CRC_BYTES + value.length);
	sealed.writeUInt32LE(crc32c(value, crc32c(key)), 0);
	sealed.set(value, CRC_BYTES);
	return sealed;
}

/** @throws {SystemError} EBADMSG when the row is damaged. */
export function openRow(key: Uint8Array, stored: Uint8Array): Uint8Array {
	if (!isWholeRow(key, stored)) {
		throw new SystemError(
			'EBADMSG',
			`The row ${JSON.stringify(keyText(key))} is damaged: its checksum is wrong`,
		);
	}
	return key[0] === KEYSPACE.blob ? stored : stored.subarray(CRC_BYTES);
}

export function isWholeRow(key: Uint8Array, stored: Uint8Array): boolean {
	if (key[0] === KEYSPACE.blob) return sameBytes(sha256(stored), key.subarray(1));
	if (stored.length < CRC_BYTES) return false;
	const view = Buffer.from(stored.buffer, stored.byteOffset, stored.length);
	return view.readUInt32LE(0) === crc32c(stored.subarray(CRC_BYTES), crc32c(key));
}

/** Row writes that are not committed yet, so that their writer sees them at once. */
export class PendingRows {
	/** By key text; the newest write of each key, with a count of those still under way. */
	readonly #rows = new Map<string, {row: Row; writes: number}>();

	add(row: Row): void {
		const text = keyText(row.key);
		const writes = this.#rows.get(text)?.writes ?? 0;
		this.#rows.set(text, {row, writes: writes + 1});
	}

	committed(rows: readonly Row[]): void {
		for (const {key} of rows) {
			const text = keyText(key);
			const entry = this.#rows.get(text);
			if (entry === undefined) continue;
			entry.writes -= 1;
			if (entry.writes === 0) this.#rows.delete(text);
		}
	}

	/** The pending row, or undefined when the store has the newest value. */
	get(key: Uint8Array): Row | undefined {
		return this.#rows.size === 0 ? undefined : this.#rows.get(keyText(key))?.row;
	}

	/** Pending rows of `range` in its order. */
	within(range: RowRange): readonly Row[] {
		const [from, to] = [keyText(range.gte), keyText(range.lt)];
		const texts = [...this.#rows.keys()].filter(text => text >= from && text < to).sort();
		if (range.reverse === true) texts.reverse();
		return texts.map(text => this.#rows.get(text)!.row);
	}
}

/** Rows of `range` in its order, as the store has them with `pending` laid over. Values are checked. */
export async function* mergedRows(
	store: Store,
	range: RowRange,
	pending: readonly Row[],
): AsyncGenerator<StoreEntry> {
	const {limit = Number.POSITIVE_INFINITY, ...whole} = range;
	let next = 0;
	let count = 0;
	const before = (row: Row, key: string) =>
		range.reverse === true ? keyText(row.key) > key : keyText(row.key) < key;
	for await (const [key, stored] of store.iterate(whole)) {
		const text = keyText(key);
		for (; next < pending.length && before(pending[next]!, text); next += 1) {
			const {key: pendingKey, value} = pending[next]!;
			if (value === null) continue;
			if (count >= limit) return;
			count += 1;
			yield [pendingKey, value];
		}
		if (next < pending.length && keyText(pending[next]!.key) === text) continue; // Replaced; comes next.
		if (count >= limit) return;
		count += 1;
		yield [key, openRow(key, stored)];
	}
	for (; next < pending.length && count < limit; next += 1) {
		const {key, value} = pending[next]!;
		if (value === null) continue;
		count += 1;
		yield [key, value];
	}
}
