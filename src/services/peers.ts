/**
 * Messages between the brokers' own services: the root's job manager and the exec service of each rank. Whoever sends
 * goes through the gate first; a message to the own rank takes the same way without a link.
 */
import {SystemError} from '../formats/errno.ts';
import type {Core} from './core.ts';

/** What a peer service answers to; a thrown or rejected `SystemError` is the error response. */
export type PeerHandler = (payload: never, from: number) => unknown;

export interface Peers {
	/** Registers the handler of a topic of this rank. */
	handle(topic: string, handler: PeerHandler): void;
	/**
	 * Sends a request to `rank` and resolves to the response's payload. Rejects with EHOSTUNREACH when contact
	 * is lost, with ENOSYS when nobody serves the topic there.
	 */
	request(rank: number, topic: string, payload: object): Promise<unknown>;
}

/** The peers of an instance of one broker: itself. */
export class LocalPeers implements Peers {
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
}
