/**
 * What is known of one part: the phase of each task, the reports made, the order to end it. Pure: it is told facts,
 * and collects the journal lines and reports that follow from them until they are taken.
 *
 * Invariant: reports are numbered from 1 without gaps, in the journal before anywhere else; `exited` is the last,
 * and nothing follows it. Every fact may be told again.
 */

import assert from 'node:assert/strict';
import {describeWaitStatus} from '../formats/signal.ts';
import type {LaunchSpec, PartReport, ScriptEnd, TaskEnd, TaskStart} from '../ports/process-host.ts';
import {
	encodeEvent,
	eventOf,
	eventOfOrder,
	ordersOf,
	reportsOf,
	type EndingOrder,
	type JournalEvent,
} from './journal.ts';
import type {TaskProcess} from './task-record.ts';

/**
 * `new`: not claimed as far as is known. `claimed`: a shim has it, but no process is known. `void`: it never started.
 * `ended`: with or without a status.
 */
export type TaskPhase = 'new' | 'claimed' | 'started' | 'ended' | 'void';

export interface TaskEntry {
	readonly task: number;
	phase: TaskPhase;
	process: TaskProcess | null;
	end: TaskEnd | null;
	/** Its shim is known to be dead without having recorded an end. */
	lost: boolean;
	/** Its shim died before it could name the task, so long ago that the task would have done so itself. */
	isNameless: boolean;
}

/** What was learned since the last time: to be written, then sent. */
export interface LedgerNews {
	readonly lines: string;
	readonly reports: readonly PartReport[];
}

/** A report without its part and number. */
type Fact = PartReport extends infer R
	? R extends PartReport
		? Omit<R, 'id' | 'attempt' | 'seq'>
		: never
	: never;

export class PartLedger {
	readonly tasks: readonly TaskEntry[];
	readonly #spec: LaunchSpec;
	readonly #reports: PartReport[];
	#order: EndingOrder | null;
	#hasWarned: boolean;
	#lines = '';
	#takenReports: number;

	/** @param events the part's journal so far; empty for a new part. */
	constructor(spec: LaunchSpec, events: readonly JournalEvent[], nowMs: number) {
		this.#spec = spec;
		this.tasks = spec.tasks.map(task => ({
			task,
			phase: 'new',
			process: null,
			end: null,
			lost: false,
			isNameless: false,
		}));
		this.#reports = reportsOf(spec, events);
		this.#takenReports = this.#reports.length;
		this.#order = ordersOf(events).at(-1) ?? null;
		this.#hasWarned = events.some(({name}) => name === 'shell.signal');
		for (const event of events) {
			const lostTask = event.name === 'exception' ? event.context?.lostTask : undefined;
			const entry = this.tasks.find(({task}) => task === lostTask);
			if (entry !== undefined) entry.lost = true;
		}
		if (events.length > 0) return;
		this.#note('init', nowMs, {attempt: spec.attempt});
		this.#note('starting', nowMs);
		this.#note('recoverable', nowMs);
		this.#note('shell.init', nowMs, {size: spec.tasks.length});
	}

	get reports(): readonly PartReport[] {
		return this.#reports;
	}

	/** The order to end the part, or null. */
	get order(): EndingOrder | null {
		return this.#order;
	}

	get isExited(): boolean {
		return this.#reports.at(-1)?.kind === 'exited';
	}

	/** Whether the signal before the time limit was sent, or is about to be. */
	get hasWarned(): boolean {
		return this.#hasWarned;
	}

	/** How the prolog ended, or null. */
	get prologEnd(): ScriptEnd | null {
		return this.#reports.find(report => report.kind === 'prolog-ended')?.end ?? null;
	}

	/** All tasks are over, and the epilog has its turn. */
	get areTasksEnded(): boolean {
		return this.#reports.some(({kind}) => kind === 'tasks-ended');
	}

	get hasTimedOut(): boolean {
		return this.#reports.some(report => report.kind === 'exception' && report.type === 'timeout');
	}

	/** Whether any task was ever taken by a shim. */
	get isTouched(): boolean {
		return this.tasks.some(({phase}) => phase !== 'new' && phase !== 'void') || this.#reports.length > 0;
	}

	/** The first start of any task, from which the time limit counts, or null. */
	get firstStart(): TaskProcess | null {
		let first: TaskProcess | null = null;
		for (const {process} of this.tasks) {
			if (process !== null && (first === null || process.startMonotonicMs < first.startMonotonicMs))
				first = process;
		}
		return first;
	}

