/**
 * What happens to a part by time alone: its time limit, the signal before it, and the end of those that go on long after
 * the first task has ended. Derived from the ledger, by each shell anew: a limit counts from the first start, whoever noticed.
 */

import {remainingMs, type Clock, type Deadline, type Timer} from '../../ports/clock.ts';
import type {StoredSpec} from '../launch-record.ts';
import type {PartLedger} from '../part-ledger.ts';
import type {TaskClaims} from './task-claims.ts';

export interface PartTimersOptions {
	readonly clock: Clock;
	readonly spec: StoredSpec;
	/** The time limit is reached. */
	readonly onLimit: () => void;
	/** It is time for the signal before it. */
	readonly onWarning: () => void;
	/** The first task ended so long ago that the others are waited for no more. */
	readonly onExitTimeout: () => void;
}

export class PartTimers {
	readonly #options: PartTimersOptions;
	#limit: Timer | null = null;
	#warning: Timer | null = null;
	#exitTimeout: Timer | null = null;

	constructor(options: PartTimersOptions) {
		this.#options = options;
	}

	/** Sets what the ledger and the claims ask for now; what is set stays. */
	arm(ledger: PartLedger, claims: TaskClaims): void {
		if (ledger.isExited || ledger.hasTimedOut || ledger.order !== null) return;
		const {clock, spec, onLimit, onWarning, onExitTimeout} = this.#options;
		const {durationMs, warning, exitTimeoutMs} = spec;
		this.#limit ??= this.#fromStart(ledger, durationMs, onLimit);
		// One that would be due before the start is none.
		if (warning !== undefined && warning.beforeMs < durationMs && !ledger.hasWarned)
			this.#warning ??= this.#fromStart(ledger, durationMs - warning.beforeMs, onWarning);
		// From when this shell noticed it: a stepped clock must end nothing.
		if (exitTimeoutMs !== undefined && this.#exitTimeout === null && claims.hasStragglers)
			this.#exitTimeout = clock.setTimer(exitTimeoutMs, () => {
				this.#exitTimeout = null;
				onExitTimeout();
			});
	}

	cancel(): void {
		this.#limit?.cancel();
		this.#warning?.cancel();
		this.#exitTimeout?.cancel();
	}

	#fromStart(ledger: PartLedger, afterMs: number, fire: () => void): Timer | null {
		const {clock, spec} = this.#options;
		const first = ledger.firstStart;
		if (first === null || afterMs === 0) return null;
		const deadline: Deadline = {
			bootId: spec.bootId,
			monotonicMs: first.startMonotonicMs + afterMs,
			epochMs: first.startMs + afterMs,
		};
		return clock.setTimer(remainingMs(clock, deadline), fire);
	}
}
