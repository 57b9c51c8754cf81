/**
 * The RPC machine: one request on its way through this broker, from the moment it was accepted to its one final
 * response (RFC 6; DESIGN section 6). Its facts are relaxed: a boot ends every RPC of the boots before.
 *
 *     idle ─request→ pending ─answer→ streaming ─┐
 *                       └──── end / lost / cancel / expire ──→ done
 */
import {assign, setup} from 'xstate';
import {compileMachine, type Fact, type Snapshot} from './machine.ts';

export interface RpcRequestFact extends Fact {
	readonly type: 'rpc.request';
	/** Sender and matchtag: unique among the open RPCs of a boot. */
	readonly key: string;
	readonly topic: string;
	readonly streaming: boolean;
	/** Where the response goes: a client's link, or a peer. */
	readonly sender: string;
	/** The service or peer that owes the response. */
	readonly target: string;
}

export type RpcFact =
	| RpcRequestFact
	/** The first response of a stream passed; the others are no facts. */
	| (Fact & {readonly type: 'rpc.answer'; readonly key: string})
	/** The final response passed: 0, or the errno of an error (ENODATA ends a stream well). */
	| (Fact & {readonly type: 'rpc.end'; readonly key: string; readonly errnum: number})
	/** The next hop is gone: the sender gets EHOSTUNREACH from this broker. */
	| (Fact & {readonly type: 'rpc.lost'; readonly key: string; readonly errnum: number})
	/** The sender went away or cancelled. */
	| (Fact & {readonly type: 'rpc.cancel'; readonly key: string})
	/** The deadline passed: the sender gets ETIMEDOUT from this broker. */
	| (Fact & {readonly type: 'rpc.expire'; readonly key: string; readonly errnum: number});

export interface RpcContext {
	readonly key: string;
	readonly topic: string;
	readonly streaming: boolean;
	readonly sender: string;
	readonly target: string;
	/** When the request was accepted, epoch milliseconds. */
	readonly openedMs: number;
	/** The errno of the final response, or null while there was none. */
	readonly errnum: number | null;
}

export type RpcSnapshot = Snapshot<RpcContext>;

const context: RpcContext = {
	key: '',
	topic: '',
	streaming: false,
	sender: '',
	target: '',
	openedMs: 0,
	errnum: null,
};

const END = {target: 'done', actions: 'close'} as const;

const chart = setup({
	types: {context: {} as RpcContext, events: {} as RpcFact},
	guards: {isStream: ({context}) => context.streaming},
	actions: {
		open: assign(({event}) => {
			const {key, topic, streaming, sender, target, atMs} = event as RpcRequestFact;
			return {key, topic, streaming, sender, target, openedMs: atMs};
		}),
		close: assign(({event}) => ({errnum: 'errnum' in event ? event.errnum : null})),
	},
}).createMachine({
	id: 'rpc',
	initial: 'idle',
	context,
	states: {
		idle: {on: {'rpc.request': {target: 'pending', actions: 'open'}}},
		pending: {
			on: {
				'rpc.answer': {guard: 'isStream', target: 'streaming'},
				'rpc.end': END,
				'rpc.lost': END,
				'rpc.cancel': END,
				'rpc.expire': END,
			},
		},
		streaming: {
			on: {'rpc.end': END, 'rpc.lost': END, 'rpc.cancel': END, 'rpc.expire': END},
		},
		done: {type: 'final'},
	},
});

export const rpcMachine = compileMachine<RpcContext, RpcFact>(
	chart,
	({key, topic}) => `RPC ${topic} (${key})`,
);
