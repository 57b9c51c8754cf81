/**
 * One broker as its daemon sees it: started or adopted, watched, started again. Invariant: at most one process of a rank
 * is started by us at a time, and none while one that we know of is alive.
 */
import type {ChildProcess} from 'node:child_process';
import {
	brokerLogPath,
	type BrokerPhase,
	type BrokerStatus,
	type FromDaemon,
	type StartRecord,
} from '../../broker/daemon-protocol.ts';
import {asSystemError} from '../../formats/errno.ts';
import {sendSignal} from '../../exec/real/proc.ts';
import {isNamedAlive, nameOf, type ProcessName} from '../../broker/real/pid-file.ts';
import type {LineConnection} from '../../broker/real/line-connection.ts';
import {spawnDetached} from '../../broker/real/spawn-daemon.ts';
import {describeEnd, judgeEnd, type ProcessEnd} from '../../broker/restart-policy.ts';
import {lastLines, rotateLog} from './daemon-log.ts';

export interface SlotOptions {
	readonly record: StartRecord;
	readonly rank: number;
	readonly log: (text: string) => void;
	readonly isStopping: () => boolean;
	/** Called after each change of what the slot is about. */
	readonly onChange: () => void;
}

/** A broker that is not our child is looked at so often, and at once when its connection ends. */
const ADOPTED_POLL_MS = 500;
/** A process whose connection has ended may take a moment to be gone. */
const ENDING_POLL_MS = 10;
const ENDING_POLLS_MAX = 100;
const REASON_LINES = 5;
const SIGTERM = 15;

export class BrokerSlot {
	readonly rank: number;
	readonly #options: SlotOptions;
	#phase: BrokerPhase = 'waiting';
	#process: ProcessName | null = null;
	#child: ChildProcess | null = null;
	#connection: LineConnection | null = null;
	/** Another process of this rank, started by a daemon that did not live to write it down. */
	#rival: {readonly connection: LineConnection; readonly name: ProcessName} | null = null;
	/** What it said about its own end. */
	#announced: {readonly exitCode: number; readonly reason: string} | null = null;
	#restarts = 0;
	#panics = 0;
	#sinceMs = performance.now();
	#lastEnd: string | null = null;
	#refusal: string | null = null;
	#timer: NodeJS.Timeout | null = null;

	constructor(options: SlotOptions) {
		this.#options = options;
		this.rank = options.rank;
	}

	get phase(): BrokerPhase {
		return this.#phase;
	}

	get process(): ProcessName | null {
		return this.#process;
	}

	get hasRefused(): boolean {
		return this.#refusal !== null;
	}

	get status(): BrokerStatus {
		return {
			rank: this.rank,
			phase: this.#phase,
			pid: this.#process?.pid ?? null,
			restarts: this.#restarts,
			panics: this.#panics,
			lastEnd: this.#lastEnd,
			refusal: this.#refusal,
		};
	}

	/** Starts the broker. */
	async start(): Promise<void> {
		const {record, rank, log} = this.#options;
		this.#clearTimer();
		const logPath = brokerLogPath(record.info.rundir, rank);
		this.#phase = 'running';
		this.#announced = null;
		this.#sinceMs = performance.now();
		try {
			rotateLog(logPath);
			const child = await spawnDetached({
				command: [...record.brokerCommand, '--rank', String(rank)],
				logPath,
			});
			this.#child = child;
			this.#process = nameOf(child.pid!);
			child.once('exit', (exitCode, signal) => {
				this.#child = null;
				this.#ended(signal === null ? {kind: 'exit', exitCode: exitCode ?? 1} : {kind: 'signal', signal});
			});
			log(`broker ${rank}: started, pid ${child.pid}`);
			this.#options.onChange();
			if (child.exitCode !== null || child.signalCode !== null) return; // 'exit' has come, or comes.
		} catch (error) {
			log(`broker ${rank}: ${asSystemError(error).toString()}`);
			this.#ended({kind: 'exit', exitCode: 1});
		}
	}

