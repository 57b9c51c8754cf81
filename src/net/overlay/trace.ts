/**
 * What passes over the links to neighbours, told to who listens (`overlay trace`). Invariant: costs nothing while nobody does.
 * Hellos, goodbyes and signs of life are not told: they are the links' own affair, and peer machines show what comes of them.
 */
import type {Message} from '../message.ts';

export interface TracedMessage {
	readonly direction: 'tx' | 'rx';
	/** The neighbour. */
	readonly rank: number;
	readonly message: Message;
}

export class Trace {
	readonly #listeners = new Set<(traced: TracedMessage) => void>();

	/** Calls `listener` with each message from now on. Returns how to stop it. */
	follow(listener: (traced: TracedMessage) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	note(direction: 'tx' | 'rx', rank: number, message: Message): void {
		if (this.#listeners.size === 0) return;
		for (const listener of [...this.#listeners]) listener({direction, rank, message});
	}
}
