/**
 * A client that outlives its connections: it connects again with backoff, repeats what may be repeated, and takes up
 * streams where they were. Invariant: a request that may have reached a service is repeated only when its caller said
 * that this does no harm.
 */
import {asSystemError, SystemError, type ErrnoName} from '../formats/errno.ts';
import type {Clock} from '../ports/clock.ts';
import type {Random} from '../ports/random.ts';
import type {LinkEnd, Transport} from '../ports/transport.ts';
import {Backoff, BACKOFF_MAX_MS} from './backoff.ts';
import {NODEID_ANY} from './message.ts';
import {
	CALL_TIMEOUT_MS,
	RpcClient,
	type CallOptions,
	type RpcOptions,
	type StreamOptions,
} from './rpc-client.ts';

/** For the first connection: long enough for a broker that is being started. */
export const CONNECT_TIMEOUT_MS = 1000;
/** After a lost connection: long enough for a broker that is restarted and replays its log. */
export const RECONNECT_TIMEOUT_MS = 60_000;

/** A local peer that says nothing for three of these intervals hangs. */
export const KEEPALIVE_MS = 10_000;

/** One attempt to connect. */
const ATTEMPT_TIMEOUT_MS = 5000;
/** A connection that lasted so long was no failure. */
const STABLE_MS = BACKOFF_MAX_MS;
/** What an attempt to connect may fail with, and a later one succeed. */
const CONNECT_AGAIN: readonly ErrnoName[] = ['ECONNREFUSED', 'ENOENT', 'ETIMEDOUT', 'ECONNRESET', 'EAGAIN'];

export interface ReconnectOptions {
	readonly transport: Transport;
	readonly address: string;
	readonly clock: Clock;
	readonly random: Random;
	/** Until the first connection stands. Default 1 s. */
	readonly connectTimeoutMs?: number;
	/** From the loss of a connection until there is one again that works. Default 60 s. */
	readonly reconnectTimeoutMs?: number;
	readonly userid?: number;
	readonly rolemask?: number;
	/** Silence of the peer for three of these intervals ends a connection; null: never. Default 10 s. */
	readonly keepaliveMs?: number | null;
	/** A connection stands; `isFirst` unless one was lost before. */
	readonly onConnect?: (isFirst: boolean) => void;
	/** A connection was lost, for messages to people; a new one is made when it is needed. */
	readonly onLost?: (end: LinkEnd) => void;
}

export interface RepeatableCallOptions extends CallOptions {
	/** Serving the request twice does no more than serving it once. Default false. */
	readonly idempotent?: boolean;
}

/** What one call or stream has met with so far, over all its repetitions. */
interface Trouble {
	/** Null: none, or something came since. */
	sinceMs: number | null;
	/** When the latest attempt began. */
	begunMs: number;
	readonly backoff: Backoff;
}

export class ReconnectingClient {
	readonly #options: ReconnectOptions;
	readonly #clock: Clock;
	readonly #backoff: Backoff;
	#client: RpcClient | null = null;
	#connecting: Promise<RpcClient> | null = null;
	#connectedMs = 0;
	#wasConnected = false;
	/** Since when there is nothing that works; null: there is, or nobody has tried. */
	#lostMs: number | null = null;
	#closed = false;
	/** Ends the waits between attempts, at `close`. */
	readonly #sleepers = new Set<() => void>();

	constructor(options: ReconnectOptions) {
		this.#options = options;
		this.#clock = options.clock;
		this.#backoff = new Backoff(options.random);
	}

