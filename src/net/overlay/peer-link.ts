/**
 * A link to a neighbour in the tree: messages in both directions, signs of life, and an end that says why. Invariant: whatever
 * the other side sends, at worst this link ends; `onEnd` runs exactly once, and nothing is received after it.
 */
import {asSystemError, SystemError} from '../../formats/errno.ts';
import type {Clock} from '../../ports/clock.ts';
import type {Link, LinkEnd} from '../../ports/transport.ts';
import {
	CONTROL_GOODBYE,
	CONTROL_PING,
	CONTROL_PONG,
	decodeMessage,
	encodeMessage,
	type Message,
} from '../message.ts';
import {decodeError, encodeErrorText} from '../payload.ts';
import {Liveness} from './liveness.ts';

/** Between the two ends of one link, in numbers that no client knows. */
export const CONTROL_STATUS = 16;
export const CONTROL_FLOW = 17;

export interface PeerTimes {
	readonly torpidMs: number;
	readonly lostTimeoutMs: number;
	readonly keepaliveMs: number;
}

export interface PeerLinkOptions {
	readonly clock: Clock;
	readonly times: PeerTimes;
	readonly onMessage: (message: Message) => void;
	readonly onDrain: () => void;
	readonly onTorpid: (silentMs: number) => void;
	readonly onResponsive: () => void;
	/** Why it ended; null: the other side said that it goes in good order. */
	readonly onEnd: (error: SystemError | null) => void;
}

export class PeerLink {
	readonly #link: Link;
	readonly #options: PeerLinkOptions;
	readonly #liveness: Liveness;
	/** What the other side said last: null is good order. Undefined: nothing. */
	#goodbye: SystemError | null | undefined = undefined;
	#hasEnded = false;

	constructor(link: Link, options: PeerLinkOptions) {
		this.#link = link;
		this.#options = options;
		const {clock, times, onTorpid, onResponsive} = options;
		this.#liveness = new Liveness({
			clock,
			keepaliveMs: times.keepaliveMs,
			torpidMs: times.torpidMs,
			lostMs: times.lostTimeoutMs,
			ping: () => this.send(PING),
			onTorpid,
			onResponsive,
			onLost: silentMs => {
				const seconds = (silentMs / 1000).toFixed(1);
				this.end(new SystemError('ETIMEDOUT', `silent for ${seconds} s`));
			},
		});
		link.onFrame = frame => this.#receive(frame);
		link.onDrain = () => {
			if (!this.#hasEnded) options.onDrain();
		};
		link.onEnd = end => this.#ended(asError(end));
	}

	/** The other side, for messages to people. */
	get peer(): string {
		return this.#link.peer;
	}

	get isOpen(): boolean {
		return !this.#hasEnded;
	}

	get isTorpid(): boolean {
		return this.#liveness.isTorpid;
	}

	get queuedBytes(): number {
		return this.#link.queuedBytes;
	}

	/** False: it is behind; `onDrain` says when it has caught up. After the end it does nothing. */
	send(message: Message): boolean {
		if (this.#hasEnded) return true;
		this.#liveness.sent();
		return this.#link.send(encodeMessage(message));
	}

	/** Tells the other side why (null: in good order), and ends the link; `onEnd` runs now, with the same reason. */
	end(reason: SystemError | null): void {
		if (this.#hasEnded) return;
		const payload = encodeErrorText(reason?.message ?? '');
		this.send({type: 'control', controlType: CONTROL_GOODBYE, status: reason?.errnum ?? 0, payload});
		this.#link.close();
		this.#ended(reason);
	}

	#receive(frame: Uint8Array): void {
		if (this.#hasEnded) return;
		let message: Message;
		try {
			message = decodeMessage(frame);
		} catch (error) {
			this.end(asSystemError(error, 'EPROTO'));
			return;
		}
		this.#liveness.heard();
		if (message.type !== 'control') {
			this.#options.onMessage(message);
			return;
		}
		switch (message.controlType) {
			case CONTROL_PING:
			case CONTROL_PONG:
				return;
			case CONTROL_GOODBYE:
				this.#goodbye = message.status === 0 ? null : decodeError(message.status, message.payload);
				this.#link.close();
				this.#ended(this.#goodbye);
				return;
			default:
				this.#options.onMessage(message);
		}
	}

	#ended(error: SystemError | null): void {
		if (this.#hasEnded) return;
		this.#hasEnded = true;
		this.#liveness.stop();
		this.#options.onEnd(this.#goodbye === undefined ? error : this.#goodbye);
	}
}

const PING: Message = {
	type: 'control',
	controlType: CONTROL_PING,
	status: 0,
	payload: new Uint8Array(0),
};

function asError({code, message}: LinkEnd): SystemError {
	return asSystemError(Object.assign(new Error(message), {code}), 'ECONNRESET');
}
