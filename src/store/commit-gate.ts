/**
 * The gate (DESIGN section 3.1): whatever leaves the process waits here until everything durable that was
 * appended before it is fsynced. Runs strictly in the order of `add`; after `shut` nothing runs, ever.
 */

export class CommitGate {
	/** Waiting, in order; `head` is the first that has not run (a shift per run would be quadratic). */
	#waiting: {readonly seq: number; readonly run: () => void}[] = [];
	#head = 0;
	#openSeq: number;
	#running = false;
	#shut = false;

	/** @param openSeq the last sequence number that is durable already. */
	constructor(openSeq: number) {
		this.#openSeq = openSeq;
	}

	get waitingCount(): number {
		return this.#waiting.length - this.#head;
	}

	/** Runs `run` once `seq` is durable: at once when it is, unless others are just running and come first. */
	add(seq: number, run: () => void): void {
		if (this.#shut) return;
		if (seq <= this.#openSeq && !this.#running) {
			run();
			return;
		}
		this.#waiting.push({seq, run});
	}

	/** Everything up to `seq` is durable. If a `run` throws, the rest waits for the next call. */
	open(seq: number): void {
		this.#openSeq = Math.max(this.#openSeq, seq);
		if (this.#running) return;
		this.#running = true;
		try {
			while (!this.#shut && this.#head < this.#waiting.length) {
				const {seq: wanted, run} = this.#waiting[this.#head]!;
				if (wanted > this.#openSeq) break;
				this.#head += 1;
				run();
			}
		} finally {
			this.#running = false;
			this.#waiting.splice(0, this.#head);
			this.#head = 0;
		}
	}

	/** The log is dead: what waits is forgotten. */
	shut(): void {
		this.#shut = true;
		this.#waiting = [];
		this.#head = 0;
	}
}
