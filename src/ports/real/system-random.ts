/** Randomness of the operating system. */
import {randomBytes, randomUUID} from 'node:crypto';
import type {Random} from '../random.ts';

export class SystemRandom implements Random {
	float(): number {
		return Math.random();
	}

	bytes(length: number): Uint8Array {
		return randomBytes(length);
	}

	uuid(): string {
		return randomUUID();
	}
}
