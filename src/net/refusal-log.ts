/**
 * Lines about peers that were refused: each in full while they are few, a sum when they are many, so that whoever knocks
 * all day can't fill a disk. Invariant: every refusal is in a line of its own or counted in one that follows within the span.
 */
import type {Clock} from '../ports/clock.ts';

/** Lines in full within one span. */
export const REFUSAL_LINES_MAX = 20;
export const REFUSAL_SPAN_MS = 10_000;
/** Addresses that are named in a sum. */
const NAMED_MAX = 5;

export interface RefusedPeer {
	/** `host:port`. */
	readonly address: string;
	readonly error: {toString(): string};
}

export class RefusalLog {
	readonly #clock: Clock;
	readonly #write: (line: string) => void;
	#lines = 0;
	#isSpan = false;
	/** Refusals without a line of their own, by host. */
	readonly #counts = new Map<string, number>();
	#more = 0;

	constructor(clock: Clock, write: (line: string) => void) {
		this.#clock = clock;
		this.#write = write;
	}

	add({address, error}: RefusedPeer): void {
		this.#beginSpan();
		if (this.#lines < REFUSAL_LINES_MAX) {
			this.#lines += 1;
			this.#write(`refused a connection from ${address}: ${error.toString()}`);
			return;
		}
		const host = address.slice(0, address.lastIndexOf(':'));
		this.#more += 1;
		const count = this.#counts.get(host);
		if (count !== undefined || this.#counts.size < NAMED_MAX) this.#counts.set(host, (count ?? 0) + 1);
	}

	#beginSpan(): void {
		if (this.#isSpan) return;
		this.#isSpan = true;
		this.#clock.setTimer(REFUSAL_SPAN_MS, () => this.#endSpan());
	}

	#endSpan(): void {
		this.#isSpan = false;
		this.#lines = 0;
		if (this.#more === 0) return;
		const named = [...this.#counts].map(([host, count]) => `${host} (${count})`).join(', ');
		const sum = [...this.#counts.values()].reduce((total, count) => total + count, 0);
		const others = this.#more > sum ? `, others (${this.#more - sum})` : '';
		const spanS = REFUSAL_SPAN_MS / 1000;
		this.#write(`refused ${this.#more} more connections within ${spanS} s, from ${named}${others}`);
		this.#more = 0;
		this.#counts.clear();
	}
}
