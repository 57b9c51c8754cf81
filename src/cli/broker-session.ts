/**
 * A client's session with a broker that may be restarted under it: what `ReconnectingClient` does, with the patience of
 * the command line and in its words. Invariants: a request is sent a second time only when its caller said that this
 * does no harm; nothing waits longer than the patience for a broker that does not answer.
 */
import {dirname} from 'node:path';
import {SystemError} from '../formats/errno.ts';
import {formatFsd} from '../formats/fsd.ts';
import {socketPathOf} from '../net/address.ts';
import {ReconnectingClient, type RepeatableCallOptions} from '../net/reconnect.ts';
import {CALL_TIMEOUT_MS, type StreamOptions} from '../net/rpc-client.ts';
import type {Clock, Timer} from '../ports/clock.ts';
import type {Random} from '../ports/random.ts';
import type {Transport} from '../ports/transport.ts';

/** How long commands that do not wait for a job bear a broker that is being restarted. */
export const RESTART_PATIENCE_MS = 5000;
/** How long `run`, `attach` and the others that wait bear it: `--reconnect-timeout`. */
export const RECONNECT_TIMEOUT_MS = 300_000;

export interface PatienceOptions {
	/** From the loss to giving up with a `LostContactError`. Default RESTART_PATIENCE_MS, then with any other error. */
	readonly reconnectTimeoutMs?: number;
	/** Be as patient before the first connection, even without a socket: the instance may be about to start. Default false. */
	readonly waitForSocket?: boolean;
}

export interface BrokerSessionOptions extends PatienceOptions {
	readonly uri: string;
	readonly transport: Transport;
	readonly clock: Clock;
	readonly random: Random;
	/** Whether there is anything at a path. */
	readonly exists: (path: string) => Promise<boolean>;
	/** A loss or a return of the connection, for people. */
	readonly onNotice?: (text: string) => void | Promise<void>;
}

export interface FollowOptions {
	/** Asked when the stream has ended well: false makes it begin again, ENDED_EARLY_MAX times. */
	readonly isComplete?: () => boolean;
	/** The rank that is asked; default: the first that has the service, on the way up. */
	readonly nodeid?: number;
}

/** The instance stayed out of reach of a command that waits. */
export class LostContactError extends SystemError {}

/**
 * Without a socket file there is hardly an instance, unless its run directory is there, which goes at shutdown: then it is
 * between two lives, as all brokers below one that died are.
 */
const NO_SOCKET_PATIENCE_MS = 500;
const SOCKET_POLL_MS = 25;
const ENDED_EARLY_MAX = 5;
const ENDED_EARLY_PAUSE_MS = 200;
const PING = {seq: 0, 'time.tv_sec': 0, 'time.tv_nsec': 0, pad: ''};

const ADVICE =
	'is the instance started? coppice start --detach starts one, and --uri or COPPICE_URI names another';

export class BrokerSession {
	readonly #options: BrokerSessionOptions;
	readonly #patienceMs: number;
	readonly #client: ReconnectingClient;
	#wasConnected = false;
	/** When the outage began, or the session was made; monotonic. */
	#sinceMs: number;
	/** From a loss until the broker has answered something; null: it is there. */
	#outage: Timer | null = null;
	#lastReason = '';
	#gaveUp: SystemError | null = null;
	#socket: Promise<void> | null = null;

