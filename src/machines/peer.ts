/**
 * The peer machine: a neighbour in the tree, parent or child, as this broker sees it (DESIGN section 7). A join is a durable
 * fact, and what it said of the peer's log is remembered over boots; all others are relaxed. A boot ends every peer.
 *
 *     offline ─connect→ joining ─join→ online ⇄ torpid ─lost→ lost
 *                                         └─leave→ leaving ─offline→ offline
 */
import {assign, setup} from 'xstate';
import type {BrokerFact} from './broker.ts';
import {compileMachine, type Fact, type Snapshot} from './machine.ts';

interface PeerFactBase extends Fact {
	readonly peer: number;
}

/** Who a peer said it is. */
export interface PeerIdentity {
	readonly role: 'parent' | 'child';
	readonly hostname: string;
	/** Fresh at each start of the peer. */
	readonly uuid: string;
	readonly pid: number;
	readonly bootCount: number;
	/** The boot of its node. */
	readonly bootId: string;
	readonly version: string;
	/** Its event log, and how far that was fsynced. */
	readonly logId: string;
	readonly headSeq: number;
}

export type PeerFact =
	/** A link is being made; no hello was answered so far. */
	| (PeerFactBase & {
			readonly type: 'peer.connect';
			readonly role: 'parent' | 'child';
			readonly hostname: string;
	  })
	/** Its hello was accepted, or ours by it. */
	| (PeerFactBase & {readonly type: 'peer.join'} & PeerIdentity)
	/** Silent for longer than `tbon.torpid`. */
	| (PeerFactBase & {readonly type: 'peer.torpid'})
	/** It was heard again. */
	| (PeerFactBase & {readonly type: 'peer.responsive'})
	/** It said that it goes, in good order. */
	| (PeerFactBase & {readonly type: 'peer.leave'; readonly reason: string})
	/** It has gone in good order, or no link came about. */
	| (PeerFactBase & {readonly type: 'peer.offline'})
	/** Contact was lost, or it was declared dead. */
	| (PeerFactBase & {readonly type: 'peer.lost'; readonly error: string});

/** What peers make of `broker.boot`. */
type PeerInput = PeerFact | Extract<BrokerFact, {type: 'broker.boot'}>;

export interface PeerContext extends PeerIdentity {
	readonly peer: number;
	/** Since when it has been in its state, epoch milliseconds. */
	readonly sinceMs: number;
	/** Why it was lost, or ''. */
	readonly error: string;
}

export type PeerSnapshot = Snapshot<PeerContext>;

const context: PeerContext = {
	peer: 0,
	role: 'child',
	hostname: '',
	uuid: '',
	pid: 0,
	bootCount: 0,
	bootId: '',
	version: '',
	logId: '',
	headSeq: 0,
	sinceMs: 0,
	error: '',
};

const BOOT = {'broker.boot': {target: 'offline', actions: 'boot'}} as const;
const LOST = {'peer.lost': {target: 'lost', actions: 'lose'}} as const;
const ENTER = {
	'peer.connect': {target: 'joining', actions: 'connect'},
	'peer.join': {target: 'online', actions: 'join'},
} as const;

const chart = setup({
	types: {context: {} as PeerContext, events: {} as PeerInput},
	actions: {
		connect: assign(({event}) => {
			if (event.type !== 'peer.connect') return {};
			const {peer, role, hostname, atMs} = event;
			return {peer, role, hostname, sinceMs: atMs};
		}),
		join: assign(({event}) => {
			if (event.type !== 'peer.join') return {};
			const {peer, role, hostname, uuid, pid, bootCount, bootId, version, logId, headSeq, atMs} = event;
			const identity = {role, hostname, uuid, pid, bootCount, bootId, version, logId, headSeq};
			return {peer, ...identity, sinceMs: atMs, error: ''};
		}),
		change: assign(({event}) => ({sinceMs: event.atMs})),
		lose: assign(({event}) =>
			event.type === 'peer.lost' ? {peer: event.peer, error: event.error, sinceMs: event.atMs} : {},
		),
		boot: assign(({event}) => ({sinceMs: event.atMs, error: ''})),
	},
}).createMachine({
	id: 'peer',
	initial: 'offline',
	context,
	states: {
		offline: {on: {...ENTER, ...LOST, ...BOOT}},
		joining: {
			on: {...ENTER, ...LOST, ...BOOT, 'peer.offline': {target: 'offline', actions: 'change'}},
		},
		online: {
			on: {
				...LOST,
				...BOOT,
				'peer.torpid': {target: 'torpid', actions: 'change'},
				'peer.leave': {target: 'leaving', actions: 'change'},
			},
		},
		torpid: {
			on: {
				...LOST,
				...BOOT,
				'peer.responsive': {target: 'online', actions: 'change'},
				'peer.leave': {target: 'leaving', actions: 'change'},
			},
		},
		leaving: {
			on: {...ENTER, ...LOST, ...BOOT, 'peer.offline': {target: 'offline', actions: 'change'}},
		},
		lost: {on: {...ENTER, ...BOOT}},
	},
});

export const peerMachine = compileMachine<PeerContext, PeerInput>(chart, ({peer}) => `peer ${peer}`);
