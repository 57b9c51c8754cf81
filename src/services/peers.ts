/**
 * Messages between the brokers' own services: the root's job manager and the exec service of each rank. Whoever sends
 * goes through the gate first; a message to the own rank takes the same way without a link, unless all that comes of it is facts.
 */
import type {ErrnoName, SystemError} from '../formats/errno.ts';

/** What a peer service answers to; a thrown or rejected `SystemError` is the error response. */
export type PeerHandler = (payload: never, from: number) => unknown;

/** The other side could not be asked, or can't take anything now: no judgement about what it was asked. Ask again. */
export const CONTACT_ERRORS: ReadonlySet<string> = new Set<ErrnoName>([
	'EHOSTUNREACH',
	'ECONNRESET',
	'ETIMEDOUT',
	'ENOSYS',
	'EAGAIN',
	'EROFS',
	'EIO',
]);

export interface HandlerOptions {
	/**
	 * It only notes facts, at once, and passes the gate itself before anything else comes of them. So it waits at no gate when its
	 * own rank asks: what it notes stands in the same log after what it rests on, and no crash can keep it without that.
	 */
	readonly isFactual?: boolean;
}

export interface PeerOptions {
	/** From now to the answer; then ETIMEDOUT. Default 30 s. */
	readonly timeoutMs?: number;
}

/** What one of many ranks answered. */
export type PeerAnswer =
	{readonly error: null; readonly payload: unknown} | {readonly error: SystemError; readonly payload: null};

export interface Peers {
	/** The rank of this broker's parent; null at the root. */
	readonly parent: number | null;
	/** Registers the handler of a topic of this rank. */
	handle(topic: string, handler: PeerHandler, options?: HandlerOptions): void;
	/**
	 * Sends a request to `rank` and resolves to the response's payload. Rejects with EHOSTUNREACH when contact
	 * is lost, with ENOSYS when nobody serves the topic there.
	 */
	request(rank: number, topic: string, payload: object, options?: PeerOptions): Promise<unknown>;
	/**
	 * Sends one request to many ranks: one message that is split on the way down, and whose answers are gathered on the
	 * way up. Resolves when each rank of `ranks` has answered or has failed; never rejects.
	 */
	requestAll(
		ranks: readonly number[],
		topic: string,
		payload: object,
		options?: PeerOptions,
	): Promise<ReadonlyMap<number, PeerAnswer>>;
}
