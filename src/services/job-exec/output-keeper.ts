/**
 * Reads what the tasks of a finished part wrote, in chunks for the root's store: the part's directory is deleted once the
 * root has it.
 */
import {createHash} from 'node:crypto';
import {outputKey} from '../../machines/archive-row.ts';
import type {TaskOutput} from '../../machines/job-report.ts';
import type {OutputStream, PartKey, ProcessHost} from '../../ports/process-host.ts';
import type {PartOutput} from './messages.ts';

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

async function readStream(
	host: ProcessHost,
	key: PartKey,
	task: number,
	stream: OutputStream,
): Promise<Uint8Array[]> {
	const values: Uint8Array[] = [];
	let offset = 0;
	for (;;) {
		if (offset >= OUTPUT_KEPT_BYTES_MAX) {
			values.push(Buffer.from(`\ncoppice: output truncated after ${offset} bytes\n`));
			return values;
		}
		const {data} = await host.readOutput(key, task, stream, offset, OUTPUT_CHUNK_BYTES);
		if (data.length === 0) return values;
		values.push(data);
		offset += data.length;
	}
}
