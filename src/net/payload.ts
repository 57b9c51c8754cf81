/**
 * Payload values: what JSON can carry, with 64-bit integers as BigInt, in MessagePack. Invariant: what is encoded
 * comes back equal; what would be lost on the way (undefined, Map, Set, class instances, NaN) is refused instead.
 */
import {isUtf8} from 'node:buffer';
import {Decoder, Encoder, type ExtensionCodecType} from '@msgpack/msgpack';
import {errnoName, errnoText, isErrnoName, SystemError} from '../formats/errno.ts';
import {asBuffer} from './frame.ts';

/** Arrays and objects may be nested this deep. */
export const PAYLOAD_DEPTH_MAX = 64;
/** A longer text of an error is cut. */
export const ERROR_TEXT_BYTES_MAX = 64 * 1024;

const NO_PAYLOAD = new Uint8Array(0);

/** Encodes nothing itself: it is asked about every object and array, and that is where losses are seen. */
const guard: ExtensionCodecType<undefined> = {
	tryToEncode(object) {
		if (typeof object === 'object' && object !== null) refuseLosses(object);
		return null;
	},
	decode() {
		throw new SystemError('EPROTO', 'malformed payload: extension types are not used');
	},
};

const encoder = new Encoder({useBigInt64: true, extensionCodec: guard, maxDepth: PAYLOAD_DEPTH_MAX + 1});
const decoder = new Decoder({useBigInt64: true, extensionCodec: guard});

/**
 * `value` as payload bytes; undefined is no payload at all (no bytes). A Uint8Array is carried raw, but only as the
 * whole value. Numbers that are no safe integers of 32 bits travel as float64: use BigInt for ids.
 * @throws {SystemError} EINVAL naming what could not be carried.
 */
export function encodePayload(value: unknown): Uint8Array {
	if (value === undefined) return NO_PAYLOAD;
	if (value instanceof Uint8Array) return encodeRaw(value);
	refuseLossyScalar(value, 'the payload');
	try {
		return encoder.encode(value);
	} catch (error) {
		if (error instanceof SystemError) throw error;
		throw new SystemError('EINVAL', `payload: ${(error as Error).message}`, {cause: error});
	}
}

/**
 * The value of payload bytes; undefined for none.
 * @throws {SystemError} EPROTO naming the fault; nothing larger than the bytes themselves was allocated.
 */
export function decodePayload(bytes: Uint8Array): unknown {
	if (bytes.length === 0) return undefined;
	const end = scan(asBuffer(bytes), 0, 0);
	if (end !== bytes.length) throw fault(`has ${bytes.length - end} bytes too many`);
	try {
		return decoder.decode(bytes);
	} catch (error) {
		throw new SystemError('EPROTO', `malformed payload: ${(error as Error).message}`, {cause: error});
	}
}

/** An error's payload: its text in UTF-8, cut at ERROR_TEXT_BYTES_MAX. */
export function encodeErrorText(text: string): Uint8Array {
	const encoded = Buffer.from(text, 'utf8');
	return encoded.length <= ERROR_TEXT_BYTES_MAX ? encoded : encoded.subarray(0, ERROR_TEXT_BYTES_MAX);
}

/** The error that a response with `errnum` carries; without a text it gets strerror's. */
export function decodeError(errnum: number, payload: Uint8Array): SystemError {
	const name = errnoName(errnum);
	const text = payload.length === 0 ? errnoText(errnum) : asBuffer(payload).toString('utf8');
	return isErrnoName(name)
		? new SystemError(name, text)
		: new SystemError('EIO', `${text} (errno ${errnum})`);
}

function encodeRaw(bytes: Uint8Array): Uint8Array {
	const head = Buffer.alloc(5);
	head[0] = 0xc6;
	head.writeUInt32BE(bytes.length, 1);
	return Buffer.concat([head, bytes]);
}

function refuseLosses(object: object): void {
	if (Array.isArray(object)) {
		for (let index = 0; index < object.length; index++) refuseLossyScalar(object[index], `[${index}]`);
		return;
	}
	const prototype: unknown = Object.getPrototypeOf(object);
	if (prototype !== Object.prototype && prototype !== null) {
		throw lossy('the payload', `a ${object.constructor?.name ?? 'class instance'}`);
	}
	for (const key of Object.keys(object)) {
		if (key === '__proto__') throw lossy(key, 'a reserved name');
		refuseLossyScalar((object as Record<string, unknown>)[key], key);
	}
}

function refuseLossyScalar(value: unknown, where: string): void {
	switch (typeof value) {
		case 'undefined':
		case 'function':
		case 'symbol':
			throw lossy(where, typeof value);
		case 'number':
			if (!Number.isFinite(value)) throw lossy(where, String(value));
			break;
		case 'bigint':
			if (value > 0xffff_ffff_ffff_ffffn || value < -0x8000_0000_0000_0000n) {
				throw lossy(where, `${value}, more than 64 bits`);
			}
			break;
		default:
	}
}

function lossy(where: string, what: string): SystemError {
	return new SystemError('EINVAL', `payload can't carry ${where}: it is ${what}`);
}

