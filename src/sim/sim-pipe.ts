/**
 * One direction of a simulated link: frames on their way, in order, over the Clock port. Like a socket it holds a
 * bounded number of bytes for a reader that does not read; what is beyond them stays with the sender.
 */
import type {Clock, Timer} from '../ports/clock.ts';

/** What the operating systems of both ends hold together. */
export const PIPE_BYTES = 208 * 1024;

export interface SimPipeOptions {
	readonly clock: Clock;
	/** How long the next frame travels. */
	readonly latencyMs: () => number;
	/** Takes a frame; called only while `isOpen` says so. */
	readonly deliver: (frame: Uint8Array) => void;
	/** Whether the receiver takes anything now: not paused, not stalled, not cut off. */
	readonly isOpen: () => boolean;
	/** All that was sent is with the operating system. */
	readonly onEmptied: () => void;
	/** The sender's end has arrived, after the last frame. */
	readonly onFinished: () => void;
}

interface Travelling {
	/** Null: the end of the stream. */
	readonly frame: Uint8Array | null;
	readonly dueMs: number;
}

export class SimPipe {
	readonly #options: SimPipeOptions;
	#travelling: Travelling[] = [];
	#bytes = 0;
	#lastDueMs = 0;
	#timer: Timer | null = null;
	#finished = false;

	constructor(options: SimPipeOptions) {
		this.#options = options;
	}

	/** Bytes beyond what the operating systems hold. */
	get queuedBytes(): number {
		return Math.max(0, this.#bytes - PIPE_BYTES);
	}

	send(frame: Uint8Array): void {
		if (this.#finished) return;
		this.#bytes += frame.length;
		this.#enqueue(Uint8Array.from(frame)); // A copy: the bytes belong to the receiver.
	}

	/** The sender has ended; what the operating system has still arrives, what is queued does not. */
	finish(): void {
		if (this.#finished) return;
		this.#finished = true;
		while (this.queuedBytes > 0) this.#bytes -= this.#travelling.pop()!.frame!.length;
		this.#enqueue(null);
	}

	/** Nothing more arrives, not even the end. */
	sever(): void {
		this.#finished = true;
		this.#travelling = [];
		this.#bytes = 0;
		this.#timer?.cancel();
	}

	/** The receiver may have opened: goes on delivering, in a later turn. */
	wake(): void {
		const [next] = this.#travelling;
		if (next === undefined || !this.#options.isOpen()) return;
		this.#timer?.cancel();
		const delayMs = next.dueMs - this.#options.clock.monotonicMs();
		this.#timer = this.#options.clock.setTimer(Math.max(0, delayMs), () => this.#arrive());
	}

	#enqueue(frame: Uint8Array | null): void {
		const {clock, latencyMs} = this.#options;
		// Never before the one in front of it: a link keeps its order whatever the latencies.
		this.#lastDueMs = Math.max(this.#lastDueMs, clock.monotonicMs() + latencyMs());
		this.#travelling.push({frame, dueMs: this.#lastDueMs});
		if (this.#travelling.length === 1) this.wake();
	}

	#arrive(): void {
		const {clock, isOpen, deliver, onEmptied, onFinished} = this.#options;
		const nowMs = clock.monotonicMs();
		for (;;) {
			const [next] = this.#travelling;
			if (next === undefined || next.dueMs > nowMs || !isOpen()) break;
			this.#travelling.shift();
			if (next.frame === null) {
				onFinished();
				return;
			}
			const wasQueued = this.queuedBytes > 0;
			this.#bytes -= next.frame.length;
			deliver(next.frame);
			if (wasQueued && this.queuedBytes === 0) onEmptied();
		}
		this.wake();
	}
}
