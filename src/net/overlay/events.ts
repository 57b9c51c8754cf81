/**
 * Events: published by the root with a sequence, passed down the tree, in order and once at every broker. A broker that
 * notices a gap asks its parent for what is missing before it passes on what came after it.
 */
import {asSystemError, type SystemError} from '../../formats/errno.ts';
import type {Event} from '../message.ts';

/** A broker can repeat so many of the newest events, and holds back as many behind a gap. */
export const EVENTS_KEPT_MAX = 1024;

export interface EventsOptions {
	readonly sendDown: (event: Event) => void;
	/** Asks the parent for the events after `sequence`, as far as it still has them; null: nobody can be asked. */
	readonly fetch: (sequence: number) => Promise<readonly Event[] | null>;
	/** Events are lost for good here: from the one, up to the other. */
	readonly onGap: (gap: {readonly after: number; readonly before: number}, error: SystemError | null) => void;
}

export class Events {
	readonly #options: EventsOptions;
	readonly #listeners = new Set<(event: Event) => void>();
	#kept: Event[] = [];
	#ahead: Event[] = [];
	#sequence = 0;
	#isFetching = false;

	constructor(options: EventsOptions) {
		this.#options = options;
	}

	/** That of the last event that was passed on here. */
	get sequence(): number {
		return this.#sequence;
	}

	/** The parent has passed on so many; ours begin after it. */
	begin(sequence: number): void {
		this.#sequence = sequence;
		this.#kept = [];
		this.#ahead = [];
	}

	/** Root only: gives the event its place. Returns its sequence. */
	publish(event: Omit<Event, 'type' | 'sequence'>): number {
		this.#pass({...event, type: 'event', sequence: this.#sequence + 1});
		return this.#sequence;
	}

	/** One came from the parent. */
	receive(event: Event): void {
		if (event.sequence <= this.#sequence) return;
		if (event.sequence === this.#sequence + 1) {
			this.#pass(event);
			this.#catchUp();
			return;
		}
		if (this.#ahead.length < EVENTS_KEPT_MAX) this.#ahead.push(event);
		this.#fetch();
	}

	/** Calls `listener` with each event from now on. Returns how to stop it. */
	subscribe(listener: (event: Event) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	/** The events after `sequence`, oldest first, as far as they are kept. */
	after(sequence: number): readonly Event[] {
		return this.#kept.filter(event => event.sequence > sequence);
	}

	#pass(event: Event): void {
		this.#sequence = event.sequence;
		this.#kept.push(event);
		if (this.#kept.length > EVENTS_KEPT_MAX) this.#kept.shift();
		this.#options.sendDown(event);
		for (const listener of [...this.#listeners]) listener(event);
	}

	#catchUp(): void {
		const ahead = this.#ahead.sort((a, b) => a.sequence - b.sequence);
		this.#ahead = [];
		for (const event of ahead) {
			if (event.sequence === this.#sequence + 1) this.#pass(event);
			else if (event.sequence > this.#sequence) this.#ahead.push(event);
		}
		if (this.#ahead.length > 0) this.#fetch();
	}

	#fetch(): void {
		if (this.#isFetching) return;
		this.#isFetching = true;
		this.#options.fetch(this.#sequence).then(
			events => this.#fetched(events ?? [], null),
			(error: unknown) => this.#fetched([], asSystemError(error)),
		);
	}

	#fetched(events: readonly Event[], error: SystemError | null): void {
		this.#isFetching = false;
		this.#ahead.push(...events);
		const [next] = this.#ahead
			.map(({sequence}) => sequence)
			.filter(one => one > this.#sequence)
			.sort(ascending);
		if (next !== undefined && next > this.#sequence + 1) {
			// Not to be had: going on without them beats standing still, and it is said.
			this.#options.onGap({after: this.#sequence, before: next}, error);
			this.#sequence = next - 1;
		}
		this.#catchUp();
	}
}

function ascending(a: number, b: number): number {
	return a - b;
}
