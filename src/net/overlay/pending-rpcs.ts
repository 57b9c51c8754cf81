/**
 * The RPCs that this broker passed on to one neighbour and that are owed a final response. Invariant: an entry leaves
 * exactly once, and whoever takes it out owes its origin the one final answer, or nothing where the origin has gone.
 */
import type {Request, Response} from '../message.ts';

/** Who sent a request, and takes its responses: a client's link, a neighbour, or this broker itself. */
export interface Origin {
	/** Goes onto the route; never the same again in this life of the broker. */
	readonly name: string;
	/** For messages to people. */
	readonly peer: string;
	/** False: it is behind; its owner tells the router when it has caught up. */
	deliver(response: Response): boolean;
	/** Stops and resumes its requests; a neighbour can't be stopped, since signs of life come the same way. */
	readonly pause?: () => void;
	readonly resume?: () => void;
}

export interface PendingRpc {
	readonly key: string;
	readonly origin: Origin;
	/** As it came from its origin. */
	readonly request: Request;
	/** Monotonic; null: none. */
	readonly expiresMs: number | null;
	/** Its facts are in the log. */
	readonly isTracked: boolean;
	/** Some responses of its stream have passed. */
	isAnswered: boolean;
	/** The other side was told to send no more of its stream for now. */
	isStopped: boolean;
}

export class PendingRpcs {
	readonly #entries = new Map<string, PendingRpc>();
	#deadlines = 0;

	get count(): number {
		return this.#entries.size;
	}

	/** Whether some have a deadline. */
	get hasDeadlines(): boolean {
		return this.#deadlines > 0;
	}

	values(): Iterable<PendingRpc> {
		return this.#entries.values();
	}

	has(key: string): boolean {
		return this.#entries.has(key);
	}

	get(key: string): PendingRpc | undefined {
		return this.#entries.get(key);
	}

	add(entry: PendingRpc): void {
		this.#entries.set(entry.key, entry);
		if (entry.expiresMs !== null) this.#deadlines += 1;
	}

	remove(entry: PendingRpc): void {
		if (this.#entries.delete(entry.key) && entry.expiresMs !== null) this.#deadlines -= 1;
	}

	/** Takes out those that `isMeant` names. */
	take(isMeant: (entry: PendingRpc) => boolean): readonly PendingRpc[] {
		const taken = [...this.#entries.values()].filter(isMeant);
		for (const entry of taken) this.remove(entry);
		return taken;
	}
}

/** Names an RPC between the two ends of a link. */
export function rpcKey(matchtag: number, route: readonly string[]): string {
	return `${matchtag} ${route.join(' ')}`;
}
