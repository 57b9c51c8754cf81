/**
 * Bounds on how often something may happen: token buckets, one for all and one for each source. Pure: time comes with each
 * question. Invariant: within any span of t seconds at most burst + t × perS are let through.
 */

export interface Rate {
	/** So many at once after a quiet time. */
	readonly burst: number;
	/** So many a second in the long run. */
	readonly perS: number;
}

/** The most sources that are told apart; the one that was quiet for longest is forgotten. */
export const SOURCES_MAX = 1024;

export class RateLimit {
	readonly #rate: Rate;
	#tokens: number;
	#asOfMs = 0;

	constructor(rate: Rate) {
		this.#rate = rate;
		this.#tokens = rate.burst;
	}

	/** Whether one more may happen now; if so it is counted. `nowMs` is monotonic. */
	take(nowMs: number): boolean {
		const {burst, perS} = this.#rate;
		const passedMs = Math.max(0, nowMs - this.#asOfMs);
		this.#tokens = Math.min(burst, this.#tokens + (passedMs / 1000) * perS);
		this.#asOfMs = Math.max(nowMs, this.#asOfMs);
		if (this.#tokens < 1) return false;
		this.#tokens -= 1;
		return true;
	}
}

/** A limit for each source. */
export class SourceLimits {
	readonly #rate: Rate;
	/** The source that was heard last stands last. */
	readonly #limits = new Map<string, RateLimit>();

	constructor(rate: Rate) {
		this.#rate = rate;
	}

	take(source: string, nowMs: number): boolean {
		const limit = this.#limits.get(source) ?? new RateLimit(this.#rate);
		this.#limits.delete(source);
		this.#limits.set(source, limit);
		if (this.#limits.size > SOURCES_MAX) {
			for (const oldest of this.#limits.keys()) {
				this.#limits.delete(oldest);
				break;
			}
		}
		return limit.take(nowMs);
	}
}
