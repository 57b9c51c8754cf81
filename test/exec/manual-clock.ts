/** A virtual clock for tests: time moves only by `advance`, and due timers fire in the order of their time. */

import type {Clock, Timer} from '../../src/ports/clock.ts';

interface Entry {
	readonly atMs: number;
	readonly order: number;
	readonly fire: () => void;
}

export class ManualClock implements Clock {
	readonly bootId: string;
	#nowMs = 5_000_000;
	#order = 0;
	#entries: Entry[] = [];

	constructor(bootId = 'boot-1') {
		this.bootId = bootId;
	}

	epochMs(): number {
		return 1_700_000_000_000 + this.#nowMs;
	}

	monotonicMs(): number {
		return this.#nowMs;
	}

	setTimer(delayMs: number, fire: () => void): Timer {
		const entry = {atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, fire};
		this.#entries.push(entry);
		return {
			cancel: () => {
				this.#entries = this.#entries.filter(other => other !== entry);
			},
		};
	}

	defer(run: () => void): void {
		this.setTimer(0, run);
	}

	/** Fires the next timer, moving time to it; false when there is none. Lets promises settle. */
	async step(): Promise<boolean> {
		this.#entries.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
		const next = this.#entries.shift();
		if (next === undefined) return false;
		this.#nowMs = next.atMs;
		next.fire();
		for (let turn = 0; turn < 10; turn++) await Promise.resolve();
		return true;
	}
}
