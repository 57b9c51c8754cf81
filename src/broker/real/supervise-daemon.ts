/**
 * A broker's (or a waiting `start`'s) watch over the daemon that restarts brokers: it keeps a connection, and when that breaks, it brings a new
 * daemon up, unless another broker is at it. Invariant: at most one process at a time starts a daemon (a lock that the
 * kernel releases), and at most one daemon lives (another one); so N brokers make one.
 */
import {sendSignal} from '../../exec/real/proc.ts';
import {Silence} from '../../exec/silence.ts';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {
	daemonLockName,
	daemonPidPath,
	daemonSocketPath,
	starterLockName,
	type FromDaemon,
	type ToDaemon,
} from '../daemon-protocol.ts';
import type {DaemonContact} from '../running-broker.ts';
import {readStartRecord} from './instance-scan.ts';
import {lockHolder, takeLock} from '../../ports/real/kernel-lock.ts';
import {connectLines, type LineConnection} from './line-connection.ts';
import {pause, settlesWithin} from './pause.ts';
import {isNamedAlive, ownName, readPidFile, type ProcessName} from './pid-file.ts';
import {spawnDaemon} from './spawn-daemon.ts';

export interface SuperviseOptions {
	readonly instance: string;
	readonly rundir: string;
	/** Of the broker; null: this is no broker, and the daemon restarts it not. */
	readonly rank: number | null;
	/** A line for people. */
	readonly log: (text: string) => void;
	/** A daemon that says nothing for so long is killed, and so replaced. @default 30000 */
	readonly silenceMsMax?: number;
}

export interface DaemonSupervision extends DaemonContact {
	/** This process ends by itself: tells the daemon how, within 100 ms. */
	exiting(exitCode: number, reason: string): Promise<void>;
	/** Ends the watch. */
	close(): void;
}

/** Begins to watch. The daemon may be there or not. */
export function superviseDaemon(options: SuperviseOptions): DaemonSupervision {
	return new Supervision(options);
}

const CONNECT_MS = 1000;
const WELCOME_MS = 5000;
/** A new daemon answers within this, or another attempt is made. */
const STARTUP_MS = 10_000;
const POLL_MS = 20;
const RETRY_MS_MIN = 10;
const RETRY_MS_MAX = 2000;
const SHUTDOWN_TOLD_MS = 1000;
const EXITING_TOLD_MS = 100;
const SILENCE_MS_MAX = 30_000;
/** So often in that time it is asked for a sign of life. */
const TICKS = 10;
/** After so many ticks without one it is noted who is silent: only that process may be killed for it. */
const SUSPICION_TICKS = 3;
const SIGKILL = 9;

class Supervision implements DaemonSupervision {
	readonly #options: SuperviseOptions;
	#connection: LineConnection | null = null;
	#pid: number | null = null;
	#isStopping = false;
	#isClosed = false;
	#lastFailure = '';
	/** Resolves at the next welcome. */
	#welcomed: (() => void)[] = [];
	readonly #silenceMsMax: number;
	readonly #silence: Silence;
	readonly #ticker: NodeJS.Timeout;
	/** Who has been silent for a while. */
	#suspect: ProcessName | null = null;

	constructor(options: SuperviseOptions) {
		this.#options = options;
		this.#silenceMsMax = options.silenceMsMax ?? SILENCE_MS_MAX;
		const tickMs = this.#silenceMsMax / TICKS;
		this.#silence = new Silence(tickMs, performance.now());
		this.#ticker = setInterval(() => void this.#tick(), tickMs).unref();
		void this.#watch();
	}

	get pid(): number | null {
		return this.#pid;
	}

	async shutdownAsked(): Promise<void> {
		this.#isStopping = true;
		await this.#tell({type: 'shutdown'}, SHUTDOWN_TOLD_MS);
	}

	async exiting(exitCode: number, reason: string): Promise<void> {
		await this.#tell({type: 'exiting', exitCode, reason: reason.slice(0, 4096)}, EXITING_TOLD_MS);
	}

