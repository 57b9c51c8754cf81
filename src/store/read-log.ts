/** Reading committed records for replay, for proof, and for the next base. */
import type {Store} from '../ports/store.ts';
import {LogDamageError, type Damage} from './damage.ts';
import {keyspaceRange, KEYSPACE, recordKey, seqOfKey} from './keyspaces.ts';
import type {SeqMark} from './meta.ts';
import {decodeRecord, isCheckpoint, type LogRecord} from './record-codec.ts';
import {recordAt, scanRecords, type ScanOptions} from './record-scan.ts';

export interface LogSpan {
	readonly fromSeq: number;
	readonly base: number;
	/** The end of the log, as it is known apart from the records. */
	readonly head: SeqMark;
}

export interface ReadOptions extends LogSpan {
	readonly toSeq: number;
	/** What is known to be damaged, in order. */
	readonly damages: readonly Damage[];
}

/** @throws {LogDamageError} after everything before the damage was served. */
export async function* readRecords(store: Store, options: ReadOptions): AsyncGenerator<readonly LogRecord[]> {
	const {toSeq, head} = options;
	const start = await scanStart(store, options);
	const damage = options.damages.find(known => reaches(known, start.fromSeq));
	const stopSeq = Math.max(start.fromSeq, damage?.fromSeq ?? Number.POSITIVE_INFINITY);
	let nextSeq = start.fromSeq;
	if (nextSeq < stopSeq) {
		for await (const items of scanRecords(store, {...start, toSeq: Math.min(toSeq, stopSeq - 1)})) {
			const damageAt = items.findIndex(item => item instanceof LogDamageError);
			const records = (damageAt === -1 ? items : items.slice(0, damageAt)) as readonly LogRecord[];
			nextSeq = (records.at(-1)?.endSeq ?? nextSeq - 1) + 1;
			if (records.length > 0) yield records;
			if (damageAt !== -1) throw items[damageAt] as LogDamageError;
		}
	}
	if (damage !== undefined && toSeq >= stopSeq) throw new LogDamageError(damage);
	if (nextSeq <= Math.min(toSeq, head.seq)) {
		const sentence = `The log ends before ${nextSeq}, but had facts up to ${head.seq}.`;
		throw new LogDamageError({kind: 'lost-tail', fromSeq: nextSeq, toSeq: head.seq, sentence});
	}
}

/** Whether the damage concerns facts from `fromSeq` on. */
function reaches(damage: Damage, fromSeq: number): boolean {
	return damage.fromSeq !== null && (damage.toSeq === null || damage.toSeq >= fromSeq);
}

export async function verifyRecords(store: Store, span: LogSpan): Promise<readonly Damage[]> {
	const damages: Damage[] = [];
	const start = await scanStart(store, span);
	let lastSeq = start.fromSeq - 1;
	for await (const items of scanRecords(store, {...start, toSeq: Number.POSITIVE_INFINITY})) {
		for (const item of items) {
			if (item instanceof LogDamageError) damages.push(item.damage);
			lastSeq = item instanceof LogDamageError ? (item.damage.toSeq ?? lastSeq) : item.endSeq;
		}
	}
	if (lastSeq < span.head.seq && damages.length === 0) {
		const sentence = `The log ends at ${lastSeq}, but had facts up to ${span.head.seq}.`;
		damages.push({kind: 'lost-tail', fromSeq: lastSeq + 1, toSeq: span.head.seq, sentence});
	}
	return damages;
}

/** The newest checkpoint (or the genesis) that begins at or before `keepFromSeq`. */
export async function newestCheckpointAt(
	store: Store,
	{base, keepFromSeq}: {base: number; keepFromSeq: number},
): Promise<number> {
	if (keepFromSeq <= base) return base;
	const range = {gte: recordKey(base), lt: recordKey(keepFromSeq + 1), reverse: true};
	for await (const [key, value] of store.iterate(range)) {
		if (!isCheckpoint(value)) continue;
		const seq = seqOfKey(key);
		if (seq !== null && decodeRecord(seq, value).kind === 'checkpoint') return seq;
	}
	return base;
}

/** Where a scan has to begin so that the first record is confirmed by the chain hash before it. */
async function scanStart(store: Store, {fromSeq, base}: LogSpan): Promise<Omit<ScanOptions, 'toSeq'>> {
	if (fromSeq <= base) return {fromSeq: base, prevHash: null};
	const record = await recordAt(store, fromSeq);
	if (record !== null && record.seq <= fromSeq && fromSeq <= record.endSeq) {
		return {fromSeq: record.seq, prevHash: record.prevHash};
	}
	const prevHash = record !== null && record.endSeq === fromSeq - 1 ? record.chainHash : null;
	return {fromSeq, prevHash};
}

/** The range of all records, for those who read them raw. */
export function recordRange(fromSeq: number): {gte: Uint8Array; lt: Uint8Array} {
	return {gte: recordKey(fromSeq), lt: keyspaceRange(KEYSPACE.record).lt};
}
