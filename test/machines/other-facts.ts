/** Facts of one part, one RPC and one broker to choose from; see job-facts.ts. */
import {brokerMachine, type BrokerContext, type BrokerFact} from '../../src/machines/broker.ts';
import type {ReportBody} from '../../src/machines/job-report.ts';
import {
	lastSeqOf,
	partMachine,
	type PartContext,
	type PartFact,
	type PartSnapshot,
} from '../../src/machines/part.ts';
import {nodeMachine, type NodeContext, type NodeFact} from '../../src/machines/node.ts';
import {peerMachine, type PeerContext, type PeerFact} from '../../src/machines/peer.ts';
import {queueMachine, type QueueContext, type QueueFact} from '../../src/machines/queue.ts';
import {rpcMachine, type RpcContext, type RpcFact} from '../../src/machines/rpc.ts';
import {walksOf, type WalkRules} from './walk.ts';

export const PART = {id: 7n, attempt: 1};
const AT_MS = 1_700_000_000_000;

export function partPool({context}: PartSnapshot, key = PART): PartFact[] {
	const base = {...key, atMs: AT_MS + context.reports.length};
	const last = lastSeqOf(context);
	const {acked} = context;
	const seqs = [...new Set([last, last + 1, last + 4])];
	return [
		{...base, type: 'part.request'},
		...seqs.flatMap(seq =>
			BODIES.map(body => ({...base, type: 'part.report' as const, seq, bootId: 'boot-1', body})),
		),
		...[15, 9].map(signum => ({...base, type: 'part.terminate' as const, signum})),
		...[...new Set([0, acked, acked + 1, last, last + 1])].map(seq => ({
			...base,
			type: 'part.ack' as const,
			seq,
		})),
		...[-1, 0, acked].map(seq => ({...base, type: 'part.rewind' as const, seq})),
		{...base, type: 'part.forget'},
	];
}

const BODIES: readonly ReportBody[] = [
	{kind: 'started', tasks: [{task: 0, pid: 100, startTicks: 5, startMs: AT_MS}]},
	{kind: 'exception', exception: 'timeout', severity: 0, note: 'time limit'},
	{kind: 'exception', exception: 'supervisor-lost', severity: 1, note: 'shim of task 0'},
	{kind: 'exited', tasks: [{task: 0, waitStatus: 0, endMs: AT_MS}]},
	{kind: 'exited', tasks: []},
	{kind: 'prolog-started', pid: 5, startMs: AT_MS},
	{kind: 'prolog-ended', end: {verdict: 'ok', waitStatus: 0, endMs: AT_MS}},
	{kind: 'tasks-ended', tasks: [{task: 0, waitStatus: 0, endMs: AT_MS}]},
	{kind: 'lost', note: 'never said by a part', endMs: AT_MS},
];

export const partRules: WalkRules<PartContext, PartFact> = {machine: partMachine, poolOf: partPool};
export const partWalks = walksOf(partRules);

export function rpcPool(key = 'client/1'): RpcFact[] {
	const base = {key, atMs: AT_MS};
	return [
		...[true, false].map(streaming => ({
			...base,
			type: 'rpc.request' as const,
			topic: 'job-info.eventlog-watch',
			streaming,
			sender: 'client',
			target: 'job-info',
		})),
		{...base, type: 'rpc.answer'},
		...[0, 61].map(errnum => ({...base, type: 'rpc.end' as const, errnum})),
		{...base, type: 'rpc.lost', errnum: 113},
		{...base, type: 'rpc.cancel'},
		{...base, type: 'rpc.expire', errnum: 110},
	];
}

export const rpcRules: WalkRules<RpcContext, RpcFact> = {machine: rpcMachine, poolOf: () => rpcPool()};
export const rpcWalks = walksOf(rpcRules);

const IDENTITY = {
	hostname: 'n3',
	uuid: 'u',
	pid: 7,
	bootCount: 2,
	bootId: 'boot-1',
	version: '0.1.0',
	logId: 'l',
	headSeq: 40,
};

