/**
 * The broker's side of the connection to its job shell: dials it, starts one where none runs, and dials again with
 * backoff when contact is lost. Invariant: messages are handed over in order while the connection is up, and none
 * otherwise; `onUp` and `onDown` alternate.
 */

import {spawn, type ChildProcess} from 'node:child_process';
import {closeSync, mkdirSync, openSync, readFileSync} from 'node:fs';
import {connect, type Socket} from 'node:net';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import type {Clock, Timer} from '../../ports/clock.ts';
import type {Random} from '../../ports/random.ts';
import {shellLogPath, shellPidPath, socketPath, type RankSite} from '../part-paths.ts';
import {
	decodeShellMessage,
	encodeMessage,
	LineSplitter,
	SHELL_PROTOCOL,
	SHELL_PROTOCOL_MIN,
	type BrokerMessage,
	type ShellMessage,
} from '../shell-protocol.ts';
import {installedFile, PROGRAM_ENVIRONMENT, programCommand} from '../../ports/real/installation.ts';
import {ShellWatch} from './shell-watch.ts';

export interface ShellClientOptions {
	readonly site: RankSite;
	readonly clock: Clock;
	readonly random: Random;
	readonly log: (text: string) => void;
	readonly onMessage: (message: Exclude<ShellMessage, {type: 'hello' | 'refused'}>) => void;
	/** The shell has said hello. */
	readonly onUp: (hello: Extract<ShellMessage, {type: 'hello'}>) => void;
	readonly onDown: () => void;
	/** Asked before each attempt: whether a shell is still needed. */
	readonly isNeeded: () => boolean;
	/** An attempt has failed, the next one will follow. */
	readonly onFailure: (error: SystemError) => void;
	/** Silence after which a shell is killed, and replaced; Infinity: never. */
	readonly silenceMsMax: number;
	/** Asks the shell, which is connected, for anything. */
	readonly probe: () => void;
	/** A line for an admin. */
	readonly warn: (text: string) => void;
}

const DETACH_PATH = installedFile('libexec/coppice-detach');
const BACKOFF_MS = 50;
const BACKOFF_MS_MAX = 2000;
/** While a shell that was started a moment ago comes up. */
const STARTING_RETRY_MS = 10;
const STARTING_MS_MAX = 5000;
const HELLO_TIMEOUT_MS = 10_000;

export class ShellClient {
	readonly #options: ShellClientOptions;
	#socket: Socket | null = null;
	#isUp = false;
	#isClosed = false;
	#isDialing = false;
	#timer: Timer | null = null;
	#helloTimer: Timer | null = null;
	#backoffMs = BACKOFF_MS;
	#child: ChildProcess | null = null;
	#childSinceMs = 0;
	#pending = '';
	readonly #watch: ShellWatch;

	constructor(options: ShellClientOptions) {
		this.#options = options;
		const {site, clock, silenceMsMax, probe, warn} = options;
		this.#watch = new ShellWatch({site, clock, timeoutMs: silenceMsMax, probe, warn});
	}

	/** How long the shell, which is there, has said nothing, if that is worth telling; else null. */
	get silentMs(): number | null {
		return this.#watch.silentMs;
	}

	get isUp(): boolean {
		return this.#isUp;
	}

