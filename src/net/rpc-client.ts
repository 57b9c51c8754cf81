/**
 * The client's half of RPC: sends requests, matches responses to them by matchtag, and ends each exactly once: by its
 * final response, by its deadline, by the caller, or with ECONNRESET when the link ends.
 *
 * Invariant: a matchtag is given out again only after the final response to it arrived. What the caller gave up
 * before keeps its tag, so that a late response can't be taken for the answer to another request.
 */
import {errnumOf, SystemError} from '../formats/errno.ts';
import type {Clock, Timer} from '../ports/clock.ts';
import type {Link, LinkEnd} from '../ports/transport.ts';
import {attachLink} from './attach-link.ts';
import {Matchtags} from './matchtags.ts';
import {
	CANCEL_SUFFIX,
	CONTROL_GOODBYE,
	CONTROL_PING,
	CONTROL_PONG,
	DEADLINE_MS_MAX,
	MATCHTAG_NONE,
	NODEID_ANY,
	RPC_PENDING_MAX,
	TOPIC_BYTES_MAX,
	USERID_UNKNOWN,
	type Control,
	type Event,
	type Message,
	type Request,
	type Response,
} from './message.ts';
import {decodeError, decodePayload, encodePayload} from './payload.ts';
import {RpcStream} from './rpc-stream.ts';

export const CALL_TIMEOUT_MS = 30_000;

export interface RpcOptions {
	/** A rank; default: the first broker on the way to the root that has the service. */
	readonly nodeid?: number;
	/** `nodeid` is the own rank, and to be passed by. */
	readonly upstream?: boolean;
	/** Gives the RPC up: ECANCELED, with the signal's reason as cause; the server is told. */
	readonly signal?: AbortSignal;
}

export interface CallOptions extends RpcOptions {
	/** From now to the answer, in milliseconds; then ETIMEDOUT. The request carries it along. Default 30 s. */
	readonly timeoutMs?: number;
}

export interface StreamOptions extends RpcOptions {
	/** From now to the end of the stream. Default: none; the link's own watch then bounds the wait. */
	readonly timeoutMs?: number;
	/** From now to the first value, and from each to the next. Default: none. */
	readonly idleTimeoutMs?: number;
}

/** What carries a client's messages: a link, or a broker's own router. */
export interface RpcChannel {
	/** Who is at the other end, for messages to people. */
	readonly peer: string;
	/** False: wait for `drained`. */
	send(message: Message): boolean;
	/** Stops and resumes the responses: what slows a sender down. */
	pause(): void;
	resume(): void;
	close(reason?: LinkEnd): void;
}

export interface RpcClientOptions {
	readonly clock: Clock;
	/** The sender as the request says it. Default: unknown, to be filled in by the broker that it is sent to. */
	readonly userid?: number;
	readonly rolemask?: number;
	/** More requests without a final response are refused with EAGAIN. Default RPC_PENDING_MAX. */
	readonly pendingMax?: number;
}

export interface LinkClientOptions extends RpcClientOptions {
	/**
	 * Three intervals of this length in which nothing comes end the link with ETIMEDOUT: a peer that hangs, whose kernel
	 * keeps the link. Default null: the link is not watched.
	 */
	readonly keepaliveMs?: number | null;
}

/** An RPC that is not over: what the rest of this file and `RpcStream` need of it. */
interface Entry {
	readonly topic: string;
	readonly nodeid: number;
	readonly upstream: boolean;
	/** Takes responses that are no end. */
	readonly onValue: ((payload: Uint8Array) => void) | null;
	/** The end, called at most once; then null: the caller has gone, only the tag is still held. */
	settle: ((error: SystemError | null, payload: Uint8Array) => void) | null;
	timer: Timer | null;
	signal: AbortSignal | null;
	onAbort: (() => void) | null;
}

/** What `#open` needs to send a request and to end it. */
interface Opening {
	readonly topic: string;
	readonly payload: unknown;
	readonly options: RpcOptions;
	readonly streaming: boolean;
	readonly timeoutMs: number | null;
	readonly onValue: Entry['onValue'];
	readonly settle: NonNullable<Entry['settle']>;
}

