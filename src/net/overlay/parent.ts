/**
 * The way up: connects to the parent, says hello, and tries again with a growing, jittered pause until the hello is
 * answered. After that there is one attempt only: a child that loses its parent panics (DESIGN section 7).
 */
import {asSystemError, SystemError} from '../../formats/errno.ts';
import type {Clock, Timer} from '../../ports/clock.ts';
import type {Random} from '../../ports/random.ts';
import type {Link, Transport} from '../../ports/transport.ts';
import {NODEID_ANY, USERID_UNKNOWN, type Message, type Response} from '../message.ts';
import {decodeError, decodePayload, encodePayload} from '../payload.ts';
import {HELLO_TOPIC, parseWelcome, type Hello, type Welcome} from './hello.ts';
import {PeerLink, type PeerTimes} from './peer-link.ts';

export interface ParentOptions {
	readonly clock: Clock;
	readonly random: Random;
	readonly transport: Transport;
	readonly uri: string;
	readonly times: PeerTimes & {readonly reconnectMsMax: number};
	readonly hello: () => Hello;
	/** Why who answered the hello is not the parent; null: it is. */
	readonly judge: (welcome: Welcome) => SystemError | null;
	/** The hello was answered; the link is used from now on. */
	readonly onJoin: (link: PeerLink, welcome: Welcome) => void;
	readonly onMessage: (message: Message) => void;
	readonly onDrain: () => void;
	readonly onTorpid: (silentMs: number) => void;
	readonly onResponsive: () => void;
	/** The parent is gone after it was joined. Null: it went in good order. */
	readonly onLost: (error: SystemError | null) => void;
	/** An attempt failed; called once for each new reason. */
	readonly onRefused: (error: SystemError) => void;
}

const CONNECT_TIMEOUT_MS = 5000;
const PAUSE_MS_MIN = 20;
const PAUSE_GROWTH = 1.6;
const HELLO_MATCHTAG = 1;

export class Parent {
	readonly #options: ParentOptions;
	#pauseMs = PAUSE_MS_MIN;
	#timer: Timer | null = null;
	#link: PeerLink | null = null;
	#isJoined = false;
	#isClosed = false;
	#lastRefusal = '';

	constructor(options: ParentOptions) {
		this.#options = options;
	}

	/** Null until the hello was answered. */
	get link(): PeerLink | null {
		return this.#isJoined ? this.#link : null;
	}

	connect(): void {
		const {transport, uri} = this.#options;
		transport.connect(uri, {timeoutMs: CONNECT_TIMEOUT_MS}).then(
			link => {
				if (this.#isClosed) {
					link.destroy();
					return;
				}
				this.#link = this.#open(link);
			},
			(error: unknown) => this.#again(asSystemError(error, 'ECONNREFUSED')),
		);
	}

	/** Says why we go (null: in good order), and ends the link; nothing is called any more. */
	close(reason: SystemError | null): void {
		this.#isClosed = true;
		this.#timer?.cancel();
		this.#link?.end(reason);
	}

	#open(socket: Link): PeerLink {
		const {clock, times, onTorpid, onResponsive, onDrain, hello} = this.#options;
		const link = new PeerLink(socket, {
			clock,
			times,
			onMessage: message => this.#receive(link, message),
			onDrain,
			onTorpid: silentMs => {
				if (this.#isJoined) onTorpid(silentMs);
			},
			onResponsive: () => {
				if (this.#isJoined) onResponsive();
			},
			onEnd: error => this.#ended(error),
		});
		link.send({
			type: 'request',
			topic: HELLO_TOPIC,
			matchtag: HELLO_MATCHTAG,
			nodeid: NODEID_ANY,
			upstream: false,
			streaming: false,
			noresponse: false,
			userid: USERID_UNKNOWN,
			rolemask: 0,
			route: [],
			deadlineMs: null,
			payload: encodePayload(hello()),
		});
		return link;
	}

	#receive(link: PeerLink, message: Message): void {
		if (this.#isJoined) this.#options.onMessage(message);
		else if (message.type === 'response' && message.topic === HELLO_TOPIC) this.#answered(link, message);
	}

	#answered(link: PeerLink, {errnum, payload}: Response): void {
		if (errnum !== 0) {
			link.end(decodeError(errnum, payload));
			return;
		}
		let welcome: Welcome;
		try {
			welcome = parseWelcome(decodePayload(payload));
			const fault = this.#options.judge(welcome);
			if (fault !== null) throw fault;
		} catch (error) {
			link.end(asSystemError(error, 'EPROTO'));
			return;
		}
		this.#isJoined = true;
		this.#options.onJoin(link, welcome);
	}

	#ended(error: SystemError | null): void {
		if (this.#isClosed) return;
		if (this.#isJoined) {
			this.#isClosed = true;
			this.#options.onLost(error);
			return;
		}
		this.#link = null;
		this.#again(error ?? new SystemError('ECONNRESET', `${this.#options.uri}: the parent goes`));
	}

	#again(error: SystemError): void {
		if (this.#isClosed) return;
		const {clock, random, times, onRefused} = this.#options;
		if (error.message !== this.#lastRefusal) {
			this.#lastRefusal = error.message;
			onRefused(error);
		}
		// Jittered at the maximum too: a parent that comes back is not to be met by all its children at once.
		const pauseMs = this.#pauseMs * (0.5 + random.float() / 2);
		this.#pauseMs = Math.min(times.reconnectMsMax, this.#pauseMs * PAUSE_GROWTH);
		this.#timer = clock.setTimer(pauseMs, () => this.connect());
	}
}
