/**
 * The broker's watch over a job shell that lives but does not answer: stopped, or in an endless turn of its event loop. It
 * is asked for a sign of life, and in the end killed, so that another one takes over its parts as after any other death.
 * Invariant: only the process that the pid file names is killed, by pid, start time and boot, and only for silence.
 */

import {readFileSync} from 'node:fs';
import type {Clock, Timer} from '../../ports/clock.ts';
import {shellPidPath, type RankSite} from '../part-paths.ts';
import {isDeadState, parseStat} from '../proc-text.ts';
import {Silence} from '../silence.ts';
import type {ProcessId} from '../task-record.ts';
import {sendSignal} from './proc.ts';

export interface ShellWatchOptions {
	readonly site: RankSite;
	readonly clock: Clock;
	/** Silence after which a shell is replaced; Infinity: never. */
	readonly timeoutMs: number;
	/** Asks for a sign of life, where that is possible at present. */
	readonly probe: () => void;
	/** A line for an admin. */
	readonly warn: (text: string) => void;
}

const TICK_MS_MAX = 3000;
/** A timeout has so many ticks, unless it is long. */
const TICKS = 10;
/** One that computes, or waits for a disk, may be held up by others: it gets so many times the timeout. */
const BUSY_FACTOR = 4;
/** Silence is worth telling after so many ticks. */
const NOTABLE_TICKS = 2;
const SIGKILL = 9;

export class ShellWatch {
	readonly #options: ShellWatchOptions;
	readonly #tickMs: number;
	#silence: Silence | null = null;
	#timer: Timer | null = null;

	constructor(options: ShellWatchOptions) {
		this.#options = options;
		this.#tickMs = Math.min(options.timeoutMs / TICKS, TICK_MS_MAX);
	}

	/** A shell has taken a connection, so it is there. Does nothing while the watch is on. */
	begin(): void {
		if (this.#silence !== null) return;
		this.#silence = new Silence(this.#tickMs, this.#options.clock.monotonicMs());
		this.#arm();
	}

	/** The shell has said something. */
	heard(): void {
		this.#silence?.heard();
	}

	/** No shell is there, or nobody wants to know any more. */
	end(): void {
		this.#silence = null;
		this.#timer?.cancel();
		this.#timer = null;
	}

	/** Since when it says nothing, in milliseconds, if that is worth telling; else null. */
	get silentMs(): number | null {
		const silentMs = this.#silence?.silentMs ?? 0;
		return silentMs >= this.#tickMs * NOTABLE_TICKS ? silentMs : null;
	}

	#arm(): void {
		this.#timer = this.#options.clock.setTimer(this.#tickMs, () => {
			this.#silence?.tick(this.#options.clock.monotonicMs());
			this.#judge();
			if (this.#silence !== null) this.#arm();
		});
	}

	#judge(): void {
		const {timeoutMs, site, clock, probe, warn} = this.#options;
		const silentMs = this.#silence?.silentMs ?? 0;
		probe();
		if (silentMs < timeoutMs) return;
		const shell = namedShell(site, clock.bootId);
		if (shell === undefined) return;
		const isBusy = shell.state === 'R' || shell.state === 'D';
		if (isBusy && silentMs < timeoutMs * BUSY_FACTOR) return;
		const seconds = Math.round(silentMs / 1000);
		warn(
			`the job shell (pid ${shell.pid}, state ${shell.state}) gave no sign of life for ${seconds} s: ` +
				'it is killed, and another one takes over',
		);
		sendSignal(shell.pid, SIGKILL);
		this.#silence?.heard();
	}
}

/** The shell that the pid file names, if it lives, with its state of proc(5). */
function namedShell(site: RankSite, bootId: string): (ProcessId & {readonly state: string}) | undefined {
	try {
		const named = JSON.parse(readFileSync(shellPidPath(site), 'utf8')) as ProcessId & {bootId?: string};
		const stat = parseStat(readFileSync(`/proc/${named.pid}/stat`, 'latin1'));
		const isIt = named.bootId === bootId && stat?.startTicks === named.startTicks;
		return isIt && !isDeadState(stat.state) ? {...named, state: stat.state} : undefined;
	} catch (error) {
		const {code} = error as NodeJS.ErrnoException;
		if (error instanceof SyntaxError || code === 'ENOENT' || code === 'ESRCH') return undefined;
		throw error;
	}
}
