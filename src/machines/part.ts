/**
 * The part machine: a rank's part of one attempt of a job, as that rank's exec service sees it. What was reported is
 * kept until the root has acknowledged it; the part is gone when the root says that it may be forgotten.
 *
 *     none ─request→ requested ─report→ running ─report→ exited ─forget→ forgotten
 */
import {assign, setup} from 'xstate';
import type {ReportBody} from './job-report.ts';
import {compileMachine, type Fact, type Snapshot} from './machine.ts';

interface PartFactBase extends Fact {
	readonly id: bigint;
	readonly attempt: number;
}

export type PartFact =
	/** The root asked for a start, or asks about a part that it believes to be here, or it was found on this node. */
	| (PartFactBase & {readonly type: 'part.request'})
	/** The process host said so; `seq` is its own, without gaps. */
	| (PartFactBase & {
			readonly type: 'part.report';
			readonly seq: number;
			readonly bootId: string;
			readonly body: ReportBody;
	  })
	/** It shall end: `signum` now, SIGKILL later. */
	| (PartFactBase & {readonly type: 'part.terminate'; readonly signum: number})
	/** The root has made durable what was reported up to `seq`. */
	| (PartFactBase & {readonly type: 'part.ack'; readonly seq: number})
	/** The root has lost what it acknowledged: everything after `seq` is to be said again. */
	| (PartFactBase & {readonly type: 'part.rewind'; readonly seq: number})
	/** The root knows the end of the job: directory and cgroup may go. */
	| (PartFactBase & {readonly type: 'part.forget'});

export interface PartContext {
	readonly id: bigint;
	readonly attempt: number;
	/** Every report so far, ascending. */
	readonly reports: readonly PartReportEntry[];
	readonly acked: number;
	/** The signal that began its termination, or null. */
	readonly signum: number | null;
}

export interface PartReportEntry {
	readonly seq: number;
	readonly bootId: string;
	readonly atMs: number;
	readonly body: ReportBody;
}

export type PartSnapshot = Snapshot<PartContext>;

/** Name of a part in messages, keys, directories and cgroups. */
export function partKey({id, attempt}: {readonly id: bigint; readonly attempt: number}): string {
	return `${id}.${attempt}`;
}

export function lastSeqOf({reports}: PartContext): number {
	return reports.at(-1)?.seq ?? 0;
}

const context: PartContext = {id: 0n, attempt: 0, reports: [], acked: 0, signum: null};

const REPORT = [
	{guard: 'isStart', target: 'running', actions: 'report'},
	{guard: 'isEnd', target: 'exited', actions: 'report'},
	{guard: 'isOther', actions: 'report'},
] as const;

const chart = setup({
	types: {context: {} as PartContext, events: {} as PartFact},
	guards: {
		isStart: ({context, event}) =>
			(['started', 'prolog-started', 'prolog-ended', 'tasks-ended'] as const).some(kind =>
				isNext(context, event, kind),
			),
		isEnd: ({context, event}) => isNext(context, event, 'exited'),
		isOther: ({context, event}) => isNext(context, event, 'exception'),
		isAck: ({context, event}) =>
			event.type === 'part.ack' && event.seq > context.acked && event.seq <= lastSeqOf(context),
		isRewind: ({context, event}) =>
			event.type === 'part.rewind' && event.seq >= 0 && event.seq < context.acked,
	},
	actions: {
		request: assign(({event: {id, attempt}}) => ({id, attempt})),
		report: assign(({context, event}) => {
			if (event.type !== 'part.report') return {};
			const {seq, bootId, atMs, body} = event;
			return {reports: [...context.reports, {seq, bootId, atMs, body}]};
		}),
		terminate: assign(({event}) => (event.type === 'part.terminate' ? {signum: event.signum} : {})),
		ack: assign(({event}) => (event.type === 'part.ack' ? {acked: event.seq} : {})),
		rewind: assign(({event}) => (event.type === 'part.rewind' ? {acked: event.seq} : {})),
		keep: assign(() => ({})),
	},
}).createMachine({
	id: 'part',
	initial: 'none',
	context,
	states: {
		none: {on: {'part.request': {target: 'requested', actions: 'request'}}},
		requested: {
			on: {
				'part.report': REPORT,
				'part.terminate': {actions: 'terminate'},
				'part.ack': {guard: 'isAck', actions: 'ack'},
				'part.rewind': {guard: 'isRewind', actions: 'rewind'},
				'part.forget': {target: 'forgotten', actions: 'keep'},
			},
		},
		running: {
			on: {
				'part.report': REPORT,
				'part.terminate': {actions: 'terminate'},
				'part.ack': {guard: 'isAck', actions: 'ack'},
				'part.rewind': {guard: 'isRewind', actions: 'rewind'},
				'part.forget': {target: 'forgotten', actions: 'keep'},
			},
		},
		exited: {
			on: {
				'part.ack': {guard: 'isAck', actions: 'ack'},
				'part.rewind': {guard: 'isRewind', actions: 'rewind'},
				'part.forget': {target: 'forgotten', actions: 'keep'},
			},
		},
		forgotten: {type: 'final'},
	},
});

export const partMachine = compileMachine<PartContext, PartFact>(chart, part => `part ${partKey(part)}`);

function isNext(context: PartContext, fact: PartFact, kind: ReportBody['kind']): boolean {
	return fact.type === 'part.report' && fact.body.kind === kind && fact.seq > lastSeqOf(context);
}
