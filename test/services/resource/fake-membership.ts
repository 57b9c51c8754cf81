/** A membership that a test moves. All ranks are online to begin with; rank r is on host `nr`. */
import type {Membership} from '../../../src/services/membership.ts';

interface Standing {
	readonly isOnline: boolean;
	readonly isTorpid: boolean;
}

export class FakeMembership implements Membership {
	readonly size: number;
	readonly #standings = new Map<number, Standing>();
	readonly #listeners = new Set<() => void>();

	constructor(size: number) {
		this.size = size;
	}

	set(rank: number, standing: Partial<Standing>): void {
		const before = this.#standings.get(rank) ?? {isOnline: true, isTorpid: false};
		this.#standings.set(rank, {...before, ...standing});
		for (const listener of this.#listeners) listener();
	}

	isOnline(rank: number): boolean {
		return rank < this.size && this.#standings.get(rank)?.isOnline !== false;
	}

	isTorpid(rank: number): boolean {
		return this.#standings.get(rank)?.isTorpid === true;
	}

	hostOf(rank: number): string {
		return `n${rank}`;
	}

	onChange(listener: () => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}
}
