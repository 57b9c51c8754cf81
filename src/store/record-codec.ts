/**
 * One log record as bytes: a MessagePack array `[version, kind, seq, prevHash, durableSeq, payload, check]`, at the key
 * of its first sequence number `seq`. Its hash is the SHA-256 of the stored bytes before `check`, so that it proves
 * what is on disk and needs no canonical form of MessagePack; `check` is the hash's first 8 bytes, so that a record
 * proves itself, also where its neighbours are lost.
 *
 * | at | bytes | |
 * |---|---|---|
 * | 0 | `97` | array of seven |
 * | 1 | version | 1 |
 * | 2 | kind | below |
 * | 3 | `cf`, 8 big-endian | seq |
 * | 12 | `c4 20`, 32 | hash of the record before; zeros in the first |
 * | 46 | `cf`, 8 big-endian | the last durable fact up to the end of this record |
 * | 55 | any | payload |
 * | -10 | `c4 08`, 8 | check |
 *
 * | kind | payload | sequence numbers |
 * |---|---|---|
 * | 0 facts | array of facts, opaque | one for each |
 * | 1 genesis | `[logId, createdMs]` | 1 |
 * | 2 checkpoint | `[logId, state]` | 1 |
 * | 3 bridge | `[toSeq, hashAfter, reason, logId]` | up to `toSeq` |
 *
 * The first record of a log is no facts: it names the log.
 */
import {hash as hashOnce} from 'node:crypto';
import {Decoder, Encoder} from '@msgpack/msgpack';

export const RECORD_VERSION = 1;
/** The most facts of one record, and so of one `append`. */
export const RECORD_FACTS_MAX = 16_384;
/** The most bytes of one record's facts, and so of one `append`. */
export const RECORD_BYTES_MAX = 4 * 1024 * 1024;
export const HASH_BYTES = 32;
/** The hash before the first record. */
export const NO_HASH: Uint8Array = new Uint8Array(HASH_BYTES);

export interface Genesis {
	readonly logId: string;
	readonly createdMs: number;
}

/** The whole state after all facts before this record: replay may begin here. */
export interface Checkpoint {
	readonly logId: string;
	readonly state: Uint8Array;
}

/** Stands for facts that were lost and given up by a salvage. */
export interface Bridge {
	readonly toSeq: number;
	/** The hash that the next record names as its predecessor's. */
	readonly hashAfter: Uint8Array;
	readonly reason: string;
	readonly logId: string;
}

export interface LogRecord {
	/** Of its first fact. */
	readonly seq: number;
	/** Of its last fact; the next record begins one later. */
	readonly endSeq: number;
	readonly kind: 'facts' | 'genesis' | 'checkpoint' | 'bridge';
	/** Empty unless `kind` is `facts`. */
	readonly facts: readonly unknown[];
	/** SHA-256 of the record's bytes before its check. */
	readonly hash: Uint8Array;
	readonly prevHash: Uint8Array;
	/** What the next record must name as `prevHash`: `hash`, or the `hashAfter` of a bridge. */
	readonly chainHash: Uint8Array;
	/** The last durable fact up to the end of this record. */
	readonly durableSeq: number;
	readonly bytes: number;
	readonly genesis: Genesis | null;
	readonly checkpoint: Checkpoint | null;
	readonly bridge: Bridge | null;
	/** `chainHash` in latin1, a character a byte: the cheapest form in which one can be passed on and compared. */
	readonly chainText: string;
	/** Whether this record names the hash in latin1 as that of the record before. */
	follows(chainText: string): boolean;
}

/** What a record says about its place. */
export interface RecordLinks {
	readonly seq: number;
	readonly prevHash: Uint8Array;
	readonly durableSeq: number;
}

/** The bytes of a record are not those that were written. */
export class RecordChangedError extends Error {}

const ARRAY_OF_SEVEN = 0x97;
const UINT_64 = 0xcf;
const BIN_8 = 0xc4;
const AT = {version: 1, kind: 2, seq: 3, prevHash: 12, durableSeq: 46, payload: 55} as const;
const CHECK_BYTES = 8;
/** `check` with its header. */
const TRAILER_BYTES = 2 + CHECK_BYTES;
const WORD = 0x1_0000_0000;

const KIND = {facts: 0, genesis: 1, checkpoint: 2, bridge: 3} as const;
const CODEC = {useBigInt64: true, ignoreUndefined: true} as const;
const encoder = new Encoder(CODEC);
const decoder = new Decoder(CODEC);

export function sha256(bytes: Uint8Array): Uint8Array {
	return hashOnce('sha256', bytes, 'buffer');
}

/** Some facts, encoded; the bytes lie one after the other, without the array's header. */
export interface EncodedFacts {
	readonly count: number;
	readonly bytes: Uint8Array;
}