	entry(task: number): TaskEntry | undefined {
		return this.tasks.find(entry => entry.task === task);
	}

	noteClaim(entry: TaskEntry): void {
		if (entry.phase === 'new' || entry.phase === 'void') entry.phase = 'claimed';
	}

	/** The task's process exists. */
	noteStart(entry: TaskEntry, process: TaskProcess): void {
		entry.process ??= process;
		if (entry.phase !== 'ended') entry.phase = 'started';
		this.#reportStarted();
	}

	/** The task never started and never will. */
	noteVoid(entry: TaskEntry): void {
		if (entry.phase === 'new' || entry.phase === 'claimed') entry.phase = 'void';
		this.#reportStarted();
	}

	noteEnd(entry: TaskEntry, end: TaskEnd): void {
		if (entry.phase === 'ended' || this.isExited) return;
		entry.phase = 'ended';
		entry.end = end;
		// There was no process: its shim could not even give it a place to write to.
		const isFailure = entry.process === null && end.error !== undefined;
		if (isFailure) this.noteFailure(`task ${end.task} could not be started: ${end.error}`, end.endMs);
		this.#reportStarted();
		this.#note('shell.task-exit', end.endMs, {
			localid: this.#spec.tasks.indexOf(end.task),
			rank: end.task,
			wait_status: end.waitStatus,
			...(entry.process === null ? {} : {pid: entry.process.pid}),
			...(end.error === undefined ? {} : {error: end.error}),
		});
		const hasFailed = end.waitStatus !== null && end.waitStatus !== 0;
		if (this.#spec.exitsOnError === true && hasFailed && this.#order === null && !this.#isFailed) {
			const how = describeWaitStatus(end.waitStatus);
			const text = how.kind === 'exited' ? `exited with code ${how.code}` : `was ended by ${how.name}`;
			this.noteFailure(`task ${end.task} ${text} (exit-on-error)`, end.endMs);
		}
	}

	/** Whether it was said that the job must end. */
	get #isFailed(): boolean {
		return this.#reports.some(report => report.kind === 'exception' && report.severity === 0);
	}

	/** The shim of a task is dead and recorded no end. Reported once for each task. */
	noteShimLost(entry: TaskEntry, nowMs: number): void {
		if (entry.lost || entry.phase === 'ended' || this.isExited) return;
		entry.lost = true;
		const note = `the shim of task ${entry.task} died: the task's exit status is lost`;
		this.#report(
			{kind: 'exception', type: 'supervisor-lost', severity: 1, note, atMs: nowMs},
			{lostTask: entry.task},
		);
	}

	/** A task without a shim has had time to say who it is, and has not. */
	noteNameless(entry: TaskEntry): void {
		if (entry.phase !== 'claimed' || entry.isNameless) return;
		entry.isNameless = true;
		this.#reportStarted();
	}

	/** The part ran here before, was over and was deleted: nobody knows any more how its tasks ended. */
	noteForgotten(nowMs: number): void {
		const note = 'it ran on this node before, and how it ended was lost with its log';
		this.#report({kind: 'exception', type: 'exec', severity: 1, note, atMs: nowMs});
		for (const entry of this.tasks) this.noteEnd(entry, {task: entry.task, waitStatus: null, endMs: nowMs});
		this.conclude(nowMs);
	}

	noteTimeout(nowMs: number): void {
		if (this.hasTimedOut || this.isExited) return;
		const note = 'resource allocation expired';
		this.#report({kind: 'exception', type: 'timeout', severity: 0, note, atMs: nowMs});
	}

	noteWarning(signum: number, nowMs: number): void {
		this.#hasWarned = true;
		this.#note('shell.signal', nowMs, {signum});
	}

	/** The root was out of reach for longer than the lease. Reported once. */
	noteLeaseExpired(note: string, nowMs: number): void {
		const isSaid = this.#reports.some(
			report => report.kind === 'exception' && report.type === 'lease-expired',
		);
		if (isSaid || this.isExited) return;
		this.#report({kind: 'exception', type: 'lease-expired', severity: 0, note, atMs: nowMs});
	}

	/** The part, or one of its tasks, can't be started. */
	noteFailure(note: string, nowMs: number): void {
		if (this.isExited) return;
		this.#report({kind: 'exception', type: 'exec', severity: 0, note, atMs: nowMs});
	}

	notePrologStart({pid, startMs}: TaskStart): void {
		if (this.isExited || this.#reports.some(({kind}) => kind === 'prolog-started')) return;
		this.#report({kind: 'prolog-started', pid, startMs, atMs: startMs});
	}

	notePrologEnd(end: ScriptEnd): void {
		if (!this.isExited && this.prologEnd === null) this.#report({kind: 'prolog-ended', end, atMs: end.endMs});
	}

	/** All tasks are over, and nothing of them is alive; the epilog follows. */
	noteTasksEnded(nowMs: number): void {
		if (!this.isExited && !this.areTasksEnded)
			this.#report({kind: 'tasks-ended', tasks: this.#ends, atMs: nowMs});
	}

	/** A line for a person, of what is no report. */
	noteLog(text: string, nowMs: number): void {
		if (!this.isExited) this.#note('log', nowMs, {component: 'shell', stream: 'stderr', data: text});
	}

	noteOrder(order: EndingOrder, nowMs: number): void {
		this.#order = order;
		this.#lines += encodeEvent(eventOfOrder(order, nowMs));
	}

	get #ends(): readonly TaskEnd[] {
		return this.tasks.map(({end}) => end).filter(end => end !== null);
	}

	/** All tasks are over, the epilog as well, and nothing of the part is alive: the last report. */
	conclude(nowMs: number, epilog: ScriptEnd | null | undefined = null): void {
		if (this.isExited) return;
		assert(this.tasks.every(({phase}) => phase === 'ended' || phase === 'void'));
		const tasks = this.#ends;
		this.#note('complete', nowMs, {status: Math.max(0, ...tasks.map(({waitStatus}) => waitStatus ?? 0))});
		this.#report({kind: 'exited', tasks, atMs: nowMs, ...(epilog == null ? {} : {epilog})});
	}

	/**
	 * After a reboot, exit records that have a status count. Where one is missing nobody will ever know, and the
	 * broker judges; only when it orders the end (`force`) the rest becomes unknown.
	 */
	concludeEarlierBoot(
		nowMs: number,
		{force, epilog}: {readonly force: boolean; readonly epilog: ScriptEnd | null | undefined},
	): void {
		const isKnown = this.tasks.every(({phase}) => phase === 'ended' || phase === 'void');
		const isUntouched = this.tasks.every(({phase}) => phase === 'new' || phase === 'void');
		if (!force && (!isKnown || isUntouched)) return;
		for (const entry of this.tasks) {
			if (entry.phase === 'new') this.noteVoid(entry);
			else this.noteEnd(entry, {task: entry.task, waitStatus: null, endMs: nowMs});
		}
		this.conclude(nowMs, epilog);
	}

	/** The journal lines and reports that were not taken before. */
	takeNews(): LedgerNews {
		const news = {lines: this.#lines, reports: this.#reports.slice(this.#takenReports)};
		this.#lines = '';
		this.#takenReports = this.#reports.length;
		return news;
	}

	get hasNews(): boolean {
		return this.#lines !== '' && this.#reports.length > this.#takenReports;
	}

	/** Once no task can start any more that has not: at the last of the starts. */
	#reportStarted(): void {
		if (this.#reports.some(({kind}) => kind === 'started' || kind === 'exited')) return;
		if (this.tasks.some(({phase, isNameless}) => phase === 'new' || (phase === 'claimed' && !isNameless)))
			return;
		const tasks: TaskStart[] = [];
		let atMs = 0;
		for (const {task, process} of this.tasks) {
			if (process === null) continue;
			const {pid, startTicks, startMs} = process;
			tasks.push({task, pid, startTicks, startMs});
			atMs = Math.max(atMs, startMs);
		}
		if (tasks.length > 0) this.#report({kind: 'started', tasks, atMs});
	}

	#report(fact: Fact, more: Readonly<Record<string, unknown>> = {}): void {
		assert(!this.isExited);
		const {id, attempt} = this.#spec;
		const {atMs, ...rest} = fact;
		const report = {id, attempt, seq: this.#reports.length + 1, atMs, ...rest} as PartReport;
		this.#reports.push(report);
		const event = eventOf(report);
		this.#lines += encodeEvent({...event, context: {...event.context, ...more}});
	}

	#note(name: string, atMs: number, context?: Readonly<Record<string, unknown>>): void {
		this.#lines += encodeEvent({timestamp: atMs / 1000, name, ...(context === undefined ? {} : {context})});
	}
}
