/**
 * When a broker that ended is started again (DESIGN section 2): pure. Whoever kills a broker gets it back at once; only
 * what is its own fault backs off.
 */
import {EXIT_ORPHANED, EXIT_REFUSED} from './daemon-protocol.ts';

/** How a broker's process ended. `vanished`: it was not our child, and it did not say. */
export type ProcessEnd =
	| {readonly kind: 'exit'; readonly exitCode: number}
	| {readonly kind: 'signal'; readonly signal: string}
	| {readonly kind: 'vanished'};

export interface EndCircumstances {
	/** Shutdown was asked. */
	readonly isStopping: boolean;
	/** Panics in a row before this end. */
	readonly panics: number;
	/** How long the process lived. */
	readonly aliveMs: number;
	/** A random number in [0, 1), for the jitter. */
	readonly random: number;
}

export type EndVerdict =
	/** It is over, as asked. */
	| {readonly kind: 'ended'}
	/** It says itself that a restart can't cure it. */
	| {readonly kind: 'refused'}
	| {readonly kind: 'restart'; readonly delayMs: number; readonly panics: number};

export const BACKOFF_MS_MIN = 100;
/** Brokers that lose a parent together come back spread over this time. */
export const ORPHANED_MS_MAX = 50;
export const BACKOFF_MS_MAX = 2000;
/** A broker that lived so long has recovered: its next panic counts as the first. */
export const PANIC_RESET_MS = 30_000;

export function judgeEnd(end: ProcessEnd, circumstances: EndCircumstances): EndVerdict {
	const {isStopping, panics: before, aliveMs, random} = circumstances;
	if (isStopping) return {kind: 'ended'};
	if (end.kind === 'exit' && end.exitCode === EXIT_REFUSED) return {kind: 'refused'};
	if (end.kind === 'exit' && end.exitCode === EXIT_ORPHANED) {
		return {kind: 'restart', delayMs: Math.round(random * ORPHANED_MS_MAX), panics: before};
	}
	const earlier = aliveMs >= PANIC_RESET_MS ? 0 : before;
	if (!isPanic(end)) return {kind: 'restart', delayMs: 0, panics: earlier};
	const fullMs = Math.min(BACKOFF_MS_MIN * 2 ** Math.min(earlier, 30), BACKOFF_MS_MAX);
	// Half of it is jitter, so that brokers that panic together do not come back together.
	return {kind: 'restart', delayMs: Math.round(fullMs * (0.5 + random / 2)), panics: earlier + 1};
}

export function describeEnd(end: ProcessEnd): string {
	if (end.kind === 'exit') return `exit status ${end.exitCode}`;
	return end.kind === 'signal' ? end.signal : 'an unknown end';
}

/** Signals by which a process ends itself: an abort, a fault of its code. */
const OWN_SIGNALS: readonly string[] = [
	'SIGABRT',
	'SIGSEGV',
	'SIGBUS',
	'SIGILL',
	'SIGFPE',
	'SIGTRAP',
	'SIGSYS',
];

/** An exit with status 0 that nobody asked for is a panic too. */
function isPanic(end: ProcessEnd): boolean {
	return end.kind === 'exit' || (end.kind === 'signal' && OWN_SIGNALS.includes(end.signal));
}
