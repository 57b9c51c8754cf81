/**
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4; reflected polynomial 0x82F63B78), and LevelDB's mask for one that is
 * stored beside the data it covers (leveldb doc/log_format.md).
 */

const POLYNOMIAL = 0x82f63b78;
const MASK_DELTA = 0xa282ead8;
const TABLE = makeTable();

/** The checksum of `bytes`, continuing `crc` (that of what comes before; 0 at the start). */
export function crc32c(bytes: Uint8Array, crc = 0): number {
	let register = ~crc;
	for (let at = 0; at < bytes.length; at += 1) {
		register = TABLE[(register ^ bytes[at]!) & 0xff]! ^ (register >>> 8);
	}
	return ~register >>> 0;
}

export function maskCrc(crc: number): number {
	return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}

export function unmaskCrc(masked: number): number {
	const rotated = (masked - MASK_DELTA) >>> 0;
	return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

/**
 * The bit whose flip explains a checksum that differs by `syndrome` (computed XOR expected) over `sizeBytes` bytes:
 * its index counted from bit 0 of the first byte, or null when no single bit does. CRCs are linear, so the
 * difference depends on the place of the flipped bit alone, not on the data.
 */
export function flippedBit(syndrome: number, sizeBytes: number): number | null {
	const wanted = syndrome >>> 0;
	// A one in the last bit of the message leaves POLYNOMIAL; each step towards the front is one more shift.
	let pattern = POLYNOMIAL;
	for (let bit = sizeBytes * 8 - 1; bit >= 0; bit -= 1) {
		if (pattern === wanted) return bit;
		pattern = (pattern & 1 ? (pattern >>> 1) ^ POLYNOMIAL : pattern >>> 1) >>> 0;
	}
	return null;
}

function makeTable(): Uint32Array {
	const table = new Uint32Array(256);
	for (let byte = 0; byte < 256; byte += 1) {
		let value = byte;
		for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
		table[byte] = value >>> 0;
	}
	return table;
}
