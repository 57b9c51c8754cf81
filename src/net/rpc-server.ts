/**
 * The server's half of RPC: takes requests from many links, hands each to the handler of its topic, and sees to it
 * that each gets exactly one final response, whatever its handler does.
 *
 * Responses leave through `leave`, given by the owner: a broker holds them back until the facts that they rest on are
 * durable. It must run what it is given in the order given.
 */
import {SystemError} from '../formats/errno.ts';
import type {Clock} from '../ports/clock.ts';
import type {Link} from '../ports/transport.ts';
import {acceptLink, sayGoodbye, type LinkReceiver} from './accept-link.ts';
import type {Request, Response} from './message.ts';
import {RpcSession, type SessionChannel} from './rpc-session.ts';
import type {RpcRequest} from './rpc-request.ts';
import type {ServiceRegistry} from './service-registry.ts';

/** More links are refused with EAGAIN. */
export const LINKS_MAX = 2048;

/** What takes in what a link brings: a session, or what stands before it. */
export type WrapSession = (
	session: RpcSession,
	ends: {readonly link: Link; readonly channel: SessionChannel},
) => LinkReceiver;

export interface RpcServerOptions {
	readonly registry: ServiceRegistry;
	readonly clock: Clock;
	/** Runs what makes a response visible, at once or later, in order. Default: at once. */
	readonly leave?: (run: () => void) => void;
	/** Who we are, for messages to people: `rank 3`. Default: `the server`. */
	readonly name?: string;
	/** Who a request comes from that does not say so. Default: nobody knows. */
	readonly owner?: {readonly userid: number; readonly rolemask: number};
	/** Why a request is not taken at all, whoever serves it; null: it is. */
	readonly refusalOf?: (request: Request) => SystemError | null;
	/** Runs the code that takes a request. Default: as it is. */
	readonly inHand?: (request: Request, sender: string, run: () => void) => void;
	/** A request was accepted; its handler runs next. */
	readonly onRequest?: (request: RpcRequest) => void;
	/** A response is about to be handed to `leave`; `isFinal` unless more of a stream may follow. */
	readonly onResponse?: (request: RpcRequest, response: Response, isFinal: boolean) => void;
	/** A request ended and no response leaves: its sender has gone. */
	readonly onForget?: (request: RpcRequest, reason: SystemError) => void;
	/** A handler failed otherwise than by a `SystemError`, or answered twice: a defect to be reported. */
	readonly onHandlerError?: (error: unknown, topic: string) => void;
}

export class RpcServer {
	readonly #options: RpcServerOptions;
	readonly #sessions = new Set<RpcSession>();
	#lastLink = 0;

	constructor(options: RpcServerOptions) {
		this.#options = options;
	}

	/** The open sessions: for health, and for a panic that answers all of them. */
	get sessions(): ReadonlySet<RpcSession> {
		return this.#sessions;
	}

	/** All RPCs without a final response, by session. */
	get pending(): Iterable<RpcRequest> {
		return [...this.#sessions].flatMap(session => [...session.pending]);
	}

	/**
	 * Serves `link` until it ends; its handlers are set here. Null: refused, and the link is being closed. `wrap` may
	 * stand between the link and its session: a broker passes on what is not for itself.
	 */
	accept(link: Link, wrap: WrapSession = session => session): LinkReceiver | null {
		if (this.#sessions.size >= LINKS_MAX) {
			const name = this.#options.name ?? 'the server';
			const message = `${name} serves ${this.#sessions.size} connections, the limit is ${LINKS_MAX} (LINKS_MAX)`;
			sayGoodbye(link, new SystemError('EAGAIN', message));
			return null;
		}
		return acceptLink(link, channel => wrap(this.open(channel), {link, channel}));
	}

	/**
	 * Serves requests that its owner hands in: for a broker, whose links carry more than requests to itself. The
	 * owner tells the session when its channel drained or ended.
	 */
	open(channel: SessionChannel, {pendingMax}: {readonly pendingMax?: number} = {}): RpcSession {
		this.#lastLink += 1;
		const session = new RpcSession({
			...this.#options,
			...(pendingMax === undefined ? {} : {pendingMax}),
			channel,
			id: `${this.#lastLink}`,
			onEnd: () => this.#sessions.delete(session),
		});
		this.#sessions.add(session);
		return session;
	}

	/** Answers every open RPC with `reason`, as a panic owes it, and lets the handlers' `onCancel` run. */
	failAll(reason: SystemError): void {
		for (const session of this.#sessions) session.failAll(reason);
	}
}
