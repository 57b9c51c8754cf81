/**
 * What shims leave on disk and say on the way: claim files with their exit records, and event lines. Formats are those of
 * `libexec/coppice-launcher`; every field is validated, because a file may be cut short by a full disk.
 */

import type {PartKey} from '../ports/process-host.ts';
import {parsePartName, parseTaskName} from './part-paths.ts';

/** A process, by pid and field 22 of its stat file; of the boot that the part belongs to. */
export interface ProcessId {
	readonly pid: number;
	readonly startTicks: number;
}

export interface TaskProcess extends ProcessId {
	readonly startMs: number;
	/** CLOCK_MONOTONIC at the start, for the time limit. */
	readonly startMonotonicMs: number;
}

/**
 * `void`: the task never started and never will. `shim` null: the claim was cut short before the shim could
 * write its name, and so before it could start anything.
 */
export type Claim =
	| {readonly kind: 'void'}
	| {readonly kind: 'claimed'; readonly shim: ProcessId | null; readonly task: TaskProcess | null};

export interface ExitRecord {
	/** The raw wait status. */
	readonly waitStatus: number;
	readonly endMs: number;
	/** Whether every byte of the stream has been copied. */
	readonly stdoutComplete: boolean;
	readonly stderrComplete: boolean;
	/** The shim knows that nothing is left of what the task started; without a cgroup only. */
	readonly isAlone: boolean;
	/** Bytes of output that a full disk swallowed. */
	readonly lostBytes: number;
	readonly error?: string;
}

/** What a shim (or the launcher about a shim: `gone`) says. */
export type ShimEvent = {readonly key: PartKey; readonly task: number} & (
	| {readonly verb: 'start'; readonly process: TaskProcess}
	| {readonly verb: 'exit'; readonly waitStatus: number; readonly endMs: number; readonly error?: string}
	| {readonly verb: 'close'; readonly lostBytes: number}
	| {readonly verb: 'failed'; readonly why: string}
	| {readonly verb: 'gone'; readonly waitStatus: number}
);

/** A claim file: a line for the shim, one for the task, the exit record. */
const EXIT_RECORD_OFFSET = 2 * 128;

/** The text of a claim that the job shell takes, so that no shim can. */
export function voidClaim(shellPid: number): string {
	return `void shell ${shellPid}\n`;
}

export function parseClaim(text: string): Claim {
	if (text.startsWith('void')) return {kind: 'void'};
	const [shimLine, taskLine] = text.split('\n');
	const shim = /^shim (\d+) (\d+) /.exec(shimLine ?? '');
	const task = /^task (.*)$/.exec(taskLine ?? '');
	return {
		kind: 'claimed',
		shim: shim === null ? null : {pid: Number(shim[1]), startTicks: Number(shim[2])},
		task: task === null ? null : parseProcess(task[1]!),
	};
}

/** The end that a claim file records, or null while it has none. */
export function parseExit(text: string): ExitRecord | null {
	const match = /^exit (\d+) (\d{13}) ([01])([01])([01]?) (\d+) ([^\n]*)\n/.exec(
		text.slice(EXIT_RECORD_OFFSET),
	);
	if (match === null) return null;
	const error = match[7]!.trimEnd();
	return {
		waitStatus: Number(match[1]),
		endMs: Number(match[2]),
		stdoutComplete: match[3] === '1',
		stderrComplete: match[4] === '1',
		isAlone: match[5] === '1',
		lostBytes: Number(match[6]),
		...(error === '' ? {} : {error}),
	};
}

/** One line of the event fifo, or undefined when it is damaged or of a kind that is not known. */
export function parseShimEvent(line: string): ShimEvent | undefined {
	const match = /^(\S+) (\d+|prolog|epilog) (\w+) ?(.*)$/.exec(line);
	const key = match === null ? undefined : parsePartName(match[1]!);
	if (match === null || key === undefined) return undefined;
	const head = {key, task: parseTaskName(match[2]!)};
	const rest = match[4]!;
	switch (match[3]) {
		case 'start': {
			const process = parseProcess(rest);
			return process === null ? undefined : {...head, verb: 'start', process};
		}
		case 'exit': {
			const end = /^(\d+) (\d+) (\d+) ?(.*)$/.exec(rest);
			if (end === null) return undefined;
			const error = end[4]!.trimEnd();
			return {
				...head,
				verb: 'exit',
				waitStatus: Number(end[1]),
				endMs: Number(end[2]),
				...(error === '' ? {} : {error}),
			};
		}
		case 'close':
			return {...head, verb: 'close', lostBytes: Number(rest) || 0};
		case 'failed':
			return {...head, verb: 'failed', why: rest};
		case 'gone':
			return {...head, verb: 'gone', waitStatus: Number(rest) || 0};
		default:
			return undefined;
	}
}

/** In a claim the inodes of both pipes follow, for a rescue. */
function parseProcess(text: string): TaskProcess | null {
	const match = /^(\d+) (\d+) (\d+) (\d+\.\d+)(?: \d+ \d+)?\s*$/.exec(text);
	if (match === null) return null;
	return {
		pid: Number(match[1]),
		startTicks: Number(match[2]),
		startMs: Number(match[3]),
		startMonotonicMs: Number(match[4]),
	};
}
