/** Callers of `flush`, each with its deadline. */
import {SystemError} from '../formats/errno.ts';
import type {Clock, Timer} from '../ports/clock.ts';

interface Waiter {
	readonly seq: number;
	readonly resolve: () => void;
	readonly reject: (error: SystemError) => void;
	readonly timer: Timer;
}

export class FlushWaiters {
	readonly #clock: Clock;
	#waiting: readonly Waiter[] = [];

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	get count(): number {
		return this.#waiting.length;
	}

	/**
	 * Resolves when `done` reaches `seq`.
	 * @throws {SystemError} ETIMEDOUT after `timeoutMs`, or what `fail` is given.
	 */
	async wait(seq: number, timeoutMs: number): Promise<void> {
		return new Promise<void>((resolve, reject) => {
			const timer = this.#clock.setTimer(timeoutMs, () => {
				this.#waiting = this.#waiting.filter(other => other !== waiter);
				const text = `The event log's disk did not take facts up to ${seq} within ${timeoutMs} ms`;
				reject(new SystemError('ETIMEDOUT', text));
			});
			const waiter: Waiter = {seq, resolve, reject, timer};
			this.#waiting = [...this.#waiting, waiter];
		});
	}

	/** Everything up to `seq` is durable. */
	done(seq: number): void {
		const served = this.#waiting.filter(waiter => waiter.seq <= seq);
		this.#waiting = this.#waiting.filter(waiter => waiter.seq > seq);
		for (const {timer, resolve} of served) {
			timer.cancel();
			resolve();
		}
	}

	/** The log is dead. */
	fail(error: SystemError): void {
		const failed = this.#waiting;
		this.#waiting = [];
		for (const {timer, reject} of failed) {
			timer.cancel();
			reject(error);
		}
	}
}
