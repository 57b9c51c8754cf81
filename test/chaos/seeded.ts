/** Choices that a seed repeats. */
import {SimRandom} from '../../src/sim/random.ts';

export class Seeded extends SimRandom {
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