const NO_ROUTE: readonly string[] = [];
const NO_PAYLOAD = new Uint8Array(0);
const ENODATA = errnumOf('ENODATA');

export class RpcClient {
	/** Called once when the link has ended, after everything pending was rejected. */
	onEnd: (end: LinkEnd) => void = () => {};
	onEvent: (event: Event) => void = () => {};
	/** Control messages that this file does not know. */
	onControl: (control: Control) => void = () => {};
	/** Requests that come from the other side; without an owner they are dropped. */
	onRequest: (request: Request) => void = () => {};

	readonly #channel: RpcChannel;
	readonly #clock: Clock;
	readonly #userid: number;
	readonly #rolemask: number;
	readonly #tags: Matchtags<Entry>;
	readonly #pendingMax: number;
	/** Streams whose buffer is over its bound, and calls that wait: see `#balance`. */
	#fullStreams = 0;
	#waitingCalls = 0;
	#paused = false;
	#goodbye: LinkEnd | null = null;
	#ended: LinkEnd | null = null;

	constructor(channel: RpcChannel, options: RpcClientOptions) {
		const {clock, userid, rolemask, pendingMax = RPC_PENDING_MAX} = options;
		this.#tags = new Matchtags(pendingMax);
		this.#pendingMax = pendingMax;
		this.#channel = channel;
		this.#clock = clock;
		this.#userid = userid ?? USERID_UNKNOWN;
		this.#rolemask = rolemask ?? 0;
	}

	/** A client that owns `link`: its handlers are set here. */
	static over(link: Link, {keepaliveMs = null, ...options}: LinkClientOptions): RpcClient {
		const {clock} = options;
		return attachLink(link, {clock, keepaliveMs, open: channel => new RpcClient(channel, options)});
	}

	get peer(): string {
		return this.#channel.peer;
	}

	/** Requests without a final response, those that were given up included. */
	get pendingCount(): number {
		return this.#tags.count;
	}

	/** Why the link ended; null while it is there. */
	get end(): LinkEnd | null {
		return this.#ended;
	}

