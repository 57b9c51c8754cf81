/** A scripted broker: topics answer as a test says, and links are cut when it wants. It records what was asked. */
import {RpcServer} from '../../src/net/rpc-server.ts';
import type {RpcRequest} from '../../src/net/rpc-request.ts';
import {ServiceRegistry, type Handler} from '../../src/net/service-registry.ts';
import {SystemError} from '../../src/formats/errno.ts';
import type {Clock} from '../../src/ports/clock.ts';
import type {Link, Transport} from '../../src/ports/transport.ts';
import {MemoryLink} from './memory-link.ts';

export interface Asked {
	readonly topic: string;
	readonly payload: unknown;
	readonly nodeid: number;
}

/** Calls that clients make by themselves. */
const OWN_TOPICS = new Set(['broker.ping']);

export class ScriptedBroker {
	readonly asked: Asked[] = [];
	/** False: connections are refused. */
	isUp = true;
	connections = 0;
	readonly #clock: Clock;
	readonly #registry = new ServiceRegistry();
	readonly #server: RpcServer;
	readonly #links = new Set<MemoryLink>();

	constructor(clock: Clock) {
		this.#clock = clock;
		this.#server = new RpcServer({
			registry: this.#registry,
			clock,
			onRequest: ({topic, payload, message}) => {
				if (!OWN_TOPICS.has(topic)) this.asked.push({topic, payload, nodeid: message.nodeid});
			},
			onHandlerError: error => {
				throw error;
			},
		});
		this.on('broker.ping', request => {
			request.respond({...(request.payload as object), route: 'c1!0', userid: 1000, rolemask: 1, rank: 0});
		});
	}

	/** Serves a topic; a later call replaces an earlier one. */
	on(topic: string, handler: Handler): this {
		this.#remove.get(topic)?.();
		this.#remove.set(topic, this.#registry.register(topic, handler, {streaming: 'optional'}));
		return this;
	}

	/** Serves a topic with the same answer each time. */
	answer(topic: string, value: unknown): this {
		return this.on(topic, request => request.respond(value));
	}

	/** Serves a stream with the same values each time. */
	stream(topic: string, values: readonly unknown[]): this {
		return this.on(topic, request => {
			for (const value of values) request.respondStream(value);
			request.end();
		});
	}

	get transport(): Transport {
		return {
			listen: () => Promise.reject(new Error('not in these tests')),
			connect: address => this.#connect(address),
		};
	}

	/** Cuts all links; what is on its way is lost. */
	cut(): void {
		for (const link of this.#links) link.destroy();
		this.#links.clear();
	}

	/** The payloads with which `topic` was asked. */
	payloadsOf(topic: string): unknown[] {
		return this.asked.filter(asked => asked.topic === topic).map(({payload}) => payload);
	}

	readonly #remove = new Map<string, () => void>();

	async #connect(address: string): Promise<Link> {
		await new Promise(resolve => setImmediate(resolve));
		if (!this.isUp) throw new SystemError('ECONNREFUSED', `connecting to ${address}: refused`);
		this.connections += 1;
		const [client, server] = MemoryLink.pair();
		this.#links.add(client);
		this.#server.accept(server);
		void this.#clock;
		return client;
	}
}

export type {RpcRequest};
