/**
 * Watches a link for silence: a peer that hangs sends nothing, and its kernel keeps the link all the same. Time is
 * counted in ticks of its own timer: a process that was itself stopped reads what came meanwhile before it judges
 * anyone.
 */
import type {Clock, Timer} from '../ports/clock.ts';

/** After this many silent intervals the link is given up; a ping is sent after the first. */
export const SILENT_INTERVALS_MAX = 3;

export interface KeepaliveOptions {
	readonly clock: Clock;
	readonly intervalMs: number;
	/** False while the link is not read, so that nothing can be heard. */
	readonly isReading: () => boolean;
	readonly ping: () => void;
	readonly onSilent: (silentMs: number) => void;
}

export class Keepalive {
	readonly #options: KeepaliveOptions;
	#silentIntervals = 0;
	#timer: Timer;

	constructor(options: KeepaliveOptions) {
		this.#options = options;
		this.#timer = this.#arm();
	}

	/** Something came. */
	heard(): void {
		this.#silentIntervals = -1; // The interval that is running is not silent.
	}

	stop(): void {
		this.#timer.cancel();
	}

	#arm(): Timer {
		const {clock, intervalMs} = this.#options;
		return clock.setTimer(intervalMs, () => this.#tick());
	}

	#tick(): void {
		const {isReading, ping, onSilent, intervalMs} = this.#options;
		this.#silentIntervals = isReading() ? this.#silentIntervals + 1 : 0;
		if (this.#silentIntervals >= SILENT_INTERVALS_MAX) {
			onSilent(this.#silentIntervals * intervalMs);
			return;
		}
		if (this.#silentIntervals > 0) ping();
		this.#timer = this.#arm();
	}
}
