/**
 * Wall times that are waited for, the earliest first. A begin time is what people wrote on a calendar, so that here the wall
 * clock decides, unlike with all deadlines: who sets the clock forward brings it nearer. It is looked at often enough to
 * notice that.
 */
import type {Clock, Timer} from '../../ports/clock.ts';

/** A step of the wall clock is noticed within this. */
export const WALL_LOOK_MS = 10_000;

interface Entry<T> {
	readonly epochMs: number;
	readonly what: T;
}

export class BeginTimes<T> {
	readonly #clock: Clock;
	readonly #onDue: (what: T) => void;
	/** By time. */
	#entries: Entry<T>[] = [];
	#timer: Timer | null = null;

	/** @param onDue is called once for each that was added, when its time has come and it was not removed. */
	constructor(clock: Clock, onDue: (what: T) => void) {
		this.#clock = clock;
		this.#onDue = onDue;
	}

	add(epochMs: number, what: T): void {
		this.#entries.splice(this.#indexOf(epochMs), 0, {epochMs, what});
		this.#arm();
	}

	remove(epochMs: number, what: T): void {
		for (let index = this.#indexOf(epochMs); this.#entries[index]?.epochMs === epochMs; index += 1) {
			if (this.#entries[index]?.what !== what) continue;
			this.#entries.splice(index, 1);
			break;
		}
		this.#arm();
	}

	#arm(): void {
		this.#timer?.cancel();
		this.#timer = null;
		const [first] = this.#entries;
		if (first === undefined) return;
		const leftMs = Math.max(0, first.epochMs - this.#clock.epochMs());
		this.#timer = this.#clock.setTimer(Math.min(leftMs, WALL_LOOK_MS), () => this.#look());
	}

	#look(): void {
		this.#timer = null;
		const nowMs = this.#clock.epochMs();
		const count = this.#entries.findIndex(({epochMs}) => epochMs > nowMs);
		const due = this.#entries.splice(0, count === -1 ? this.#entries.length : count);
		for (const {what} of due) this.#onDue(what);
		this.#arm();
	}

	/** The first index whose time is not before `epochMs`. */
	#indexOf(epochMs: number): number {
		let low = 0;
		let high = this.#entries.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (this.#entries[middle]!.epochMs < epochMs) low = middle + 1;
			else high = middle;
		}
		return low;
	}
}
