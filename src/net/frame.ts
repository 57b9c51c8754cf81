/**
 * Frames: how messages lie in a byte stream.
 *
 *     [u32 BE length][u16 BE header length][header: one MessagePack array][payload: opaque bytes]
 *
 * `length` counts everything after itself. Invariant: what leaves this file as a frame has a true length and a header
 * that lies inside it; a peer can make us hold at most FRAME_BYTES_MAX, and never more than twice what it sent.
 */
import {SystemError} from '../formats/errno.ts';
import {FRAME_BYTES_MAX} from '../ports/transport.ts';

/** The two length fields in front of a header. */
export const FRAME_PREFIX_BYTES = 6;
/** The longest header that the u16 can name. */
export const HEADER_BYTES_MAX = 0xffff;

const LENGTH_FIELD_BYTES = 4;
/** A frame up to this size gets its whole buffer when its length is known; a longer one as its bytes arrive. */
const TRUSTED_ALLOCATION_BYTES = 64 * 1024;
const NOTHING = Buffer.alloc(0);

/**
 * One whole frame, its length prefix included.
 * @throws {SystemError} EMSGSIZE when it would exceed FRAME_BYTES_MAX, or the header HEADER_BYTES_MAX.
 */
export function encodeFrame(header: Uint8Array, payload: Uint8Array): Buffer {
	const sizeBytes = FRAME_PREFIX_BYTES + header.length + payload.length;
	if (header.length > HEADER_BYTES_MAX) {
		throw new SystemError(
			'EMSGSIZE',
			`header of ${header.length} bytes exceeds HEADER_BYTES_MAX (${HEADER_BYTES_MAX})`,
		);
	}
	if (sizeBytes > FRAME_BYTES_MAX) throw tooLong(sizeBytes);
	const frame = Buffer.allocUnsafe(sizeBytes);
	frame.writeUInt32BE(sizeBytes - LENGTH_FIELD_BYTES, 0);
	frame.writeUInt16BE(header.length, LENGTH_FIELD_BYTES);
	frame.set(header, FRAME_PREFIX_BYTES);
	if (payload.length > 0) frame.set(payload, FRAME_PREFIX_BYTES + header.length);
	return frame;
}

/**
 * Where the header of a whole frame ends and its payload begins.
 * @throws {SystemError} EPROTO or EMSGSIZE when `frame` is not exactly one frame.
 */
export function headerEnd(frame: Buffer): number {
	if (frame.length < FRAME_PREFIX_BYTES) {
		throw new SystemError('EPROTO', `frame of ${frame.length} bytes has no room for its lengths`);
	}
	const sizeBytes = frameSize(frame, 0);
	if (sizeBytes !== frame.length) {
		throw new SystemError('EPROTO', `frame of ${frame.length} bytes says it has ${sizeBytes}`);
	}
	return FRAME_PREFIX_BYTES + frame.readUInt16BE(LENGTH_FIELD_BYTES);
}

/** The same bytes as a Buffer, without a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
	return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Cuts a byte stream into frames. Feed a chunk, then take frames until there is none: taking can stop at any time
 * (a paused link) and go on later, but the next chunk is due only when `next` has returned null.
 * After an error it is of no further use: a stream that lost its frame boundaries can't find them again.
 */
export class Deframer {
	#chunk: Buffer = NOTHING;
	#offset = 0;
	/** The frame that no chunk held whole: its first `#filled` bytes; its size once that is known, else 0. */
	#partial: Buffer = NOTHING;
	#filled = 0;
	#sizeBytes = 0;

	/** Takes over `chunk`: frames are views of it, not copies. */
	feed(chunk: Uint8Array): void {
		if (this.#offset !== this.#chunk.length) throw new Error('the chunk before was not used up');
		this.#chunk = asBuffer(chunk);
		this.#offset = 0;
	}

	/**
	 * The next whole frame, or null: more bytes are needed.
	 * @throws {SystemError} EPROTO or EMSGSIZE, naming the fault.
	 */
	next(): Buffer | null {
		const left = this.#chunk.length - this.#offset;
		if (this.#filled === 0 && left >= FRAME_PREFIX_BYTES) {
			const end = this.#offset + frameSize(this.#chunk, this.#offset);
			if (end <= this.#chunk.length) {
				const frame = this.#chunk.subarray(this.#offset, end);
				this.#offset = end;
				return frame;
			}
		}
		return left === 0 ? null : this.#nextFromPieces();
	}

	/** Bytes of an unfinished frame: not zero at the end of a stream means that it was cut. */
	get partialBytes(): number {
		return this.#filled + (this.#chunk.length - this.#offset);
	}

	#nextFromPieces(): Buffer | null {
		if (!this.#fillTo(FRAME_PREFIX_BYTES)) return null;
		if (this.#sizeBytes === 0) this.#sizeBytes = frameSize(this.#partial, 0);
		if (!this.#fillTo(this.#sizeBytes)) return null;
		const frame = this.#partial.subarray(0, this.#sizeBytes);
		this.#partial = NOTHING;
		this.#filled = 0;
		this.#sizeBytes = 0;
		return frame;
	}

	/** Moves bytes from the chunk until `#partial` holds `target` of them; false: the chunk is used up. */
	#fillTo(target: number): boolean {
		const moved = Math.min(target - this.#filled, this.#chunk.length - this.#offset);
		if (moved > 0) {
			this.#reserve(this.#filled + moved);
			this.#chunk.copy(this.#partial, this.#filled, this.#offset, this.#offset + moved);
			this.#filled += moved;
			this.#offset += moved;
		}
		return this.#filled >= target;
	}

	/** Doubling, so that a frame in one-byte pieces is copied a constant number of times per byte. */
	#reserve(neededBytes: number): void {
		if (this.#partial.length >= neededBytes) return;
		const generous = Math.max(neededBytes, this.#partial.length * 2, TRUSTED_ALLOCATION_BYTES);
		const limit = this.#sizeBytes === 0 ? FRAME_PREFIX_BYTES : this.#sizeBytes;
		const grown = Buffer.allocUnsafe(Math.min(generous, limit));
		this.#partial.copy(grown, 0, 0, this.#filled);
		this.#partial = grown;
	}
}

/** The size of the frame whose first FRAME_PREFIX_BYTES stand at `offset`, judged before anything is allocated. */
function frameSize(bytes: Buffer, offset: number): number {
	const sizeBytes = bytes.readUInt32BE(offset) + LENGTH_FIELD_BYTES;
	if (sizeBytes > FRAME_BYTES_MAX) throw tooLong(sizeBytes);
	if (sizeBytes <= FRAME_PREFIX_BYTES) {
		throw new SystemError('EPROTO', `frame of ${sizeBytes} bytes has no room for a header`);
	}
	const headerBytes = bytes.readUInt16BE(offset + LENGTH_FIELD_BYTES);
	if (headerBytes === 0 || FRAME_PREFIX_BYTES + headerBytes > sizeBytes) {
		throw new SystemError(
			'EPROTO',
			`header of ${headerBytes} bytes does not fit into a frame of ${sizeBytes} bytes`,
		);
	}
	return sizeBytes;
}

function tooLong(sizeBytes: number): SystemError {
	return new SystemError(
		'EMSGSIZE',
		`frame of ${sizeBytes} bytes exceeds FRAME_BYTES_MAX (${FRAME_BYTES_MAX})`,
	);
}
