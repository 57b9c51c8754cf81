/** The clock of this machine, over Node's timers and the kernel's boot id. */

import {readFileSync} from 'node:fs';
import type {Clock, Timer} from '../clock.ts';

/** setTimeout takes at most 2^31 - 1 ms; a longer wait is made of several. */
const TIMER_MS_MAX = 2 ** 30;

export class SystemClock implements Clock {
	readonly bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

	epochMs(): number {
		return Date.now();
	}

	monotonicMs(): number {
		return Number(process.hrtime.bigint() / 1000n) / 1000;
	}

	setTimer(delayMs: number, fire: () => void): Timer {
		const dueMs = this.monotonicMs() + delayMs;
		let handle: NodeJS.Timeout;
		const arm = () => {
			const leftMs = dueMs - this.monotonicMs();
			handle = setTimeout(
				() => {
					if (this.monotonicMs() + 0.5 >= dueMs) fire();
					else arm();
				},
				Math.min(Math.max(0, leftMs), TIMER_MS_MAX),
			);
		};
		arm();
		return {
			cancel: () => clearTimeout(handle),
		};
	}

	defer(run: () => void): void {
		setImmediate(run);
	}
}
