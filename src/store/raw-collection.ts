/**
 * What the database's files hold beyond what LevelDB returns: records and rows of write batches that it dropped, and
 * of tables whose blocks fail their checksums. Everything carries LevelDB's own order, so the newest is known.
 */
import type {StoreDir} from '../ports/store.ts';
import {keyText, KEYSPACE, seqOfKey} from './keyspaces.ts';
import {readLogFile} from './leveldb-log-file.ts';
import {readTableFile, type TableEntry} from './leveldb-table-file.ts';
import {readWriteBatch} from './leveldb-write-batch.ts';
import {decodeRecord, type LogRecord} from './record-codec.ts';
import {isWholeRow} from './rows.ts';

/** A record that was found, not necessarily one that belongs into the log. */
export interface Candidate {
	readonly record: LogRecord;
	readonly value: Uint8Array;
	/** Nothing but the chain may vouch for it: it was deleted later, or is of another course. */
	readonly isDoubtful: boolean;
	/** A bit of it was flipped back. */
	readonly isMended: boolean;
	readonly order: bigint;
	readonly source: string;
}

export interface FoundRow {
	readonly key: Uint8Array;
	/** As stored, with its checksum; null: deleted. */
	readonly stored: Uint8Array | null;
	readonly order: bigint;
	/** From a write-ahead log: newer than what the tables hold. */
	readonly isFromLog: boolean;
}

export class RawCollection {
	readonly candidates: Candidate[] = [];
	/** By key text: the newest write of each row. */
	readonly rows = new Map<string, FoundRow>();
	/** Damaged tables, by name. */
	readonly damagedTables = new Set<string>();
	/** By sequence number: LevelDB's order of the newest deletion of that record. */
	readonly #deleted = new Map<number, bigint>();

	/** Candidates that were not deleted later; the chain may want those too, so they are only doubtful. */
	current(): readonly Candidate[] {
		return this.candidates.map(candidate => {
			const deleted = this.#deleted.get(candidate.record.seq);
			return deleted !== undefined && deleted > candidate.order
				? {...candidate, isDoubtful: true}
				: candidate;
		});
	}

	add(entry: TableEntry, {source, isFromLog}: {source: string; isFromLog: boolean}, wants: Wants): void {
		const space = entry.key[0] ?? 0;
		if (space === KEYSPACE.record) this.#addRecord(entry, source, wants);
		else if (space >= KEYSPACE.blob) this.#addRow(entry, isFromLog);
	}

	#addRecord({key, value, order, isMended}: TableEntry, source: string, wants: Wants): void {
		const seq = seqOfKey(key);
		if (seq === null || !wants(seq)) return;
		if (value === null) {
			const known = this.#deleted.get(seq);
			if (known === undefined || known < order) this.#deleted.set(seq, order);
			return;
		}
		const own = Uint8Array.from(value); // Not a view of the whole file.
		try {
			const record = decodeRecord(seq, own);
			this.candidates.push({record, value: own, isDoubtful: false, isMended, order, source});
		} catch {
			// Its checksum is wrong, or it is no record: nothing to recover.
		}
	}

	#addRow({key, value, order}: TableEntry, isFromLog: boolean): void {
		if (value !== null && !isWholeRow(key, value)) return;
		const text = keyText(key);
		const known = this.rows.get(text);
		if (known !== undefined && known.order >= order) return;
		const stored = value === null ? null : Uint8Array.from(value);
		this.rows.set(text, {key: Uint8Array.from(key), stored, order, isFromLog});
	}
}

/** Whether a record that begins at this sequence number may be of use. */
export type Wants = (seq: number) => boolean;

export interface CollectOptions {
	/** Which databases: null is the current one, a name is a copy. */
	readonly sources: readonly (string | null)[];
	readonly wants: Wants;
	/** Whether intact tables are read too: when LevelDB cannot return what they hold. */
	readonly allTables: boolean;
}

export async function collectRaw(dir: StoreDir, options: CollectOptions): Promise<RawCollection> {
	const {sources, wants, allTables} = options;
	const found = new RawCollection();
	for (const name of sources) {
		for await (const file of dir.rawFiles(name)) {
			const source = name === null ? file.name : `${file.name} of the copy '${name}'`;
			if (file.type === 'log') {
				for (const batch of readLogFile(file.bytes)) {
					for (const entry of readWriteBatch(batch)) found.add(entry, {source, isFromLog: true}, wants);
				}
				continue;
			}
			const table = readTableFile(file.bytes);
			if (!table.isIntact) found.damagedTables.add(source);
			if (table.isIntact && !allTables) continue;
			for (const entry of table.entries) found.add(entry, {source, isFromLog: false}, wants);
		}
	}
	return found;
}
