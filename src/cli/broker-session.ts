/**
 * A client's session with a broker that may be restarted under it: connects when it is first used, and again after
 * a loss, until the instance has been out of reach for longer than it has patience. Invariant: a request is sent a
 * second time only when its caller said that this does no harm.
 */
import {SystemError} from '../formats/errno.ts';
import {formatFsd} from '../formats/fsd.ts';
import type {Clock, Timer} from '../ports/clock.ts';
import type {Random} from '../ports/random.ts';
import type {Transport} from '../ports/transport.ts';
import {CALL_TIMEOUT_MS, RpcClient, type CallOptions, type StreamOptions} from '../net/rpc-client.ts';

/** How long commands that do not wait for a job bear a broker that is being restarted. */
export const RESTART_PATIENCE_MS = 5000;
/** How long `run`, `attach` and the others that wait bear it: `--reconnect-timeout`. */
export const RECONNECT_TIMEOUT_MS = 300_000;

export interface PatienceOptions {
	/** From the loss to giving up. Default RESTART_PATIENCE_MS. */
	readonly reconnectTimeoutMs?: number;
	/** Be as patient when there is no socket at all, as when the instance is about to be started. Default false. */
	readonly waitForSocket?: boolean;
}

export interface BrokerSessionOptions extends PatienceOptions {
	readonly uri: string;
	readonly transport: Transport;
	readonly clock: Clock;
	readonly random: Random;
	/** A loss or a return of the connection, for people. */
	readonly onNotice?: (text: string) => void | Promise<void>;
}

export interface SessionCallOptions extends CallOptions {
	/** May be sent again after a lost connection: asking twice is as good as once. */
	readonly idempotent?: boolean;
}

export interface FollowOptions {
	readonly nodeid?: number;
	/** Asked when the stream has ended well: false makes it begin again, ENDED_EARLY_MAX times without a new value. */
	readonly isComplete?: () => boolean;
}

/** The instance stayed out of reach. */
export class LostContactError extends SystemError {
	constructor(uri: string, {sinceMs, cause}: {readonly sinceMs: number; readonly cause: SystemError}) {
		const ago = formatFsd(Math.max(0, sinceMs) / 1000, 3);
		super(
			'EHOSTUNREACH',
			`lost contact with ${uri} ${ago} ago, and it did not come back: ${cause.toString()}`,
			{cause},
		);
	}
}

/** Without a socket file there is hardly an instance: only a broker that replaces its socket makes this moment. */
const NO_SOCKET_PATIENCE_MS = 500;
const BACKOFF_MS_MIN = 16;
const BACKOFF_MS_MAX = 2000;
/** A connection that lived so long was a good one: the next loss begins with the shortest pause again. */
const STABLE_MS = 1000;
const CONNECT_TIMEOUT_MS = 5000;
/** A followed stream that is silent for so long makes the session ask whether the broker is still there. */
const KEEPALIVE_MS = 10_000;
const ENDED_EARLY_MAX = 5;

/** What a broker that dies, or its operating system, answers for it. */
const LOST_CODES = new Set([
	'ECONNRESET',
	'ENOTCONN',
	'EHOSTUNREACH',
	'ECONNREFUSED',
	'ECONNABORTED',
	'EPIPE',
]);

export class BrokerSession {
	readonly #options: BrokerSessionOptions;
	readonly #patienceMs: number;
	#client: RpcClient | null = null;
	#connecting: Promise<RpcClient> | null = null;
	#connectedAtMs = 0;
	#heardAtMs = 0;
	/** Since when there is no answer, monotonic; null: the broker is there. */
	#lostAtMs: number | null = null;
	#everConnected = false;
	#attempts = 0;
	#followers = 0;
	#keepalive: Timer | null = null;
	#isClosed = false;

	constructor(options: BrokerSessionOptions) {
		this.#options = options;
		this.#patienceMs = options.reconnectTimeoutMs ?? RESTART_PATIENCE_MS;
	}

