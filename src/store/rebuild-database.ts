/** Builds the database that a salvage puts in the place of a damaged one. */
import type {Store, StoreEntry, StoreOp, StoreRange} from '../ports/store.ts';
import {isInRegion, type Filling, type Region} from './damaged-regions.ts';
import {ALL_ROWS, keyspaceRange, KEYSPACE, META_BASE, recordKey, seqOfKey} from './keyspaces.ts';
import {metaOp} from './meta.ts';
import {NO_HASH} from './record-codec.ts';

const BATCH_OPS_MAX = 1000;

export interface Rebuilding {
	/** Where the log begins; what lies before is left out. */
	readonly base: number;
	/** What is left out of the damaged database… */
	readonly regions: readonly Region[];
	readonly strays: ReadonlySet<number>;
	/** …and what stands there instead. */
	readonly fillings: readonly Filling[];
	/** Applied after all rows were copied. */
	readonly rowFixes: readonly StoreOp[];
}

/** Fills `fresh`; `source` is the damaged database as far as it can be read, or null. */
export async function rebuildDatabase(fresh: Store, source: Store | null, work: Rebuilding): Promise<void> {
	const writer = new BatchWriter(fresh);
	const isDamaged = (seq: number) =>
		work.strays.has(seq) || work.regions.some(region => isInRegion(region, seq));
	for (const keyspace of [KEYSPACE.record, KEYSPACE.snapshot]) {
		for await (const [key, value] of readable(source, keyspaceRange(keyspace))) {
			const seq = seqOfKey(key);
			if (seq === null || seq < work.base || (keyspace === KEYSPACE.record && isDamaged(seq))) continue;
			await writer.add({type: 'put', key, value});
		}
	}
	for (const {seq, value} of work.fillings) await writer.add({type: 'put', key: recordKey(seq), value});
	for await (const [key, value] of readable(source, ALL_ROWS)) await writer.add({type: 'put', key, value});
	for (const op of work.rowFixes) await writer.add(op);
	await writer.end(metaOp(META_BASE, {seq: work.base, hash: NO_HASH}));
}

/** As far as LevelDB can read; what lies behind was collected from its files. */
async function* readable(source: Store | null, range: StoreRange): AsyncGenerator<StoreEntry> {
	if (source === null) return;
	try {
		for await (const entries of source.iterateChunks(range)) yield* entries;
	} catch {
		return;
	}
}

class BatchWriter {
	readonly #store: Store;
	#ops: StoreOp[] = [];

	constructor(store: Store) {
		this.#store = store;
	}

	async add(op: StoreOp): Promise<void> {
		this.#ops.push(op);
		if (this.#ops.length >= BATCH_OPS_MAX) await this.#write(false);
	}

	/** Writes the last operation and waits for the disk. */
	async end(op: StoreOp): Promise<void> {
		this.#ops.push(op);
		await this.#write(true);
	}

	async #write(sync: boolean): Promise<void> {
		const ops = this.#ops;
		this.#ops = [];
		await this.#store.write(ops, {sync});
	}
}