	constructor(options: BrokerSessionOptions) {
		const {uri, transport, clock, random, waitForSocket = false} = options;
		this.#options = options;
		this.#patienceMs = options.reconnectTimeoutMs ?? RESTART_PATIENCE_MS;
		this.#sinceMs = clock.monotonicMs();
		this.#client = new ReconnectingClient({
			transport,
			address: uri,
			clock,
			random,
			connectTimeoutMs: waitForSocket ? this.#patienceMs : RESTART_PATIENCE_MS,
			reconnectTimeoutMs: this.#patienceMs,
			onConnect: isFirst => this.#connected(isFirst),
			onLost: ({code, message}) => this.#lost(`${code}: ${message}`),
		});
	}

	/**
	 * One request; with `idempotent` it is sent again after a loss. `timeoutMs` is for an answer, and does not count the
	 * time without a broker. Rejects as `RpcClient.call` does, and with a `LostContactError` when patience has run out.
	 */
	async call(topic: string, payload?: unknown, options: RepeatableCallOptions = {}): Promise<unknown> {
		const {idempotent = false, timeoutMs = CALL_TIMEOUT_MS} = options;
		await this.#ready();
		const waitMs = idempotent ? timeoutMs + this.#patienceMs : timeoutMs;
		try {
			return await this.#client.call(topic, payload, {...options, timeoutMs: waitMs});
		} catch (error) {
			throw this.#explained(error);
		}
	}

	/** A stream that ends with its connection. */
	async *stream(topic: string, payload?: unknown, options: StreamOptions = {}): AsyncGenerator<unknown> {
		await this.#ready();
		const client = await this.#client.connect().catch((error: unknown) => {
			throw this.#explained(error);
		});
		yield* client.stream(topic, payload, options);
	}

	/**
	 * A stream that is asked for again after each loss, with a payload that says where it was; what is yielded may
	 * come twice all the same, and it is for the caller to tell.
	 */
	async *follow(
		topic: string,
		payloadOf: () => unknown,
		{isComplete = () => true, ...options}: FollowOptions = {},
	): AsyncGenerator<unknown> {
		const {clock, uri} = this.#options;
		await this.#ready();
		for (let ended = 1; ; ended += 1) {
			try {
				yield* this.#client.resumableStream(topic, payloadOf, options);
			} catch (error) {
				throw this.#explained(error);
			}
			if (isComplete()) return;
			if (ended >= ENDED_EARLY_MAX) {
				throw new SystemError('EPROTO', `${topic} of ${uri} ended ${ended} times before its end`);
			}
			await new Promise<void>(resolve => clock.setTimer(ENDED_EARLY_PAUSE_MS, resolve));
		}
	}

	/** Ends the connection; the session is of no use afterwards. */
	close(): void {
		this.#outage?.cancel();
		this.#client.close();
	}

	/** Fails soon with ENOENT when there is no socket: nobody should wait for an instance that is not there. */
	#ready(): Promise<void> {
		if (this.#wasConnected || this.#options.waitForSocket === true) return Promise.resolve();
		return (this.#socket ??= this.#awaitSocket());
	}

	async #awaitSocket(): Promise<void> {
		const {clock, uri, exists} = this.#options;
		const path = socketPathOf(uri);
		const startMs = clock.monotonicMs();
		while (!(await exists(path))) {
			const patienceMs = (await exists(dirname(path))) ? RESTART_PATIENCE_MS : NO_SOCKET_PATIENCE_MS;
			if (clock.monotonicMs() - startMs >= patienceMs) {
				const text = `no broker serves ${uri}: there is no such socket; ${ADVICE}`;
				throw new SystemError('ENOENT', text);
			}
			await new Promise<void>(resolve => clock.setTimer(SOCKET_POLL_MS, resolve));
		}
	}

	#connected(isFirst: boolean): void {
		const {clock, uri, onNotice} = this.#options;
		this.#wasConnected = true;
		if (isFirst) return;
		// Whoever accepts a connection need not be able to answer: the kernel does it for a broker that is stopped.
		this.#client.call('broker.ping', PING, {timeoutMs: this.#patienceMs}).then(
			() => {
				if (this.#outage === null) return;
				this.#outage.cancel();
				this.#outage = null;
				const goneMs = clock.monotonicMs() - this.#sinceMs;
				void onNotice?.(`reconnected to ${uri} after ${formatFsd(goneMs / 1000, 3)}`);
			},
			() => undefined, // Silent, or lost again: the outage goes on.
		);
	}

	#lost(reason: string): void {
		const {clock, uri, onNotice} = this.#options;
		this.#lastReason = reason;
		if (this.#outage !== null) return;
		this.#sinceMs = clock.monotonicMs();
		this.#outage = clock.setTimer(this.#patienceMs, () => {
			this.#gaveUp = this.#lostContact(this.#lastReason);
			this.#client.close();
		});
		void onNotice?.(`lost contact with ${uri} (${reason}), reconnecting`);
	}

	/** What the client gave up after trying again has the last failure as its cause. */
	#explained(error: unknown): unknown {
		if (this.#gaveUp !== null) return this.#gaveUp;
		if (!(error instanceof SystemError) || !(error.cause instanceof SystemError)) return error;
		const {uri, waitForSocket = false} = this.#options;
		if (this.#wasConnected || waitForSocket) return this.#lostContact(error.cause.toString());
		const text = `no broker serves ${uri}: ${error.cause.message}; ${ADVICE}`;
		return new SystemError(error.code, text, {cause: error});
	}

	#lostContact(reason: string): SystemError {
		const {clock, uri, reconnectTimeoutMs} = this.#options;
		const ago = formatFsd(Math.max(0, clock.monotonicMs() - this.#sinceMs) / 1000, 3);
		const text = `lost contact with ${uri} ${ago} ago, and it did not come back: ${reason}`;
		return reconnectTimeoutMs === undefined
			? new SystemError('EHOSTUNREACH', text)
			: new LostContactError('EHOSTUNREACH', text);
	}
}
