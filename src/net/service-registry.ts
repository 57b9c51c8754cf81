/** Which handler serves which topic. Invariant: a topic has at most one handler. */
import {serviceOf} from './message.ts';
import type {RpcRequest} from './rpc-request.ts';

/**
 * Serves one request: answers it now or later through the request itself. What it throws, or rejects with, becomes
 * the answer: a `SystemError` as it is, anything else as EIO.
 */
export type Handler = (request: RpcRequest) => void | Promise<void>;

export interface ServiceOptions {
	/**
	 * Whether requests must have the streaming flag: `never` (default) and `always` refuse the others with EPROTO;
	 * with `optional` the handler looks at `request.streaming`.
	 */
	readonly streaming?: 'never' | 'optional' | 'always';
}

export interface Service {
	readonly handler: Handler;
	readonly streaming: 'never' | 'optional' | 'always';
}

export class ServiceRegistry {
	readonly #services = new Map<string, Service>();
	/** Topics by service. */
	readonly #counts = new Map<string, number>();
	/** A topic that nobody answers at present, on purpose; '': none. */
	hung = '';

	/** Serves `topic` from now on; the function returned ends that. Throws a plain Error for a topic that is taken. */
	register(topic: string, handler: Handler, {streaming = 'never'}: ServiceOptions = {}): () => void {
		if (this.#services.has(topic)) throw new Error(`topic ${topic} has a handler already`);
		const service = {handler, streaming};
		this.#services.set(topic, service);
		this.#count(topic, 1);
		return () => {
			if (this.#services.get(topic) !== service) return;
			this.#services.delete(topic);
			this.#count(topic, -1);
		};
	}

	find(topic: string): Service | undefined {
		const service = this.#services.get(topic);
		return service !== undefined && topic === this.hung ? {...service, handler: () => undefined} : service;
	}

	/** Whether any topic of `service` is served here. */
	has(service: string): boolean {
		return (this.#counts.get(service) ?? 0) > 0;
	}

	#count(topic: string, by: number): void {
		const service = serviceOf(topic);
		this.#counts.set(service, (this.#counts.get(service) ?? 0) + by);
	}

	get topics(): readonly string[] {
		return [...this.#services.keys()].sort();
	}
}
