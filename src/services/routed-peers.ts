/**
 * Requests between the brokers' own services over the tree. What leaves goes through the gate first. Payloads may carry
 * bytes: they are MessagePack within one raw value, and only brokers speak them.
 */
import {Decoder, Encoder} from '@msgpack/msgpack';
import {asSystemError, SystemError} from '../formats/errno.ts';
import {Idset} from '../formats/idset.ts';
import type {Message, Request, Response} from '../net/message.ts';
import {
	decodeAnswers,
	decodeScatter,
	encodeAnswers,
	encodeScatter,
	errorOf,
	failure,
	scatter,
	SCATTER_TOPIC,
	type Answers,
	type RankAnswer,
	type Scatter,
} from '../net/overlay/scatter.ts';
import type {Origin} from '../net/overlay/pending-rpcs.ts';
import {HOP_PENDING_MAX} from '../net/overlay/router.ts';
import type {Topology} from '../net/overlay/topology.ts';
import {CALL_TIMEOUT_MS, RpcClient} from '../net/rpc-client.ts';
import type {RpcRequest} from '../net/rpc-request.ts';
import type {ServiceRegistry} from '../net/service-registry.ts';
import type {Core} from './core.ts';
import type {HandlerOptions, PeerAnswer, PeerHandler, PeerOptions, Peers} from './peers.ts';

export interface RoutedPeersOptions {
	readonly core: Core;
	readonly topology: Topology;
	readonly registry: ServiceRegistry;
	readonly owner: {readonly userid: number; readonly rolemask: number};
	/** Hands a request of this broker to its router; responses go to `origin`. */
	readonly send: (request: Request, origin: Origin) => void;
}

export class RoutedPeers implements Peers {
	readonly parent: number | null;
	/** Requests of this broker's own. */
	readonly client: RpcClient;
	readonly #options: RoutedPeersOptions;
	readonly #handlers = new Map<string, PeerHandler>();
	/** Topics whose handlers only note facts. */
	readonly #factual = new Set<string>();
	/** What handlers work on that was asked without a message, and so is no RPC. */
	readonly #serving = new Set<{readonly topic: string; readonly sinceMs: number}>();

	constructor(options: RoutedPeersOptions) {
		this.#options = options;
		const {core, topology, registry, owner, send} = options;
		this.parent = topology.parentOf(core.rank);
		const name = `r${core.rank}`;
		const origin: Origin = {
			name,
			peer: `rank ${core.rank}`,
			deliver: (response: Response) => {
				this.client.receive(response);
				return true;
			},
		};
		const channel = {
			peer: 'the tree',
			send: (message: Message) => {
				if (message.type === 'request') send(message, origin);
				return true;
			},
			pause: () => undefined,
			resume: () => undefined,
			close: () => undefined,
		};
		// As many as its neighbours take: a burst of starts over all nodes is no reason to refuse any of them.
		this.client = new RpcClient(channel, {clock: core.clock, ...owner, pendingMax: HOP_PENDING_MAX});
		registry.register(SCATTER_TOPIC, async request => {
			senderOf(request);
			const answers = await this.#scatter(decodeScatter(bytesOf(request.payload)));
			request.respond(encodeAnswers(answers));
		});
	}

	/** Requests of this rank to itself, and of many ranks to all, that have no answer: topic and monotonic begin. */
	get serving(): Iterable<{readonly topic: string; readonly sinceMs: number}> {
		return this.#serving;
	}

