/**
 * The RPCs that this broker passed on to its neighbours and that are owed a final response. Invariant: an entry leaves
 * exactly once, and whoever takes it out owes its origin the one final answer, or nothing where the origin has gone.
 *
 * Each is passed on under a matchtag of its own: an origin that was answered here may use its tag again at once, while the
 * brokers behind us still work on the RPC before, and the late response to that one must not be taken for another's.
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
	/** Under which it was passed on. */
	readonly matchtag: number;
	/** The neighbour that owes the response. */
	readonly hop: number;
	readonly origin: Origin;
	/** As it came from its origin. */
	readonly request: Request;
	/** Monotonic; null: none. */
	readonly expiresMs: number | null;
	/** Names it in the log; null: it has no facts there. */
	readonly factKey: string | null;
	/** Some responses of its stream have passed. */
	isAnswered: boolean;
	/** Its origin's link is behind. */
	isBehind: boolean;
	/** Its origin said that whoever reads the stream, somewhere behind it, is behind. */
	isHeld: boolean;
}

const MATCHTAG_MAX = 0xffff_ffff;

export class PendingRpcs {
	readonly #entries = new Map<number, PendingRpc>();
	/** By their origins' own matchtags. */
	readonly #byOrigin = new Map<Origin, Map<number, PendingRpc>>();
	readonly #counts = new Map<number, number>();
	#lastTag = 0;

	get count(): number {
		return this.#entries.size;
	}

	values(): Iterable<PendingRpc> {
		return this.#entries.values();
	}

	/** Those over one neighbour. */
	countOf(hop: number): number {
		return this.#counts.get(hop) ?? 0;
	}

	/** A matchtag that is not in use, to be added next. */
	nextTag(): number {
		do this.#lastTag = this.#lastTag === MATCHTAG_MAX ? 1 : this.#lastTag + 1;
		while (this.#entries.has(this.#lastTag));
		return this.#lastTag;
	}

	/** By the matchtag under which it was passed on. */
	get(matchtag: number): PendingRpc | undefined {
		return this.#entries.get(matchtag);
	}

	/** By the origin's own matchtag. */
	of(origin: Origin, matchtag: number): PendingRpc | undefined {
		return this.#byOrigin.get(origin)?.get(matchtag);
	}

	add(entry: PendingRpc): void {
		const {matchtag, hop, origin, request} = entry;
		this.#entries.set(matchtag, entry);
		this.#counts.set(hop, this.countOf(hop) + 1);
		const own = this.#byOrigin.get(origin);
		if (own === undefined) this.#byOrigin.set(origin, new Map([[request.matchtag, entry]]));
		else own.set(request.matchtag, entry);
	}

	remove({matchtag, hop, origin, request}: PendingRpc): void {
		if (!this.#entries.delete(matchtag)) return;
		this.#counts.set(hop, this.countOf(hop) - 1);
		this.#byOrigin.get(origin)?.delete(request.matchtag);
	}

	/** The origin sends nothing more. */
	forget(origin: Origin): void {
		this.#byOrigin.delete(origin);
	}

	/** Takes out those that are owed by a neighbour. */
	takeOver(hop: number): readonly PendingRpc[] {
		return this.countOf(hop) === 0 ? [] : this.#take(entry => entry.hop === hop);
	}

	/** Takes out those of an origin, or what `isMeant` names of them. */
	takeOf(origin: Origin, isMeant: (entry: PendingRpc) => boolean = () => true): readonly PendingRpc[] {
		const taken = [...(this.#byOrigin.get(origin)?.values() ?? [])].filter(isMeant);
		for (const entry of taken) this.remove(entry);
		return taken;
	}

	/** Takes out those whose time is over. `nextMs`: when the next one's will be; null: none has a deadline. */
	takeExpired(nowMs: number): {readonly expired: readonly PendingRpc[]; readonly nextMs: number | null} {
		let nextMs: number | null = null;
		const expired = this.#take(({expiresMs}) => {
			if (expiresMs === null) return false;
			if (expiresMs <= nowMs) return true;
			nextMs = Math.min(nextMs ?? Infinity, expiresMs);
			return false;
		});
		return {expired, nextMs};
	}

	#take(isMeant: (entry: PendingRpc) => boolean): readonly PendingRpc[] {
		const taken = [...this.#entries.values()].filter(isMeant);
		for (const entry of taken) this.remove(entry);
		return taken;
	}
}

/** Names an RPC between the two ends of a link. */
export function rpcKey(matchtag: number, route: readonly string[]): string {
	return `${matchtag} ${route.join(' ')}`;
}
