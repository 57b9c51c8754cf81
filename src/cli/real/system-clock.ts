/** The clock of the operating system. */
import {readFileSync} from 'node:fs';
import type {Clock, Timer} from '../../ports/clock.ts';

export class SystemClock implements Clock {
	#bootId: string | null = null;

	get bootId(): string {
		this.#bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
		return this.#bootId;
	}

	epochMs(): number {
		return Date.now();
	}

	monotonicMs(): number {
		return Number(process.hrtime.bigint()) / 1e6;
	}

	setTimer(delayMs: number, fire: () => void): Timer {
		// Node fires at once what is longer than 2^31-1 ms.
		const timeout = setTimeout(fire, Math.min(Math.max(0, delayMs), 2 ** 31 - 1));
		return {cancel: () => clearTimeout(timeout)};
	}

	defer(run: () => void): void {
		setImmediate(run);
	}
}
