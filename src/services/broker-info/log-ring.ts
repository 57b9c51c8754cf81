/** The newest lines of this broker's log, for `dmesg`, and who follows them. */
import {encodeLogLine, SEVERITY_NAMES, type Severity as SeverityNumber} from '../../formats/rfc5424.ts';
import type {Severity} from '../core.ts';

export const LOG_RING_LINES = 1024;

export interface LogRingOptions {
	readonly rank: number;
	readonly pid: number;
	readonly epochMs: () => number;
	/** Each line also goes here: the broker's stderr. */
	readonly write: (line: string, severity: Severity) => void;
}

export class LogRing {
	readonly #options: LogRingOptions;
	readonly #lines: string[] = [];
	readonly #followers = new Set<(line: string) => void>();

	constructor(options: LogRingOptions) {
		this.#options = options;
	}

	get lines(): readonly string[] {
		return this.#lines;
	}

	/** Forgets the lines so far. */
	clear(): void {
		this.#lines.length = 0;
	}

	add(severity: Severity, message: string, appname = 'broker'): void {
		const {rank, pid, epochMs, write} = this.#options;
		const line = encodeLogLine({
			severity: SEVERITY_NAMES.indexOf(severity) as SeverityNumber,
			atMs: epochMs(),
			rank,
			appname,
			message,
			pid,
		});
		this.#lines.push(line);
		if (this.#lines.length > LOG_RING_LINES) this.#lines.shift();
		write(line, severity);
		for (const follower of this.#followers) follower(line);
	}

	/** Calls `follower` with each new line. Returns how to stop. */
	follow(follower: (line: string) => void): () => void {
		this.#followers.add(follower);
		return () => this.#followers.delete(follower);
	}
}