	/**
	 * The connection that stands, or the next one. Rejects with a `SystemError`, the last attempt's errno and a text
	 * with the address and how long it was tried; ECANCELED after `close`.
	 */
	connect(): Promise<RpcClient> {
		if (this.#closed) return Promise.reject(this.#closedError());
		if (this.#client !== null) return Promise.resolve(this.#client);
		if (this.#connecting === null) {
			this.#connecting = this.#dial().finally(() => (this.#connecting = null));
			this.#connecting.catch(() => {}); // Whoever waits hears of it; perhaps all have given up.
		}
		return this.#connecting;
	}

	/**
	 * As `RpcClient.call`; `timeoutMs` covers connecting and all repetitions. A request that was certainly not sent is
	 * sent on the next connection; one that may have been, only if it is `idempotent`. An idempotent one to any rank or
	 * to rank 0 is also repeated after EHOSTUNREACH, which is what a broker that restarts answers.
	 */
	async call(topic: string, payload?: unknown, options: RepeatableCallOptions = {}): Promise<unknown> {
		const {idempotent = false, timeoutMs = CALL_TIMEOUT_MS, ...rest} = options;
		const endMs = this.#clock.monotonicMs() + timeoutMs;
		const left = () => Math.max(0, endMs - this.#clock.monotonicMs());
		const trouble = this.#newTrouble();
		for (;;) {
			const client = await this.#before(this.connect(), {
				topic,
				timeoutMs,
				leftMs: left(),
				signal: rest.signal,
			});
			trouble.begunMs = this.#clock.monotonicMs();
			try {
				const value = await client.call(topic, payload, {...rest, timeoutMs: left()});
				this.#worked(client);
				return value;
			} catch (error) {
				if (!this.#mayRepeat(error, {client, idempotent, options: rest})) throw error;
				await this.#beforeRepeating(topic, asSystemError(error), {client, trouble, leftMs: left()});
			}
		}
	}

	/**
	 * A stream that goes on after a lost connection: it is requested again with `payloadOf(last)`, where `last` is the
	 * value that was yielded last, or undefined. So nothing is lost or doubled if the payload can say "after this".
	 * Ends and throws as `RpcClient.stream` does; `timeoutMs` and `idleTimeoutMs` count anew on each connection.
	 */
	async *resumableStream(
		topic: string,
		payloadOf: (last: unknown) => unknown,
		options: StreamOptions = {},
	): AsyncGenerator<unknown, void, void> {
		let last: unknown;
		const trouble = this.#newTrouble();
		for (;;) {
			const client = await this.#before(this.connect(), {topic, signal: options.signal});
			trouble.begunMs = this.#clock.monotonicMs();
			try {
				for await (const value of client.stream(topic, payloadOf(last), options)) {
					this.#worked(client);
					endTrouble(trouble);
					last = value;
					yield value;
				}
				return;
			} catch (error) {
				if (!this.#mayRepeat(error, {client, idempotent: true, options})) throw error;
				await this.#beforeRepeating(topic, asSystemError(error), {client, trouble});
			}
		}
	}

	/** Ends the connection, and all that waits for one. Idempotent. */
	close(): void {
		this.#closed = true;
		this.#client?.close();
		for (const wake of this.#sleepers) wake();
	}

	async #dial(): Promise<RpcClient> {
		const {address, connectTimeoutMs = CONNECT_TIMEOUT_MS} = this.#options;
		const limitMs = this.#wasConnected ? this.#reconnectTimeoutMs : connectTimeoutMs;
		const startMs = this.#lostMs ?? this.#clock.monotonicMs();
		for (let attempts = 1; ; attempts++) {
			const leftMs = () => Math.max(1, startMs + limitMs - this.#clock.monotonicMs());
			await this.#sleep(Math.min(this.#backoff.delayMs(), leftMs()));
			if (this.#closed) throw this.#closedError();
			try {
				return await this.#attempt(Math.min(leftMs(), ATTEMPT_TIMEOUT_MS));
			} catch (error) {
				const cause = asSystemError(error);
				const lastedMs = this.#clock.monotonicMs() - startMs;
				if (CONNECT_AGAIN.includes(cause.code) && lastedMs < limitMs) {
					this.#backoff.failed();
					continue;
				}
				this.#lostMs = null;
				this.#backoff.reset();
				const text = `no connection to ${address} in ${Math.round(lastedMs)} ms and ${attempts} attempts`;
				throw new SystemError(cause.code, `${text}: ${cause.message}`, {cause});
			}
		}
	}

	async #attempt(timeoutMs: number): Promise<RpcClient> {
		const {
			transport,
			address,
			clock,
			userid,
			rolemask,
			keepaliveMs = KEEPALIVE_MS,
			onConnect,
			onLost,
		} = this.#options;
		const link = await transport.connect(address, {timeoutMs});
		const client = RpcClient.over(link, {
			clock,
			...(userid === undefined ? {} : {userid}),
			...(rolemask === undefined ? {} : {rolemask}),
			keepaliveMs,
		});
		this.#client = client;
		this.#connectedMs = clock.monotonicMs();
		client.onEnd = end => {
			this.#client = null;
			this.#lost();
			if (!this.#closed) onLost?.(end);
		};
		if (this.#closed) client.close();
		else onConnect?.(!this.#wasConnected);
		this.#wasConnected = true;
		return client;
	}

	#lost(): void {
		const nowMs = this.#clock.monotonicMs();
		if (nowMs - this.#connectedMs >= STABLE_MS) this.#worksAgain();
		else if (this.#lostMs !== null) this.#backoff.failed();
		this.#lostMs ??= nowMs;
	}

	/** Something was served: what was lost before is over. */
	#worked(client: RpcClient): void {
		if (client === this.#client && this.#lostMs !== null) this.#worksAgain();
	}

	#worksAgain(): void {
		this.#lostMs = null;
		this.#backoff.reset();
	}

	#newTrouble(): Trouble {
		return {sinceMs: null, begunMs: 0, backoff: new Backoff(this.#options.random)};
	}

	#mayRepeat(
		error: unknown,
		{client, idempotent, options}: {client: RpcClient; idempotent: boolean; options: RpcOptions},
	): boolean {
		if (this.#closed || !(error instanceof SystemError)) return false;
		if (error.code === 'EHOSTUNREACH') {
			const nodeid = options.nodeid ?? NODEID_ANY;
			return idempotent && (nodeid === NODEID_ANY || nodeid === 0);
		}
		// With the link still standing it is a service's answer.
		if (client.end === null) {
			this.#worked(client);
			return false;
		}
		return error.code === 'ENOTCONN' || (error.code === 'ECONNRESET' && idempotent);
	}

	/** Waits before a repetition on a link that still stands; fails when this has not worked for too long. */
	async #beforeRepeating(
		topic: string,
		cause: SystemError,
		{client, trouble, leftMs = Infinity}: {client: RpcClient; trouble: Trouble; leftMs?: number},
	): Promise<void> {
		const nowMs = this.#clock.monotonicMs();
		if (nowMs - trouble.begunMs >= STABLE_MS) endTrouble(trouble);
		trouble.sinceMs ??= nowMs;
		const lastedMs = nowMs - trouble.sinceMs;
		if (lastedMs >= this.#reconnectTimeoutMs || leftMs === 0) {
			const text = `${topic}: tried again at ${this.#options.address} for ${Math.round(lastedMs)} ms`;
			throw new SystemError(cause.code, `${text}: ${cause.message}`, {cause});
		}
		if (client.end !== null) return; // Connecting has its own backoff.
		trouble.backoff.failed();
		await this.#sleep(Math.min(leftMs, trouble.backoff.delayMs()));
	}

	get #reconnectTimeoutMs(): number {
		return this.#options.reconnectTimeoutMs ?? RECONNECT_TIMEOUT_MS;
	}

	/** `connecting`, but no longer than the caller wants to wait. */
	#before(
		connecting: Promise<RpcClient>,
		options: {topic: string; timeoutMs?: number; leftMs?: number; signal?: AbortSignal | undefined},
	): Promise<RpcClient> {
		const {topic, timeoutMs, leftMs, signal} = options;
		if (leftMs === undefined && signal === undefined) return connecting;
		return new Promise((resolve, reject) => {
			const late = `${topic}: no connection to ${this.#options.address} within ${timeoutMs} ms`;
			const timer =
				leftMs === undefined
					? null
					: this.#clock.setTimer(leftMs, () => settle(() => reject(new SystemError('ETIMEDOUT', late))));
			const onAbort = () => {
				const cause: unknown = signal!.reason;
				settle(() => reject(new SystemError('ECANCELED', `${topic}: given up by the caller`, {cause})));
			};
			const settle = (how: () => void) => {
				timer?.cancel();
				signal?.removeEventListener('abort', onAbort);
				how();
			};
			signal?.addEventListener('abort', onAbort);
			if (signal?.aborted === true) onAbort();
			connecting.then(
				client => settle(() => resolve(client)),
				(error: SystemError) => settle(() => reject(error)),
			);
		});
	}

	#sleep(delayMs: number): Promise<void> {
		if (delayMs === 0 || this.#closed) return Promise.resolve();
		return new Promise(resolve => {
			const timer = this.#clock.setTimer(delayMs, () => wake());
			const wake = () => {
				timer.cancel();
				this.#sleepers.delete(wake);
				resolve();
			};
			this.#sleepers.add(wake);
		});
	}

	#closedError(): SystemError {
		return new SystemError('ECANCELED', `the client of ${this.#options.address} was closed`);
	}
}

function endTrouble(trouble: Trouble): void {
	trouble.sinceMs = null;
	trouble.backoff.reset();
}
