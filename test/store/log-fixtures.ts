/** What the store's tests share: clocks, seeded ids, and a reader that collects. */
import type {Clock, Timer} from '../../src/ports/clock.ts';
import type {Random} from '../../src/ports/random.ts';
import {EventLog} from '../../src/store/event-log.ts';
import {LogDamageError} from '../../src/store/damage.ts';
import type {StoreDir} from '../../src/ports/store.ts';

export const realClock: Clock = {
	epochMs: () => Date.now(),
	monotonicMs: () => performance.now(),
	bootId: 'test-boot',
	setTimer(delayMs, fire): Timer {
		const timer = setTimeout(fire, delayMs);
		return {cancel: () => clearTimeout(timer)};
	},
	defer: run => void setImmediate(run),
};

/** Time that passes only in `advance`; deferred work runs in a microtask. */
export class ManualClock implements Clock {
	readonly bootId = 'test-boot';
	#nowMs = 0;
	#timers: {atMs: number; fire: () => void}[] = [];

	epochMs = () => 1_700_000_000_000 + this.#nowMs;
	monotonicMs = () => this.#nowMs;
	defer = (run: () => void): void => queueMicrotask(run);

	setTimer = (delayMs: number, fire: () => void): Timer => {
		const timer = {atMs: this.#nowMs + delayMs, fire};
		this.#timers.push(timer);
		return {cancel: () => (this.#timers = this.#timers.filter(other => other !== timer))};
	};

	get timerCount(): number {
		return this.#timers.length;
	}

	/** Fires what is due within `durationMs`, in order, letting promises run in between. */
	async advance(durationMs: number): Promise<void> {
		const untilMs = this.#nowMs + durationMs;
		await settled();
		for (;;) {
			const [due] = this.#timers.filter(timer => timer.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
			if (due === undefined) break;
			this.#timers = this.#timers.filter(timer => timer !== due);
			this.#nowMs = Math.max(this.#nowMs, due.atMs);
			due.fire();
			await settled();
		}
		this.#nowMs = untilMs;
	}
}

/** Resolves when all promises that can run have run. */
export async function settled(): Promise<void> {
	await new Promise<void>(resolve => void setImmediate(resolve));
}

export function countingRandom(): Random {
	let count = 0;
	return {
		float: () => 0.5,
		bytes: length => new Uint8Array(length),
		uuid: () => `00000000-0000-4000-8000-${String((count += 1)).padStart(12, '0')}`,
	};
}

export async function openLog(dir: StoreDir, {create = true, clock = realClock} = {}): Promise<EventLog> {
	return EventLog.open(dir, {clock, create, random: countingRandom()});
}

/** All facts that can be read, and the damage at which reading ended. */
export async function readAll(
	log: EventLog,
	fromSeq = 0,
): Promise<{facts: unknown[]; error: LogDamageError | null}> {
	const facts: unknown[] = [];
	try {
		for await (const piece of log.read({fromSeq})) for (const record of piece) facts.push(...record.facts);
	} catch (error) {
		if (error instanceof LogDamageError) return {facts, error};
		throw error;
	}
	return {facts, error: null};
}

export function numbered(from: number, to: number): {type: string; n: number}[] {
	return Array.from({length: to - from + 1}, (_, index) => ({type: 'fact', n: from + index}));
}

/** Polls until `isTrue`, at most `timeoutMs`. */
export async function until(isTrue: () => boolean, timeoutMs = 5000): Promise<void> {
	const endMs = performance.now() + timeoutMs;
	while (!isTrue()) {
		if (performance.now() > endMs)
			throw new Error(`Still not true after ${timeoutMs} ms: ${isTrue.toString()}`);
		await new Promise(resolve => setTimeout(resolve, 2));
	}
}
