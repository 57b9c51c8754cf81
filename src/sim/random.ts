/** Seeded randomness: mulberry32, good enough to choose faults with, and the same everywhere. */
import type {Random} from '../ports/random.ts';

export class SimRandom implements Random {
	#state: number;

	constructor(seed: number) {
		this.#state = seed >>> 0;
	}

	float(): number {
		this.#state = (this.#state + 0x6d2b79f5) >>> 0;
		let mixed = this.#state;
		mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	}

	/** A whole number from 0 to `below` - 1. */
	below(below: number): number {
		return Math.floor(this.float() * below);
	}

	bytes(length: number): Uint8Array {
		return Uint8Array.from({length}, () => this.below(256));
	}

	uuid(): string {
		const hex = Buffer.from(this.bytes(16)).toString('hex');
		return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
	}
}
