/**
 * The RPCs of one link. Invariant: what is in `#open` has not had its final response; a key names one sender's RPC, so
 * that a sender can only cancel its own.
 */
import {SystemError} from '../formats/errno.ts';
import {deadlineIn} from '../ports/clock.ts';
import type {LinkEnd} from '../ports/transport.ts';
import {
	CANCEL_SUFFIX,
	DISCONNECT_METHOD,
	RPC_PENDING_MAX,
	serviceOf,
	USERID_UNKNOWN,
	type Request,
	type Response,
} from './message.ts';
import {decodePayload} from './payload.ts';
import {RpcRequest, type RequestOwner} from './rpc-request.ts';
import type {RpcServerOptions} from './rpc-server.ts';
import type {Service} from './service-registry.ts';

/** What carries a session's responses. */
export interface SessionChannel {
	/** The other side, for messages to people. */
	readonly peer: string;
	/** False: it is behind; the owner calls `drained` when it has caught up. */
	send(response: Response): boolean;
}

/** With more responses waiting for the gate, streams wait too: a disk that is slow must not fill the memory. */
export const GATE_BYTES_HIGH = 128 * 1024;

export interface RpcSessionOptions extends RpcServerOptions {
	readonly channel: SessionChannel;
	/** Unique in its server. */
	readonly id: string;
	/** Default RPC_PENDING_MAX. */
	readonly pendingMax?: number;
	readonly onEnd: () => void;
}

export class RpcSession implements RequestOwner {
	readonly sender: string;
	readonly #options: RpcSessionOptions;
	readonly #name: string;
	readonly #leave: (run: () => void) => void;
	readonly #open = new Map<number | string, RpcRequest>();
	/** The channel said that it is behind. */
	#isBehind = false;
	/** Payloads that wait for the gate; whether they are too many, until all have passed. */
	#gatedBytes = 0;
	#isGateBehind = false;
	/** Streams whose reader, somewhere behind the channel, is behind. */
	readonly #stopped = new Set<RpcRequest>();
	#ended = false;

	constructor(options: RpcSessionOptions) {
		this.#options = options;
		this.sender = options.id;
		this.#name = options.name ?? 'the server';
		this.#leave = options.leave ?? (run => run());
	}

	get peer(): string {
		return this.#options.channel.peer;
	}

	/** Its RPCs without a final response, oldest first. */
	get pending(): Iterable<RpcRequest> {
		return this.#open.values();
	}

	get pendingCount(): number {
		return this.#open.size;
	}

