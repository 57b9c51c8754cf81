/** Randomness of the operating system. It is loaded with its first use, for that costs more than many a command. */
import type {Random} from '../random.ts';

export class SystemRandom implements Random {
	float(): number {
		return Math.random();
	}

	bytes(length: number): Uint8Array {
		return crypto().randomBytes(length);
	}

	uuid(): string {
		return crypto().randomUUID();
	}
}

let loaded: typeof import('node:crypto') | null = null;
const crypto = () => (loaded ??= process.getBuiltinModule('node:crypto'));
