/**
 * Recordings: the logs of real runs with crashes and reattached jobs, as they were on disk, with the digest of the state
 * that they lead to. They are kept for ever and never edited: a transition that changes shows here.
 */
import {gunzipSync, gzipSync} from 'node:zlib';
import {decode, encode} from '@msgpack/msgpack';
import type {Store} from '../../src/ports/store.ts';
import {SimDisk} from '../../src/sim/store-dir.ts';
import {SortedMap} from '../../src/sim/sorted-map.ts';
import {EventLog} from '../../src/store/event-log.ts';
import {KEYSPACE, keyspaceRange} from '../../src/store/keyspaces.ts';
import {SimClock} from '../../src/sim/clock.ts';

export interface Recording {
	/** What happened, in a sentence. */
	readonly story: string;
	/** Records and what the log says of itself: key and value, as stored. */
	readonly entries: readonly (readonly [key: Uint8Array, value: Uint8Array])[];
	readonly head: Uint8Array;
	/** Of the state after the last fact, in hex. */
	readonly digest: string;
	/** Of the last fact. */
	readonly seq: number;
}

export function packRecording(recording: Recording): Uint8Array {
	return gzipSync(encode(recording), {level: 9});
}

export function unpackRecording(bytes: Uint8Array): Recording {
	return decode(gunzipSync(bytes)) as Recording;
}

/** The entries of a store that a replay reads. */
export async function entriesOf(store: Store): Promise<Recording['entries']> {
	const entries: [Uint8Array, Uint8Array][] = [];
	for (const keyspace of [KEYSPACE.record, KEYSPACE.meta]) {
		for await (const [key, value] of store.iterate(keyspaceRange(keyspace))) {
			entries.push([Uint8Array.from(key), Uint8Array.from(value)]);
		}
	}
	return entries;
}

/** The log as it was recorded, opened for inspection. */
export async function openRecording({entries, head}: Recording): Promise<EventLog> {
	const disk = new SimDisk();
	const database = new SortedMap();
	for (const [key, value] of entries) database.set(key, value);
	disk.database = database;
	disk.files.set('HEAD', head);
	return EventLog.inspect(disk.dir(), {clock: new SimClock()});
}
