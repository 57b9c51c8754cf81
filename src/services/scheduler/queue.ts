/**
 * The queue of jobs that wait for resources: highest priority first, then the lowest id, which is the first submitted.
 * Kept sorted; insertion is a binary search. What has its turn is taken from the front without a move of all others.
 */
export interface QueueEntry {
	readonly id: bigint;
	readonly priority: number;
}

/** So many places at the front may be empty. */
const GAP_MAX = 1024;

export class JobQueue {
	#entries: QueueEntry[] = [];
	/** Entries before this index were taken from the front. */
	#start = 0;

	get length(): number {
		return this.#entries.length - this.#start;
	}

	get first(): QueueEntry | undefined {
		return this.#entries[this.#start];
	}

	/** In the order of their turn. */
	get entries(): readonly QueueEntry[] {
		return this.#entries.slice(this.#start);
	}

	/** How many are before `entry`. */
	positionOf(entry: QueueEntry): number {
		return this.#indexOf(entry) - this.#start;
	}

	/** Adds an entry; one that is there already stays once. */
	add(entry: QueueEntry): void {
		const index = this.#indexOf(entry);
		const there = this.#entries[index];
		if (there?.id === entry.id && there.priority === entry.priority) return;
		this.#entries.splice(index, 0, entry);
	}

	remove(entry: QueueEntry): void {
		const index = this.#indexOf(entry);
		const there = this.#entries[index];
		if (there?.id !== entry.id || there.priority !== entry.priority) return;
		if (index !== this.#start) {
			this.#entries.splice(index, 1);
			return;
		}
		this.#start += 1;
		if (this.#start < GAP_MAX && this.#start < this.#entries.length) return;
		this.#entries.splice(0, this.#start);
		this.#start = 0;
	}

	/** The first index whose entry is not before `entry`. */
	#indexOf(entry: QueueEntry): number {
		let low = this.#start;
		let high = this.#entries.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (isBefore(this.#entries[middle] as QueueEntry, entry)) low = middle + 1;
			else high = middle;
		}
		return low;
	}
}

/** Whether `a` has its turn before `b`. */
export function isBefore(a: QueueEntry, b: QueueEntry): boolean {
	return a.priority !== b.priority ? a.priority > b.priority : a.id < b.id;
}
