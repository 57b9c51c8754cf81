/** How late the event loop runs: a timer that should fire at its time, and notes by how much it missed it. */
import type {Clock} from '../../ports/clock.ts';

const INTERVAL_MS = 500;
/** A single long turn is remembered for a while, so that someone can see it. */
const MEMORY = 0.9;

export class LoopProbe {
	#delayMs = 0;
	#dueMs = 0;
	readonly #clock: Clock;

	constructor(clock: Clock) {
		this.#clock = clock;
		this.#arm();
	}

	/** The worst of late, each newer one counting a tenth less. */
	get delayMs(): number {
		return this.#delayMs;
	}

	#arm(): void {
		this.#dueMs = this.#clock.monotonicMs() + INTERVAL_MS;
		this.#clock.setTimer(INTERVAL_MS, () => {
			const lateMs = Math.max(0, this.#clock.monotonicMs() - this.#dueMs);
			this.#delayMs = Math.max(lateMs, this.#delayMs * MEMORY);
			this.#arm();
		});
	}
}
