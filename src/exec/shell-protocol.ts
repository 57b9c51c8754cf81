/**
 * The messages between a broker and its job shell (docs/shell-protocol.md): JSON, one message a line, over the
 * shell's unix socket. Job ids are decimal strings. Every line is validated as far as the receiver relies on it.
 */

import {isErrnoName, SystemError, type ErrnoName} from '../formats/errno.ts';
import type {Exchange, InventoryEntry, LaunchSpec, PartKey, PartReport} from '../ports/process-host.ts';

/** This version; the one before it is understood too, so that a shell outlives an upgrade of its broker. */
export const SHELL_PROTOCOL = 3;
export const SHELL_PROTOCOL_MIN = 2;
/** A longer line ends the connection with EMSGSIZE. */
export const SHELL_LINE_CHARS_MAX = 64 * 1024 * 1024;
/** A broker that leaves so much unread is cut off; it will ask for the inventory when it is back. */
export const SHELL_QUEUE_BYTES_MAX = 64 * 1024 * 1024;

/** What a broker says. `request` numbers what is answered; the rest is an order without answer. */
export type BrokerMessage =
	| {
			readonly type: 'hello';
			/** The highest and lowest version that the broker speaks. */
			readonly protocol: number;
			readonly protocolMin: number;
			readonly instance: string;
			readonly rank: number;
	  }
	| {readonly type: 'launch'; readonly spec: LaunchSpec}
	/** From version 3 on. The prologs of all ranks have succeeded. */
	| {readonly type: 'begin'; readonly key: PartKey}
	| {readonly type: 'terminate'; readonly key: PartKey; readonly signum: number}
	| {readonly type: 'forget'; readonly key: PartKey}
	| {readonly type: 'signal'; readonly request: number; readonly key: PartKey; readonly signum: number}
	| {readonly type: 'inventory'; readonly request: number}
	| {readonly type: 'stop'; readonly request: number}
	/** From version 2 on. Whether the rank is in contact with the root; the lease in milliseconds, null: none. */
	| {readonly type: 'contact'; readonly isInContact: boolean; readonly leaseMs: number | null}
	/** From version 3 on. All parts of the job have entered a PMI barrier, with these puts. */
	| {readonly type: 'exchanged'; readonly exchange: Exchange};

/** The first version with `contact`. */
export const SHELL_PROTOCOL_CONTACT = 2;
/** The first version with `exchange` and `exchanged`. */
export const SHELL_PROTOCOL_EXCHANGE = 3;
/** The first version that knows prologs and epilogs. */
export const SHELL_PROTOCOL_SCRIPTS = 3;

export interface ShellFailure {
	readonly code: ErrnoName;
	readonly message: string;
}

/** What the shell says. */
export type ShellMessage =
	| {
			readonly type: 'hello';
			/** The version that both sides use from here on. */
			readonly protocol: number;
			readonly pid: number;
			readonly launcherPid: number | null;
			readonly bootId: string;
	  }
	| {readonly type: 'refused'; readonly error: ShellFailure}
	| {readonly type: 'launcher'; readonly pid: number | null}
	| {readonly type: 'report'; readonly report: PartReport}
	/** From version 3 on. All tasks of a part wait at a PMI barrier for those of other parts. */
	| {readonly type: 'exchange'; readonly exchange: Exchange}
	/** One part of the inventory that `request` asked for; the answer follows the last. */
	| {readonly type: 'part'; readonly request: number; readonly entry: InventoryEntry}
	| {
			readonly type: 'answer';
			readonly request: number;
			/** Of an inventory. */
			readonly highestJobId?: bigint;
			readonly error?: ShellFailure;
	  };

/** A message as its line, with its line feed. */
export function encodeMessage(message: BrokerMessage | ShellMessage): string {
	return `${JSON.stringify(message, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value))}\n`;
}