function fault(what: string): SystemError {
	return new SystemError('EPROTO', `malformed payload: it ${what}`);
}

/**
 * Walks over the value at `offset` and returns where it ends, so that the decoder, which allocates by the counts that
 * it reads, only sees counts that are true, and only types that JSON has.
 */
function scan(bytes: Buffer, offset: number, depth: number): number {
	const tag = bytes[offset];
	if (tag === undefined) throw fault('is cut off');
	if (tag < 0x80 || tag >= 0xe0) return offset + 1; // fixint
	if (tag < 0x90) return scanMap(bytes, {offset: offset + 1, count: tag - 0x80, depth});
	if (tag < 0xa0) return scanArray(bytes, {offset: offset + 1, count: tag - 0x90, depth});
	if (tag < 0xc0) return scanText(bytes, offset + 1, tag - 0xa0);
	switch (tag) {
		case 0xc0: // nil
		case 0xc2: // false
		case 0xc3: // true
			return offset + 1;
		case 0xc4:
		case 0xc5:
		case 0xc6:
			if (depth > 0) throw fault('has bytes within a value');
			return skip(bytes, offset + 1 + (1 << (tag - 0xc4)), count(bytes, offset + 1, tag - 0xc4));
		case 0xca: // float32
		case 0xcb: // float64
			return scanFloat(bytes, offset);
		case 0xcc: // uint8 to uint64
		case 0xcd:
		case 0xce:
		case 0xcf:
			return skip(bytes, offset + 1, 1 << (tag - 0xcc));
		case 0xd0: // int8 to int64
		case 0xd1:
		case 0xd2:
		case 0xd3:
			return skip(bytes, offset + 1, 1 << (tag - 0xd0));
		case 0xd9:
		case 0xda:
		case 0xdb:
			return scanText(bytes, offset + 1 + (1 << (tag - 0xd9)), count(bytes, offset + 1, tag - 0xd9));
		case 0xdc:
			return scanArray(bytes, {offset: offset + 3, count: count(bytes, offset + 1, 1), depth});
		case 0xdd:
			return scanArray(bytes, {offset: offset + 5, count: count(bytes, offset + 1, 2), depth});
		case 0xde:
			return scanMap(bytes, {offset: offset + 3, count: count(bytes, offset + 1, 1), depth});
		case 0xdf:
			return scanMap(bytes, {offset: offset + 5, count: count(bytes, offset + 1, 2), depth});
		default:
			throw fault(`has the type byte 0x${tag.toString(16)}`);
	}
}

interface Container {
	/** Where its first element begins. */
	readonly offset: number;
	readonly count: number;
	/** Of the container itself; the outermost has 0. */
	readonly depth: number;
}

function scanArray(bytes: Buffer, {offset, count, depth}: Container): number {
	if (depth >= PAYLOAD_DEPTH_MAX) throw fault(`is nested deeper than ${PAYLOAD_DEPTH_MAX}`);
	let end = offset;
	for (let index = 0; index < count; index++) end = scan(bytes, end, depth + 1);
	return end;
}

function scanMap(bytes: Buffer, {offset, count, depth}: Container): number {
	if (depth >= PAYLOAD_DEPTH_MAX) throw fault(`is nested deeper than ${PAYLOAD_DEPTH_MAX}`);
	let end = offset;
	for (let index = 0; index < count; index++) {
		const tag = bytes[end] ?? 0;
		if ((tag < 0xa0 || tag > 0xbf) && (tag < 0xd9 || tag > 0xdb)) throw fault('has a key that is no string');
		end = scan(bytes, scan(bytes, end, depth + 1), depth + 1);
	}
	return end;
}

function scanText(bytes: Buffer, start: number, length: number): number {
	const end = skip(bytes, start, length);
	// Most texts are short and plain; a call into isUtf8 costs as much as looking at a hundred bytes.
	let index = start;
	const looked = Math.min(end, start + 64);
	while (index < looked && bytes[index]! < 0x80) index += 1;
	if (index < end && !isUtf8(bytes.subarray(index, end))) throw fault('has a text that is not UTF-8');
	return end;
}

function scanFloat(bytes: Buffer, offset: number): number {
	const isSingle = bytes[offset] === 0xca;
	const end = skip(bytes, offset + 1, isSingle ? 4 : 8);
	const value = isSingle ? bytes.readFloatBE(offset + 1) : bytes.readDoubleBE(offset + 1);
	if (!Number.isFinite(value)) throw fault(`has the number ${value}`);
	return end;
}

/** The unsigned integer of 1, 2 or 4 bytes (`log2Bytes` 0, 1, 2) at `offset`. */
function count(bytes: Buffer, offset: number, log2Bytes: number): number {
	skip(bytes, offset, 1 << log2Bytes);
	if (log2Bytes === 0) return bytes[offset]!;
	return log2Bytes === 1 ? bytes.readUInt16BE(offset) : bytes.readUInt32BE(offset);
}

function skip(bytes: Buffer, start: number, length: number): number {
	if (start + length > bytes.length) throw fault('is cut off');
	return start + length;
}
