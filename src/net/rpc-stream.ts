/**
 * The values of one streaming RPC on their way to its consumer. Invariant: every value that arrived before the end is
 * yielded before the end, unless the consumer leaves.
 */
import {SystemError} from '../formats/errno.ts';
import type {Clock, Timer} from '../ports/clock.ts';
import {decodePayload} from './payload.ts';

/** A consumer that is so far behind makes its link stop reading, until half of it is taken. */
export const STREAM_BUFFER_BYTES = 1024 * 1024;
/** A stream that can't be slowed (calls wait on the same link) and is so far behind ends with ENOBUFS. */
export const STREAM_BUFFER_BYTES_MAX = 64 * 1024 * 1024;

/** What a value costs beside its bytes. */
const VALUE_OVERHEAD_BYTES = 64;

export interface RpcStreamOptions {
	readonly clock: Clock;
	/** Topic and peer, for messages to people. */
	readonly what: string;
	readonly idleTimeoutMs: number | null;
	/** True when the buffer has gone over its bound, false when it is half empty again (or the stream has ended). */
	readonly onFull: (isFull: boolean) => void;
	/** The consumer left, or the stream failed on this side: the other side is to be told. */
	readonly onCancel: (error: SystemError | null) => void;
}

export class RpcStream implements AsyncIterableIterator<unknown> {
	readonly #options: RpcStreamOptions;
	#values: Uint8Array[] = [];
	/** Index of the next value in `#values`: the ones before it are taken. */
	#taken = 0;
	#bufferedBytes = 0;
	#isFull = false;
	#finished = false;
	#error: SystemError | null = null;
	#waiting: {resolve: (result: IteratorResult<unknown>) => void; reject: (error: SystemError) => void}[] = [];
	#idle: Timer | null = null;

	constructor(options: RpcStreamOptions) {
		this.#options = options;
		this.#restartIdle();
	}

	[Symbol.asyncIterator](): this {
		return this;
	}

	next(): Promise<IteratorResult<unknown>> {
		return new Promise((resolve, reject) => {
			this.#waiting.push({resolve, reject});
			this.#serve();
		});
	}

	/** Leaves the stream: what is buffered is dropped, and the sender told to stop. */
	return(): Promise<IteratorResult<unknown>> {
		this.#drop();
		if (!this.#finished) {
			this.finish(null);
			this.#options.onCancel(null);
		}
		return Promise.resolve({value: undefined, done: true});
	}

	/** A value has arrived. */
	push(payload: Uint8Array): void {
		if (this.#finished) return;
		this.#restartIdle();
		this.#values.push(payload);
		this.#bufferedBytes += payload.length + VALUE_OVERHEAD_BYTES;
		this.#serve();
		if (this.#bufferedBytes > STREAM_BUFFER_BYTES_MAX) {
			this.#fail(
				new SystemError(
					'ENOBUFS',
					`${this.#options.what}: ${this.#bufferedBytes} bytes were not taken, the limit is ${STREAM_BUFFER_BYTES_MAX} (STREAM_BUFFER_BYTES_MAX)`,
				),
			);
		} else if (!this.#isFull && this.#bufferedBytes > STREAM_BUFFER_BYTES) {
			this.#isFull = true;
			this.#options.onFull(true);
		}
	}

	/** No more values come; what is buffered is still yielded, then `error` thrown. Only the first call counts. */
	finish(error: SystemError | null): void {
		if (this.#finished) return;
		this.#finished = true;
		this.#error = error;
		this.#idle?.cancel();
		this.#empty();
		this.#serve();
	}

	#fail(error: SystemError): void {
		this.#drop();
		this.finish(error);
		this.#options.onCancel(error);
	}

	#drop(): void {
		this.#values = [];
		this.#taken = 0;
		this.#bufferedBytes = 0;
		this.#empty();
	}

	#empty(): void {
		if (!this.#isFull) return;
		this.#isFull = false;
		this.#options.onFull(false);
	}

	#serve(): void {
		while (this.#waiting.length > 0) {
			const payload = this.#take();
			if (payload === null && !this.#finished) return;
			const {resolve, reject} = this.#waiting.shift()!;
			if (payload !== null) {
				try {
					resolve({value: decodePayload(payload), done: false});
				} catch (error) {
					reject(error as SystemError);
					if (!this.#finished) this.#fail(error as SystemError);
				}
			} else if (this.#error !== null) {
				reject(this.#error);
				this.#error = null; // An iterator that has thrown is done.
			} else {
				resolve({value: undefined, done: true});
			}
		}
	}

	#take(): Uint8Array | null {
		const payload = this.#values[this.#taken];
		if (payload === undefined) return null;
		this.#taken += 1;
		if (this.#taken === this.#values.length || this.#taken >= 1024) {
			this.#values = this.#values.slice(this.#taken);
			this.#taken = 0;
		}
		this.#bufferedBytes -= payload.length + VALUE_OVERHEAD_BYTES;
		if (this.#bufferedBytes <= STREAM_BUFFER_BYTES / 2) this.#empty();
		return payload;
	}

	#restartIdle(): void {
		const {idleTimeoutMs, clock, what} = this.#options;
		if (idleTimeoutMs === null) return;
		this.#idle?.cancel();
		this.#idle = clock.setTimer(idleTimeoutMs, () =>
			this.#fail(new SystemError('ETIMEDOUT', `${what}: nothing came within ${idleTimeoutMs} ms`)),
		);
	}
}
