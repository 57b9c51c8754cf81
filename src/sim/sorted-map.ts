/** Keys in byte order with their values, in memory; what the simulated store keeps. Values are not copied. */
import type {StoreEntry, StoreRange} from '../ports/store.ts';

export class SortedMap {
	/** Key texts (latin1, so that string order is byte order), ascending. */
	#texts: string[] = [];
	#entries = new Map<string, StoreEntry>();

	get size(): number {
		return this.#texts.length;
	}

	get(key: Uint8Array): Uint8Array | undefined {
		return this.#entries.get(textOf(key))?.[1];
	}

	set(key: Uint8Array, value: Uint8Array): void {
		const text = textOf(key);
		if (!this.#entries.has(text)) this.#texts.splice(this.#lowerBound(text), 0, text);
		this.#entries.set(text, [key, value]);
	}

	delete(key: Uint8Array): void {
		const text = textOf(key);
		if (this.#entries.delete(text)) this.#texts.splice(this.#lowerBound(text), 1);
	}

	/** The entries of `range`, as they are now. */
	range({gte, lt, reverse, limit = Number.POSITIVE_INFINITY}: StoreRange): StoreEntry[] {
		const [from, to] = [this.#lowerBound(textOf(gte)), this.#lowerBound(textOf(lt))];
		const count = Math.min(limit, Math.max(0, to - from));
		const texts =
			reverse === true ? this.#texts.slice(to - count, to).reverse() : this.#texts.slice(from, from + count);
		return texts.map(text => this.#entries.get(text)!);
	}

	clone(): SortedMap {
		const copy = new SortedMap();
		copy.#texts = [...this.#texts];
		copy.#entries = new Map(this.#entries);
		return copy;
	}

	#lowerBound(text: string): number {
		let [low, high] = [0, this.#texts.length];
		// Appends are the rule, so the end is the first guess.
		if (high > 0 && this.#texts[high - 1]! < text) return high;
		while (low < high) {
			const middle = (low + high) >>> 1;
			if (this.#texts[middle]! < text) low = middle + 1;
			else high = middle;
		}
		return low;
	}
}

function textOf(key: Uint8Array): string {
	return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}
