/**
 * A link over a stream socket. Invariants: frames leave in the order of `send`, and those of one turn in one write;
 * one write is with the operating system at a time; `onEnd` runs exactly once, in a turn of its own or of the socket,
 * never within a call of ours.
 */
import type {Socket} from 'node:net';
import {asSystemError} from '../../formats/errno.ts';
import {LINK_QUEUE_BYTES_MAX, type Link, type LinkEnd} from '../../ports/transport.ts';
import {asBuffer, Deframer} from '../frame.ts';

/** From here on `send` returns false. More than a socket's buffer, so that a burst of one turn is not a jam. */
export const LINK_HIGH_WATER_BYTES = 512 * 1024;
/** `close` waits this long for the other side to take what is queued. */
export const LINK_FLUSH_MS = 200;

/** In so many parts: an event loop that stood still for long has lost one of them, not all. */
const FLUSH_TICKS = 4;
/** Frames are joined to one write up to this size; a larger one goes alone, without a copy. */
const JOINED_WRITE_BYTES = 64 * 1024;

export class SocketLink implements Link {
	readonly peer: string;
	onFrame: (frame: Uint8Array) => void = () => {
		throw new Error(`a frame from ${this.peer} came before anyone listened`);
	};
	onEnd: (end: LinkEnd) => void = () => {};
	onDrain: () => void = () => {};

	readonly #socket: Socket;
	readonly #deframer = new Deframer();
	#queue: Buffer[] = [];
	#queuedBytes = 0;
	#writing = false;
	#flushScheduled = false;
	#jammed = false;
	#paused = false;
	#delivering = false;
	/** Set when we end the link: nothing is delivered or accepted any more. */
	#closing = false;
	#end: LinkEnd | null = null;
	#closeTimer: NodeJS.Timeout | null = null;
	#flushTicks = 0;

	constructor(socket: Socket, peer: string) {
		this.peer = peer;
		this.#socket = socket;
		socket.on('data', (chunk: Buffer) => this.#receive(chunk));
		socket.on('error', error => this.#note(endOf(error, peer)));
		socket.on('end', () => {
			// The other side is done with us: waiting for it to read what is queued could take for ever.
			this.#note(this.#endOfStream());
			socket.destroy();
		});
		socket.on('close', () => this.#finish());
	}

	get queuedBytes(): number {
		return this.#queuedBytes;
	}

	send(frame: Uint8Array): boolean {
		if (this.#closing || this.#end !== null) return true;
		this.#queuedBytes += frame.length;
		if (this.#queuedBytes > LINK_QUEUE_BYTES_MAX) {
			const message = `${this.peer} left ${this.#queuedBytes} bytes unread, the limit is ${LINK_QUEUE_BYTES_MAX} (LINK_QUEUE_BYTES_MAX)`;
			this.destroy({code: 'ENOBUFS', message});
			return false;
		}
		this.#queue.push(asBuffer(frame));
		this.#scheduleFlush();
		if (this.#queuedBytes < LINK_HIGH_WATER_BYTES) return true;
		this.#jammed = true;
		return false;
	}

	pause(): void {
		if (this.#paused) return;
		this.#paused = true;
		this.#socket.pause();
	}

	resume(): void {
		if (!this.#paused) return;
		this.#paused = false;
		// In a later turn: the caller may be in the middle of something, or in onFrame.
		process.nextTick(() => this.#deliver());
	}

	close(reason: LinkEnd = closedHere(this.peer)): void {
		if (this.#closing) return;
		this.#closing = true;
		this.#note(reason);
		this.#closeTimer = setInterval(() => this.#flushTick(), LINK_FLUSH_MS / FLUSH_TICKS);
		this.#socket.resume(); // What still comes is dropped; the other side's end must be seen.
		this.#scheduleFlush();
	}

	destroy(reason: LinkEnd = closedHere(this.peer)): void {
		this.#closing = true;
		this.#note(reason);
		this.#queue = [];
		this.#socket.destroy();
	}

	#flushTick(): void {
		this.#flushTicks += 1;
		if (this.#flushTicks >= FLUSH_TICKS) this.#socket.destroy();
	}

	#scheduleFlush(): void {
		if (this.#flushScheduled || this.#writing) return;
		this.#flushScheduled = true;
		process.nextTick(() => {
			this.#flushScheduled = false;
			this.#flush();
		});
	}

	#flush(): void {
		if (this.#writing || this.#socket.destroyed) return;
		const batch = this.#takeBatch();
		if (batch === null) {
			if (this.#closing) this.#socket.end();
			return;
		}
		this.#writing = true;
		this.#socket.write(batch, error => this.#written(batch.length, error ?? null));
	}

	#takeBatch(): Buffer | null {
		const first = this.#queue[0];
		if (first === undefined) return null;
		let count = 1;
		let sizeBytes = first.length;
		while (count < this.#queue.length) {
			sizeBytes += this.#queue[count]!.length;
			if (sizeBytes > JOINED_WRITE_BYTES) break;
			count += 1;
		}
		if (count === this.#queue.length) {
			const all = this.#queue;
			this.#queue = [];
			return count === 1 ? first : Buffer.concat(all);
		}
		const some = this.#queue.splice(0, count);
		return count === 1 ? first : Buffer.concat(some);
	}

	#written(sizeBytes: number, error: Error | null): void {
		this.#writing = false;
		if (error !== null) return; // 'error' and 'close' tell.
		this.#queuedBytes -= sizeBytes;
		this.#flush();
		if (this.#queuedBytes === 0 && this.#jammed) {
			this.#jammed = false;
			if (!this.#closing && this.#end === null) this.onDrain();
		}
	}

	#receive(chunk: Buffer): void {
		if (this.#closing) return;
		this.#deframer.feed(chunk);
		this.#deliver();
	}

	#deliver(): void {
		if (this.#delivering || this.#closing) return;
		this.#delivering = true;
		try {
			while (!this.#paused && !this.#closing) {
				const frame = this.#nextFrame();
				if (frame === null) {
					this.#socket.resume();
					return;
				}
				this.onFrame(frame);
			}
		} finally {
			this.#delivering = false;
		}
	}

	#nextFrame(): Buffer | null {
		try {
			return this.#deframer.next();
		} catch (error) {
			const {code, message} = asSystemError(error, 'EPROTO');
			this.destroy({code, message: `${this.peer}: ${message}`});
			return null;
		}
	}

	#endOfStream(): LinkEnd {
		const partialBytes = this.#deframer.partialBytes;
		const cut = partialBytes === 0 ? '' : ` in the middle of a frame, after ${partialBytes} bytes of it`;
		return {code: 'ECONNRESET', message: `${this.peer} closed the connection${cut}`};
	}

	#note(end: LinkEnd): void {
		this.#end ??= end;
	}

	#finish(): void {
		if (this.#closeTimer !== null) clearInterval(this.#closeTimer);
		this.#closing = true;
		this.#queue = [];
		this.#queuedBytes = 0;
		this.onEnd(this.#end ?? {code: 'ECONNRESET', message: `the connection to ${this.peer} ended`});
	}
}

function closedHere(peer: string): LinkEnd {
	return {code: 'ECONNABORTED', message: `the connection to ${peer} was closed on this side`};
}

function endOf(error: Error, peer: string): LinkEnd {
	const {code, message} = asSystemError(error, 'ECONNRESET');
	return {code: code === 'EPIPE' ? 'ECONNRESET' : code, message: `connection to ${peer}: ${message}`};
}
