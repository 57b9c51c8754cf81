/**
 * The node machine: what the root knows of one rank's node over all times: what it has, and whether an admin has drained it.
 * Whether it can be reached now is no part of it (src/services/membership.ts).
 *
 *     unknown ─define→ available ─drain→ drained ─undrain→ available
 */
import {assign, setup} from 'xstate';
import {compileMachine, type Fact, type Snapshot} from './machine.ts';

interface NodeFactBase extends Fact {
	readonly rank: number;
}

export type NodeFact =
	/** The rank said what it has, and it is not what it said before. */
	| (NodeFactBase & {
			readonly type: 'node.define';
			readonly host: string;
			/** Idsets, as text. */
			readonly cores: string;
			readonly gpus: string;
			/** Sorted. */
			readonly properties: readonly string[];
	  })
	/** An admin wants no new work there. `sinceMs` is the time that is shown: that of an earlier drain may be kept. */
	| (NodeFactBase & {
			readonly type: 'node.drain';
			readonly reason: string;
			readonly userid: number;
			readonly sinceMs: number;
	  })
	| (NodeFactBase & {readonly type: 'node.undrain'; readonly reason: string; readonly userid: number});

export interface NodeDrain {
	/** '': none was given. */
	readonly reason: string;
	readonly userid: number;
	readonly sinceMs: number;
}

export interface NodeContext {
	readonly rank: number;
	/** '' as long as the node has said nothing. */
	readonly host: string;
	readonly cores: string;
	readonly gpus: string;
	readonly properties: readonly string[];
	readonly drain: NodeDrain | null;
}

export type NodeSnapshot = Snapshot<NodeContext>;

const context: NodeContext = {rank: 0, host: '', cores: '', gpus: '', properties: [], drain: null};

const chart = setup({
	types: {context: {} as NodeContext, events: {} as NodeFact},
	guards: {
		isNamed: ({event}) => event.type === 'node.define' && event.host !== '',
		isDefined: ({context}) => context.host !== '',
	},
	actions: {
		define: assign(({event}) => {
			if (event.type !== 'node.define') return {};
			const {rank, host, cores, gpus, properties} = event;
			return {rank, host, cores, gpus, properties};
		}),
		drain: assign(({event}) => {
			if (event.type !== 'node.drain') return {};
			const {rank, reason, userid, sinceMs} = event;
			return {rank, drain: {reason, userid, sinceMs}};
		}),
		undrain: assign(() => ({drain: null})),
	},
}).createMachine({
	id: 'node',
	initial: 'unknown',
	context,
	states: {
		unknown: {
			on: {
				'node.define': {guard: 'isNamed', target: 'available', actions: 'define'},
				'node.drain': {target: 'drained', actions: 'drain'},
			},
		},
		available: {
			on: {
				'node.define': {guard: 'isNamed', actions: 'define'},
				'node.drain': {target: 'drained', actions: 'drain'},
			},
		},
		drained: {
			on: {
				'node.define': {guard: 'isNamed', actions: 'define'},
				'node.drain': {actions: 'drain'},
				'node.undrain': [
					{guard: 'isDefined', target: 'available', actions: 'undrain'},
					{target: 'unknown', actions: 'undrain'},
				],
			},
		},
	},
});

export const nodeMachine = compileMachine<NodeContext, NodeFact>(chart, ({rank}) => `node of rank ${rank}`);
