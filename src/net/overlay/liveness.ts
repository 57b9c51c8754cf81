/**
 * Whether a peer is heard: silent for `torpidMs` it is torpid, silent for `lostMs` it is lost (DESIGN section 7). Invariant: only
 * time in which this process itself ran counts as silence. A broker that was stopped, or whose event loop stood still, has
 * not listened, so it reads what is waiting before it judges anyone.
 */
import type {Clock, Timer} from '../../ports/clock.ts';

export interface LivenessOptions {
	readonly clock: Clock;
	/** How often the peer is to hear of us, and how often its silence is judged. */
	readonly keepaliveMs: number;
	readonly torpidMs: number;
	readonly lostMs: number;
	/** Sends a sign of life; asked only when nothing else was sent. */
	readonly ping: () => void;
	readonly onTorpid: (silentMs: number) => void;
	readonly onResponsive: () => void;
	/** Called once; the watch has ended. */
	readonly onLost: (silentMs: number) => void;
}

/** A tick that comes later than this many intervals says that we stood still, and counts as this many. */
const TICK_INTERVALS_MAX = 1.5;

export class Liveness {
	readonly #options: LivenessOptions;
	#timer: Timer;
	#isStopped = false;
	#lastTickMs: number;
	#silentMs = 0;
	#isTorpid = false;
	#hasSent = false;

	constructor(options: LivenessOptions) {
		this.#options = options;
		this.#lastTickMs = options.clock.monotonicMs();
		this.#timer = options.clock.setTimer(options.keepaliveMs, () => this.#tick());
	}

	get isTorpid(): boolean {
		return this.#isTorpid;
	}

	/** For how long nothing was heard, while we listened; as of the last tick. */
	get silentMs(): number {
		return this.#silentMs;
	}

	heard(): void {
		this.#silentMs = 0;
		if (!this.#isTorpid) return;
		this.#isTorpid = false;
		this.#options.onResponsive();
	}

	sent(): void {
		this.#hasSent = true;
	}

	stop(): void {
		this.#isStopped = true;
		this.#timer.cancel();
	}

	#tick(): void {
		const {clock, keepaliveMs, ping} = this.#options;
		const nowMs = clock.monotonicMs();
		this.#silentMs += Math.min(nowMs - this.#lastTickMs, TICK_INTERVALS_MAX * keepaliveMs);
		this.#lastTickMs = nowMs;
		if (!this.#hasSent) ping();
		this.#hasSent = false;
		if (this.#isStopped) return;
		this.#timer = clock.setTimer(keepaliveMs, () => this.#tick());
		// After what is waiting to be read: it may have come while we could not listen.
		clock.defer(() => this.#judge());
	}

	#judge(): void {
		const {torpidMs, lostMs, onTorpid, onLost} = this.#options;
		if (this.#isStopped) return;
		if (this.#silentMs >= lostMs) {
			this.stop();
			onLost(this.#silentMs);
		} else if (this.#silentMs >= torpidMs && !this.#isTorpid) {
			this.#isTorpid = true;
			onTorpid(this.#silentMs);
		}
	}
}
