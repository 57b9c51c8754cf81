/** The clock port. The core reads time and arms timers only through it (DESIGN section 4). */

/** A handle of an armed timer; `cancel` after it fired does nothing. */
export interface Timer {
	cancel(): void;
}

export interface Clock {
	/** Wall time: milliseconds since the Unix epoch. May step either way; decides nothing but reports. */
	epochMs(): number;
	/** CLOCK_MONOTONIC in milliseconds with fractions: the same count in every process of one boot. */
	monotonicMs(): number;
	/** The kernel's boot id: `monotonicMs` of two readings compares only if it is the same. */
	readonly bootId: string;
	/** Calls `fire` once, `delayMs` from now (at least 0); several due timers fire in the order of their time. */
	setTimer(delayMs: number, fire: () => void): Timer;
	/** Calls `run` after the work that is already queued, before any timer that is not yet due. */
	defer(run: () => void): void;
}

/**
 * A moment that survives a restart of the process, a stepped wall clock and a reboot (DESIGN section 3.6):
 * within the boot `bootId` only `monotonicMs` counts; after a reboot only `epochMs` does.
 */
export interface Deadline {
	readonly bootId: string;
	readonly monotonicMs: number;
	readonly epochMs: number;
}

export function deadlineIn(clock: Clock, delayMs: number): Deadline {
	return {
		bootId: clock.bootId,
		monotonicMs: clock.monotonicMs() + delayMs,
		epochMs: clock.epochMs() + delayMs,
	};
}

/** Milliseconds until `deadline`; 0 when it has passed. */
export function remainingMs(clock: Clock, deadline: Deadline): number {
	const left =
		deadline.bootId === clock.bootId
			? deadline.monotonicMs - clock.monotonicMs()
			: deadline.epochMs - clock.epochMs();
	return Math.max(0, left);
}
