/**
 * Reads records in order and checks what can be checked: contiguity, form, and the chain of hashes. A record is
 * handed out only when its successor (or the known head) has confirmed its hash, so nothing that is served can turn
 * out to be changed one record later. Goes on after damage, so that all of it is found.
 */
import type {Store, StoreEntry} from '../ports/store.ts';
import {LogDamageError, seqRangeText} from './damage.ts';
import {recordKey, seqOfKey} from './keyspaces.ts';
import {decodeRecord, hashText, sameBytes, type LogRecord} from './record-codec.ts';

export interface ScanOptions {
	/** The first record's sequence number: a record must begin right there. */
	readonly fromSeq: number;
	/** The chain hash before the first record; null: not known. */
	readonly prevHash: Uint8Array | null;
	/** Stop after the record that contains it; Infinity: at the end of the log. */
	readonly toSeq: number;
	/** What is known of the end of the log, to confirm the last record; null: nothing. */
	readonly head: {readonly seq: number; readonly hash: Uint8Array} | null;
}

/** Confirmed records and, in their place in the order, what is wrong between them. */
export type ScanItem = LogRecord | LogDamageError;

/** @returns chunks of items, one for each chunk that the store reads at once. Never rejects for damage. */
export async function* scanRecords(store: Store, options: ScanOptions): AsyncGenerator<readonly ScanItem[]> {
	const scanner = new Scanner(options);
	const range = {gte: recordKey(options.fromSeq), lt: Uint8Array.of(recordKey(0)[0]! + 1)};
	try {
		for await (const entries of store.iterateChunks(range)) {
			for (const entry of entries) scanner.take(entry);
			yield scanner.drain();
			if (scanner.done) return;
		}
	} catch (error) {
		scanner.fail(error);
	}
	scanner.end();
	yield scanner.drain();
}

class Scanner {
	readonly #options: ScanOptions;
	#items: ScanItem[] = [];
	/** The newest record, not yet confirmed. */
	#held: LogRecord | null = null;
	#expectedSeq: number;
	#chainHash: Uint8Array | null;
	/** An undecodable record whose end only the next record will tell. */
	#bad: {seq: number; why: string} | null = null;
	done = false;

	constructor(options: ScanOptions) {
		this.#options = options;
		this.#expectedSeq = options.fromSeq;
		this.#chainHash = options.prevHash;
	}

	drain(): readonly ScanItem[] {
		const items = this.#items;
		this.#items = [];
		return items;
	}

	take([key, value]: StoreEntry): void {
		if (this.done) return;
		const seq = seqOfKey(key);
		if (seq === null) return this.#damage('undecodable', this.#expectedSeq, null, 'A key has a wrong form');
		let record: LogRecord;
		try {
			record = decodeRecord(seq, value);
		} catch (error) {
			this.#takeBad(seq, (error as Error).message);
			return;
		}
		this.#link(record);
		if (record.seq > this.#options.toSeq) {
			this.done = true; // It was only needed to confirm the one before.
			return;
		}
		this.#held = record;
		this.#expectedSeq = record.endSeq + 1;
		this.#chainHash = record.chainHash;
	}

	/** The store gave an error: nothing behind this point can be read. */
	fail(error: unknown): void {
		this.#release();
		const why = error instanceof Error ? error.message : String(error);
		this.#damage('unreadable', this.#expectedSeq, null, `The database cannot be read: ${why}`);
		this.done = true;
	}

	end(): void {
		if (this.done) return;
		const {head} = this.#options;
		const held = this.#held;
		if (held !== null && head?.seq === held.endSeq && !sameBytes(head.hash, held.chainHash)) {
			this.#blame(held, head.hash, 'HEAD');
		}
		this.#release();
		if (this.#bad !== null) this.#endBad(null);
		this.done = true;
	}

	/** Judges `record` against what came before it, and hands out or blames the one before. */
	#link(record: LogRecord): void {
		if (this.#bad !== null) this.#endBad(record.seq - 1);
		const held = this.#held;
		if (record.seq > this.#expectedSeq) {
			this.#release();
			this.#gap(this.#expectedSeq, record.seq - 1);
			return;
		}
		if (record.seq < this.#expectedSeq && held !== null) {
			this.#held = null;
			const text = `Record ${held.seq} is changed: it holds facts to ${held.endSeq}, but the next begins at`;
			this.#damage('changed', held.seq, record.seq - 1, `${text} ${record.seq}`);
			return;
		}
		if (this.#chainHash !== null && !sameBytes(record.prevHash, this.#chainHash)) {
			if (held === null) this.#strangeStart(record, this.#chainHash);
			else this.#blame(held, record.prevHash, `record ${record.seq}`);
		}
		this.#release();
	}

	#takeBad(seq: number, why: string): void {
		this.#release();
		if (this.#bad === null) {
			if (seq > this.#expectedSeq) this.#gap(this.#expectedSeq, seq - 1);
			this.#bad = {seq, why};
		}
		this.#chainHash = null;
		if (seq > this.#options.toSeq) this.done = true;
	}

	#endBad(toSeq: number | null): void {
		const {seq, why} = this.#bad!;
		this.#bad = null;
		this.#damage('undecodable', seq, toSeq, `Record ${seq} is not a record: ${why}`);
		if (toSeq !== null) this.#expectedSeq = toSeq + 1;
	}

	#gap(fromSeq: number, toSeq: number): void {
		if (fromSeq > this.#options.toSeq) return; // Not asked for.
		const what = fromSeq === toSeq ? 'one fact is missing' : `${toSeq - fromSeq + 1} facts are missing`;
		this.#damage('gap', fromSeq, toSeq, `In the log, ${what}: ${seqRangeText(fromSeq, toSeq)}`);
	}

	#blame(held: LogRecord, wanted: Uint8Array, witness: string): void {
		this.#held = null;
		const text = `Record ${held.seq} is changed: its hash is ${hashText(held.chainHash)}, but`;
		this.#damage('changed', held.seq, held.endSeq, `${text} ${witness} says ${hashText(wanted)}`);
	}

	#strangeStart(record: LogRecord, chainHash: Uint8Array): void {
		const text = `Record ${record.seq} follows ${hashText(record.prevHash)}, but the one before it has`;
		this.#damage('changed', record.seq, record.endSeq, `${text} ${hashText(chainHash)}`);
	}

	#release(): void {
		if (this.#held !== null) this.#items.push(this.#held);
		this.#held = null;
	}

	#damage(kind: LogDamageError['damage']['kind'], fromSeq: number, toSeq: number | null, why: string): void {
		this.#items.push(new LogDamageError({kind, fromSeq, toSeq, sentence: `${why}.`}));
	}
}

/** The record that contains `seq`, or the last one before it; null: there is none, or it cannot be decoded. */
export async function recordAt(store: Store, seq: number): Promise<LogRecord | null> {
	const range = {gte: recordKey(0), lt: recordKey(seq + 1), reverse: true, limit: 1};
	for await (const [key, value] of store.iterate(range)) {
		const found = seqOfKey(key);
		try {
			return found === null ? null : decodeRecord(found, value);
		} catch {
			return null; // Whoever scans the log will name it.
		}
	}
	return null;
}
