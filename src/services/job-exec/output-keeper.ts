/**
 * Reads what the tasks of a finished part wrote, in chunks for the root's store: the part's directory is deleted once the
 * root has it.
 */
import {createHash} from 'node:crypto';
import {outputKey} from '../../machines/archive-row.ts';
import type {TaskOutput} from '../../machines/job-report.ts';
import type {OutputStream, PartKey, ProcessHost} from '../../ports/process-host.ts';
import type {PartOutput} from './messages.ts';

/** Bytes of one row of output in the root's store. */
export const OUTPUT_CHUNK_BYTES = 256 * 1024;
/** Of each stream of each task so much is kept; what is beyond is dropped, and the output says so at its end. */
export const OUTPUT_KEPT_BYTES_MAX = 64 * 1024 * 1024;

export async function readPartOutput(
	host: ProcessHost,
	key: PartKey,
	tasks: readonly number[],
): Promise<PartOutput> {
	const outputs: TaskOutput[] = [];
	const chunks: {key: Uint8Array; value: Uint8Array}[] = [];
	for (const task of tasks) {
		for (const stream of ['stdout', 'stderr'] as const) {
			const values = await readStream(host, key, task, stream);
			if (values.length === 0) continue;
			const hash = createHash('sha256');
			let bytes = 0;
			for (const [chunk, value] of values.entries()) {
				hash.update(value);
				bytes += value.length;
				chunks.push({key: outputKey({...key, task, stream, chunk}), value});
			}
			outputs.push({task, stream, bytes, chunks: values.length, sha256: hash.digest('hex')});
		}
	}
	return {outputs, chunks, eventlog: await host.readEventlog(key)};
}

/** The stream in chunks of exactly OUTPUT_CHUNK_BYTES, but for the last one. */
async function readStream(
	host: ProcessHost,
	key: PartKey,
	task: number,
	stream: OutputStream,
): Promise<Uint8Array[]> {
	const chunks: Buffer[] = [];
	let chunk: Uint8Array[] = [];
	let room = OUTPUT_CHUNK_BYTES;
	const add = (data: Uint8Array) => {
		chunk.push(data);
		room -= data.length;
		if (room > 0) return;
		chunks.push(Buffer.concat(chunk));
		chunk = [];
		room = OUTPUT_CHUNK_BYTES;
	};
	for (let offset = 0; ;) {
		if (offset >= OUTPUT_KEPT_BYTES_MAX) {
			add(Buffer.from(`\ncoppice: output truncated after ${offset} bytes\n`));
			break;
		}
		const {data, eof} = await host.readOutput(key, task, stream, offset, room);
		offset += data.length;
		if (data.length > 0) add(data);
		if (eof || data.length === 0) break;
	}
	if (chunk.length > 0) chunks.push(Buffer.concat(chunk));
	return chunks;
}
