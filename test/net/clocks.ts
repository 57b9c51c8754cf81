/** Clocks for the tests of this folder: one that runs, and one that is moved by hand. */
import type {Clock, Timer} from '../../src/ports/clock.ts';

export class RunningClock implements Clock {
	readonly bootId = 'boot';

	epochMs(): number {
		return Date.now();
	}

	monotonicMs(): number {
		return performance.now();
	}

	setTimer(delayMs: number, fire: () => void): Timer {
		const timeout = setTimeout(fire, delayMs);
		return {cancel: () => clearTimeout(timeout)};
	}

	defer(run: () => void): void {
		setImmediate(run);
	}
}

export class ManualClock implements Clock {
	readonly bootId = 'boot';
	#nowMs = 1000;
	#armed: {readonly atMs: number; readonly fire: () => void}[] = [];

	epochMs(): number {
		return this.#nowMs;
	}

	monotonicMs(): number {
		return this.#nowMs;
	}

	get armedCount(): number {
		return this.#armed.length;
	}

	setTimer(delayMs: number, fire: () => void): Timer {
		const entry = {atMs: this.#nowMs + Math.max(0, delayMs), fire};
		const after = this.#armed.findIndex(({atMs}) => atMs > entry.atMs);
		this.#armed.splice(after === -1 ? this.#armed.length : after, 0, entry);
		return {cancel: () => (this.#armed = this.#armed.filter(other => other !== entry))};
	}

	defer(run: () => void): void {
		this.setTimer(0, run);
	}

	/** Fires all that becomes due, in order, and lets promises settle in between. */
	async advance(byMs: number): Promise<void> {
		const untilMs = this.#nowMs + byMs;
		await turns();
		for (;;) {
			const [next] = this.#armed;
			if (next === undefined || next.atMs > untilMs) break;
			this.#armed.shift();
			this.#nowMs = Math.max(this.#nowMs, next.atMs);
			next.fire();
			await turns();
		}
		this.#nowMs = untilMs;
	}
}

function turns(): Promise<void> {
	return new Promise(resolve => setImmediate(resolve));
}

/** Polls until `isTrue`; rejects after 5 s with `what`. */
export async function until(isTrue: () => boolean, what: string): Promise<void> {
	const deadline = performance.now() + 5000;
	while (!isTrue()) {
		if (performance.now() > deadline) throw new Error(`not within 5 s: ${what}`);
		await new Promise(resolve => setTimeout(resolve, 1));
	}
}
