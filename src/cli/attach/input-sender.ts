/**
 * Brings what this command reads to the tasks of a job. Invariant: a byte counts as sent when it is on disk at every rank
 * that still takes something, and each is taken once, however often it had to be asked.
 */
import {asSystemError} from '../../formats/errno.ts';

export interface InputPiece {
	readonly data: Uint8Array;
	/** Nothing follows. */
	readonly isEnd?: boolean;
	/** Of the terminal, which has changed. */
	readonly size?: {readonly rows: number; readonly columns: number};
}

/** One request, as far as the sender is concerned. */
export interface InputRequest extends Required<Omit<InputPiece, 'size'>>, Pick<InputPiece, 'size'> {
	/** Bytes before `data`. */
	readonly offset: number;
}

export interface InputResponse {
	/** Bytes that are taken. */
	readonly offset: number;
	readonly isTaken: boolean;
	readonly isClosed: boolean;
}

/** `closed`: the job takes nothing more. `restarted`: the job runs anew, and what it read before is gone. */
export type InputOutcome = 'taken' | 'closed' | 'restarted';

export interface InputSenderOptions {
	readonly ask: (request: InputRequest) => Promise<InputResponse>;
	readonly pause: (ms: number) => Promise<void>;
	/** Nobody waits for the outcome any more. */
	readonly isStopped: () => boolean;
}

/** Of one request. */
export const INPUT_REQUEST_BYTES = 128 * 1024;
/** A task that does not read is asked with no more than this whether it does again. */
const PROBE_BYTES = 1024;
/** Between two such questions, of which each waits a while by itself. */
const FULL_PAUSE_MS = 10;
const FULL_PAUSE_MS_MAX = 3000;
const PAUSE_MS_MIN = 20;
const PAUSE_MS_MAX = 1000;
/** Errors that say nothing about the job: a rank is away, a disk is full, the job does not run yet. */
const TRANSIENT: ReadonlySet<string> = new Set([
	'EAGAIN',
	'EHOSTUNREACH',
	'ETIMEDOUT',
	'ECONNRESET',
	'ENOSPC',
	'EDQUOT',
	'EIO',
	'ENOSYS',
	'EROFS',
]);

export class InputSender {
	readonly #options: InputSenderOptions;
	#offset = 0;

	constructor(options: InputSenderOptions) {
		this.#options = options;
	}

	/** Resolves when all of `piece` is taken, or nothing more will be. Rejects with what can't be helped. */
	async send({data, isEnd = false, size}: InputPiece): Promise<InputOutcome> {
		const {ask, pause, isStopped} = this.#options;
		let rest = data;
		let bytesMax = INPUT_REQUEST_BYTES;
		let pauseMs = PAUSE_MS_MIN;
		let fullMs = 0;
		for (;;) {
			if (isStopped()) return 'closed';
			const now = rest.subarray(0, bytesMax);
			const isLast = now.length === rest.length;
			const request = {offset: this.#offset, data: now, isEnd: isEnd && isLast};
			const response = await ask(size === undefined ? request : {...request, size}).catch(
				(error: unknown) => {
					if (!TRANSIENT.has(asSystemError(error).code)) throw error;
					return null;
				},
			);
			if (response === null) {
				await pause(pauseMs);
				pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX);
				continue;
			}
			pauseMs = PAUSE_MS_MIN;
			if (response.offset < this.#offset) return response.isClosed ? 'closed' : 'restarted';
			const taken = response.offset - this.#offset;
			rest = rest.subarray(taken);
			this.#offset = response.offset;
			if (response.isTaken && isLast) return 'taken';
			if (response.isClosed) return 'closed';
			const isFull = taken === 0 && !response.isTaken;
			bytesMax = isFull ? PROBE_BYTES : INPUT_REQUEST_BYTES;
			fullMs = isFull ? Math.min(fullMs * 2 + FULL_PAUSE_MS, FULL_PAUSE_MS_MAX) : 0;
			if (fullMs > 0) await pause(fullMs);
		}
	}

	/** The end for a job that was restarted: its tasks get nothing else. */
	async endAnew(): Promise<void> {
		this.#offset = 0;
		await this.send({data: new Uint8Array(0), isEnd: true});
	}
}
