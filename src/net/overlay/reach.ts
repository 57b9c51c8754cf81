/**
 * Which ranks at and below this broker can be reached, as its online children tell it; the root's is the instance's
 * membership. Volatile. Invariant: a child speaks for its own subtree only; behind a torpid child all are torpid.
 */
import {Idset} from '../../formats/idset.ts';
import type {SubtreeState} from './subtree.ts';
import type {Topology} from './topology.ts';

export interface ReachOptions {
	readonly rank: number;
	readonly topology: Topology;
	/** Whether a child is silent for so long that all behind it count as torpid. */
	readonly isTorpid: (child: number) => boolean;
}

const NOBODY: SubtreeState = {online: Idset.empty, torpid: Idset.empty};

export class Reach {
	readonly #options: ReachOptions;
	/** What online children said of those below them. */
	readonly #below = new Map<number, SubtreeState>();
	readonly #subtrees = new Map<number, Idset>();
	readonly #listeners = new Set<() => void>();
	#state = NOBODY;

	constructor(options: ReachOptions) {
		this.#options = options;
	}

	get state(): SubtreeState {
		return this.#state;
	}

	/** Online children. */
	get childCount(): number {
		return this.#below.size;
	}

	has(child: number): boolean {
		return this.#below.has(child);
	}

	join(child: number): void {
		this.#below.set(child, {online: Idset.from([child]), torpid: Idset.empty});
		this.refresh();
	}

	/** Counts from the next `refresh` on. False: it was not online. */
	leave(child: number): boolean {
		return this.#below.delete(child);
	}

	/** An online child says who can be reached below it. */
	told(child: number, {online, torpid}: SubtreeState): void {
		const ranks = this.#subtreeOf(child);
		this.#below.set(child, {online: online.intersect(ranks).with(child), torpid: torpid.intersect(ranks)});
		this.refresh();
	}

	/** Calls `listener` after each change. Returns how to stop it. */
	onChange(listener: () => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	/** Works it out anew, and tells who listens if it has changed. */
	refresh(): void {
		const {rank, isTorpid} = this.#options;
		let online = Idset.from([rank]);
		let torpid = Idset.empty;
		for (const [child, below] of this.#below) {
			online = online.union(below.online);
			torpid = torpid.union(isTorpid(child) ? below.online : below.torpid);
		}
		const before = this.#state;
		this.#state = {online, torpid};
		if (isSame(before, this.#state)) return;
		for (const listener of [...this.#listeners]) listener();
	}

	#subtreeOf(child: number): Idset {
		const known = this.#subtrees.get(child) ?? Idset.from(this.#options.topology.subtreeOf(child));
		this.#subtrees.set(child, known);
		return known;
	}
}

export function isSame(a: SubtreeState, b: SubtreeState): boolean {
	return a.online.equals(b.online) && a.torpid.equals(b.torpid);
}
