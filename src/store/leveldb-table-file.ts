/**
 * Reads LevelDB's tables (leveldb doc/table_format.md), block by block by their checksums, which LevelDB itself does not
 * look at here: a flipped bit would be returned as data. A block that fails by one bit is mended.
 *
 * table: data blocks · … · index block · footer (48 bytes, ends with a magic number). Block: entries `shared · unshared ·
 * value length` (varint32) · key's rest · value; restart points, 4 bytes each · their count, 4; then, outside of the
 * block's size, type (0: not compressed) · masked CRC-32C of all of it, 4.
 */
import {crc32c, flippedBit, maskCrc, unmaskCrc} from './crc32c.ts';

export interface TableEntry {
	readonly key: Uint8Array;
	/** Null: a deletion. */
	readonly value: Uint8Array | null;
	/** LevelDB's own sequence number of the write. */
	readonly order: bigint;
	readonly isMended: boolean;
}

export interface TableRead {
	readonly entries: readonly TableEntry[];
	/** Whether every block was intact; if not, LevelDB itself may return garbage for this table. */
	readonly isIntact: boolean;
}

const FOOTER_BYTES = 48;
const TRAILER_BYTES = 5;
const MAGIC = 0xdb4775248b80fb57n;
/** Of an internal key: sequence number and type. */
const TAG_BYTES = 8;
const TYPE_DELETION = 0;
const TYPE_VALUE = 1;

/** What can be read of a table. Never throws: a table whose index is lost has no entries. */
export function readTableFile(bytes: Uint8Array): TableRead {
	const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
	const index = readIndex(file);
	if (index === null) return {entries: [], isIntact: false};
	const entries: TableEntry[] = [];
	let {isIntact} = index;
	for (const handle of index.handles) {
		const block = readBlock(file, handle);
		isIntact &&= block !== null && !block.isMended;
		if (block === null) continue;
		for (const [key, value] of entriesOf(block.bytes) ?? []) {
			const entry = tableEntry(key, value, block.isMended);
			if (entry !== null) entries.push(entry);
		}
	}
	return {entries, isIntact};
}

interface Handle {
	readonly offset: number;
	readonly size: number;
}

function readIndex(file: Buffer): {handles: readonly Handle[]; isIntact: boolean} | null {
	if (file.length < FOOTER_BYTES || file.readBigUInt64LE(file.length - 8) !== MAGIC) return null;
	const footer = new Reader(file.subarray(file.length - FOOTER_BYTES));
	footer.handle(); // Of the metaindex, which holds filters only.
	const block = readBlock(file, footer.handle());
	const entries = block === null ? null : entriesOf(block.bytes);
	if (block === null || entries === null) return null;
	const handles = entries.map(([, value]) => new Reader(value).handle());
	return {handles, isIntact: !block.isMended};
}

/** The contents of a block, or null when they are damaged beyond one bit, compressed, or not there. */
function readBlock(file: Buffer, {offset, size}: Handle): {bytes: Buffer; isMended: boolean} | null {
	const end = offset + size + TRAILER_BYTES;
	if (!Number.isSafeInteger(end) || end > file.length) return null;
	const stored = file.readUInt32LE(offset + size + 1);
	let covered = file.subarray(offset, offset + size + 1);
	const computed = crc32c(covered);
	const isIntact = computed === unmaskCrc(stored);
	if (!isIntact && !isOneBit((maskCrc(computed) ^ stored) >>> 0)) {
		const bit = flippedBit((computed ^ unmaskCrc(stored)) >>> 0, covered.length);
		if (bit === null) return null;
		covered = Buffer.from(covered);
		covered[bit >>> 3]! ^= 1 << (bit & 7);
	}
	if (covered[size] !== 0) return null;
	return {bytes: covered.subarray(0, size), isMended: !isIntact};
}

function entriesOf(block: Buffer): readonly (readonly [Buffer, Buffer])[] | null {
	if (block.length < 4) return null;
	const end = block.length - 4 - 4 * block.readUInt32LE(block.length - 4);
	if (end < 0) return null;
	const reader = new Reader(block.subarray(0, end));
	const entries: (readonly [Buffer, Buffer])[] = [];
	let key = Buffer.alloc(0);
	while (!reader.isAtEnd) {
		const [shared, unshared, valueBytes] = [reader.varint(), reader.varint(), reader.varint()];
		key = Buffer.concat([key.subarray(0, shared), reader.take(unshared)]);
		entries.push([key, reader.take(valueBytes)]);
	}
	return entries;
}

function tableEntry(internalKey: Buffer, value: Buffer, isMended: boolean): TableEntry | null {
	if (internalKey.length < TAG_BYTES) return null;
	const tag = internalKey.readBigUInt64LE(internalKey.length - TAG_BYTES);
	const type = Number(tag & 0xffn);
	if (type !== TYPE_VALUE && type !== TYPE_DELETION) return null;
	const key = internalKey.subarray(0, internalKey.length - TAG_BYTES);
	return {key, value: type === TYPE_VALUE ? value : null, order: tag >> 8n, isMended};
}

function isOneBit(word: number): boolean {
	return word !== 0 && (word & (word - 1)) === 0;
}

/** Reads varints and lengths; past the end it gives zeros and nothing, and is at its end. */
export class Reader {
	readonly #bytes: Buffer;
	#at = 0;

	constructor(bytes: Buffer) {
		this.#bytes = bytes;
	}

	get isAtEnd(): boolean {
		return this.#at >= this.#bytes.length;
	}

	varint(): number {
		let value = 0;
		for (let scale = 1; this.#at < this.#bytes.length && scale < 2 ** 49; scale *= 128) {
			const byte = this.#bytes[this.#at]!;
			this.#at += 1;
			value += (byte & 0x7f) * scale;
			if (byte < 0x80) break;
		}
		return value;
	}

	byte(): number {
		const byte = this.#bytes[this.#at] ?? 0;
		this.#at += 1;
		return byte;
	}

	take(length: number): Buffer {
		const bytes = this.#bytes.subarray(this.#at, this.#at + length);
		this.#at += length;
		return bytes;
	}

	handle(): Handle {
		return {offset: this.varint(), size: this.varint()};
	}
}
