/** The randomness port: ids and jitter. Seeded in the simulator, so that a run can be repeated. */
export interface Random {
	/** A uniformly distributed number in [0, 1). */
	float(): number;
	/** `length` random bytes. */
	bytes(length: number): Uint8Array;
	/** A random UUID of version 4 in its text form (RFC 9562). */
	uuid(): string;
}
