/**
 * The subset of MessagePack that headers are made of: unsigned integers, short strings, arrays of them, nil. Written
 * by hand because a header comes from a peer and passes every hop: each field is judged against its own bound while it
 * is read, nothing is allocated for what will be refused, and it costs a fraction of a general decoder.
 */
import {isUtf8} from 'node:buffer';
import {SystemError} from '../formats/errno.ts';
import {HEADER_BYTES_MAX} from './frame.ts';

const NIL = 0xc0;
const UINT8 = 0xcc;
const UINT16 = 0xcd;
const UINT32 = 0xce;
const UINT64 = 0xcf;
const STR8 = 0xd9;
const STR16 = 0xda;
const ARRAY16 = 0xdc;
const TWO_32 = 0x1_0000_0000;

/** Writes one header after another into the same memory; `bytes` is valid until the next `begin`. */
export class HeaderWriter {
	readonly #buffer = Buffer.allocUnsafeSlow(HEADER_BYTES_MAX);
	#end = 0;

	begin(fields: number): void {
		this.#end = 0;
		this.array(fields);
	}

	get bytes(): Buffer {
		return this.#buffer.subarray(0, this.#end);
	}

	array(count: number): void {
		if (count < 16) this.#byte(0x90 + count);
		else {
			this.#byte(ARRAY16);
			this.#end = this.#buffer.writeUInt16BE(count, this.#end);
		}
	}

	nil(): void {
		this.#byte(NIL);
	}

	/** A safe integer of at least 0, in its shortest form. */
	uint(value: number): void {
		if (value < 0x80) this.#byte(value);
		else if (value <= 0xff) {
			this.#byte(UINT8);
			this.#byte(value);
		} else if (value <= 0xffff) {
			this.#byte(UINT16);
			this.#end = this.#buffer.writeUInt16BE(value, this.#end);
		} else if (value < TWO_32) {
			this.#byte(UINT32);
			this.#end = this.#buffer.writeUInt32BE(value, this.#end);
		} else {
			this.#byte(UINT64);
			this.#end = this.#buffer.writeUInt32BE(Math.floor(value / TWO_32), this.#end);
			this.#end = this.#buffer.writeUInt32BE(value % TWO_32, this.#end);
		}
	}

	/** UTF-8 text of at most 255 bytes, already encoded. */
	text(encoded: Uint8Array): void {
		if (encoded.length < 32) this.#byte(0xa0 + encoded.length);
		else {
			this.#byte(STR8);
			this.#byte(encoded.length);
		}
		this.#buffer.set(encoded, this.#end);
		this.#end += encoded.length;
	}

	#byte(value: number): void {
		this.#buffer[this.#end++] = value;
	}
}

/** Reads the fields of one header in order. All methods throw EPROTO, naming the field and what is wrong with it. */
export class HeaderReader {
	#bytes: Buffer = Buffer.alloc(0);
	#offset = 0;
	#end = 0;

	open(bytes: Buffer, start: number, end: number): void {
		this.#bytes = bytes;
		this.#offset = start;
		this.#end = end;
	}

	/** @throws {SystemError} EPROTO when bytes are left over. */
	finish(): void {
		if (this.#offset !== this.#end) {
			throw malformed('header', `has ${this.#end - this.#offset} bytes too many`);
		}
	}

	array(field: string, countMax: number): number {
		const tag = this.#take(field, 1);
		let count = -1;
		if (tag >= 0x90 && tag <= 0x9f) count = tag - 0x90;
		else if (tag === ARRAY16) count = this.#take(field, 2);
		if (count === -1) throw malformed(field, 'is not an array');
		if (count > countMax) throw malformed(field, `has ${count} elements, the limit is ${countMax}`);
		return count;
	}

	uint(field: string, max: number): number {
		const tag = this.#take(field, 1);
		let value = -1;
		if (tag < 0x80) value = tag;
		else if (tag === UINT8) value = this.#take(field, 1);
		else if (tag === UINT16) value = this.#take(field, 2);
		else if (tag === UINT32) value = this.#take(field, 4);
		else if (tag === UINT64) value = this.#take(field, 4) * TWO_32 + this.#take(field, 4);
		if (value === -1) throw malformed(field, 'is not an unsigned integer');
		if (value > max) throw malformed(field, `is ${value}, the limit is ${max}`);
		return value;
	}

	uintOrNil(field: string, max: number): number | null {
		if (this.#offset < this.#end && this.#bytes[this.#offset] === NIL) {
			this.#offset += 1;
			return null;
		}
		return this.uint(field, max);
	}

	/** Text of 1 to `bytesMax` bytes without spaces and control characters. */
	text(field: string, bytesMax: number): string {
		const tag = this.#take(field, 1);
		let length = -1;
		if (tag >= 0xa0 && tag <= 0xbf) length = tag - 0xa0;
		else if (tag === STR8) length = this.#take(field, 1);
		else if (tag === STR16) length = this.#take(field, 2);
		if (length === -1) throw malformed(field, 'is not a string');
		if (length === 0) throw malformed(field, 'is empty');
		if (length > bytesMax) throw malformed(field, `has ${length} bytes, the limit is ${bytesMax}`);
		const start = this.#offset;
		if (start + length > this.#end) throw malformed(field, 'is cut off');
		this.#offset = start + length;
		return this.#word(field, start, this.#offset);
	}

	#word(field: string, start: number, end: number): string {
		let high = 0;
		for (let index = start; index < end; index++) {
			const byte = this.#bytes[index]!;
			if (byte <= 0x20 || byte === 0x7f) throw malformed(field, `contains the byte ${byte}`);
			high |= byte;
		}
		if (high < 0x80) return this.#bytes.toString('latin1', start, end);
		if (!isUtf8(this.#bytes.subarray(start, end))) throw malformed(field, 'is not UTF-8');
		return this.#bytes.toString('utf8', start, end);
	}

	#take(field: string, length: 1 | 2 | 4): number {
		const start = this.#offset;
		if (start + length > this.#end) throw malformed(field, 'is cut off');
		this.#offset = start + length;
		if (length === 1) return this.#bytes[start]!;
		return length === 2 ? this.#bytes.readUInt16BE(start) : this.#bytes.readUInt32BE(start);
	}
}

export function malformed(field: string, what: string): SystemError {
	return new SystemError('EPROTO', `malformed message: ${field} ${what}`);
}
