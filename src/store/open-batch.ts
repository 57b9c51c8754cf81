/**
 * What was appended and not yet handed to the store: records in the making, rows, and whether any of it is
 * durable. Pure bookkeeping; the log decides when it is written.
 */
import {SystemError} from '../formats/errno.ts';
import type {StoreOp} from '../ports/store.ts';
import {recordKey} from './keyspaces.ts';
import {
	encodeCheckpoint,
	encodeFactsRecord,
	RECORD_BYTES_MAX,
	RECORD_FACTS_MAX,
	recordHash,
	type Checkpoint,
	type EncodedFacts,
} from './record-codec.ts';
import {rowOp, type Row} from './rows.ts';

/** Bytes that may wait for the store; beyond it `append` is refused. */
export const BACKLOG_BYTES_MAX = 64 * 1024 * 1024;

interface RecordDraft {
	readonly seq: number;
	readonly parts: EncodedFacts[];
	readonly checkpoint: Checkpoint | null;
	facts: number;
	bytes: number;
	durableSeq: number;
}

export interface SealedBatch {
	readonly ops: readonly StoreOp[];
	readonly rows: readonly Row[];
	/** The chain hash of its last record. */
	readonly hash: Uint8Array;
	readonly lastSeq: number;
	readonly durable: boolean;
	readonly bytes: number;
}

export class OpenBatch {
	readonly #records: RecordDraft[] = [];
	readonly #rows: Row[] = [];
	readonly #rowOps: StoreOp[] = [];
	#nextSeq: number;
	#durableSeq: number;
	#durable = false;
	bytes = 0;

	/** @param nextSeq of the first fact to come; @param durableSeq of the last durable fact before. */
	constructor(nextSeq: number, durableSeq: number) {
		this.#nextSeq = nextSeq;
		this.#durableSeq = durableSeq;
	}

	get isEmpty(): boolean {
		return this.#records.length === 0 && this.#rows.length === 0;
	}

	get isDurable(): boolean {
		return this.#durable;
	}

	/**
	 * All facts of one call go into one record. Returns the sequence number of the last one.
	 * @throws {SystemError} EMSGSIZE for more than a record holds, ENOBUFS when the backlog is full; nothing was added.
	 */
	add(facts: EncodedFacts, options: {durable: boolean; rows: readonly Row[]}): number {
		const rowOps = options.rows.map(row => rowOp(row));
		const rowBytes = rowOps.reduce(
			(sum, op) => sum + op.key.length + (op.type === 'put' ? op.value.length : 0),
			0,
		);
		this.#checkBounds(facts, rowBytes);
		if (facts.count > 0) {
			const last = this.#nextSeq + facts.count - 1;
			if (options.durable) this.#durableSeq = last;
			const draft = this.#draftFor(facts);
			draft.parts.push(facts);
			draft.facts += facts.count;
			draft.bytes += facts.bytes.length;
			draft.durableSeq = this.#durableSeq;
			this.#nextSeq = last + 1;
		}
		this.#durable ||= options.durable;
		this.#rows.push(...options.rows);
		this.#rowOps.push(...rowOps);
		this.bytes += facts.bytes.length + rowBytes;
		return this.#nextSeq - 1;
	}

	/** Adds a checkpoint record, durable, after all facts so far. Returns its sequence number. */
	addCheckpoint(checkpoint: Checkpoint): number {
		const seq = this.#nextSeq;
		this.#durableSeq = seq;
		this.#durable = true;
		this.#records.push({seq, parts: [], checkpoint, facts: 0, bytes: 0, durableSeq: seq});
		this.bytes += checkpoint.state.length;
		this.#nextSeq = seq + 1;
		return seq;
	}

	/** Chains the records to `prevHash` and gives the store's operations for all of it. */
	seal(prevHash: Uint8Array): SealedBatch {
		const ops: StoreOp[] = [];
		let hash = prevHash;
		for (const {seq, parts, checkpoint, durableSeq} of this.#records) {
			const links = {seq, prevHash: hash, durableSeq};
			const value =
				checkpoint === null ? encodeFactsRecord(parts, links) : encodeCheckpoint(checkpoint, links);
			hash = recordHash(value);
			ops.push({type: 'put', key: recordKey(seq), value});
		}
		ops.push(...this.#rowOps);
		const {bytes} = this;
		return {ops, rows: this.#rows, hash, lastSeq: this.#nextSeq - 1, durable: this.#durable, bytes};
	}

	#checkBounds(facts: EncodedFacts, rowBytes: number): void {
		if (facts.count > RECORD_FACTS_MAX || facts.bytes.length > RECORD_BYTES_MAX) {
			const what = `${facts.count} facts of ${facts.bytes.length} bytes`;
			throw new SystemError('EMSGSIZE', `${what} exceed one record of the event log`);
		}
		if (this.bytes + facts.bytes.length + rowBytes > BACKLOG_BYTES_MAX) {
			throw new SystemError('ENOBUFS', `${this.bytes} bytes already wait for the event log's disk`);
		}
	}

	#draftFor(facts: EncodedFacts): RecordDraft {
		const last = this.#records.at(-1);
		const fits =
			last !== undefined &&
			last.checkpoint === null &&
			last.facts + facts.count <= RECORD_FACTS_MAX &&
			last.bytes + facts.bytes.length <= RECORD_BYTES_MAX;
		if (fits) return last;
		const seq = this.#nextSeq;
		const draft = {seq, parts: [], checkpoint: null, facts: 0, bytes: 0, durableSeq: this.#durableSeq};
		this.#records.push(draft);
		return draft;
	}
}
