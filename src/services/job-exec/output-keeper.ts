/**
 * Hands what the tasks of a finished part wrote to the root, in rows of its store: the part's directory is deleted once the
 * root has it. Small output rides with the report of the end; of large output one row at a time is under way.
 */
import {createHash, type Hash} from 'node:crypto';
import {asSystemError, type SystemError} from '../../formats/errno.ts';
import {outputKey} from '../../machines/archive-row.ts';
import type {TaskOutput} from '../../machines/job-report.ts';
import type {Clock} from '../../ports/clock.ts';
import type {OutputStream, PartKey, ProcessHost} from '../../ports/process-host.ts';
import type {OutputRow, PartOutput} from './messages.ts';

/** Bytes of one row of output in the root's store. */
export const OUTPUT_CHUNK_BYTES = 256 * 1024;
/**
 * Of each stream of each task so much is kept; what is beyond is dropped, and the output says so at its end. All that a job
 * wrote within its `output.limit` is: who follows it reads slower than it writes, and finds the rest here.
 */
export const OUTPUT_KEPT_BYTES_MAX = 64 * 1024 ** 3;
/** The disk of the root is behind: the row goes again, not all rows before it. */
const ROW_TRIES_MAX = 100;
const ROW_RETRY_MS = 100;
/** So much of a part's own eventlog is kept with the job. */
export const EVENTLOG_KEPT_LENGTH_MAX = 1024 * 1024;

export interface OutputKeeping {
	readonly clock: Pick<Clock, 'setTimer'>;
	readonly host: ProcessHost;
	readonly key: PartKey;
	readonly tasks: readonly number[];
	/** Sends one row ahead; resolves when the root has it. */
	readonly send: (row: OutputRow) => Promise<void>;
	/** Something that the tasks wrote cannot be read. */
	readonly onUnreadable: (error: SystemError) => void;
}

/**
 * Rejects as `send` does, or when it can't be read just now; what was sent may be sent again. What is lost for good is
 * missing, and the output says so at its end: a job whose files are gone has still ended.
 */
export async function keepOutput(keeping: OutputKeeping): Promise<PartOutput> {
	const {key, tasks} = keeping;
	const outputs: TaskOutput[] = [];
	const held: OutputRow[] = [];
	let heldBytes = 0;
	for (const task of tasks) {
		for (const stream of ['stdout', 'stderr'] as const) {
			let hash: Hash | null = null; // Most tasks write nothing, or to one of the two.
			let bytes = 0;
			let chunk = 0;
			for await (const value of readChunks(keeping, {task, stream})) {
				hash ??= createHash('sha256');
				hash.update(value);
				bytes += value.length;
				held.push({key: outputKey({...key, task, stream, chunk}), value});
				heldBytes += value.length;
				chunk += 1;
				while (heldBytes > OUTPUT_CHUNK_BYTES) {
					const row = held.shift() as OutputRow;
					heldBytes -= row.value.length;
					await sendRow(keeping, row);
				}
			}
			if (hash !== null) outputs.push({task, stream, bytes, chunks: chunk, sha256: hash.digest('hex')});
		}
	}
	return {outputs, chunks: held, eventlog: await readEventlog(keeping)};
}

async function sendRow({clock, send}: OutputKeeping, row: OutputRow): Promise<void> {
	for (let tries = 1; ; tries += 1) {
		try {
			await send(row);
			return;
		} catch (error) {
			if (asSystemError(error).code !== 'EAGAIN' || tries >= ROW_TRIES_MAX) throw error;
		}
		await new Promise<void>(resolve => clock.setTimer(ROW_RETRY_MS, resolve));
	}
}

async function readEventlog({host, key, onUnreadable}: OutputKeeping): Promise<string> {
	try {
		return (await host.readEventlog(key)).slice(0, EVENTLOG_KEPT_LENGTH_MAX);
	} catch (error) {
		onUnreadable(lastingOf(error));
		return '';
	}
}

/** A stream in chunks of exactly OUTPUT_CHUNK_BYTES, but for the last ones. */
async function* readChunks(
	{host, key, onUnreadable}: OutputKeeping,
	{task, stream}: {readonly task: number; readonly stream: OutputStream},
): AsyncGenerator<Uint8Array> {
	let parts: Uint8Array[] = [];
	let room = OUTPUT_CHUNK_BYTES;
	let offset = 0;
	try {
		while (offset < OUTPUT_KEPT_BYTES_MAX) {
			const {data, eof} = await host.readOutput(key, task, stream, offset, room);
			offset += data.length;
			room -= data.length;
			if (data.length > 0) parts.push(data);
			if (eof || data.length === 0) {
				if (parts.length > 0) yield Buffer.concat(parts);
				return;
			}
			if (room > 0) continue;
			yield Buffer.concat(parts);
			parts = [];
			room = OUTPUT_CHUNK_BYTES;
		}
		parts.push(Buffer.from(`\ncoppice: output truncated after ${OUTPUT_KEPT_BYTES_MAX} bytes\n`));
	} catch (error) {
		const reason = lastingOf(error);
		onUnreadable(reason);
		parts.push(Buffer.from(`\ncoppice: output after ${offset} bytes is lost: ${reason.toString()}\n`));
	}
	yield Buffer.concat(parts);
}

/** What another attempt may cure is thrown again. */
function lastingOf(error: unknown): SystemError {
	const reason = asSystemError(error);
	if (PASSING.has(reason.code)) throw reason;
	return reason;
}

const PASSING = new Set(['EAGAIN', 'EMFILE', 'ENFILE', 'ENOMEM', 'EINTR']);