	/** Takes one request from the channel. */
	receive(received: Request): void {
		if (this.#ended) return;
		const message = this.#signed(received);
		const service = this.#options.registry.find(message.topic);
		if (service === undefined && message.noresponse && this.#receiveCancel(message)) return;
		const {clock} = this.#options;
		const deadline = message.deadlineMs === null ? null : deadlineIn(clock, message.deadlineMs);
		const request = new RpcRequest(message, {owner: this, deadline});
		const fault = this.#faultOf(message, service);
		if (fault !== null) {
			if (message.noresponse) return;
			const {topic, matchtag, userid, rolemask, route, streaming} = message;
			const payload = Buffer.from(fault.message);
			const {errnum} = fault;
			const head = {type: 'response', topic, matchtag, userid, rolemask, route, streaming} as const;
			this.#depart({...head, errnum, payload});
			return;
		}
		const {inHand} = this.#options;
		if (inHand === undefined) this.#begin(request, service!);
		else inHand(message, this.sender, () => this.#begin(request, service!));
	}

	/** The channel has caught up. */
	drained(): void {
		if (!this.#isBehind || this.#ended) return;
		this.#isBehind = false;
		if (!this.#isGateBehind) this.#goOn();
	}

	/** The reader of one stream can't take more, or can again. False: there is no such RPC. */
	setFlow(key: string, isStopped: boolean): boolean {
		const request = this.#open.get(key);
		if (request === undefined) return false;
		if (isStopped) this.#stopped.add(request);
		else if (this.#stopped.delete(request) && this.#keepsUp) this.#guard(request, () => request.onDrain());
		return true;
	}

	/** The channel is gone: all RPCs are canceled, and nothing is sent. Only the first call counts. */
	ended(end: LinkEnd): void {
		if (this.#ended) return;
		this.#ended = true;
		const reason = new SystemError('ECONNRESET', `${this.peer} has gone (${end.code}: ${end.message})`);
		this.#cancelWhere(() => true, {reason, silent: true});
		this.#options.onEnd();
	}

	/** Cancels, silently, all RPCs whose route begins with `origin`: a client somewhere below has gone. */
	disconnect(origin: string, service?: string): void {
		const reason = new SystemError('ECONNRESET', `client ${origin || this.peer} has gone`);
		this.#cancelWhere(
			({message}) =>
				(message.route[0] ?? '') === origin &&
				(service === undefined || serviceOf(message.topic) === service),
			{reason, silent: true},
		);
	}

	/** Answers all open RPCs with `reason`. */
	failAll(reason: SystemError): void {
		this.#cancelWhere(() => true, {reason, silent: false});
	}

	respond(request: RpcRequest, response: Response): boolean {
		const isFinal = !response.streaming || response.errnum !== 0;
		this.#options.onResponse?.(request, response, isFinal);
		const keepsUp = this.#depart(response);
		return keepsUp && !this.#stopped.has(request);
	}

	finished(request: RpcRequest): void {
		request.timer?.cancel();
		request.timer = null;
		this.#stopped.delete(request);
		if (!request.noresponse) this.#open.delete(keyOf(request.message));
	}

	forgotten(request: RpcRequest, reason: SystemError): void {
		this.#options.onForget?.(request, reason);
	}

	#begin(request: RpcRequest, service: Service): void {
		const {message} = request;
		if (!message.noresponse) this.#open.set(keyOf(message), request);
		this.#options.onRequest?.(request);
		this.#guard(request, () => service.handler(request));
		// Most requests have been answered by now, and need no timer.
		if (message.deadlineMs !== null && request.isOpen) this.#armDeadline(request, message.deadlineMs);
	}

	/** As on any local connection of an owner: only what is not said is filled in. */
	#signed(message: Request): Request {
		const {owner} = this.#options;
		return owner === undefined || message.userid !== USERID_UNKNOWN ? message : {...message, ...owner};
	}

	#armDeadline(request: RpcRequest, deadlineMs: number): void {
		request.timer = this.#options.clock.setTimer(deadlineMs, () => {
			const text = `${request.topic}: ${this.#name} did not answer within the ${deadlineMs} ms that the request gave it`;
			this.#guard(request, () => request.cancel(new SystemError('ETIMEDOUT', text), {silent: false}));
		});
	}

	/** Why a request can't be taken. */
	#faultOf(message: Request, service: Service | undefined): SystemError | null {
		const {topic, streaming} = message;
		if (service === undefined) return new SystemError('ENOSYS', `No service matching ${topic} is registered`);
		if (service.streaming === 'always' && !streaming) {
			return new SystemError(
				'EPROTO',
				`${topic} streams its responses, and the request has no streaming flag`,
			);
		}
		if (service.streaming === 'never' && streaming) {
			return new SystemError('EPROTO', `${topic} has one response, and the request has the streaming flag`);
		}
		const refusal = this.#options.refusalOf?.(message) ?? null;
		if (refusal !== null || message.noresponse) return refusal;
		const pendingMax = this.#options.pendingMax ?? RPC_PENDING_MAX;
		if (this.#open.size >= pendingMax) {
			return new SystemError(
				'EAGAIN',
				`${topic}: ${this.#name} has ${this.#open.size} requests of this connection pending, the limit is ${pendingMax} (RPC_PENDING_MAX)`,
			);
		}
		if (this.#open.has(keyOf(message))) {
			return new SystemError('EPROTO', `${topic}: matchtag ${message.matchtag} is that of a pending request`);
		}
		return null;
	}

