/**
 * Virtual time. Nothing moves but by `run`: the earliest timer fires, then everything that it made runnable runs, then the
 * next. Each process of a simulation has a life of its own, whose timers die with it.
 */
import type {Clock, Timer} from '../ports/clock.ts';

interface Entry {
	readonly atMs: number;
	readonly order: number;
	readonly fire: () => void;
}

export interface SimClockOptions {
	readonly bootId?: string;
	/** Wall time at the beginning. */
	readonly epochMs?: number;
}

export class SimClock implements Clock {
	bootId: string;
	#nowMs = 10_000;
	/** Wall time less monotonic time. */
	#wallMs: number;
	#order = 0;
	#entries: Entry[] = [];

	constructor({bootId = 'boot-1', epochMs = 1_700_000_000_000}: SimClockOptions = {}) {
		this.bootId = bootId;
		this.#wallMs = epochMs - this.#nowMs;
	}

	epochMs(): number {
		return this.#wallMs + this.#nowMs;
	}

	monotonicMs(): number {
		return this.#nowMs;
	}

	setTimer(delayMs: number, fire: () => void): Timer {
		const entry = {atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, fire};
		this.#insert(entry);
		return {cancel: () => (this.#entries = this.#entries.filter(other => other !== entry))};
	}

	defer(run: () => void): void {
		this.setTimer(0, run);
	}

	/** Steps the wall clock; monotonic time goes on as before. */
	stepWall(byMs: number): void {
		this.#wallMs += byMs;
	}

	/** The clock of one process: after `end` its timers never fire. */
	life(): {readonly clock: Clock; readonly end: () => void} {
		let isOver = false;
		const guard = (run: () => void) => () => {
			if (!isOver) run();
		};
		const clock: Clock = {
			epochMs: () => this.epochMs(),
			monotonicMs: () => this.monotonicMs(),
			bootId: this.bootId,
			setTimer: (delayMs, fire) => this.setTimer(delayMs, guard(fire)),
			defer: run => this.defer(guard(run)),
		};
		return {clock, end: () => (isOver = true)};
	}

	/**
	 * Lets time pass until `isDone`.
	 * @throws {Error} when it is not done after `withinMs` of virtual time, or nothing is left that could happen.
	 */
	async run(
		isDone: () => boolean,
		{withinMs, what}: {readonly withinMs: number; readonly what: string},
	): Promise<void> {
		const endMs = this.#nowMs + withinMs;
		await settled();
		while (!isDone()) {
			const next = this.#entries.shift();
			if (next === undefined) throw new Error(`nothing is left to happen, but not: ${what}`);
			if (next.atMs > endMs) throw new Error(`not within ${withinMs} ms of virtual time: ${what}`);
			this.#nowMs = Math.max(this.#nowMs, next.atMs);
			next.fire();
			await settled();
		}
	}

	/** Lets `durationMs` pass. */
	async pass(durationMs: number): Promise<void> {
		let isOver = false;
		this.setTimer(durationMs, () => (isOver = true));
		await this.run(() => isOver, {withinMs: durationMs, what: 'time passes'});
	}

	#insert(entry: Entry): void {
		let low = 0;
		let high = this.#entries.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if ((this.#entries[middle] as Entry).atMs <= entry.atMs) low = middle + 1;
			else high = middle;
		}
		this.#entries.splice(low, 0, entry);
	}
}

/** Resolves when every promise that can run has run: microtasks are done before the next turn of the real loop. */
function settled(): Promise<void> {
	return new Promise(resolve => setImmediate(resolve));
}
