/**
 * One request as its handler sees it. Invariant: at most one final response leaves, and nothing leaves after the RPC
 * was ended from outside (canceled, out of time, its sender gone); then `onCancel` runs once instead.
 */
import {errnumOf, SystemError} from '../formats/errno.ts';
import type {Deadline, Timer} from '../ports/clock.ts';
import {ERRNUM_MAX, PAYLOAD_BYTES_MAX, type Request, type Response} from './message.ts';
import {decodePayload, encodeErrorText, encodePayload} from './payload.ts';

const NO_PAYLOAD = new Uint8Array(0);

/** What a request needs of the session that it came in by. */
export interface RequestOwner {
	/** The link, as its owner named it. */
	readonly sender: string;
	/** Lets a response leave; false: the link is behind. */
	respond(request: RpcRequest, response: Response): boolean;
	/** The RPC is over. */
	finished(request: RpcRequest): void;
	/** It ended without a response. */
	forgotten(request: RpcRequest, reason: SystemError): void;
}

export class RpcRequest {
	readonly message: Request;
	/** Null: the sender waits for ever. Its passing is watched by the session. */
	readonly deadline: Deadline | null;
	/** Called once when the RPC ended otherwise than by its handler; the reason's code is ECANCELED, ETIMEDOUT or ECONNRESET. */
	onCancel: (reason: SystemError) => void = () => {};
	/** Called when a `respondStream` that returned false may be followed by the next one. */
	onDrain: () => void = () => {};
	/** Owned by the session. */
	timer: Timer | null = null;

	readonly #owner: RequestOwner;
	#state: 'open' | 'answered' | 'canceled' = 'open';
	#payload: unknown;
	#decoded = false;

	constructor(message: Request, {owner, deadline}: {owner: RequestOwner; deadline: Deadline | null}) {
		this.message = message;
		this.#owner = owner;
		this.deadline = deadline;
	}

	get topic(): string {
		return this.message.topic;
	}

	get matchtag(): number {
		return this.message.matchtag;
	}

	get streaming(): boolean {
		return this.message.streaming;
	}

	get noresponse(): boolean {
		return this.message.noresponse;
	}

	get userid(): number {
		return this.message.userid;
	}

	get rolemask(): number {
		return this.message.rolemask;
	}

	/** Which link it came in by. With `message.route` it says who sent it. */
	get sender(): string {
		return this.#owner.sender;
	}

	/** Names it among all requests of its server that are open: link, matchtag, and the route if there is one. */
	get key(): string {
		const {matchtag, route} = this.message;
		return [this.sender, matchtag, ...route].join(' ');
	}

	/** The value that came with it. @throws {SystemError} EPROTO when the bytes are no value. */
	get payload(): unknown {
		if (!this.#decoded) {
			this.#payload = decodePayload(this.message.payload);
			this.#decoded = true;
		}
		return this.#payload;
	}

	/** False when it was answered, canceled, or has run out of time. */
	get isOpen(): boolean {
		return this.#state === 'open';
	}

	/** True when it ended otherwise than by its handler: answers are dropped. */
	get isCanceled(): boolean {
		return this.#state === 'canceled';
	}

	/**
	 * Answers a request that does not stream; undefined: with an empty response. Throws a plain Error for a second answer.
	 * @throws {SystemError} EINVAL or EMSGSIZE for a value that can't be sent; the request is still open then.
	 */
	respond(value?: unknown): void {
		if (this.streaming) throw new Error(`${this.topic} streams: it is answered by respondStream and end`);
		if (!this.#mayAnswer()) return;
		this.#send({errnum: 0, payload: this.#encode(value)});
		this.#finish('answered');
	}

	/**
	 * Sends one value of a stream. False: the other side is behind; wait for `onDrain`, or let it queue, up to
	 * LINK_QUEUE_BYTES_MAX. A value that can't be sent ends the stream with the reason, as a cancel does: streams are fed from
	 * where nobody expects an error. Throws a plain Error after the end.
	 */
	respondStream(value: unknown): boolean {
		if (!this.streaming) throw new Error(`${this.topic} does not stream: it is answered by respond`);
		if (!this.#mayAnswer()) return true;
		let payload: Uint8Array;
		try {
			payload = this.#encode(value);
		} catch (error) {
			if (!(error instanceof SystemError)) throw error;
			this.cancel(error, {silent: false});
			return true;
		}
		return this.#send({errnum: 0, payload});
	}

	/** Ends a stream well: ENODATA. */
	end(): void {
		if (!this.streaming) throw new Error(`${this.topic} does not stream: it is answered by respond`);
		if (!this.#mayAnswer()) return;
		this.#send({errnum: errnumOf('ENODATA'), payload: NO_PAYLOAD});
		this.#finish('answered');
	}

	/** Answers with an error: a `SystemError`, or an error number without a text. */
	error(error: SystemError | number): void {
		if (typeof error === 'number' && !(Number.isInteger(error) && error > 0 && error <= ERRNUM_MAX)) {
			throw new Error(`${this.topic} was to be answered with the error number ${error}`);
		}
		if (!this.#mayAnswer()) return;
		this.#sendError(error);
		this.#finish('answered');
	}

	/**
	 * For the session: ends an open RPC from outside. `silent`: nobody is there to be answered. `onCancel` may still
	 * answer in its own way, if it is not silent; else `reason` is the answer.
	 */
	cancel(reason: SystemError, {silent}: {readonly silent: boolean}): void {
		if (this.#state !== 'open') return;
		if (silent) {
			this.#finish('canceled');
			this.#owner.forgotten(this, reason);
		}
		try {
			this.onCancel(reason);
		} finally {
			if (this.isOpen) {
				this.#sendError(reason);
				this.#finish('canceled');
			}
		}
	}

	#encode(value: unknown): Uint8Array {
		const payload = encodePayload(value);
		if (payload.length > PAYLOAD_BYTES_MAX) {
			throw new SystemError(
				'EMSGSIZE',
				`${this.topic}: response of ${payload.length} bytes exceeds PAYLOAD_BYTES_MAX (${PAYLOAD_BYTES_MAX})`,
			);
		}
		return payload;
	}

	#mayAnswer(): boolean {
		if (this.#state === 'answered') throw new Error(`${this.topic} was answered before`);
		return this.#state === 'open';
	}

	#sendError(error: SystemError | number): void {
		if (typeof error === 'number') this.#send({errnum: error, payload: NO_PAYLOAD});
		else this.#send({errnum: error.errnum, payload: encodeErrorText(error.message)});
	}

	#send({errnum, payload}: {readonly errnum: number; readonly payload: Uint8Array}): boolean {
		if (this.noresponse) return true;
		const {topic, matchtag, userid, rolemask, route, streaming} = this.message;
		return this.#owner.respond(this, {
			type: 'response',
			topic,
			matchtag,
			errnum,
			userid,
			rolemask,
			route,
			streaming,
			payload,
		});
	}

	#finish(state: 'answered' | 'canceled'): void {
		this.#state = state;
		this.#owner.finished(this);
	}
}