	/** `TOPIC-cancel` and `SERVICE.disconnect`, which every service has. False: it is neither. */
	#receiveCancel(message: Request): boolean {
		const {topic, route} = message;
		const service = serviceOf(topic);
		if (topic.length === service.length + 1 + DISCONNECT_METHOD.length && topic.endsWith(DISCONNECT_METHOD)) {
			this.disconnect(route[0] ?? '', service);
			return true;
		}
		if (!topic.endsWith(CANCEL_SUFFIX)) return false;
		const matchtag = matchtagIn(message.payload);
		const request = matchtag === null ? undefined : this.#open.get(keyOf({matchtag, route}));
		if (request !== undefined && request.topic === topic.slice(0, -CANCEL_SUFFIX.length)) {
			const reason = new SystemError('ECANCELED', `${request.topic}: canceled by its sender`);
			this.#guard(request, () => request.cancel(reason, {silent: false}));
		}
		return true;
	}

	#cancelWhere(
		isMeant: (request: RpcRequest) => boolean,
		{reason, silent}: {readonly reason: SystemError; readonly silent: boolean},
	): void {
		for (const request of [...this.#open.values()]) {
			if (isMeant(request)) this.#guard(request, () => request.cancel(reason, {silent}));
		}
	}

	get #keepsUp(): boolean {
		return !this.#isBehind && !this.#isGateBehind;
	}

	#depart(response: Response): boolean {
		const sizeBytes = response.payload.length;
		this.#gatedBytes += sizeBytes;
		this.#leave(() => {
			this.#gatedBytes -= sizeBytes;
			if (this.#ended) return;
			if (!this.#options.channel.send(response)) this.#isBehind = true;
			if (!this.#isGateBehind || this.#gatedBytes > 0) return;
			this.#isGateBehind = false;
			if (!this.#isBehind) this.#goOn();
		});
		if (this.#gatedBytes > GATE_BYTES_HIGH) this.#isGateBehind = true;
		return this.#keepsUp;
	}

	/** Lets streams go on that were told to wait. */
	#goOn(): void {
		for (const request of [...this.#open.values()]) {
			// Also when one of them makes the channel fall behind again: each gets its turn.
			const mayGoOn = request.streaming && request.isOpen && !this.#stopped.has(request);
			if (mayGoOn) this.#guard(request, () => request.onDrain());
		}
	}

	/** Runs code of a handler: what it throws is this request's answer, and harms nobody else. */
	#guard(request: RpcRequest, run: () => unknown): void {
		try {
			const result = run();
			if (result instanceof Promise) result.catch((error: unknown) => this.#failed(request, error));
		} catch (error) {
			this.#failed(request, error);
		}
	}

	#failed(request: RpcRequest, error: unknown): void {
		const isExpected = error instanceof SystemError;
		if (request.isOpen) {
			const text = error instanceof Error ? error.message : String(error);
			request.error(
				isExpected ? error : new SystemError('EIO', `internal error in ${request.topic}: ${text}`),
			);
			if (isExpected) return;
		} else if (isExpected && request.isCanceled) {
			return; // What a handler can't finish because it was canceled is no defect.
		}
		this.#options.onHandlerError?.(error, request.topic);
	}
}

/** A number where there is no route (the usual case, and cheaper). */
function keyOf({matchtag, route}: Pick<Request, 'matchtag' | 'route'>): number | string {
	return route.length === 0 ? matchtag : `${matchtag} ${route.join(' ')}`;
}

function matchtagIn(payload: Uint8Array): number | null {
	try {
		const value = decodePayload(payload) as {matchtag?: unknown} | null | undefined;
		return typeof value?.matchtag === 'number' ? value.matchtag : null;
	} catch {
		return null; // A cancel that names nothing cancels nothing.
	}
}