	close(): void {
		this.#isClosed = true;
		clearInterval(this.#ticker);
		this.#connection?.close();
	}

	/** The daemon answers each of these with a welcome. */
	async #tell(message: ToDaemon, timeoutMs: number): Promise<void> {
		if (this.#connection === null) return;
		const heard = this.#nextWelcome();
		this.#connection.send(message);
		await settlesWithin(heard, timeoutMs);
	}

	/** Asks for a sign of life, and ends a daemon that gives none: stopped or wedged, it keeps its lock, and nobody restarts brokers. */
	async #tick(): Promise<void> {
		const silence = this.#silence;
		silence.tick(performance.now());
		if (this.#isClosed || this.#isStopping) return;
		this.#connection?.send({type: 'status'} satisfies ToDaemon);
		if (silence.silentMs < (this.#silenceMsMax * SUSPICION_TICKS) / TICKS) return;
		this.#suspect ??= await readPidFile(daemonPidPath(this.#options.rundir));
		if (silence.silentMs < this.#silenceMsMax || this.#suspect === null) return;
		const {pid} = this.#suspect;
		if (isNamedAlive(this.#suspect) && sendSignal(pid, SIGKILL)) {
			const seconds = Math.round(silence.silentMs / 1000);
			this.#options.log(`the daemon (pid ${pid}) gave no sign of life for ${seconds} s: it is killed`);
		}
		this.#heard();
	}

	/** The daemon has said something, or there is none. */
	#heard(): void {
		this.#silence.heard();
		this.#suspect = null;
	}

	#nextWelcome(): Promise<void> {
		return new Promise(resolve => this.#welcomed.push(resolve));
	}

	async #watch(): Promise<void> {
		let failures = 0;
		while (!this.#isClosed) {
			try {
				const {ended} = await this.#connect();
				failures = 0;
				this.#lastFailure = '';
				await ended;
				this.#heard();
			} catch (error) {
				failures += 1;
				this.#report(asSystemError(error).toString());
			}
			this.#connection = null;
			this.#pid = null;
			if (this.#isClosed || this.#isStopping) return;
			// Jitter, so that the brokers of a host do not all reach for the lock at once.
			await pause(Math.min(RETRY_MS_MIN * 2 ** Math.min(failures, 10), RETRY_MS_MAX) * Math.random());
		}
	}

	#report(failure: string): void {
		if (failure === this.#lastFailure) return;
		this.#lastFailure = failure;
		this.#options.log(`no daemon to restart this broker: ${failure}; trying again`);
	}

	/** Connects to the daemon that is there, or to a new one. `ended` resolves when the connection has ended. */
	async #connect(): Promise<{readonly ended: Promise<void>}> {
		const {rundir} = this.#options;
		const path = daemonSocketPath(rundir);
		const connection = (await connectOrNull(path)) ?? (await this.#bringUp(path));
		const ended = new Promise<void>(resolve => (connection.onEnd = resolve));
		connection.onMessage = value => this.#receive(value as FromDaemon);
		this.#connection = connection;
		const welcomed = this.#nextWelcome();
		connection.send(this.#greeting());
		const isUp = await settlesWithin(Promise.race([welcomed, ended]), WELCOME_MS);
		if (!isUp) {
			connection.destroy();
			throw new SystemError('ETIMEDOUT', `the daemon at ${path} did not answer within ${WELCOME_MS} ms`);
		}
		if (connection.isEnded) throw new SystemError('ECONNRESET', `the daemon at ${path} hung up`);
		return {ended};
	}

	#greeting(): ToDaemon {
		const {rank} = this.#options;
		if (rank === null) return {type: 'status'};
		return {type: 'hello', rank, isStopping: this.#isStopping, ...ownName()};
	}

	#receive(message: FromDaemon): void {
		this.#heard();
		// A daemon that ends after a shutdown says so to all, and is not brought back.
		if (message.type === 'status' && message.isStopping) this.#isStopping = true;
		this.#pid = message.pid;
		const waiting = this.#welcomed;
		this.#welcomed = [];
		for (const resolve of waiting) resolve();
	}

	async #bringUp(path: string): Promise<LineConnection> {
		this.#heard();
		const {instance, rundir} = this.#options;
		const starter = await takeLock(starterLockName(instance));
		if (starter === null) throw new SystemError('EBUSY', 'another broker is starting one');
		try {
			if ((await lockHolder(daemonLockName(instance))) === null) {
				const record = await readStartRecord(rundir);
				if (record === null) throw new SystemError('ENOENT', `${rundir} does not say how to start one`);
				const child = await spawnDaemon(record, {adoptsBrokers: true});
				this.#options.log(`the daemon is gone; started another one, pid ${child.pid}`);
			}
			return await connectWithin(path, STARTUP_MS);
		} finally {
			await starter.release();
		}
	}
}

async function connectOrNull(path: string): Promise<LineConnection | null> {
	try {
		return await connectLines(path, CONNECT_MS);
	} catch (error) {
		const {code} = error as SystemError;
		if (code === 'ENOENT' || code === 'ECONNREFUSED') return null;
		throw error;
	}
}

/** Connects to a daemon that is coming up. @throws {SystemError} ETIMEDOUT */
export async function connectWithin(path: string, timeoutMs: number): Promise<LineConnection> {
	const untilMs = performance.now() + timeoutMs;
	while (performance.now() < untilMs) {
		const connection = await connectOrNull(path);
		if (connection !== null) return connection;
		await pause(POLL_MS);
	}
	throw new SystemError('ETIMEDOUT', `no daemon listens at ${path} within ${timeoutMs} ms`);
}
