/** Which ranks can be reached now, as the overlay knows it: volatile, never a fact of the log. */
export interface Membership {
	/** Ranks of the instance, reachable or not. */
	readonly size: number;
	/** It has said hello along the whole way to this broker, and nothing was lost since. */
	isOnline(rank: number): boolean;
	/** It, or one on the way to it, has been silent for too long for new work. */
	isTorpid(rank: number): boolean;
	/** The host of a rank, by the configuration. */
	hostOf(rank: number): string;
	/** Calls `listener` after each change. Returns how to stop it. */
	onChange(listener: () => void): () => void;
}

/** The membership of an instance of one broker. */
export class SoleMembership implements Membership {
	readonly size = 1;
	readonly #host: string;

	constructor(host: string) {
		this.#host = host;
	}

	isOnline(rank: number): boolean {
		return rank === 0;
	}

	isTorpid(): boolean {
		return false;
	}

	hostOf(): string {
		return this.#host;
	}

	onChange(): () => void {
		return () => undefined;
	}
}
