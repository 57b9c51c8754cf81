/**
 * How far the output of a job was read: bytes of each stream of each task. Invariant: of all that arrives, over however
 * many connections, each byte is passed on once.
 */
import {isObject} from '../../formats/shape.ts';
import {SystemError} from '../../formats/errno.ts';
import type {EventlogEvent} from '../../formats/eventlog.ts';

export type OutputStream = 'stdout' | 'stderr';

/** One `data` event of `guest.output` (RFC 24). */
export interface OutputChunk {
	/** The task's rank, as it stands there. */
	readonly task: string;
	readonly stream: OutputStream;
	readonly bytes: Uint8Array;
	/** The bytes of the stream before these; null: not said. */
	readonly offset: number | null;
	readonly isEnd: boolean;
}

export interface FreshOutput {
	readonly bytes: Uint8Array;
	/** Bytes before these that never came. */
	readonly missing: number;
	readonly isEnd: boolean;
}

export class OutputPosition {
	readonly #bytes = new Map<string, number>();
	readonly #ended = new Set<string>();
	/** Streams that the header announced; null: no header so far. */
	#expected: number | null = null;

	/** For the next request: where each stream goes on. */
	get offsets(): Readonly<Record<string, number>> {
		return Object.fromEntries(this.#bytes);
	}

	/** Every stream that was announced has ended. */
	get isComplete(): boolean {
		return this.#expected !== null && this.#ended.size >= this.#expected;
	}

	/** Takes the header's count of streams. */
	expect({context}: EventlogEvent): void {
		const count = context?.['count'];
		if (!isObject(count)) return;
		this.#expected = Number(count['stdout'] ?? 0) + Number(count['stderr'] ?? 0);
	}

	/** What of `chunk` is new. */
	advance({task, stream, bytes, offset, isEnd}: OutputChunk): FreshOutput {
		const key = `${task}.${stream}`;
		const have = this.#bytes.get(key) ?? 0;
		const start = offset ?? have;
		const end = start + bytes.length;
		const isNewEnd = isEnd && !this.#ended.has(key);
		if (isEnd) this.#ended.add(key);
		if (end > have) this.#bytes.set(key, end);
		const missing = bytes.length > 0 ? Math.max(0, start - have) : 0;
		const known = Math.min(bytes.length, Math.max(0, have - start));
		return {bytes: bytes.subarray(known), missing, isEnd: isNewEnd};
	}
}

/** How many tasks write, by the header; 1 when it does not say. */
export function taskCount({context}: EventlogEvent): number {
	const count = context?.['count'];
	return isObject(count) ? Number(count['stdout'] ?? 1) : 1;
}

/** Reads a `data` event. @throws {SystemError} EPROTO when it is malformed. */
export function outputChunk({context}: EventlogEvent): OutputChunk {
	const {stream, rank, data, encoding, eof, offset} = context ?? {};
	if (stream !== 'stdout' && stream !== 'stderr') throw malformed(`stream is ${JSON.stringify(stream)}`);
	if (typeof rank !== 'string' && typeof rank !== 'number') throw malformed('rank is missing');
	if (data !== undefined && typeof data !== 'string') throw malformed('data is no string');
	if (offset !== undefined && !(Number.isSafeInteger(offset) && (offset as number) >= 0)) {
		throw malformed(`offset is ${JSON.stringify(offset)}`);
	}
	return {
		task: String(rank),
		stream,
		bytes: data === undefined ? NO_BYTES : Buffer.from(data, encoding === 'base64' ? 'base64' : 'utf8'),
		offset: (offset as number | undefined) ?? null,
		isEnd: eof === true,
	};
}

const NO_BYTES = new Uint8Array(0);

function malformed(why: string): SystemError {
	return new SystemError('EPROTO', `guest.output: malformed data event: ${why}`);
}
