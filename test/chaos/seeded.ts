/** Choices that a seed repeats (the generator is mulberry32). */
export class Seeded {
	#state: number;

	constructor(seed: number) {
		this.#state = seed >>> 0;
	}

	/** At least 0, less than 1. */
	float(): number {
		this.#state = (this.#state + 0x6d2b79f5) >>> 0;
		let mixed = this.#state;
		mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	}

	/** A whole number from `min` through `max`. */
	integer(min: number, max: number): number {
		return min + Math.floor(this.float() * (max - min + 1));
	}

	chance(probability: number): boolean {
		return this.float() < probability;
	}

	pick<T>(values: readonly T[]): T {
		return values[this.integer(0, values.length - 1)]!;
	}

	/** Some of `values`, at least one. */
	some<T>(values: readonly T[]): T[] {
		const chosen = values.filter(() => this.chance(0.4));
		return chosen.length > 0 ? chosen : [this.pick(values)];
	}
}