export function peerPool({context}: {readonly context: PeerContext}): (PeerFact | BrokerFact)[] {
	const base = {peer: 3, atMs: context.sinceMs + 10};
	return [
		{...base, type: 'peer.connect', role: 'child', hostname: 'n3'},
		...['parent', 'child'].map(role => ({
			...base,
			...IDENTITY,
			type: 'peer.join' as const,
			role: role as 'parent' | 'child',
		})),
		{...base, type: 'peer.torpid'},
		{...base, type: 'peer.responsive'},
		{...base, type: 'peer.leave', reason: 'shutdown'},
		{...base, type: 'peer.offline'},
		{...base, type: 'peer.lost', error: 'ECONNRESET: gone'},
		{
			type: 'broker.boot',
			atMs: base.atMs,
			epoch: 1,
			bootId: 'boot-1',
			uuid: 'v',
			pid: 1,
			version: '0.1.0',
		},
	];
}

export const peerRules = {machine: peerMachine, poolOf: peerPool} as WalkRules<
	PeerContext,
	PeerFact | Extract<BrokerFact, {type: 'broker.boot'}>
>;

export function nodePool(rank = 3): NodeFact[] {
	const base = {rank, atMs: AT_MS};
	return [
		...['', 'n3', 'm3'].flatMap(host =>
			['0-3', '0-7'].map(cores => ({
				...base,
				type: 'node.define' as const,
				host,
				cores,
				gpus: '',
				properties: host === 'm3' ? ['big'] : [],
			})),
		),
		...['', 'disk'].map(reason => ({
			...base,
			type: 'node.drain' as const,
			reason,
			userid: 0,
			sinceMs: AT_MS - 5,
		})),
		{...base, type: 'node.undrain', reason: '', userid: 0},
	];
}

export const nodeRules: WalkRules<NodeContext, NodeFact> = {machine: nodeMachine, poolOf: () => nodePool()};
export const nodeWalks = walksOf(nodeRules);

export function queuePool(queue = 'batch'): QueueFact[] {
	const base = {queue, atMs: AT_MS};
	return [
		{...base, type: 'queue.enable'},
		{...base, type: 'queue.start'},
		...['', 'service'].flatMap(reason => [
			{...base, type: 'queue.disable' as const, reason},
			{...base, type: 'queue.stop' as const, reason},
		]),
	];
}

export const queueRules: WalkRules<QueueContext, QueueFact> = {
	machine: queueMachine,
	poolOf: () => queuePool(),
};
export const queueWalks = walksOf(queueRules);

export function brokerPool({context}: {readonly context: BrokerContext}): BrokerFact[] {
	const atMs = AT_MS + context.epoch;
	return [
		{type: 'broker.instance', atMs, instance: 'i', epochMs: AT_MS, rank: 0, hostname: 'h'},
		...[context.epoch, context.epoch + 1, context.epoch + 3].map(epoch => ({
			type: 'broker.boot' as const,
			atMs,
			epoch,
			bootId: `boot-${epoch}`,
			uuid: `uuid-${epoch}`,
			pid: 10 + epoch,
			version: '0.1.0',
		})),
		{type: 'broker.reconcile', atMs},
		...[true, false].map(keepJobs => ({type: 'broker.shutdown' as const, atMs, keepJobs})),
		{type: 'broker.stop', atMs, reason: 'asked', digest: ''},
		{type: 'broker.jobid-floor', atMs, id: 3n},
		{type: 'broker.waited', atMs, id: 3n},
		{type: 'broker.release', atMs, id: 3n},
		{
			type: 'broker.purge',
			atMs,
			// Of no job of the pool: one that is active would be refused.
			ids: [5n],
			results: {completed: 1, failed: 0, canceled: 0, timeout: 0},
		},
		{type: 'broker.set-aside', atMs, id: 99n, reason: 'it panicked', seq: 7},
	];
}

export const brokerRules: WalkRules<BrokerContext, BrokerFact> = {
	machine: brokerMachine,
	poolOf: brokerPool,
};
export const brokerWalks = walksOf(brokerRules);