	handle(topic: string, handler: PeerHandler, {isFactual = false}: HandlerOptions = {}): void {
		this.#handlers.set(topic, handler);
		if (isFactual) this.#factual.add(topic);
		this.#options.registry.register(topic, async request => {
			const from = senderOf(request);
			const payload = unpack(bytesOf(request.payload));
			const answer: unknown = await handler(payload as never, from);
			if (!request.noresponse) request.respond(pack(answer));
		});
	}

	async request(rank: number, topic: string, payload: object, options: PeerOptions = {}): Promise<unknown> {
		const {core} = this.#options;
		const timeoutMs = options.timeoutMs ?? CALL_TIMEOUT_MS;
		if (rank === core.rank) return this.#toSelf(topic, payload, timeoutMs);
		const packed = pack(payload); // What can't be packed is the caller's error, not the gate's.
		return new Promise((resolve, reject) => {
			core.leave(() => {
				this.client.call(topic, packed, {nodeid: rank, timeoutMs}).then(
					answer => resolve(unpack(bytesOf(answer))),
					(error: unknown) => reject(asSystemError(error)),
				);
			});
		});
	}

	async requestAll(
		ranks: readonly number[],
		topic: string,
		payload: object,
		{timeoutMs = CALL_TIMEOUT_MS}: PeerOptions = {},
	): Promise<ReadonlyMap<number, PeerAnswer>> {
		const answers = new Map<number, PeerAnswer>();
		const own = this.#options.core.rank;
		const others = ranks.filter(rank => rank !== own);
		const toOthers = async () => {
			if (others.length === 0) return;
			const request = {ranks: Idset.from(others), topic, payload: pack(payload), deadlineMs: timeoutMs};
			await new Promise<void>(resolve => this.#options.core.leave(resolve));
			for (const [rank, answer] of await this.#scatter(request)) answers.set(rank, readAnswer(answer));
		};
		const toSelf = async () => {
			if (!ranks.includes(own)) return;
			try {
				answers.set(own, {error: null, payload: await this.#toSelf(topic, payload, timeoutMs)});
			} catch (error) {
				answers.set(own, {error: asSystemError(error), payload: null});
			}
		};
		await Promise.all([toOthers(), toSelf()]);
		return answers;
	}

	/** Without a message, and without a copy. */
	#toSelf(topic: string, payload: object, timeoutMs: number): Promise<unknown> {
		const {core} = this.#options;
		const handler = this.#handlers.get(topic);
		if (handler === undefined) {
			return Promise.reject(new SystemError('ENOSYS', `no service matching ${topic} is registered`));
		}
		if (this.#factual.has(topic)) return Promise.resolve().then(() => handler(payload as never, core.rank));
		return new Promise((resolve, reject) => {
			const timer = core.clock.setTimer(timeoutMs, () => {
				reject(
					new SystemError('ETIMEDOUT', `${topic}: rank ${core.rank} did not answer within ${timeoutMs} ms`),
				);
			});
			const entry = {topic, sinceMs: core.clock.monotonicMs()};
			this.#serving.add(entry);
			core.leave(() => {
				Promise.resolve()
					.then(() => handler(payload as never, core.rank))
					.then(
						answer => core.leave(() => resolve(answer)),
						(error: unknown) => reject(error as Error),
					)
					.finally(() => {
						timer.cancel();
						this.#serving.delete(entry);
					});
			});
		});
	}

	#scatter(request: Scatter): Promise<Answers> {
		const {core, topology} = this.#options;
		return scatter(request, {
			topology,
			rank: core.rank,
			ask: async (child, part) => {
				const options = {nodeid: child, timeoutMs: part.deadlineMs};
				return decodeAnswers(bytesOf(await this.client.call(SCATTER_TOPIC, encodeScatter(part), options)));
			},
			local: async ({topic, payload, deadlineMs}) => this.#local({topic, payload, deadlineMs}),
		});
	}

	async #local({topic, payload, deadlineMs}: Omit<Scatter, 'ranks'>): Promise<RankAnswer> {
		try {
			const answer = await this.#toSelf(topic, unpack(payload) as object, deadlineMs);
			return {errnum: 0, payload: pack(answer)};
		} catch (error) {
			return failure(asSystemError(error));
		}
	}
}

/** The rank whose service asks. What brokers say to each other is believed, so it is taken from nobody else. */
function senderOf({topic, message}: RpcRequest): number {
	const rank = /^r(\d+)$/.exec(message.route[0] ?? '')?.[1];
	if (rank === undefined) throw new SystemError('EPERM', `${topic}: only brokers speak this topic`);
	return Number(rank);
}

function readAnswer(answer: RankAnswer): PeerAnswer {
	const error = errorOf(answer);
	if (error !== null) return {error, payload: null};
	try {
		return {error: null, payload: unpack(answer.payload)};
	} catch (fault) {
		return {error: asSystemError(fault, 'EPROTO'), payload: null};
	}
}

const encoder = new Encoder({useBigInt64: true, ignoreUndefined: true});
const decoder = new Decoder({useBigInt64: true});

function pack(value: unknown): Uint8Array {
	return encoder.encode(value ?? null);
}

function unpack(bytes: Uint8Array): unknown {
	try {
		return decoder.decode(bytes) ?? undefined;
	} catch (error) {
		throw new SystemError('EPROTO', `malformed payload: ${(error as Error).message}`, {cause: error});
	}
}

function bytesOf(value: unknown): Uint8Array {
	if (value instanceof Uint8Array) return value;
	throw new SystemError('EPROTO', 'malformed payload: only brokers speak this topic');
}