/** @throws {SystemError} EPROTO for a line that is no message of a broker. */
export function decodeBrokerMessage(line: string): BrokerMessage {
	const value = parseLine(line);
	switch (value.type) {
		case 'hello':
		case 'inventory':
		case 'stop':
		case 'contact':
			return value as unknown as BrokerMessage;
		case 'exchanged':
			return {type: 'exchanged', exchange: reviveExchange(value.exchange, line)};
		case 'launch': {
			const spec = value.spec as {id: unknown} | undefined;
			return {...value, spec: {...spec, id: idOf(spec?.id, line)}} as unknown as BrokerMessage;
		}
		case 'begin':
		case 'terminate':
		case 'forget':
		case 'signal': {
			const key = value.key as {id: unknown} | undefined;
			return {...value, key: {...key, id: idOf(key?.id, line)}} as unknown as BrokerMessage;
		}
		default:
			throw damaged(line);
	}
}

/** @throws {SystemError} EPROTO for a line that is no message of a shell. */
export function decodeShellMessage(line: string): ShellMessage {
	const value = parseLine(line);
	switch (value.type) {
		case 'hello':
		case 'launcher':
			return value as unknown as ShellMessage;
		case 'refused':
			return {type: 'refused', error: failureOf(value.error)};
		case 'report':
			return {type: 'report', report: reviveReport(value.report, line)};
		case 'exchange':
			return {type: 'exchange', exchange: reviveExchange(value.exchange, line)};
		case 'part': {
			const entry = value.entry as {id: unknown; reports: unknown[]};
			const reports = entry.reports.map(report => reviveReport(report, line));
			return {...value, entry: {...entry, id: idOf(entry.id, line), reports}} as unknown as ShellMessage;
		}
		case 'answer': {
			const {highestJobId, error, request} = value;
			return {
				type: 'answer',
				request: Number(request),
				...(highestJobId === undefined ? {} : {highestJobId: idOf(highestJobId, line)}),
				...(error === undefined ? {} : {error: failureOf(error)}),
			};
		}
		default:
			throw damaged(line);
	}
}

/** The version for both, or undefined when there is none. */
export function commonProtocol(hello: {
	readonly protocol: number;
	readonly protocolMin: number;
}): number | undefined {
	const version = Math.min(hello.protocol, SHELL_PROTOCOL);
	return version >= Math.max(hello.protocolMin, SHELL_PROTOCOL_MIN) ? version : undefined;
}

/** Cuts a stream of text into lines. Owns the piece after the last line feed. */
export class LineSplitter {
	#rest = '';

	/** The lines that are complete now. @throws {SystemError} EMSGSIZE when one exceeds `SHELL_LINE_CHARS_MAX`. */
	push(text: string): string[] {
		const lines = text.split('\n');
		lines[0] = this.#rest + lines[0]!;
		this.#rest = lines.pop()!;
		if (this.#rest.length > SHELL_LINE_CHARS_MAX) {
			this.#rest = '';
			throw new SystemError('EMSGSIZE', `line of more than ${SHELL_LINE_CHARS_MAX} characters`);
		}
		return lines;
	}
}

function parseLine(line: string): Record<string, unknown> {
	try {
		const value: unknown = JSON.parse(line);
		if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
	} catch (error) {
		if (!(error instanceof SyntaxError)) throw error;
	}
	throw damaged(line);
}

function idOf(value: unknown, line: string): bigint {
	if (typeof value === 'string' && /^\d{1,20}$/.test(value)) return BigInt(value);
	throw damaged(line);
}

function reviveReport(value: unknown, line: string): PartReport {
	const report = value as {id: unknown};
	return {...report, id: idOf(report.id, line)} as unknown as PartReport;
}

function reviveExchange(value: unknown, line: string): Exchange {
	const {id, attempt, barrier, puts} = (value ?? {}) as Record<string, unknown>;
	return {
		id: idOf(id, line),
		attempt: Number(attempt),
		barrier: Number(barrier),
		puts: (puts ?? {}) as Exchange['puts'],
	};
}

function failureOf(value: unknown): ShellFailure {
	const {code, message} = (value ?? {}) as {code?: unknown; message?: unknown};
	return {
		code: isErrnoName(code) ? code : 'EIO',
		message: typeof message === 'string' ? message : 'no reason was given',
	};
}

function damaged(line: string): SystemError {
	return new SystemError('EPROTO', `not a message of the shell protocol: ${line.slice(0, 100)}`);
}