	/** Dials unless that is under way. */
	wake(): void {
		if (this.#isClosed || this.#isUp || this.#isDialing) return;
		this.#isDialing = true;
		this.#dial();
	}

	/** Sends now; does nothing while the connection is not up. Messages of one turn go out in one write. */
	send(message: BrokerMessage): void {
		if (!this.#isUp) return;
		if (this.#pending === '') setImmediate(() => this.#flush());
		this.#pending += encodeMessage(message);
	}

	/** The shell as its pid file names it, for messages about one that does not answer. */
	describe(): string {
		const path = shellPidPath(this.#options.site);
		try {
			const {pid} = JSON.parse(readFileSync(path, 'utf8')) as {pid: number};
			return `the job shell (pid ${pid})`;
		} catch (error) {
			if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT')
				return 'the job shell (pid unknown)';
			throw error;
		}
	}

	/** Ends the connection after what is queued; the shell goes on. Idempotent. */
	close(): void {
		if (this.#isClosed) return;
		this.#flush();
		this.#isClosed = true;
		this.#watch.end();
		this.#timer?.cancel();
		this.#helloTimer?.cancel();
		this.#socket?.end();
		this.#socket?.unref();
		this.#socket = null;
		this.#isUp = false;
	}

	#flush(): void {
		if (this.#isUp && this.#pending !== '') this.#socket?.write(this.#pending);
		this.#pending = '';
	}

	#dial(): void {
		if (this.#isClosed) return;
		if (!this.#options.isNeeded()) {
			this.#isDialing = false;
			this.#watch.end();
			return;
		}
		const socket = connect(socketPath(this.#options.site));
		const lines = new LineSplitter();
		let failure: SystemError | undefined;
		socket.setEncoding('utf8');
		this.#socket = socket;
		this.#helloTimer = this.#options.clock.setTimer(HELLO_TIMEOUT_MS, () => {
			failure = new SystemError(
				'ETIMEDOUT',
				`${this.describe()} does not answer at ${socketPath(this.#options.site)}`,
			);
			socket.destroy();
		});
		socket.on('connect', () => {
			if (socket !== this.#socket) return; // Closed meanwhile: nothing must be begun any more.
			this.#watch.begin();
			const {instance, rank} = this.#options.site;
			socket.write(
				encodeMessage({
					type: 'hello',
					protocol: SHELL_PROTOCOL,
					protocolMin: SHELL_PROTOCOL_MIN,
					instance,
					rank,
				}),
			);
		});
		socket.on('data', (text: string) => {
			this.#watch.heard();
			try {
				for (const line of lines.push(text)) this.#take(decodeShellMessage(line), socket);
			} catch (error) {
				failure = asSystemError(error, 'EPROTO');
				socket.destroy();
			}
		});
		socket.on('error', error => {
			failure = asSystemError(error, 'ECONNRESET', `job shell at ${socketPath(this.#options.site)}`);
		});
		socket.on('close', () => this.#lost(socket, failure));
	}

	#take(message: ShellMessage, socket: Socket): void {
		if (socket !== this.#socket) return;
		switch (message.type) {
			case 'hello':
				this.#helloTimer?.cancel();
				this.#isUp = true;
				this.#isDialing = false;
				this.#backoffMs = BACKOFF_MS;
				this.#child = null;
				return this.#options.onUp(message);
			case 'refused':
				throw new SystemError(message.error.code, message.error.message);
			default:
				if (this.#isUp) this.#options.onMessage(message);
		}
	}

	#lost(socket: Socket, failure: SystemError | undefined): void {
		if (this.#isClosed || socket !== this.#socket) return;
		this.#helloTimer?.cancel();
		this.#socket = null;
		this.#pending = '';
		if (this.#isUp) {
			this.#isUp = false;
			this.#isDialing = true;
			this.#options.onDown();
		} else if (failure !== undefined) this.#options.onFailure(failure);
		const isAbsent = failure?.code === 'ENOENT' || failure?.code === 'ECONNREFUSED';
		if (isAbsent) this.#watch.end();
		if (isAbsent && this.#child === null && this.#options.isNeeded()) this.#startShell();
		this.#timer = this.#options.clock.setTimer(this.#delayMs(), () => this.#dial());
	}

	#delayMs(): number {
		const {clock, random} = this.#options;
		if (this.#child !== null && clock.monotonicMs() - this.#childSinceMs < STARTING_MS_MAX)
			return STARTING_RETRY_MS;
		const delayMs = this.#backoffMs * (0.5 + random.float() / 2);
		this.#backoffMs = Math.min(this.#backoffMs * 2, BACKOFF_MS_MAX);
		return delayMs;
	}

	/** Starts a shell in a session of its own. Where another one has come first, it ends by itself. */
	#startShell(): void {
		const {site, clock, log, onFailure} = this.#options;
		const {instance, rank, jobdir, rundir, cgroupBase} = site;
		let logFd: number | undefined;
		try {
			mkdirSync(rundir, {recursive: true, mode: 0o700});
			logFd = openSync(shellLogPath(site), 'a', 0o600);
			const child = spawn(
				'perl',
				[
					DETACH_PATH,
					...programCommand('shell'),
					JSON.stringify({instance, rank, jobdir, rundir, cgroupBase}),
				],
				{stdio: ['ignore', 'ignore', logFd], detached: true, cwd: '/', env: cleanEnv()},
			);
			this.#child = child;
			this.#childSinceMs = clock.monotonicMs();
			const ended = (reason: string) => {
				if (this.#child !== child) return;
				this.#child = null;
				if (!this.#isUp) log(`a job shell that was started ended: ${reason}; see ${shellLogPath(site)}`);
			};
			child.once('error', error => ended(error.message));
			child.once('exit', (code, signal) => ended(signal ?? `exit status ${code}`));
			child.unref();
		} catch (error) {
			onFailure(asSystemError(error, 'EIO', 'start the job shell'));
		} finally {
			if (logFd !== undefined) closeSync(logFd);
		}
	}
}

/** The shell inherits nothing of the broker's environment but where programs are. */
function cleanEnv(): NodeJS.ProcessEnv {
	const {PATH = '/usr/local/bin:/usr/bin:/bin', HOME = '/', TMPDIR} = process.env;
	return {PATH, HOME, LC_ALL: 'C', ...PROGRAM_ENVIRONMENT, ...(TMPDIR === undefined ? {} : {TMPDIR})};
}
