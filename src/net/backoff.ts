/** Delays between attempts: 16 ms, doubling to 2 s, each cut by up to a half at random, also the longest ones. */
import type {Random} from '../ports/random.ts';

export const BACKOFF_MIN_MS = 16;
export const BACKOFF_MAX_MS = 2000;

export class Backoff {
	readonly #random: Random;
	#failures = 0;

	constructor(random: Random) {
		this.#random = random;
	}

	get failures(): number {
		return this.#failures;
	}

	failed(): void {
		this.#failures += 1;
	}

	reset(): void {
		this.#failures = 0;
	}

	/** How long to wait before the next attempt: 0 when none has failed. */
	delayMs(): number {
		if (this.#failures === 0) return 0;
		const fullMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** (this.#failures - 1));
		return fullMs * (1 - this.#random.float() / 2);
	}
}