	/**
	 * One request. With `idempotent` it is sent again after a loss.
	 * Rejects as `RpcClient.call` does, and with a `LostContactError` when patience has run out.
	 */
	async call(topic: string, payload?: unknown, options: SessionCallOptions = {}): Promise<unknown> {
		const {idempotent = false, ...callOptions} = options;
		for (;;) {
			const client = await this.#connected();
			const sentAtMs = this.#options.clock.monotonicMs();
			try {
				const value = await client.call(topic, payload, callOptions);
				this.#heard();
				return value;
			} catch (error) {
				if (!idempotent || !this.#isLoss(error)) {
					if (!this.#isLoss(error)) this.#heard();
					throw error;
				}
				this.#lose(client, error as SystemError, sentAtMs);
			}
		}
	}

	/** A stream that ends with its connection. */
	async *stream(topic: string, payload?: unknown, options: StreamOptions = {}): AsyncGenerator<unknown> {
		const client = await this.#connected();
		for await (const value of client.stream(topic, payload, options)) {
			this.#heard();
			yield value;
		}
		this.#heard();
	}

	/**
	 * A stream that is asked for again after each loss, with a payload that says where it was; what is yielded may
	 * therefore come twice, and it is for the caller to tell.
	 */
	async *follow(
		topic: string,
		payloadOf: () => unknown,
		{nodeid, isComplete = () => true}: FollowOptions = {},
	): AsyncGenerator<unknown> {
		let endedEarly = 0;
		this.#watch(1);
		try {
			for (;;) {
				const client = await this.#connected();
				try {
					const options = nodeid === undefined ? {} : {nodeid};
					for await (const value of client.stream(topic, payloadOf(), options)) {
						this.#heard();
						yield value;
					}
					this.#heard();
					if (isComplete()) return;
					endedEarly += 1;
					if (endedEarly >= ENDED_EARLY_MAX) {
						throw new SystemError(
							'EPROTO',
							`${topic} of ${this.#options.uri} ended ${endedEarly} times before its end`,
						);
					}
					await this.#pause();
				} catch (error) {
					if (!this.#isLoss(error)) throw error;
					this.#lose(client, error as SystemError, this.#options.clock.monotonicMs());
				}
			}
		} finally {
			this.#watch(-1);
		}
	}

	/** Ends the connection; the session is of no use afterwards. */
	close(): void {
		this.#isClosed = true;
		this.#keepalive?.cancel();
		this.#client?.close();
	}

	async #connected(): Promise<RpcClient> {
		if (this.#client !== null && this.#client.end === null) return this.#client;
		this.#connecting ??= this.#connect().finally(() => (this.#connecting = null));
		return this.#connecting;
	}

	async #connect(): Promise<RpcClient> {
		const {clock, transport, uri} = this.#options;
		const startedMs = clock.monotonicMs();
		if (this.#attempts > 0) await this.#pause();
		for (;;) {
			if (this.#isClosed) throw new SystemError('ECANCELED', `the session with ${uri} was closed`);
			this.#attempts += 1;
			try {
				const link = await transport.connect(uri, {timeoutMs: CONNECT_TIMEOUT_MS});
				const client = RpcClient.over(link, {clock});
				if (this.#lostAtMs !== null) await this.#probe(client);
				return this.#adopt(client);
			} catch (error) {
				if (!(error instanceof SystemError)) throw error;
				this.#giveUp(error, this.#lostAtMs ?? startedMs);
			}
			await this.#pause((this.#lostAtMs ?? startedMs) + this.#patienceMs);
		}
	}

	#adopt(client: RpcClient): RpcClient {
		const {clock, uri, onNotice} = this.#options;
		if (this.#lostAtMs !== null && this.#everConnected) {
			const downMs = clock.monotonicMs() - this.#lostAtMs;
			void onNotice?.(`reconnected to ${uri} after ${formatFsd(downMs / 1000, 3)}`);
		}
		this.#client = client;
		this.#connectedAtMs = clock.monotonicMs();
		this.#everConnected = true;
		this.#heard();
		return client;
	}

	/** Whoever accepts a connection need not be able to answer. */
	async #probe(client: RpcClient): Promise<void> {
		try {
			await client.call('broker.ping', PING, {timeoutMs: Math.min(CALL_TIMEOUT_MS, this.#patienceMs)});
		} catch (error) {
			const {code} = error as SystemError;
			if (!LOST_CODES.has(code) && code !== 'ETIMEDOUT') return; // An answer, even if it is no good one.
			client.close();
			throw error;
		}
	}

	/** @throws when there is no point in another attempt. */
	#giveUp(error: SystemError, sinceMs: number): void {
		const {clock, uri, waitForSocket = false} = this.#options;
		const goneMs = clock.monotonicMs() - sinceMs;
		if (this.#everConnected) {
			if (goneMs >= this.#patienceMs) throw new LostContactError(uri, {sinceMs: goneMs, cause: error});
			return;
		}
		if (!RETRIED_CODES.has(error.code)) throw error;
		if (waitForSocket) {
			if (goneMs >= this.#patienceMs) throw new LostContactError(uri, {sinceMs: goneMs, cause: error});
			return;
		}
		const patienceMs = error.code === 'ENOENT' ? NO_SOCKET_PATIENCE_MS : RESTART_PATIENCE_MS;
		if (goneMs < patienceMs) return;
		throw new SystemError(
			error.code,
			`${error.message} (no broker serves ${uri}; is the instance started?)`,
			{
				cause: error,
			},
		);
	}

	#lose(client: RpcClient, error: SystemError, lostAtMs: number): void {
		const {clock, uri, onNotice} = this.#options;
		if (this.#client === client) {
			this.#client = null;
			if (client.end === null) client.close();
			if (clock.monotonicMs() - this.#connectedAtMs >= STABLE_MS) this.#attempts = 1;
		}
		if (this.#lostAtMs === null) {
			this.#lostAtMs = lostAtMs;
			void onNotice?.(`lost contact with ${uri} (${error.toString()}), reconnecting`);
		}
	}

	#heard(): void {
		this.#lostAtMs = null;
		this.#heardAtMs = this.#options.clock.monotonicMs();
	}

	#isLoss(error: unknown): boolean {
		if (!(error instanceof SystemError) || error instanceof LostContactError) return false;
		// A patient client takes silence for a broker that hangs, and asks its successor.
		return LOST_CODES.has(error.code) || (error.code === 'ETIMEDOUT' && this.#patienceMs > CALL_TIMEOUT_MS);
	}

	/** Backs off with jitter; no longer than to `untilMs`, so that a last attempt is made when patience ends. */
	#pause(untilMs = Infinity): Promise<void> {
		const {clock, random} = this.#options;
		const capMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(this.#attempts, 10));
		const leftMs = Math.max(1, untilMs - clock.monotonicMs());
		return new Promise(resolve =>
			clock.setTimer(Math.min(leftMs, capMs * (0.5 + random.float() / 2)), resolve),
		);
	}

	/** While anything is followed: a broker that hangs keeps its sockets open, and must be found out. */
	#watch(change: 1 | -1): void {
		this.#followers += change;
		if (this.#followers === 0) {
			this.#keepalive?.cancel();
			this.#keepalive = null;
		} else {
			this.#keepalive ??= this.#options.clock.setTimer(KEEPALIVE_MS, () => this.#ask());
		}
	}

	#ask(): void {
		this.#keepalive = this.#options.clock.setTimer(KEEPALIVE_MS, () => this.#ask());
		const client = this.#client;
		if (client === null || client.end !== null) return;
		if (this.#options.clock.monotonicMs() - this.#heardAtMs < KEEPALIVE_MS) return;
		client.call('broker.ping', PING).then(
			() => this.#heard(),
			(error: SystemError) => {
				if (error.code === 'ETIMEDOUT') client.close({code: error.code, message: error.message});
			},
		);
	}
}

const PING = {seq: 0, 'time.tv_sec': 0, 'time.tv_nsec': 0, pad: ''};
const RETRIED_CODES = new Set([...LOST_CODES, 'ENOENT', 'ETIMEDOUT', 'EAGAIN']);
