/**
 * Hands what the tasks of a finished part wrote to the root, in rows of its store: the part's directory is deleted once the
 * root has it. Small output rides with the report of the end; of large output one row at a time is under way.
 */
import {createHash} from 'node:crypto';
import {outputKey} from '../../machines/archive-row.ts';
import type {TaskOutput} from '../../machines/job-report.ts';
import type {OutputStream, PartKey, ProcessHost} from '../../ports/process-host.ts';
import type {OutputRow, PartOutput} from './messages.ts';

/** Bytes of one row of output in the root's store. */
export const OUTPUT_CHUNK_BYTES = 256 * 1024;
/** Of each stream of each task so much is kept; what is beyond is dropped, and the output says so at its end. */
export const OUTPUT_KEPT_BYTES_MAX = 64 * 1024 * 1024;
/** So much of a part's own eventlog is kept with the job. */
export const EVENTLOG_KEPT_LENGTH_MAX = 1024 * 1024;

export interface OutputKeeping {
	readonly host: ProcessHost;
	readonly key: PartKey;
	readonly tasks: readonly number[];
	/** Sends one row ahead; resolves when the root has it. */
	readonly send: (row: OutputRow) => Promise<void>;
}

/** Rejects as `send` and the host do; what was sent may be sent again. */
export async function keepOutput({host, key, tasks, send}: OutputKeeping): Promise<PartOutput> {
	const outputs: TaskOutput[] = [];
	const held: OutputRow[] = [];
	let heldBytes = 0;
	for (const task of tasks) {
		for (const stream of ['stdout', 'stderr'] as const) {
			const hash = createHash('sha256');
			let bytes = 0;
			let chunk = 0;
			for await (const value of readChunks(host, key, {task, stream})) {
				hash.update(value);
				bytes += value.length;
				held.push({key: outputKey({...key, task, stream, chunk}), value});
				heldBytes += value.length;
				chunk += 1;
				while (heldBytes > OUTPUT_CHUNK_BYTES) {
					const row = held.shift() as OutputRow;
					heldBytes -= row.value.length;
					await send(row);
				}
			}
			if (bytes > 0) outputs.push({task, stream, bytes, chunks: chunk, sha256: hash.digest('hex')});
		}
	}
	const eventlog = (await host.readEventlog(key)).slice(0, EVENTLOG_KEPT_LENGTH_MAX);
	return {outputs, chunks: held, eventlog};
}

/** A stream in chunks of exactly OUTPUT_CHUNK_BYTES, but for the last one. */
async function* readChunks(
	host: ProcessHost,
	key: PartKey,
	{task, stream}: {readonly task: number; readonly stream: OutputStream},
): AsyncGenerator<Uint8Array> {
	let parts: Uint8Array[] = [];
	let room = OUTPUT_CHUNK_BYTES;
	for (let offset = 0; offset < OUTPUT_KEPT_BYTES_MAX;) {
		const {data, eof} = await host.readOutput(key, task, stream, offset, room);
		offset += data.length;
		room -= data.length;
		if (data.length > 0) parts.push(data);
		if (room === 0) {
			yield Buffer.concat(parts);
			parts = [];
			room = OUTPUT_CHUNK_BYTES;
		}
		if (eof || data.length === 0) {
			if (parts.length > 0) yield Buffer.concat(parts);
			return;
		}
	}
	yield Buffer.from(`\ncoppice: output truncated after ${OUTPUT_KEPT_BYTES_MAX} bytes\n`);
}
