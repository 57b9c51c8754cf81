/**
 * The archive: one row per finished job, with everything that commands may still ask about it. Row keys share one
 * database with the log: 'A' + id (8 bytes, big-endian) for jobs, 'R' + request id, 'O' + id, attempt, task, stream
 * and chunk for output.
 */
import type {JobContext} from './job.ts';

export type JobResult = 'COMPLETED' | 'FAILED' | 'CANCELED' | 'TIMEOUT';

export type ArchiveRow = JobContext & {readonly result: JobResult};

/** The result by RFC 21's rule: the root cause decides, then the status. */
export function resultOf({exception, outcome, waitStatus}: JobContext): JobResult {
	if (exception !== null) {
		if (exception.type === 'cancel') return 'CANCELED';
		return exception.type === 'timeout' ? 'TIMEOUT' : 'FAILED';
	}
	return outcome === 'exited' && waitStatus === 0 ? 'COMPLETED' : 'FAILED';
}

export function archiveRowOf(context: JobContext): ArchiveRow {
	return {...context, result: resultOf(context)};
}

export function archiveKey(id: bigint): Uint8Array {
	const key = Buffer.alloc(9);
	key[0] = 0x41; // 'A'
	key.writeBigUInt64BE(id, 1);
	return key;
}

export function requestKey(requestId: string): Uint8Array {
	return Buffer.from(`R${requestId}`);
}

export interface OutputChunkName {
	readonly id: bigint;
	readonly attempt: number;
	readonly task: number;
	readonly stream: 'stdout' | 'stderr';
	readonly chunk: number;
}

export function outputKey({id, attempt, task, stream, chunk}: OutputChunkName): Uint8Array {
	const key = Buffer.alloc(22);
	key[0] = 0x4f; // 'O'
	key.writeBigUInt64BE(id, 1);
	key.writeUInt32BE(attempt, 9);
	key.writeUInt32BE(task, 13);
	key[17] = stream === 'stdout' ? 1 : 2;
	key.writeUInt32BE(chunk, 18);
	return key;
}
