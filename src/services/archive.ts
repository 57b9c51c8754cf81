/**
 * Finished jobs and what they wrote, as rows of the store (machines/archive-row.ts). Read only: rows are written with facts,
 * and can be read from the moment of the fact on.
 */
import {decode} from '@msgpack/msgpack';
import {
	archiveKey,
	outputKey,
	requestKey,
	type ArchiveRow,
	type OutputChunkName,
} from '../machines/archive-row.ts';

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

	/** The job that a submit with this request id made. */
	idOfRequest(requestId: string): bigint | undefined {
		const value = this.#rows.get(requestKey(requestId));
		return value === undefined ? undefined : (decode(value, {useBigInt64: true}) as bigint);
	}

	/** Jobs by descending id. */
	async *newestFirst(): AsyncGenerator<ArchiveRow> {
		const range = {gte: archiveKey(0n), lt: Buffer.from([0x42]), reverse: true};
		for await (const [, value] of this.#rows.rows(range)) yield decodeRow(value);
	}

	output(name: OutputChunkName): Uint8Array | undefined {
		return this.#rows.get(outputKey(name));
	}
}

function decodeRow(value: Uint8Array): ArchiveRow {
	return decode(value, {useBigInt64: true}) as ArchiveRow;
}