	/** Takes over a broker that another daemon has started. */
	adopt(name: ProcessName): void {
		this.#clearTimer();
		this.#phase = 'running';
		this.#process = name;
		this.#refusal = null;
		this.#options.log(`broker ${this.rank}: adopted, pid ${name.pid}`);
		this.#timer = setInterval(() => this.#look(), ADOPTED_POLL_MS);
		this.#options.onChange();
	}

	/** A broker of this rank has connected. */
	hello(connection: LineConnection, name: ProcessName): void {
		const known = this.#process;
		const isKnown = known !== null && isNamedAlive(known);
		if (isKnown && (known.pid !== name.pid || known.startTicks !== name.startTicks)) {
			this.#options.log(
				`broker ${this.rank}: pid ${name.pid} says that it is it, but pid ${known.pid} lives`,
			);
			return;
		}
		if (!isKnown) this.adopt(name);
		this.#connection = connection;
		const before = connection.onEnd;
		connection.onEnd = () => {
			before();
			if (this.#connection === connection) this.#connection = null;
			if (this.#child === null && this.#process?.pid === name.pid) this.#lookOften();
		};
	}

	exiting(exitCode: number, reason: string): void {
		this.#announced = {exitCode, reason};
	}

	send(message: FromDaemon): void {
		this.#connection?.send(message);
	}

	/** Sends a signal to the broker, when it is there, and forgets a planned start. */
	stop(signum: number = SIGTERM): void {
		if (this.#phase === 'waiting') {
			this.#clearTimer();
			this.#phase = 'ended';
			this.#options.onChange();
		} else if (this.#process !== null && isNamedAlive(this.#process)) {
			sendSignal(this.#process.pid, signum);
		}
	}

	#look(): void {
		if (this.#process === null || isNamedAlive(this.#process)) return;
		const announced = this.#announced;
		this.#ended(announced === null ? {kind: 'vanished'} : {kind: 'exit', exitCode: announced.exitCode});
	}

	#lookOften(): void {
		let count = 0;
		this.#clearTimer();
		this.#timer = setInterval(() => {
			count += 1;
			if (count === ENDING_POLLS_MAX) {
				this.#clearTimer();
				this.#timer = setInterval(() => this.#look(), ADOPTED_POLL_MS);
			}
			this.#look();
		}, ENDING_POLL_MS);
	}

	#ended(end: ProcessEnd): void {
		const {log, isStopping, onChange} = this.#options;
		this.#clearTimer();
		const pid = this.#process?.pid;
		this.#process = null;
		this.#lastEnd = describeEnd(end);
		const rival = this.#rival;
		this.#rival = null;
		if (rival !== null && isNamedAlive(rival.name)) {
			this.hello(rival.connection, rival.name);
			return;
		}
		const verdict = judgeEnd(end, {
			isStopping: isStopping(),
			panics: this.#panics,
			aliveMs: performance.now() - this.#sinceMs,
			random: Math.random(),
		});
		const why = this.#announced === null ? '' : ` (${this.#announced.reason})`;
		const what = `broker ${this.rank}: pid ${pid ?? 'none'} ended by ${this.#lastEnd}${why}`;
		if (verdict.kind === 'restart') {
			log(verdict.delayMs === 0 ? `${what}; starting it again` : `${what}; again in ${verdict.delayMs} ms`);
			this.#panics = verdict.panics;
			this.#restarts += 1;
			this.#phase = 'waiting';
			this.#timer = setTimeout(() => void this.start(), verdict.delayMs);
		} else {
			if (verdict.kind === 'refused') this.#refusal = this.#announced?.reason ?? this.#lastWords();
			log(verdict.kind === 'refused' ? `${what}: a restart can't cure that: ${this.#refusal}` : what);
			this.#phase = 'ended';
		}
		onChange();
	}

	#lastWords(): string {
		return lastLines(brokerLogPath(this.#options.record.info.rundir, this.rank), REASON_LINES).join('\n');
	}

	#clearTimer(): void {
		if (this.#timer !== null) clearTimeout(this.#timer);
		this.#timer = null;
	}
}
