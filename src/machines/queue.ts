/**
 * The queue machine: whether a queue takes jobs in (enabled) and whether its jobs get resources (started). Two switches, so
 * four states. The queues themselves are configuration; '' is the anonymous one of an instance without queues.
 */
import {assign, setup} from 'xstate';
import {compileMachine, type Fact, type Snapshot} from './machine.ts';

interface QueueFactBase extends Fact {
	readonly queue: string;
}

export type QueueFact =
	| (QueueFactBase & {readonly type: 'queue.enable'})
	| (QueueFactBase & {readonly type: 'queue.start'})
	/** Nothing more is taken in. */
	| (QueueFactBase & {readonly type: 'queue.disable'; readonly reason: string})
	/** No job of it gets resources; running ones go on. */
	| (QueueFactBase & {readonly type: 'queue.stop'; readonly reason: string});

export interface QueueContext {
	readonly queue: string;
	/** '': none was given, or it is enabled. */
	readonly disableReason: string;
	readonly stopReason: string;
}

export type QueueSnapshot = Snapshot<QueueContext>;

const context: QueueContext = {queue: '', disableReason: '', stopReason: ''};

const chart = setup({
	types: {context: {} as QueueContext, events: {} as QueueFact},
	guards: {},
	actions: {
		disable: assign(({event}) =>
			event.type === 'queue.disable' ? {queue: event.queue, disableReason: event.reason} : {},
		),
		stop: assign(({event}) =>
			event.type === 'queue.stop' ? {queue: event.queue, stopReason: event.reason} : {},
		),
		enable: assign(() => ({disableReason: ''})),
		start: assign(() => ({stopReason: ''})),
	},
}).createMachine({
	id: 'queue',
	initial: 'open',
	context,
	states: {
		open: {
			on: {
				'queue.disable': {target: 'disabled', actions: 'disable'},
				'queue.stop': {target: 'stopped', actions: 'stop'},
			},
		},
		disabled: {
			on: {
				'queue.disable': {actions: 'disable'},
				'queue.enable': {target: 'open', actions: 'enable'},
				'queue.stop': {target: 'closed', actions: 'stop'},
			},
		},
		stopped: {
			on: {
				'queue.stop': {actions: 'stop'},
				'queue.start': {target: 'open', actions: 'start'},
				'queue.disable': {target: 'closed', actions: 'disable'},
			},
		},
		closed: {
			on: {
				'queue.disable': {actions: 'disable'},
				'queue.stop': {actions: 'stop'},
				'queue.enable': {target: 'stopped', actions: 'enable'},
				'queue.start': {target: 'disabled', actions: 'start'},
			},
		},
	},
});

export const queueMachine = compileMachine<QueueContext, QueueFact>(
	chart,
	({queue}) => `queue ${queue === '' ? 'of the instance' : queue}`,
);

export function isEnabled({value}: QueueSnapshot): boolean {
	return value === 'open' || value === 'stopped';
}

export function isStarted({value}: QueueSnapshot): boolean {
	return value === 'open' || value === 'disabled';
}