/** @throws {Error} when MessagePack cannot carry a fact (a function, a symbol, a bigint beyond 64 bits). */
export function encodeFacts(facts: readonly unknown[]): EncodedFacts {
	const bytes = encoder.encode(facts);
	return {count: facts.length, bytes: bytes.subarray(arrayHeader(facts.length).length)};
}

export function encodeFactsRecord(parts: readonly EncodedFacts[], links: RecordLinks): Uint8Array {
	const count = parts.reduce((sum, part) => sum + part.count, 0);
	return sealed(KIND.facts, links, [arrayHeader(count), ...parts.map(part => part.bytes)]);
}

export function encodeGenesis(genesis: Genesis): Uint8Array {
	const payload = encoder.encode([genesis.logId, genesis.createdMs]);
	return sealed(KIND.genesis, {seq: 0, prevHash: NO_HASH, durableSeq: 0}, [payload]);
}

export function encodeCheckpoint(checkpoint: Checkpoint, links: RecordLinks): Uint8Array {
	const payload = encoder.encode([checkpoint.logId, checkpoint.state]);
	return sealed(KIND.checkpoint, links, [payload]);
}

export function encodeBridge(bridge: Bridge, links: RecordLinks): Uint8Array {
	const payload = encoder.encode([bridge.toSeq, bridge.hashAfter, bridge.reason, bridge.logId]);
	return sealed(KIND.bridge, links, [payload]);
}

/** The hash of a record's stored bytes. */
export function recordHash(value: Uint8Array): Uint8Array {
	return sha256(hashedPart(value));
}

/** A view that is no Buffer: half the price. */
function hashedPart(value: Uint8Array): Uint8Array {
	return new Uint8Array(value.buffer, value.byteOffset, value.length - TRAILER_BYTES);
}

/**
 * @throws {RecordChangedError} when its check fails.
 * @throws {Error} when `value` is no record of this version; says in which way.
 */
export function decodeRecord(seq: number, value: Uint8Array): LogRecord {
	assertForm(value);
	const record = new StoredRecord(seq, value, provenHash(value));
	const ownSeq = uint64At(value, AT.seq + 1);
	if (ownSeq !== seq) throw new Error(`it says that it is record ${ownSeq}`);
	// A view that is no Buffer, so that what is decoded is the same on every store.
	const payloadBytes = value.length - TRAILER_BYTES - AT.payload;
	const payload = decoder.decode(new Uint8Array(value.buffer, value.byteOffset + AT.payload, payloadBytes));
	if (!Array.isArray(payload)) throw new Error('its payload is no array');
	readPayload(record, value[AT.kind]!, payload);
	return record;
}

/** Hashes are made into bytes when they are asked for: most records are read, proved against their neighbour, and left. */
class StoredRecord implements LogRecord {
	readonly seq: number;
	endSeq: number;
	kind: LogRecord['kind'] = 'facts';
	facts: readonly unknown[] = [];
	readonly durableSeq: number;
	genesis: Genesis | null = null;
	checkpoint: Checkpoint | null = null;
	bridge: Bridge | null = null;
	readonly #value: Uint8Array;
	readonly #hashText: string;

	constructor(seq: number, value: Uint8Array, text: string) {
		this.seq = seq;
		this.endSeq = seq;
		this.durableSeq = uint64At(value, AT.durableSeq + 1);
		this.#value = value;
		this.#hashText = text;
	}

	get bytes(): number {
		return this.#value.length;
	}