	/**
	 * Sends one request and resolves to the value of its response (undefined for an empty one).
	 * Rejects with a `SystemError`: the responder's own; ETIMEDOUT, naming topic and peer; ECANCELED by the signal;
	 * ECONNRESET when the link ended (the request may have been served); ENOTCONN when it had ended before; EAGAIN
	 * beyond RPC_PENDING_MAX; EINVAL or EMSGSIZE for what can't be sent.
	 */
	call(topic: string, payload?: unknown, options: CallOptions = {}): Promise<unknown> {
		return new Promise((resolve, reject) => {
			this.#open({
				topic,
				payload,
				options,
				streaming: false,
				timeoutMs: options.timeoutMs ?? CALL_TIMEOUT_MS,
				onValue: null,
				settle: (error, bytes) => {
					this.#waitingCalls -= 1;
					if (error !== null) reject(error);
					else resolveDecoded(bytes, {resolve, reject});
				},
			});
			this.#waitingCalls += 1;
			if (this.#paused) this.#balance();
		});
	}

	/**
	 * Sends a streaming request and yields the values of its responses; ends at ENODATA and throws any other error,
	 * as `call` does. Leaving the loop sends a cancel and drops what is still coming. Iterate it once.
	 * @throws {SystemError} at once what can't be sent (see `call`).
	 */
	stream(topic: string, payload?: unknown, options: StreamOptions = {}): RpcStream {
		let matchtag = MATCHTAG_NONE;
		const stream = new RpcStream({
			clock: this.#clock,
			what: `${topic} of ${this.peer}`,
			idleTimeoutMs: options.idleTimeoutMs ?? null,
			onFull: isFull => {
				this.#fullStreams += isFull ? 1 : -1;
				this.#balance();
			},
			onCancel: error => this.#giveUp(matchtag, error),
		});
		try {
			matchtag = this.#open({
				topic,
				payload,
				options,
				streaming: true,
				timeoutMs: options.timeoutMs ?? null,
				onValue: bytes => stream.push(bytes),
				settle: error => stream.finish(error),
			});
		} catch (error) {
			stream.finish(null); // Ends its timer.
			throw error;
		}
		return stream;
	}

	/** Sends a request that wants no response. It may be lost. @throws {SystemError} as `call` rejects. */
	notify(topic: string, payload?: unknown, {nodeid, upstream}: RpcOptions = {}): void {
		if (this.#ended !== null) throw this.#notConnected(topic);
		const to = {topic, nodeid: nodeid ?? NODEID_ANY, upstream: upstream ?? false};
		this.#channel.send(
			this.#request(to, {
				matchtag: MATCHTAG_NONE,
				streaming: false,
				deadlineMs: null,
				payload: encodePayload(payload),
			}),
		);
	}

	/** Ends the link; everything pending is rejected with ECONNRESET when it has ended. */
	close(reason?: LinkEnd): void {
		this.#channel.close(reason);
	}

	/** Whoever owns the channel hands each message of the other side in here. */
	receive(message: Message): void {
		switch (message.type) {
			case 'response':
				this.#respond(message);
				break;
			case 'event':
				this.onEvent(message);
				break;
			case 'request':
				this.onRequest(message);
				break;
			case 'control':
				this.#control(message);
				break;
		}
	}

	/** The channel has ended: rejects all that is pending. Only the first call counts. */
	ended(end: LinkEnd): void {
		if (this.#ended !== null) return;
		this.#ended = this.#goodbye ?? end;
		for (const entry of this.#tags.clear()) {
			const error = new SystemError(
				'ECONNRESET',
				`${entry.topic}: no answer, the connection to ${this.peer} ended (${describe(this.#ended)})`,
			);
			this.#settle(entry, error, NO_PAYLOAD);
		}
		this.onEnd(this.#ended);
	}

	/** Books and sends a request; what can't be sent throws, and leaves no trace. Returns its matchtag. */
	#open({topic, payload, options, streaming, timeoutMs, onValue, settle}: Opening): number {
		this.#refuse(topic, options.signal);
		const entry: Entry = {
			topic,
			nodeid: options.nodeid ?? NODEID_ANY,
			upstream: options.upstream ?? false,
			onValue,
			settle,
			timer: null,
			signal: null,
			onAbort: null,
		};
		const deadlineMs =
			timeoutMs === null ? null : Math.min(DEADLINE_MS_MAX, Math.max(0, Math.ceil(timeoutMs)));
		const encoded = encodePayload(payload);
		const matchtag = this.#tags.take(entry);
		try {
			const request = this.#request(entry, {matchtag, streaming, deadlineMs, payload: encoded});
			this.#channel.send(request); // A channel within this process may answer before it returns.
		} catch (error) {
			this.#tags.free(matchtag);
			throw error;
		}
		if (entry.settle !== null) {
			if (timeoutMs !== null) {
				entry.timer = this.#clock.setTimer(timeoutMs, () => this.#expire(matchtag, timeoutMs));
			}
			if (options.signal !== undefined) this.#watch(matchtag, options.signal);
		}
		return matchtag;
	}

	#refuse(topic: string, signal: AbortSignal | undefined): void {
		if (this.#ended !== null) throw this.#notConnected(topic);
		if (signal?.aborted === true) throw canceled(topic, signal);
		if (topic.length > TOPIC_BYTES_MAX - CANCEL_SUFFIX.length) {
			throw new SystemError('EINVAL', `topic ${topic} has ${topic.length} characters: too many to cancel it`);
		}
		if (this.#tags.count >= this.#pendingMax) {
			throw new SystemError(
				'EAGAIN',
				`${topic}: ${this.#tags.count} requests to ${this.peer} are pending, the limit is ${this.#pendingMax} (RPC_PENDING_MAX)`,
			);
		}
	}

	#request(
		{topic, nodeid, upstream}: Pick<Entry, 'topic' | 'nodeid' | 'upstream'>,
		fields: Pick<Request, 'matchtag' | 'streaming' | 'deadlineMs' | 'payload'>,
	): Request {
		return {
			type: 'request',
			topic,
			matchtag: fields.matchtag,
			nodeid,
			upstream,
			streaming: fields.streaming,
			noresponse: fields.matchtag === MATCHTAG_NONE,
			userid: this.#userid,
			rolemask: this.#rolemask,
			route: NO_ROUTE,
			deadlineMs: fields.deadlineMs,
			payload: fields.payload,
		};
	}

	#respond(response: Response): void {
		const entry = this.#tags.get(response.matchtag);
		if (entry === undefined || entry.topic !== response.topic) return; // Late, or not ours: dropped.
		const isFinal = !response.streaming || response.errnum !== 0;
		if (!isFinal) {
			entry.onValue?.(response.payload);
			return;
		}
		this.#tags.free(response.matchtag);
		if (response.errnum === 0) {
			if (entry.onValue !== null) entry.onValue(response.payload);
			this.#settle(entry, null, response.payload);
		} else if (response.errnum === ENODATA && entry.onValue !== null) {
			this.#settle(entry, null, NO_PAYLOAD);
		} else {
			this.#settle(entry, decodeError(response.errnum, response.payload), NO_PAYLOAD);
		}
	}

	#control(control: Control): void {
		if (control.controlType === CONTROL_PING) {
			this.#channel.send({...control, controlType: CONTROL_PONG});
		} else if (control.controlType === CONTROL_GOODBYE) {
			const {code, message} = decodeError(control.status, control.payload);
			this.#goodbye = {code, message};
		} else if (control.controlType !== CONTROL_PONG) {
			this.onControl(control);
		}
	}

	#expire(matchtag: number, timeoutMs: number): void {
		const entry = this.#tags.get(matchtag)!;
		this.#giveUp(
			matchtag,
			new SystemError(
				'ETIMEDOUT',
				`${entry.topic}: no answer from ${this.#who(entry)} within ${timeoutMs} ms`,
			),
		);
	}

	#who(entry: Entry): string {
		return entry.nodeid === NODEID_ANY ? this.peer : `rank ${entry.nodeid} through ${this.peer}`;
	}

	#watch(matchtag: number, signal: AbortSignal): void {
		const entry = this.#tags.get(matchtag)!;
		entry.signal = signal;
		entry.onAbort = () => this.#giveUp(matchtag, canceled(entry.topic, signal));
		signal.addEventListener('abort', entry.onAbort);
	}

	/** The caller's end of an RPC that the server still works on: it is told, and the tag stays held. */
	#giveUp(matchtag: number, error: SystemError | null): void {
		const entry = this.#tags.get(matchtag);
		if (entry === undefined || entry.settle === null) return;
		this.#settle(entry, error, NO_PAYLOAD);
		const {nodeid, upstream} = entry;
		this.notify(`${entry.topic}${CANCEL_SUFFIX}`, {matchtag}, {nodeid, upstream});
	}

	#settle(entry: Entry, error: SystemError | null, payload: Uint8Array): void {
		entry.timer?.cancel();
		entry.timer = null;
		if (entry.onAbort !== null) entry.signal?.removeEventListener('abort', entry.onAbort);
		entry.onAbort = null;
		const {settle} = entry;
		entry.settle = null;
		settle?.(error, payload);
		if (this.#fullStreams > 0) this.#balance();
	}

	/**
	 * Reading stops while a stream's consumer is behind, which slows the sender; but not while a call waits, whose
	 * response could be behind the stream's values (its consumer may be the one who waits for it).
	 */
	#balance(): void {
		const pause = this.#fullStreams > 0 && this.#waitingCalls === 0;
		if (pause === this.#paused) return;
		this.#paused = pause;
		if (pause) this.#channel.pause();
		else this.#channel.resume();
	}

	#notConnected(topic: string): SystemError {
		const why = this.#ended === null ? '' : ` (${describe(this.#ended)})`;
		return new SystemError('ENOTCONN', `${topic}: the connection to ${this.peer} has ended${why}`);
	}
}

function resolveDecoded(
	bytes: Uint8Array,
	{resolve, reject}: {resolve: (value: unknown) => void; reject: (error: SystemError) => void},
): void {
	try {
		resolve(decodePayload(bytes));
	} catch (error) {
		reject(error as SystemError);
	}
}

function canceled(topic: string, signal: AbortSignal): SystemError {
	return new SystemError('ECANCELED', `${topic}: given up by the caller`, {cause: signal.reason});
}

function describe(end: LinkEnd): string {
	return `${end.code}: ${end.message}`;
}
