/**
 * One end of a simulated link. Invariant: `onEnd` runs exactly once, after the last frame and never within a call, and
 * nothing runs at all once the end's host has died.
 */
import type {Clock, Timer} from '../ports/clock.ts';
import {LINK_QUEUE_BYTES_MAX, type Link, type LinkEnd} from '../ports/transport.ts';
import {SimPipe} from './sim-pipe.ts';

const FLUSH_MS = 200;

export interface SimLinkOptions {
	readonly clock: Clock;
	readonly host: string;
	readonly peerHost: string;
	readonly peer: string;
	readonly isDialling: boolean;
	readonly latencyMs: () => number;
	readonly passes: (from: string, to: string) => boolean;
	readonly isStalled: (host: string) => boolean;
	readonly onGone: (link: SimLink) => void;
}

export class SimLink implements Link {
	readonly host: string;
	readonly peerHost: string;
	readonly peer: string;
	readonly isDialling: boolean;
	onFrame: (frame: Uint8Array) => void = () => {
		throw new Error(`a frame from ${this.peer} came before anyone listened`);
	};
	onEnd: (end: LinkEnd) => void = () => {};
	onDrain: () => void = () => {};

	readonly #options: SimLinkOptions;
	/** From here to the other end. */
	#out!: SimPipe;
	#other!: SimLink;
	#paused = false;
	#jammed = false;
	/** `open`; `closing`: ended by us, what is queued still leaves; `ended`: nothing comes in or goes out. */
	#state: 'open' | 'closing' | 'ended' = 'open';
	#reason: LinkEnd | null = null;
	#flushTimer: Timer | null = null;
	#dead = false;
	#vanished = false;

	constructor(options: SimLinkOptions) {
		this.#options = options;
		this.host = options.host;
		this.peerHost = options.peerHost;
		this.peer = options.peer;
		this.isDialling = options.isDialling;
	}

	get other(): SimLink {
		return this.#other;
	}

	/** Gone without a word; the other end does not know. */
	get isVanished(): boolean {
		return this.#vanished;
	}

	get queuedBytes(): number {
		return this.#state === 'ended' ? 0 : this.#out.queuedBytes;
	}

	join(other: SimLink): void {
		const {clock, latencyMs, passes, isStalled} = this.#options;
		this.#other = other;
		this.#out = new SimPipe({
			clock,
			latencyMs,
			deliver: frame => other.#take(frame),
			isOpen: () =>
				passes(this.host, other.host) &&
				!isStalled(other.host) &&
				!other.#vanished &&
				!(other.#paused && other.#state === 'open'),
			onEmptied: () => this.#emptied(),
			onFinished: () => other.#peerFinished(),
		});
	}

	send(frame: Uint8Array): boolean {
		if (this.#state !== 'open') return true;
		this.#out.send(frame);
		const {queuedBytes} = this.#out;
		if (queuedBytes > LINK_QUEUE_BYTES_MAX) {
			const message = `${this.peer} left ${queuedBytes} bytes unread, the limit is ${LINK_QUEUE_BYTES_MAX} (LINK_QUEUE_BYTES_MAX)`;
			this.destroy({code: 'ENOBUFS', message});
			return false;
		}
		if (queuedBytes > 0) this.#jammed = true;
		return queuedBytes === 0;
	}

	pause(): void {
		this.#paused = true;
	}

	resume(): void {
		this.#paused = false;
		this.#other.#out.wake();
	}

	close(reason: LinkEnd = closedHere(this.peer)): void {
		if (this.#state !== 'open') return;
		this.#state = 'closing';
		this.#reason = reason;
		this.#other.#out.wake(); // A paused reader that closes drops what still comes.
		if (this.#out.queuedBytes === 0) this.#finish();
		else this.#flushTimer = this.#options.clock.setTimer(FLUSH_MS, () => this.#finish());
	}

	destroy(reason: LinkEnd = closedHere(this.peer)): void {
		if (this.#state === 'ended') return;
		this.#reason ??= reason;
		this.#finish();
	}

	/** The network ended the link. */
	break(end: LinkEnd): void {
		this.#out.sever();
		this.destroy(end);
	}

	/** The host's process was killed: the kernel tells the other side. */
	die(): void {
		this.#dead = true;
		this.destroy();
	}

	/** The host is without power: nobody tells anybody. */
	vanish(): void {
		this.#dead = true;
		this.#vanished = true;
		this.#state = 'ended';
		this.#out.sever();
		this.#options.onGone(this);
	}

	/** Something that held frames back may have gone. */
	wake(): void {
		this.#out.wake();
	}

	#take(frame: Uint8Array): void {
		if (this.#state === 'open') this.onFrame(frame);
	}

	#emptied(): void {
		if (this.#state === 'closing') this.#finish();
		else if (this.#state === 'open' && this.#jammed) {
			this.#jammed = false;
			this.onDrain();
		}
	}

	#peerFinished(): void {
		if (this.#state === 'ended') return;
		this.#reason ??= {code: 'ECONNRESET', message: `${this.peer} closed the connection`};
		this.#finish();
	}

	#finish(): void {
		if (this.#state === 'ended') return;
		this.#state = 'ended';
		this.#flushTimer?.cancel();
		this.#out.finish();
		this.#options.onGone(this);
		if (this.#dead) return;
		this.#options.clock.defer(() => {
			if (!this.#dead) this.onEnd(this.#reason!);
		});
	}
}

function closedHere(peer: string): LinkEnd {
	return {code: 'ECONNABORTED', message: `the connection to ${peer} was closed on this side`};
}
