/**
 * Reads LevelDB's write-ahead log (leveldb doc/log_format.md) more patiently than LevelDB does, which drops the rest
 * of a 32 KiB block after one bad record although its other records are intact. Here a record whose checksum fails
 * by one flipped bit is mended, and after worse damage the next intact record of the block is searched.
 *
 * physical record: masked CRC-32C of type and data, 4 bytes little-endian · length, 2 · type, 1 · data.
 */
import {crc32c, flippedBit, maskCrc, unmaskCrc} from './crc32c.ts';

export const LOG_BLOCK_BYTES = 32 * 1024;

/** One write batch as it was logged. */
export interface LoggedBatch {
	readonly bytes: Uint8Array;
	/** A bit of it was flipped back: only what the hash chain confirms may be used. */
	readonly isMended: boolean;
}

const HEADER_BYTES = 7;
const TYPE = {full: 1, first: 2, middle: 3, last: 4} as const;

interface Fragment {
	readonly type: number;
	readonly data: Uint8Array;
	readonly isMended: boolean;
	/** Where the next one begins. */
	readonly end: number;
}

/** All batches that can be read, in order. Never throws: what is not there is not yielded. */
export function* readLogFile(file: Uint8Array): Generator<LoggedBatch> {
	let parts: Fragment[] | null = null;
	for (const fragment of fragmentsOf(file)) {
		switch (fragment?.type) {
			case TYPE.full:
				parts = null;
				yield joined([fragment]);
				break;
			case TYPE.first:
				parts = [fragment];
				break;
			case TYPE.middle:
				parts?.push(fragment);
				break;
			case TYPE.last:
				if (parts !== null) yield joined([...parts, fragment]);
				parts = null;
				break;
			default:
				parts = null; // Something is missing here: what was begun cannot be completed.
		}
	}
}

function joined(parts: readonly Fragment[]): LoggedBatch {
	return {bytes: Buffer.concat(parts.map(({data}) => data)), isMended: parts.some(({isMended}) => isMended)};
}

/** Fragments in order; null stands for a stretch that cannot be read. */
function* fragmentsOf(file: Uint8Array): Generator<Fragment | null> {
	for (let start = 0; start < file.length; start += LOG_BLOCK_BYTES) {
		const block = Buffer.from(
			file.buffer,
			file.byteOffset + start,
			Math.min(LOG_BLOCK_BYTES, file.length - start),
		);
		let at = 0;
		while (at + HEADER_BYTES <= block.length) {
			const fragment = intactAt(block, at) ?? mendedAt(block, at);
			if (fragment !== null) {
				yield fragment;
				at = fragment.end;
				continue;
			}
			yield null;
			at = nextIntact(block, at + 1);
		}
	}
}

function intactAt(block: Buffer, at: number): Fragment | null {
	const type = block[at + 6]!;
	const end = at + HEADER_BYTES + block.readUInt16LE(at + 4);
	if (type < TYPE.full || type > TYPE.last || end > block.length) return null;
	if (crc32c(block.subarray(at + 6, end)) !== unmaskCrc(block.readUInt32LE(at))) return null;
	return {type, data: block.subarray(at + HEADER_BYTES, end), isMended: false, end};
}

/** Tries every single flipped bit: in the data or type by the syndrome, in the length and the checksum one by one. */
function mendedAt(block: Buffer, at: number): Fragment | null {
	return mendedData(block, at) ?? mendedLength(block, at);
}

function mendedData(block: Buffer, at: number): Fragment | null {
	const end = at + HEADER_BYTES + block.readUInt16LE(at + 4);
	if (end > block.length) return null;
	const stored = block.readUInt32LE(at);
	const covered = Buffer.from(block.subarray(at + 6, end));
	const computed = crc32c(covered);
	if (isOneBit((maskCrc(computed) ^ stored) >>> 0)) return fragmentOf(covered, end); // The checksum itself.
	const bit = flippedBit((computed ^ unmaskCrc(stored)) >>> 0, covered.length);
	if (bit === null) return null;
	covered[bit >>> 3]! ^= 1 << (bit & 7);
	return fragmentOf(covered, end);
}

function mendedLength(block: Buffer, at: number): Fragment | null {
	const length = block.readUInt16LE(at + 4);
	for (let bit = 0; bit < 16; bit += 1) {
		const end = at + HEADER_BYTES + (length ^ (1 << bit));
		if (end > block.length) continue;
		const covered = block.subarray(at + 6, end);
		if (crc32c(covered) === unmaskCrc(block.readUInt32LE(at))) return fragmentOf(covered, end);
	}
	return null;
}

function fragmentOf(covered: Buffer, end: number): Fragment | null {
	const type = covered[0]!;
	if (type < TYPE.full || type > TYPE.last) return null;
	return {type, data: covered.subarray(1), isMended: true, end};
}

function nextIntact(block: Buffer, from: number): number {
	for (let at = from; at + HEADER_BYTES <= block.length; at += 1) {
		if (intactAt(block, at) !== null) return at;
	}
	return block.length;
}

function isOneBit(word: number): boolean {
	return word !== 0 && (word & (word - 1)) === 0;
}
