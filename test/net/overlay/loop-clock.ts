/** One process with an event loop as Node's: timers, then what is waiting to be read, then what was deferred. It can stand still. */
import type {Clock, Timer} from '../../../src/ports/clock.ts';

interface Due {
	readonly atMs: number;
	readonly run: () => void;
}

export class LoopClock implements Clock {
	readonly bootId = 'boot';
	#nowMs = 1000;
	#timers: Due[] = [];
	#inputs: Due[] = [];
	#deferred: (() => void)[] = [];

	epochMs(): number {
		return this.#nowMs;
	}

	monotonicMs(): number {
		return this.#nowMs;
	}

	setTimer(delayMs: number, fire: () => void): Timer {
		const timer = {atMs: this.#nowMs + delayMs, run: fire};
		this.#timers.push(timer);
		return {cancel: () => (this.#timers = this.#timers.filter(other => other !== timer))};
	}

	defer(run: () => void): void {
		this.#deferred.push(run);
	}

	/** Something comes from outside, whether or not anyone listens then. */
	arrive(afterMs: number, run: () => void): void {
		this.#inputs.push({atMs: this.#nowMs + afterMs, run});
	}

	/** The loop turns once each millisecond. */
	run(durationMs: number): void {
		for (let passed = 0; passed < durationMs; passed += 1) {
			this.#nowMs += 1;
			this.#turn();
		}
	}

	/** The process is stopped, or one turn takes so long. */
	standStill(durationMs: number): void {
		this.#nowMs += durationMs;
		this.#turn();
	}

	#turn(): void {
		for (const {run} of this.#take('timers')) run();
		for (const {run} of this.#take('inputs')) run();
		const deferred = this.#deferred;
		this.#deferred = [];
		for (const run of deferred) run();
	}

	#take(which: 'timers' | 'inputs'): readonly Due[] {
		const all = which === 'timers' ? this.#timers : this.#inputs;
		const due = all.filter(({atMs}) => atMs <= this.#nowMs).sort((a, b) => a.atMs - b.atMs);
		const rest = all.filter(({atMs}) => atMs > this.#nowMs);
		if (which === 'timers') this.#timers = rest;
		else this.#inputs = rest;
		return due;
	}
}
