/**
 * Matchtags of one client, each with what it stands for. Invariant: a tag is given out only while it is free, and the
 * lowest free one first, as Flux does.
 */
import {RPC_PENDING_MAX} from './message.ts';

export class Matchtags<T> {
	/** By matchtag - 1; undefined: free. */
	#held: (T | undefined)[] = [];
	/** No index below it is free. */
	#lowestFree = 0;
	#count = 0;
	readonly #max: number;

	/** At most `max` are in use at a time. */
	constructor(max: number = RPC_PENDING_MAX) {
		this.#max = max;
	}

	/** Tags in use. */
	get count(): number {
		return this.#count;
	}

	/** Takes the lowest free tag for `held`. Throws a plain Error beyond `max`: look at `count` before. */
	take(held: T): number {
		if (this.#count >= this.#max) throw new Error('all matchtags are in use');
		while (this.#held[this.#lowestFree] !== undefined) this.#lowestFree += 1;
		this.#held[this.#lowestFree] = held;
		this.#lowestFree += 1;
		this.#count += 1;
		return this.#lowestFree;
	}

	get(matchtag: number): T | undefined {
		return this.#held[matchtag - 1];
	}

	free(matchtag: number): void {
		if (this.#held[matchtag - 1] === undefined) throw new Error(`matchtag ${matchtag} is not in use`);
		this.#held[matchtag - 1] = undefined;
		this.#lowestFree = Math.min(this.#lowestFree, matchtag - 1);
		this.#count -= 1;
	}

	/** Frees all, and returns what they stood for, in the order of the tags. */
	clear(): readonly T[] {
		const held = this.#held.filter(one => one !== undefined);
		this.#held = [];
		this.#lowestFree = 0;
		this.#count = 0;
		return held;
	}
}
