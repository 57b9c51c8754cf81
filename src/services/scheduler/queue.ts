/**
 * The queue of jobs that wait for resources: highest priority first, then the lowest id, which is the first submitted.
 * Kept sorted; insertion is a binary search.
 */
export interface QueueEntry {
	readonly id: bigint;
	readonly priority: number;
}

export class JobQueue {
	#entries: QueueEntry[] = [];

	get length(): number {
		return this.#entries.length;
	}

	get first(): QueueEntry | undefined {
		return this.#entries[0];
	}

	/** In the order of their turn. */
	get entries(): readonly QueueEntry[] {
		return this.#entries;
	}

	/** How many are before `entry`. */
	positionOf(entry: QueueEntry): number {
		return this.#indexOf(entry);
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
		if (there?.id === entry.id && there.priority === entry.priority) this.#entries.splice(index, 1);
	}

	/** The first index whose entry is not before `entry`. */
	#indexOf(entry: QueueEntry): number {
		let low = 0;
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
