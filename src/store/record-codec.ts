/**
 * One log record as bytes: a MessagePack array `[version, kind, seq, prevHash, durableSeq, payload, check]`, at the key
 * of its first sequence number `seq`. Its hash is the SHA-256 of the stored bytes before `check`, so that it proves what is on
 * disk and needs no canonical form of MessagePack; `check` is the hash's first 8 bytes, so that a record proves
 * itself, also where its neighbours are lost.
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
}

/** What a record says about its place. */
export interface RecordLinks {
	readonly seq: number;
	readonly prevHash: Uint8Array;
	readonly durableSeq: number;
}

/** The bytes of a record are not those that were written. */
export class RecordChangedError extends Error {}

/** MessagePack's header of `check` (bin 8), and its bytes. */
const CHECK_HEADER = Uint8Array.of(0xc4, 8);
const CHECK_BYTES = 8;
const CHECK_ELEMENT_BYTES = CHECK_HEADER.length + CHECK_BYTES;
const ARRAY_OF_SEVEN = 0x97;

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
	return sealed([recordHeader(KIND.facts, links), arrayHeader(count), ...parts.map(part => part.bytes)]);
}

export function encodeGenesis(genesis: Genesis): Uint8Array {
	const payload = encoder.encode([genesis.logId, genesis.createdMs]);
	return sealed([recordHeader(KIND.genesis, {seq: 0, prevHash: NO_HASH, durableSeq: 0}), payload]);
}

export function encodeCheckpoint(checkpoint: Checkpoint, links: RecordLinks): Uint8Array {
	const payload = encoder.encode([checkpoint.logId, checkpoint.state]);
	return sealed([recordHeader(KIND.checkpoint, links), payload]);
}

export function encodeBridge(bridge: Bridge, links: RecordLinks): Uint8Array {
	const payload = encoder.encode([bridge.toSeq, bridge.hashAfter, bridge.reason, bridge.logId]);
	return sealed([recordHeader(KIND.bridge, links), payload]);
}

/** The hash of a record's stored bytes. */
export function recordHash(value: Uint8Array): Uint8Array {
	return sha256(value.subarray(0, value.length - CHECK_ELEMENT_BYTES));
}

/**
 * @throws {RecordChangedError} when its check fails.
 * @throws {Error} when `value` is no record of this version; says in which way.
 */
export function decodeRecord(seq: number, value: Uint8Array): LogRecord {
	const hash = provenHash(value);
	const fields = decoder.decode(value);
	if (!Array.isArray(fields)) throw new Error('not an array');
	const [version, kind, ownSeq, prevHash, durableSeq, payload] = fields as readonly unknown[];
	if (version !== RECORD_VERSION) throw new Error(`version ${String(version)} instead of ${RECORD_VERSION}`);
	if (ownSeq !== seq) throw new Error(`it says that it is record ${String(ownSeq)}`);
	if (!isHash(prevHash)) throw new Error('no hash of the record before');
	if (!isSeq(durableSeq)) throw new Error('no durable sequence number');
	if (!Array.isArray(payload)) throw new Error('no payload');

	const common = {seq, hash, prevHash, chainHash: hash, durableSeq, bytes: value.length};
	const none = {facts: [], genesis: null, checkpoint: null, bridge: null};
	switch (kind) {
		case KIND.facts:
			if (payload.length === 0) throw new Error('no facts');
			return {...common, ...none, kind: 'facts', endSeq: seq + payload.length - 1, facts: payload};
		case KIND.genesis:
			return {...common, ...none, kind: 'genesis', endSeq: seq, genesis: readGenesis(payload)};
		case KIND.checkpoint:
			return {...common, ...none, kind: 'checkpoint', endSeq: seq, checkpoint: readCheckpoint(payload)};
		case KIND.bridge: {
			const bridge = readBridge(seq, payload);
			const chainHash = bridge.hashAfter;
			return {...common, ...none, kind: 'bridge', endSeq: bridge.toSeq, chainHash, bridge};
		}
		default:
			throw new Error(`unknown kind ${String(kind)}`);
	}
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
	return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** The first bytes of a hash in hexadecimal, for messages. */
export function hashText(hash: Uint8Array): string {
	return Buffer.from(hash).toString('hex').slice(0, 12);
}

function sealed(pieces: readonly Uint8Array[]): Uint8Array {
	const body = Buffer.concat(pieces);
	return Buffer.concat([body, CHECK_HEADER, sha256(body).subarray(0, CHECK_BYTES)]);
}

function provenHash(value: Uint8Array): Uint8Array {
	const checkAt = value.length - CHECK_BYTES;
	const isRecord =
		value[0] === ARRAY_OF_SEVEN &&
		value[checkAt - 2] === CHECK_HEADER[0] &&
		value[checkAt - 1] === CHECK_HEADER[1];
	if (!isRecord) throw new Error('it has not the form of one');
	const hash = recordHash(value);
	for (let at = 0; at < CHECK_BYTES; at += 1) {
		if (value[checkAt + at] !== hash[at]) throw new RecordChangedError('its checksum is wrong');
	}
	return hash;
}

function recordHeader(kind: number, links: RecordLinks): Uint8Array {
	const start = Uint8Array.of(ARRAY_OF_SEVEN, RECORD_VERSION, kind);
	const hash = Buffer.concat([Uint8Array.of(0xc4, HASH_BYTES), links.prevHash]);
	return Buffer.concat([start, encoder.encode(links.seq), hash, encoder.encode(links.durableSeq)]);
}

/** MessagePack's header of an array: fixarray, array 16 or array 32. */
function arrayHeader(length: number): Uint8Array {
	if (length < 16) return Uint8Array.of(0x90 | length);
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
