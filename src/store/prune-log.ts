/** Deletes what lies before the base, in bounded batches, oldest first. Not fsynced: an opening does it again. */
import type {Store, StoreOp} from '../ports/store.ts';
import {keyspaceRange, KEYSPACE, recordKey, snapshotKey} from './keyspaces.ts';

export const PRUNE_BATCH_MAX = 4096;

export async function pruneBelow(store: Store, base: number): Promise<void> {
	const ranges = [
		{gte: keyspaceRange(KEYSPACE.record).gte, lt: recordKey(base)},
		{gte: keyspaceRange(KEYSPACE.snapshot).gte, lt: snapshotKey(base)},
	];
	for (const range of ranges) {
		for (;;) {
			const ops: StoreOp[] = [];
			for await (const [key] of store.iterate({...range, limit: PRUNE_BATCH_MAX}))
				ops.push({type: 'del', key});
			if (ops.length > 0) await store.write(ops, {sync: false});
			if (ops.length < PRUNE_BATCH_MAX) break;
		}
	}
}
