/**
 * The journal of a part (in its file `part`): JSON lines as in RFC 18, named as in RFC 50. Owns the mapping between
 * reports and events. Invariant: `reportOf(key, eventOf(report))` equals `report`, so that reports survive a
 * restart of the job shell byte for byte.
 */

import type {Deadline} from '../ports/clock.ts';
import type {PartKey, PartReport, ScriptEnd, TaskEnd, TaskStart} from '../ports/process-host.ts';

export interface JournalEvent {
	/** Epoch seconds, as in RFC 18. */
	readonly timestamp: number;
	readonly name: string;
	readonly context?: Readonly<Record<string, unknown>>;
}

/** An order to end the part, kept so that a new shell goes on with it by the original deadline. */
export interface EndingOrder {
	readonly signum: number;
	/** When SIGKILL follows. */
	readonly killAt: Deadline;
}

/** The event's line, with its line feed. */
export function encodeEvent(event: JournalEvent): string {
	return `${JSON.stringify(event)}\n`;
}

/** The events of a journal; a torn or damaged line is skipped, because exit records are the truth. */
export function decodeEvents(text: string): JournalEvent[] {
	const events: JournalEvent[] = [];
	for (const line of text.split('\n')) {
		if (line === '') continue;
		try {
			const event = JSON.parse(line) as Partial<JournalEvent> | null;
			if (typeof event?.timestamp === 'number' && typeof event.name === 'string')
				events.push(event as JournalEvent);
		} catch (error) {
			if (!(error instanceof SyntaxError)) throw error;
		}
	}
	return events;
}

/** A report as the event that stands for it, with `seq` in its context. */
export function eventOf(report: PartReport): JournalEvent {
	const timestamp = report.atMs / 1000;
	const {seq} = report;
	switch (report.kind) {
		case 'started':
			return {timestamp, name: 'shell.start', context: {seq, tasks: report.tasks}};
		case 'exception':
			return {
				timestamp,
				name: 'exception',
				context: {seq, type: report.type, severity: report.severity, note: report.note},
			};
		case 'prolog-started':
			return {
				timestamp,
				name: 'prolog.start',
				context: {seq, pid: report.pid, startMs: report.startMs},
			};
		case 'prolog-ended':
			return {timestamp, name: 'prolog.finish', context: {seq, end: report.end}};
		case 'tasks-ended':
			return {timestamp, name: 'epilog.start', context: {seq, tasks: report.tasks}};
		case 'exited': {
			const epilog = report.epilog === undefined ? {} : {epilog: report.epilog};
			return {timestamp, name: 'done', context: {seq, tasks: report.tasks, ...epilog}};
		}
		default:
			return report satisfies never;
	}
}

/** The report that an event stands for, or undefined when it is an event of another kind. */
export function reportOf({id, attempt}: PartKey, event: JournalEvent): PartReport | undefined {
	const context = event.context;
	if (typeof context?.seq !== 'number') return undefined;
	const head = {id, attempt, seq: context.seq, atMs: Math.round(event.timestamp * 1000)};
	switch (event.name) {
		case 'shell.start':
			return {...head, kind: 'started', tasks: context.tasks as TaskStart[]};
		case 'exception':
			return {
				...head,
				kind: 'exception',
				type: context.type as Extract<PartReport, {kind: 'exception'}>['type'],
				severity: context.severity as number,
				note: context.note as string,
			};
		case 'prolog.start':
			return {
				...head,
				kind: 'prolog-started',
				pid: context.pid as number,
				startMs: context.startMs as number,
			};
		case 'prolog.finish':
			return {...head, kind: 'prolog-ended', end: context.end as ScriptEnd};
		case 'epilog.start':
			return {...head, kind: 'tasks-ended', tasks: context.tasks as TaskEnd[]};
		case 'done': {
			const epilog = context.epilog === undefined ? {} : {epilog: context.epilog as ScriptEnd};
			return {...head, kind: 'exited', tasks: context.tasks as TaskEnd[], ...epilog};
		}
		default:
			return undefined;
	}
}

/** The reports of a journal, ascending; what does not follow on without a gap is left out. */
export function reportsOf(key: PartKey, events: readonly JournalEvent[]): PartReport[] {
	const reports: PartReport[] = [];
	for (const event of events) {
		const report = reportOf(key, event);
		if (report?.seq === reports.length + 1) reports.push(report);
	}
	return reports;
}

/** Whether the last report is among the events: nothing of the part is alive any more. */
export function hasExited(events: readonly JournalEvent[]): boolean {
	return events.some(({name}) => name === 'done');
}

/** The event that records an order to end the part. */
export function eventOfOrder(order: EndingOrder, atMs: number): JournalEvent {
	return {timestamp: atMs / 1000, name: 'shell.ending', context: {...order}};
}

/** The orders of a journal, oldest first. */
export function ordersOf(events: readonly JournalEvent[]): EndingOrder[] {
	return events
		.filter(event => event.name === 'shell.ending')
		.map(event => event.context as unknown as EndingOrder);
}
