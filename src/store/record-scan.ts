/**
 * Reads records in order and checks what can be checked: that each is what was written, contiguity, and the chain of
 * hashes. Goes on after damage, so that all of it is found.
 */
import type {Store, StoreEntry} from '../ports/store.ts';
import {LogDamageError, seqRangeText, type DamageKind} from './damage.ts';
import {recordKey, seqOfKey} from './keyspaces.ts';
import {decodeRecord, hashText, RecordChangedError, textOfHash, type LogRecord} from './record-codec.ts';

export interface ScanOptions {
	/** The first record's sequence number: a record must begin right there. */
	readonly fromSeq: number;
	/** The chain hash before the first record; null: not known. */
	readonly prevHash: Uint8Array | null;
	/** Stop after the record that contains it; Infinity: at the end of the log. */
	readonly toSeq: number;
}

/** Good records and, in their place in the order, what is wrong between them. */
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
	readonly #toSeq: number;
	#items: ScanItem[] = [];
	#expectedSeq: number;
	/** Of the record before; null: not known. */
	#chainText: string | null;
	/** A damaged record, whose end only the next good one will tell. */
	#bad: {seq: number; kind: 'changed' | 'undecodable'; why: string} | null = null;
	done = false;

	constructor({fromSeq, prevHash, toSeq}: ScanOptions) {
		this.#toSeq = toSeq;
		this.#expectedSeq = fromSeq;
		this.#chainText = prevHash === null ? null : textOfHash(prevHash);
	}

	drain(): readonly ScanItem[] {
		const items = this.#items;
		this.#items = [];
		return items;
	}

	take([key, value]: StoreEntry): void {
		if (this.done) return;
		const seq = seqOfKey(key) ?? this.#expectedSeq;
		if (seq > this.#toSeq) return this.end(seq);
		let record: LogRecord;
		try {
			record = decodeRecord(seq, value);
		} catch (error) {
			this.#takeBad(seq, error as Error);
			return;
		}
		if (this.#bad !== null) this.#endBad(seq - 1);
		else if (seq > this.#expectedSeq) this.#gap(seq - 1);
		else if (seq < this.#expectedSeq) return this.#stray(record, `begins before ${this.#expectedSeq}`);
		if (this.#chainText !== null && !record.follows(this.#chainText)) {
			const [named, is] = [hashText(record.prevHash), hashText(Buffer.from(this.#chainText, 'latin1'))];
			this.#stray(record, `names ${named} as the hash before it, which is ${is}`);
		} else {
			this.#items.push(record);
		}
		this.#expectedSeq = record.endSeq + 1;
		this.#chainText = record.chainText;
	}

	/** The store gave an error: nothing behind this point can be read. */
	fail(error: unknown): void {
		const why = error instanceof Error ? error.message : String(error);
		this.#damage('unreadable', [this.#expectedSeq, null], `The database cannot be read: ${why}`);
		this.done = true;
	}

	/** @param nextSeq where the log goes on behind what was asked for; absent: nowhere. */
	end(nextSeq?: number): void {
		if (this.done) return;
		this.done = true;
		if (this.#bad !== null) this.#endBad(nextSeq === undefined ? null : nextSeq - 1);
		else if (nextSeq !== undefined && this.#expectedSeq <= this.#toSeq) this.#gap(nextSeq - 1);
	}

	#takeBad(seq: number, error: Error): void {
		if (this.#bad === null) {
			if (seq > this.#expectedSeq) this.#gap(seq - 1);
			const kind = error instanceof RecordChangedError ? 'changed' : 'undecodable';
			this.#bad = {seq, kind, why: error.message};
		}
		this.#chainText = null;
	}

	#endBad(toSeq: number | null): void {
		const {seq, kind, why} = this.#bad!;
		this.#bad = null;
		const what = kind === 'changed' ? 'is not what was written' : 'is not a record';
		this.#damage(kind, [seq, toSeq], `Record ${seq} ${what}: ${why}`);
		if (toSeq !== null) this.#expectedSeq = toSeq + 1;
	}

	#gap(toSeq: number): void {
		const fromSeq = this.#expectedSeq;
		const what = fromSeq === toSeq ? 'one fact is missing' : `${toSeq - fromSeq + 1} facts are missing`;
		this.#damage('gap', [fromSeq, toSeq], `In the log, ${what}: ${seqRangeText(fromSeq, toSeq)}`);
		this.#chainText = null;
	}

	/** A record that is whole, but of another course of the log. */
	#stray(record: LogRecord, why: string): void {
		this.#damage('unchained', [record.seq, record.endSeq], `Record ${record.seq} ${why}`);
	}

	#damage(kind: DamageKind, [fromSeq, toSeq]: readonly [number, number | null], why: string): void {
		this.#items.push(new LogDamageError({kind, fromSeq, toSeq, sentence: `${why}.`}));
	}
}

/** The record that contains `seq`, or the last one before it; null: there is none, or it cannot be read. */
export async function recordAt(store: Store, seq: number): Promise<LogRecord | null> {
	const range = {gte: recordKey(0), lt: recordKey(seq + 1), reverse: true, limit: 1};
	try {
		for await (const [key, value] of store.iterate(range)) {
			const found = seqOfKey(key);
			return found === null ? null : decodeRecord(found, value);
		}
	} catch {
		return null; // Whoever scans the log will name it.
	}
	return null;
}
