/**
 * The broker machine: one broker's life over all its boots. A boot that is followed by another boot without a stop
 * between them crashed.
 *
 *     new ─boot→ recovering ─reconcile→ running ─shutdown→ stopping ─stop→ stopped ─boot→ …
 */
import {assign, setup} from 'xstate';
import {compileMachine, type Fact, type Snapshot} from './machine.ts';

export type BrokerFact =
	/** The first fact of a log: who this instance is. `epochMs` is where its job ids start to count (RFC 19). */
	| (Fact & {
			readonly type: 'broker.instance';
			readonly instance: string;
			readonly epochMs: number;
			readonly rank: number;
			readonly hostname: string;
	  })
	/** The first fact of each start. Ends all RPCs and peers of earlier boots. */
	| (Fact & {
			readonly type: 'broker.boot';
			readonly epoch: number;
			readonly bootId: string;
			readonly uuid: string;
			readonly pid: number;
			readonly version: string;
	  })
	/** The inventory of this node was complete and everything in it was compared with this log. */
	| (Fact & {readonly type: 'broker.reconcile'})
	/** Someone asked for the end of the instance. */
	| (Fact & {readonly type: 'broker.shutdown'; readonly keepJobs: boolean})
	/** The last fact of a clean end. `digest` is that of the state before it, in hex: what a replay must reach. */
	| (Fact & {readonly type: 'broker.stop'; readonly reason: string; readonly digest: string})
	/** Someone was told how a waitable job ended, and it counts no more for `wait`. */
	| (Fact & {readonly type: 'broker.waited'; readonly id: bigint})
	/** An admin says that nothing of a job that is no more is left anywhere: what was still held for it is free. */
	| (Fact & {readonly type: 'broker.release'; readonly id: bigint})
	/** A job made the broker panic again and again: it goes to lost+found as it is. `seq` is that of this fact. */
	| (Fact & {
			readonly type: 'broker.set-aside';
			readonly id: bigint;
			readonly reason: string;
			readonly seq: number;
	  })
	/** What was kept of these finished jobs is deleted, their output included. `results`: how many ended how. */
	| (Fact & {
			readonly type: 'broker.purge';
			readonly ids: readonly bigint[];
			readonly results: PurgedResults;
	  })
	/** Job ids were seen that this log does not know; new ones go on above. */
	| (Fact & {readonly type: 'broker.jobid-floor'; readonly id: bigint});

export interface PurgedResults {
	readonly completed: number;
	readonly failed: number;
	readonly canceled: number;
	readonly timeout: number;
}

/** A start of the instance and its end. */
export interface Period {
	readonly epoch: number;
	readonly startMs: number;
	/** null: still running, or, when another period follows, crashed. */
	readonly endMs: number | null;
	readonly pid: number;
}

export interface BrokerContext {
	readonly instance: string;
	readonly epochMs: number;
	readonly rank: number;
	readonly hostname: string;
	/** The number of boots so far; 0 before the first. */
	readonly epoch: number;
	readonly bootId: string;
	readonly uuid: string;
	readonly startMs: number;
	readonly keepJobs: boolean;
	/** The newest `PERIODS_MAX` starts, oldest first. */
	readonly periods: readonly Period[];
}

export type BrokerSnapshot = Snapshot<BrokerContext>;

/** So many starts are remembered for `startlog`. */
export const PERIODS_MAX = 1000;

const context: BrokerContext = {
	instance: '',
	epochMs: 0,
	rank: 0,
	hostname: '',
	epoch: 0,
	bootId: '',
	uuid: '',
	startMs: 0,
	keepJobs: false,
	periods: [],
};

const chart = setup({
	types: {context: {} as BrokerContext, events: {} as BrokerFact},
	guards: {
		// Not just the next one: a salvaged log may lack boots.
		isLaterEpoch: ({context, event}) => event.type === 'broker.boot' && event.epoch > context.epoch,
	},
	actions: {
		/** Accepted, and nothing of the broker's own changes. */
		keep: assign(() => ({})),
		found: assign(({event}) => {
			if (event.type !== 'broker.instance') return {};
			const {instance, epochMs, rank, hostname} = event;
			return {instance, epochMs, rank, hostname};
		}),
		boot: assign(({context, event}) => {
			if (event.type !== 'broker.boot') return {};
			const {epoch, bootId, uuid, pid, atMs} = event;
			const period: Period = {epoch, startMs: atMs, endMs: null, pid};
			const periods = [...context.periods, period].slice(-PERIODS_MAX);
			return {epoch, bootId, uuid, startMs: atMs, keepJobs: false, periods};
		}),
		shutdown: assign(({event}) => ({keepJobs: event.type === 'broker.shutdown' && event.keepJobs})),
		stop: assign(({context, event}) => {
			const last = context.periods.at(-1);
			if (last === undefined) return {};
			return {periods: [...context.periods.slice(0, -1), {...last, endMs: event.atMs}]};
		}),
	},
}).createMachine({
	id: 'broker',
	initial: 'new',
	context,
	states: {
		new: {on: {'broker.instance': {target: 'stopped', actions: 'found'}}},
		recovering: {
			on: {
				'broker.boot': {guard: 'isLaterEpoch', target: 'recovering', actions: 'boot'},
				'broker.reconcile': {target: 'running'},
				'broker.shutdown': {target: 'stopping', actions: 'shutdown'},
				'broker.stop': {target: 'stopped', actions: 'stop'},
				'broker.jobid-floor': {actions: 'keep'},
				'broker.waited': {actions: 'keep'},
				'broker.release': {actions: 'keep'},
				'broker.purge': {actions: 'keep'},
				'broker.set-aside': {actions: 'keep'},
			},
		},
		running: {
			on: {
				'broker.boot': {guard: 'isLaterEpoch', target: 'recovering', actions: 'boot'},
				'broker.reconcile': {actions: 'keep'},
				'broker.shutdown': {target: 'stopping', actions: 'shutdown'},
				'broker.stop': {target: 'stopped', actions: 'stop'},
				'broker.jobid-floor': {actions: 'keep'},
				'broker.waited': {actions: 'keep'},
				'broker.release': {actions: 'keep'},
				'broker.purge': {actions: 'keep'},
				'broker.set-aside': {actions: 'keep'},
			},
		},
		stopping: {
			on: {
				'broker.boot': {guard: 'isLaterEpoch', target: 'recovering', actions: 'boot'},
				'broker.reconcile': {actions: 'keep'},
				'broker.shutdown': {actions: 'shutdown'},
				'broker.stop': {target: 'stopped', actions: 'stop'},
				'broker.jobid-floor': {actions: 'keep'},
				'broker.waited': {actions: 'keep'},
				'broker.release': {actions: 'keep'},
				'broker.purge': {actions: 'keep'},
				'broker.set-aside': {actions: 'keep'},
			},
		},
		stopped: {
			on: {
				'broker.boot': {guard: 'isLaterEpoch', target: 'recovering', actions: 'boot'},
				'broker.jobid-floor': {actions: 'keep'},
				'broker.waited': {actions: 'keep'},
			},
		},
	},
});

export const brokerMachine = compileMachine<BrokerContext, BrokerFact>(
	chart,
	({instance, rank}) => `broker ${rank} of ${instance}`,
);
