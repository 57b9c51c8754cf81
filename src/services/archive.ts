/**
 * Finished jobs and what they wrote, as rows of the store (machines/archive-row.ts). Read only: rows are written with facts,
 * and can be read from the moment of the fact on.
 */
import {decode, encode} from '@msgpack/msgpack';
import {
	archiveKey,
	outputKey,
	requestKey,
	type ArchiveRow,
	type OutputChunkName,
} from '../machines/archive-row.ts';
import type {RowWrite} from './core.ts';

export interface RowReader {
	get(key: Uint8Array): Uint8Array | undefined;
	rows(range: {
		readonly gte: Uint8Array;
		readonly lt: Uint8Array;
		readonly reverse?: boolean;
		readonly limit?: number;
	}): AsyncIterable<readonly [key: Uint8Array, value: Uint8Array]>;
}

export class Archive {
	readonly #rows: RowReader;

	constructor(rows: RowReader) {
		this.#rows = rows;
	}

	job(id: bigint): ArchiveRow | undefined {
		const value = this.#rows.get(archiveKey(id));
		return value === undefined ? undefined : decodeRow(value);
	}

	/** The job that a submit with this request id made; `purged` when that is no more. */
	idOfRequest(requestId: string): bigint | 'purged' | undefined {
		const value = this.#rows.get(requestKey(requestId));
		return value === undefined ? undefined : (decode(value, {useBigInt64: true}) as bigint | 'purged');
	}

	/** Jobs by descending id. */
	async *newestFirst(): AsyncGenerator<ArchiveRow> {
		const range = {gte: archiveKey(0n), lt: Buffer.from([0x42]), reverse: true};
		for await (const [, value] of this.#rows.rows(range)) yield decodeRow(value);
	}

	/** Jobs by ascending id. */
	async *oldestFirst(): AsyncGenerator<ArchiveRow> {
		const range = {gte: archiveKey(0n), lt: Buffer.from([0x42])};
		for await (const [, value] of this.#rows.rows(range)) yield decodeRow(value);
	}

	/**
	 * What to write so that nothing of a job is left but the memory that its request id was used: who submits with it again gets
	 * no second job.
	 */
	async deletionOf({id, requestId}: Pick<ArchiveRow, 'id' | 'requestId'>): Promise<RowWrite[]> {
		const rows: RowWrite[] = [{key: archiveKey(id), value: null}];
		if (requestId !== null) rows.push({key: requestKey(requestId), value: encode('purged')});
		const first = outputKey({id, attempt: 0, task: 0, stream: 'stdout', chunk: 0});
		const end = outputKey({id: id + 1n, attempt: 0, task: 0, stream: 'stdout', chunk: 0});
		for await (const [key] of this.#rows.rows({gte: first, lt: end})) rows.push({key, value: null});
		return rows;
	}

	output(name: OutputChunkName): Uint8Array | undefined {
		return this.#rows.get(outputKey(name));
	}
}

function decodeRow(value: Uint8Array): ArchiveRow {
	return decode(value, {useBigInt64: true}) as ArchiveRow;
}