	get hash(): Uint8Array {
		return Buffer.from(this.#hashText, 'latin1');
	}

	get prevHash(): Uint8Array {
		return this.#value.subarray(AT.prevHash + 2, AT.prevHash + 2 + HASH_BYTES);
	}

	get chainHash(): Uint8Array {
		return this.bridge?.hashAfter ?? this.hash;
	}

	get chainText(): string {
		return this.bridge === null ? this.#hashText : textOfHash(this.bridge.hashAfter);
	}

	follows(chainText: string): boolean {
		for (let at = 0; at < HASH_BYTES; at += 1)
			if (this.#value[AT.prevHash + 2 + at] !== chainText.charCodeAt(at)) return false;
		return true;
	}
}

/** A hash as `LogRecord.chainText` has it. */
export function textOfHash(hash: Uint8Array): string {
	return Buffer.from(hash).toString('latin1');
}

function readPayload(record: StoredRecord, kind: number, payload: readonly unknown[]): void {
	switch (kind) {
		case KIND.facts:
			if (payload.length === 0) throw new Error('no facts');
			record.facts = payload;
			record.endSeq = record.seq + payload.length - 1;
			break;
		case KIND.genesis:
			record.kind = 'genesis';
			record.genesis = readGenesis(payload);
			break;
		case KIND.checkpoint:
			record.kind = 'checkpoint';
			record.checkpoint = readCheckpoint(payload);
			break;
		case KIND.bridge:
			record.kind = 'bridge';
			record.bridge = readBridge(record.seq, payload);
			record.endSeq = record.bridge.toSeq;
			break;
		default:
			throw new Error(`unknown kind ${kind}`);
	}
}

/** Whether a record's bytes are those of a checkpoint, without decoding it. */
export function isCheckpoint(value: Uint8Array): boolean {
	return value[AT.kind] === KIND.checkpoint;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
	return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** The first bytes of a hash in hexadecimal, for messages. */
export function hashText(hash: Uint8Array): string {
	return Buffer.from(hash).toString('hex').slice(0, 12);
}

function sealed(kind: number, links: RecordLinks, payload: readonly Uint8Array[]): Uint8Array {
	const payloadBytes = payload.reduce((sum, piece) => sum + piece.length, 0);
	const value = new Uint8Array(AT.payload + payloadBytes + TRAILER_BYTES);
	value.set([ARRAY_OF_SEVEN, RECORD_VERSION, kind]);
	setUint64(value, AT.seq, links.seq);
	value.set([BIN_8, HASH_BYTES], AT.prevHash);
	value.set(links.prevHash, AT.prevHash + 2);
	setUint64(value, AT.durableSeq, links.durableSeq);
	let at: number = AT.payload;
	for (const piece of payload) {
		value.set(piece, at);
		at += piece.length;
	}
	value.set([BIN_8, CHECK_BYTES], at);
	value.set(recordHash(value).subarray(0, CHECK_BYTES), at + 2);
	return value;
}

function assertForm(value: Uint8Array): void {
	const end = value.length - TRAILER_BYTES;
	const isRecord =
		end > AT.payload &&
		value[0] === ARRAY_OF_SEVEN &&
		value[AT.seq] === UINT_64 &&
		value[AT.prevHash] === BIN_8 &&
		value[AT.prevHash + 1] === HASH_BYTES &&
		value[AT.durableSeq] === UINT_64 &&
		value[end] === BIN_8 &&
		value[end + 1] === CHECK_BYTES;
	if (!isRecord) throw new Error('it has not the form of one');
	const version = value[AT.version];
	if (version !== RECORD_VERSION) throw new Error(`it has version ${version} instead of ${RECORD_VERSION}`);
}

function provenHash(value: Uint8Array): string {
	const text = hashOnce('sha256', hashedPart(value), 'binary');
	const checkAt = value.length - CHECK_BYTES;
	for (let at = 0; at < CHECK_BYTES; at += 1) {
		if (value[checkAt + at] !== text.charCodeAt(at)) throw new RecordChangedError('its checksum is wrong');
	}
	return text;
}

function setUint64(bytes: Uint8Array, at: number, value: number): void {
	const [high, low] = [Math.floor(value / WORD), value % WORD];
	bytes.set(
		[UINT_64, high >>> 24, high >>> 16, high >>> 8, high, low >>> 24, low >>> 16, low >>> 8, low],
		at,
	);
}

/** A number above 2^53 loses digits; it is no sequence number then, and will not be the one that is expected. */
function uint64At(bytes: Uint8Array, at: number): number {
	return uint32At(bytes, at) * WORD + uint32At(bytes, at + 4);
}

function uint32At(bytes: Uint8Array, at: number): number {
	return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

const FIXARRAY_HEADERS = Array.from({length: 16}, (_, length) => Uint8Array.of(0x90 | length));

/** MessagePack's header of an array: fixarray, array 16 or array 32. */
function arrayHeader(length: number): Uint8Array {
	if (length < 16) return FIXARRAY_HEADERS[length]!;
	if (length < 0x1_0000) return Uint8Array.of(0xdc, length >>> 8, length & 0xff);
	return Uint8Array.of(0xdd, length >>> 24, (length >>> 16) & 0xff, (length >>> 8) & 0xff, length & 0xff);
}

function readGenesis([logId, createdMs]: readonly unknown[]): Genesis {
	if (typeof logId !== 'string' || typeof createdMs !== 'number') throw new Error('not a genesis');
	return {logId, createdMs};
}

function readCheckpoint([logId, state]: readonly unknown[]): Checkpoint {
	if (typeof logId !== 'string' || !(state instanceof Uint8Array)) throw new Error('not a checkpoint');
	return {logId, state};
}

function readBridge(seq: number, payload: readonly unknown[]): Bridge {
	const [toSeq, hashAfter, reason, logId] = payload;
	if (!isSeq(toSeq) || toSeq < seq || !isHash(hashAfter)) throw new Error('not a bridge');
	if (typeof reason !== 'string' || typeof logId !== 'string') throw new Error('not a bridge');
	return {toSeq, hashAfter, reason, logId};
}

function isHash(value: unknown): value is Uint8Array {
	return value instanceof Uint8Array && value.length === HASH_BYTES;
}

function isSeq(value: unknown): value is number {
	return Number.isSafeInteger(value) && (value as number) >= 0;
}
