/**
 * How long a process has been silent, as its judge may count it. Invariant: only the judge's own running time counts. A
 * tick that comes late, because the judge stood still or the machine slept, counts as little more than one that is in
 * time: what the other side has sent meanwhile may still wait to be read.
 */

/** What a late tick counts at most, in intervals. */
const LATE_TICK_MAX = 1.5;

export class Silence {
	readonly #intervalMs: number;
	#lastMs: number;
	#silentMs = 0;

	/** `tick` is to be called every `intervalMs`. */
	constructor(intervalMs: number, nowMs: number) {
		this.#intervalMs = intervalMs;
		this.#lastMs = nowMs;
	}

	/** Since the last sign of life, in milliseconds of the judge's running time, as of the last tick. */
	get silentMs(): number {
		return this.#silentMs;
	}

	heard(): void {
		this.#silentMs = 0;
	}

	tick(nowMs: number): void {
		this.#silentMs += Math.min(nowMs - this.#lastMs, this.#intervalMs * LATE_TICK_MAX);
		this.#lastMs = nowMs;
	}
}
