/**
 * Messages between the brokers' own services: the root's job manager and the exec service of each rank. Whoever sends
 * goes through the gate first; a message to the own rank takes the same way without a link.
 */
import {asSystemError, SystemError} from '../formats/errno.ts';
import type {Core} from './core.ts';

/** What a peer service answers to; a thrown or rejected `SystemError` is the error response. */
export type PeerHandler = (payload: never, from: number) => unknown;

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
	handle(topic: string, handler: PeerHandler): void;
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

/** The peers of an instance of one broker: itself. */
export class LocalPeers implements Peers {
	readonly parent = null;
	readonly #core: Core;
	readonly #handlers = new Map<string, PeerHandler>();

	constructor(core: Core) {
		this.#core = core;
	}

	handle(topic: string, handler: PeerHandler): void {
		this.#handlers.set(topic, handler);
	}

	request(rank: number, topic: string, payload: object): Promise<unknown> {
		const handler = this.#handlers.get(topic);
		if (rank !== this.#core.rank) {
			return Promise.reject(
				new SystemError('EHOSTUNREACH', `${topic}: rank ${rank} is not in this instance`),
			);
		}
		if (handler === undefined) {
			return Promise.reject(new SystemError('ENOSYS', `no service matching ${topic} is registered`));
		}
		return new Promise((resolve, reject) => {
			this.#core.leave(() => {
				Promise.resolve()
					.then(() => handler(payload as never, this.#core.rank))
					.then(
						response => this.#core.leave(() => resolve(response)),
						(error: unknown) => reject(error as Error),
					);
			});
		});
	}

	async requestAll(
		ranks: readonly number[],
		topic: string,
		payload: object,
	): Promise<Map<number, PeerAnswer>> {
		const ask = async (rank: number): Promise<[number, PeerAnswer]> => {
			try {
				return [rank, {error: null, payload: await this.request(rank, topic, payload)}];
			} catch (error) {
				return [rank, {error: asSystemError(error), payload: null}];
			}
		};
		return new Map(await Promise.all(ranks.map(async rank => ask(rank))));
	}
}
