/**
 * The durable state of one broker: all its entities, as a pure function of its log (promise P6). `applyFact` is the
 * only way to change it, live and in a replay; it refuses what an entity does not accept, before anything is written.
 *
 * A finished job leaves memory with its last fact: its row goes to the archive in the same commit, and the archive's
 * running hash keeps it under the digest.
 */
import {createHash} from 'node:crypto';
import {decode, encode, Encoder} from '@msgpack/msgpack';
import {brokerMachine, type BrokerFact, type BrokerSnapshot} from './broker.ts';
import {archiveKey, archiveRowOf, requestKey, type ArchiveRow} from './archive-row.ts';
import {FLAG_WAITABLE, jobMachine, type JobFact, type JobSnapshot} from './job.ts';
import {IllegalFactError} from './machine.ts';
import {nodeMachine, type NodeFact, type NodeSnapshot} from './node.ts';
import {partKey, partMachine, type PartFact, type PartSnapshot} from './part.ts';
import {peerMachine, type PeerFact, type PeerSnapshot} from './peer.ts';
import {queueMachine, type QueueFact, type QueueSnapshot} from './queue.ts';
import {rpcMachine, type RpcFact, type RpcSnapshot} from './rpc.ts';

export type AnyFact = BrokerFact | JobFact | NodeFact | PartFact | PeerFact | QueueFact | RpcFact;

/** Rows to be written in the same commit as the facts they follow from. */
export interface StateRow {
	readonly key: Uint8Array;
	readonly value: Uint8Array;
}

/** A job that its log could not continue, and everything that came for it afterwards (DESIGN section 3.10). */
export interface LostEntry {
	readonly id: bigint;
	readonly reason: string;
	readonly seq: number;
	/** Where it stood; its resources stay held until an admin releases them (`broker.release`). */
	readonly job: JobSnapshot | null;
	/** The fact that did not fit, and those after it, at most `LOST_FACTS_MAX`. */
	readonly facts: readonly AnyFact[];
	/** It made the broker panic: it is not registered again, whatever its nodes report. Absent: the log did not fit. */
	readonly isQuarantined?: true;
}

export const LOST_FACTS_MAX = 100;

export interface JobChange {
	readonly kind: 'job';
	readonly id: bigint;
	readonly snapshot: JobSnapshot;
	readonly isFinal: boolean;
	readonly rows: readonly StateRow[];
}

/** What one fact changed. */
export type Change =
	| {readonly kind: 'broker'}
	| JobChange
	| {readonly kind: 'part'; readonly key: string; readonly snapshot: PartSnapshot; readonly isFinal: boolean}
	| {readonly kind: 'node'; readonly rank: number; readonly snapshot: NodeSnapshot}
	| {readonly kind: 'queue'; readonly queue: string; readonly snapshot: QueueSnapshot}
	| {readonly kind: 'peer'; readonly peer: number; readonly snapshot: PeerSnapshot}
	| {readonly kind: 'rpc'; readonly key: string; readonly snapshot: RpcSnapshot; readonly isFinal: boolean};

export interface ArchiveState {
	/** Finished jobs by result, and all of them. */
	readonly count: number;
	readonly completed: number;
	readonly failed: number;
	readonly canceled: number;
	readonly timeout: number;
	/** So many more were purged; absent: none ever was. */
	readonly purged?: number;
	/** SHA-256 over the chain of all rows, in hex. */
	readonly chain: string;
}

const EMPTY_ARCHIVE: ArchiveState = {count: 0, completed: 0, failed: 0, canceled: 0, timeout: 0, chain: ''};

/** Facts of RPCs, and changes of a peer's liveness, are relaxed (DESIGN section 3.2): in the same log and order, holding nothing back. */
export function isDurable({type}: {readonly type: string}): boolean {
	return !type.startsWith('rpc.') && (!type.startsWith('peer.') || type === 'peer.join');
}

export class DurableState {
	broker: BrokerSnapshot = brokerMachine.initial();
	readonly jobs = new Map<bigint, JobSnapshot>();
	readonly parts = new Map<string, PartSnapshot>();
	readonly rpcs = new Map<string, RpcSnapshot>();
	/** Parent and children in the tree, by rank. */
	readonly peers = new Map<number, PeerSnapshot>();
	/** At the root: every rank that has ever said what it has, or was drained. */
	readonly nodes = new Map<number, NodeSnapshot>();
	/** Queues that are not open, by name; '' is the anonymous one. */
	readonly queues = new Map<string, QueueSnapshot>();
	/** Jobs that are no more, and whose processes an admin has said to be gone: they hold nothing. */
	readonly released = new Set<bigint>();
	/** Request ids of the active jobs; those of archived ones are rows. */
	readonly requests = new Map<string, bigint>();
	readonly lost = new Map<bigint, LostEntry>();
	archive: ArchiveState = EMPTY_ARCHIVE;
	/** Waitable jobs that ended and that nobody has waited for, in the order of their end. */
	readonly waitable = new Set<bigint>();
	/** The highest job id ever given or seen. */
	lastJobId = 0n;

	/**
	 * Applies one fact.
	 * @throws {IllegalFactError} if its entity does not accept it; nothing has changed.
	 */
	applyFact(fact: AnyFact): Change {
		if (fact.type.startsWith('job.')) return this.#applyJob(fact as JobFact);
		if (fact.type.startsWith('part.')) return this.#applyPart(fact as PartFact);
		if (fact.type.startsWith('rpc.')) return this.#applyRpc(fact as RpcFact);
		if (fact.type.startsWith('peer.')) return this.#applyPeer(fact as PeerFact);
		if (fact.type.startsWith('node.')) return this.#applyNode(fact as NodeFact);
		if (fact.type.startsWith('queue.')) return this.#applyQueue(fact as QueueFact);
		if (fact.type.startsWith('broker.')) return this.#applyBroker(fact as BrokerFact);
		throw new IllegalFactError('log', 'any', fact.type);
	}

	/**
	 * Replay only: sets the job of a fact aside that it did not accept; other jobs go on. A part is only dropped: its node
	 * is asked for what is there after every replay.
	 */
	setAside(fact: JobFact | PartFact, {seq, reason}: {readonly seq: number; readonly reason: string}): void {
		if (isOfPart(fact)) {
			this.parts.delete(partKey(fact));
			return;
		}
		const {id} = fact;
		const before = this.lost.get(id);
		if (before === undefined) {
			const job = this.jobs.get(id) ?? null;
			this.#leave(id, job);
			this.lost.set(id, {id, reason, seq, job, facts: [fact]});
		} else if (before.facts.length < LOST_FACTS_MAX) {
			this.lost.set(id, {...before, facts: [...before.facts, fact]});
		}
		this.#sawJobId(id);
	}

	/** Everything as bytes; equal states give equal bytes. Open RPCs, which a boot ends, are no part of it. */
	encode(): Uint8Array {
		const byId = (a: {readonly id: bigint}, b: {readonly id: bigint}) => (a.id < b.id ? -1 : 1);
		return encode(
			{
				version: STATE_VERSION,
				broker: this.broker,
				jobs: [...this.jobs.values()].sort((a, b) => byId(a.context, b.context)),
				parts: [...this.parts.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, part]) => part),
				requests: [...this.requests.entries()].sort(([a], [b]) => (a < b ? -1 : 1)),
				lost: [...this.lost.values()].sort(byId),
				archive: this.archive,
				waitable: [...this.waitable],
				lastJobId: this.lastJobId,
				// What came later is left out where it is empty, so that older logs keep their digests.
				...(this.peers.size === 0 ? {} : {peers: byNumber(this.peers)}),
				...(this.nodes.size === 0 ? {} : {nodes: byNumber(this.nodes)}),
				...(this.queues.size === 0 ? {} : {queues: byName(this.queues)}),
				...(this.released.size === 0 ? {} : {released: [...this.released].sort((a, b) => (a < b ? -1 : 1))}),
			},
			{sortKeys: true, useBigInt64: true},
		);
	}

	/** SHA-256 of `encode`, in hex. */
	digest(): string {
		return createHash('sha256').update(this.encode()).digest('hex');
	}

	/** @throws {Error} when the bytes are of another version: the caller replays from further back. */
	static decode(bytes: Uint8Array): DurableState {
		const read = decode(bytes, {useBigInt64: true}) as EncodedState;
		if (read.version !== STATE_VERSION) throw new Error(`snapshot of version ${read.version}`);
		const state = new DurableState();
		state.broker = read.broker;
		for (const job of read.jobs) state.jobs.set(job.context.id, job);
		for (const part of read.parts) state.parts.set(partKey(part.context), part);
		for (const [request, id] of read.requests) state.requests.set(request, id);
		for (const entry of read.lost) state.lost.set(entry.id, entry);
		for (const id of read.waitable) state.waitable.add(id);
		for (const peer of read.peers ?? []) state.peers.set(peer.context.peer, peer);
		for (const node of read.nodes ?? []) state.nodes.set(node.context.rank, node);
		for (const queue of read.queues ?? []) state.queues.set(queue.context.queue, queue);
		for (const id of read.released ?? []) state.released.add(id);
		state.archive = read.archive;
		state.lastJobId = read.lastJobId;
		return state;
	}

	#applyBroker(fact: BrokerFact): Change {
		const active = fact.type === 'broker.purge' ? fact.ids.find(id => this.jobs.has(id)) : undefined;
		if (active !== undefined) throw new IllegalFactError(`job ${active}`, 'active', fact.type);
		this.broker = brokerMachine.apply(this.broker, fact);
		if (fact.type === 'broker.purge') this.#purge(fact);
		if (fact.type === 'broker.boot') {
			this.rpcs.clear();
			for (const [rank, peer] of this.peers) this.peers.set(rank, peerMachine.apply(peer, fact));
		}
		if (fact.type === 'broker.jobid-floor') this.#sawJobId(fact.id);
		if (fact.type === 'broker.release') this.released.add(fact.id);
		if (fact.type === 'broker.set-aside') this.#quarantine(fact);
		if (fact.type === 'broker.waited') this.waitable.delete(fact.id);
		return {kind: 'broker'};
	}

	#quarantine({id, reason, seq}: Extract<BrokerFact, {type: 'broker.set-aside'}>): void {
		const job = this.jobs.get(id);
		if (job === undefined) return;
		this.#leave(id, job);
		this.lost.set(id, {id, reason, seq, job, facts: [], isQuarantined: true});
	}

	/** The job is no active one any more. */
	#leave(id: bigint, job: JobSnapshot | null): void {
		this.jobs.delete(id);
		if (job?.context.requestId != null) this.requests.delete(job.context.requestId);
	}

	#purge(fact: Extract<BrokerFact, {type: 'broker.purge'}>): void {
		for (const id of fact.ids) this.waitable.delete(id);
		this.archive = purged(this.archive, fact);
	}

	#applyJob(fact: JobFact): Change {
		const {id} = fact;
		const before = this.jobs.get(id);
		const entry = this.lost.get(id);
		const mayReturn = fact.type === 'job.adopt' && entry?.isQuarantined !== true;
		if (entry !== undefined && !mayReturn) {
			throw new IllegalFactError(`job ${id}`, 'lost+found', fact.type);
		}
		if (before === undefined && id <= this.lastJobId && fact.type === 'job.submit') {
			throw new IllegalFactError(`job ${id}`, 'gone', fact.type);
		}
		const applied = jobMachine.apply(before ?? jobMachine.initial(), fact);
		const snapshot = entry === undefined ? applied : named(applied, entry);
		this.lost.delete(id);
		this.#sawJobId(id);
		const isFinal = jobMachine.isFinal(snapshot);
		const {requestId} = snapshot.context;
		if (!isFinal) {
			this.jobs.set(id, snapshot);
			if (requestId !== null && before === undefined) this.requests.set(requestId, id);
			return {kind: 'job', id, snapshot, isFinal, rows: []};
		}
		this.jobs.delete(id);
		const row = archiveRowOf(snapshot.context);
		const rows: StateRow[] = [{key: archiveKey(id), value: encodeRow(row)}];
		if (requestId !== null) {
			this.requests.delete(requestId);
			rows.push({key: requestKey(requestId), value: encodeRow(id)});
		}
		if ((row.flags & FLAG_WAITABLE) !== 0) this.waitable.add(id);
		this.archive = archived(this.archive, row, rows);
		return {kind: 'job', id, snapshot, isFinal, rows};
	}

	#applyPart(fact: PartFact): Change {
		const key = partKey(fact);
		const snapshot = partMachine.apply(this.parts.get(key) ?? partMachine.initial(), fact);
		const isFinal = partMachine.isFinal(snapshot);
		if (isFinal) this.parts.delete(key);
		else this.parts.set(key, snapshot);
		return {kind: 'part', key, snapshot, isFinal};
	}

	#applyNode(fact: NodeFact): Change {
		const {rank} = fact;
		const snapshot = nodeMachine.apply(this.nodes.get(rank) ?? nodeMachine.initial(), fact);
		this.nodes.set(rank, snapshot);
		return {kind: 'node', rank, snapshot};
	}

	#applyQueue(fact: QueueFact): Change {
		const {queue} = fact;
		const snapshot = queueMachine.apply(this.queues.get(queue) ?? queueMachine.initial(), fact);
		// An open queue is like one that nobody ever touched.
		if (snapshot.value === 'open') this.queues.delete(queue);
		else this.queues.set(queue, snapshot);
		return {kind: 'queue', queue, snapshot};
	}

	#applyPeer(fact: PeerFact): Change {
		const {peer} = fact;
		const snapshot = peerMachine.apply(this.peers.get(peer) ?? peerMachine.initial(), fact);
		this.peers.set(peer, snapshot);
		return {kind: 'peer', peer, snapshot};
	}

	#applyRpc(fact: RpcFact): Change {
		const {key} = fact;
		const snapshot = rpcMachine.apply(this.rpcs.get(key) ?? rpcMachine.initial(), fact);
		const isFinal = rpcMachine.isFinal(snapshot);
		if (isFinal) this.rpcs.delete(key);
		else this.rpcs.set(key, snapshot);
		return {kind: 'rpc', key, snapshot, isFinal};
	}

	#sawJobId(id: bigint): void {
		if (id > this.lastJobId) this.lastJobId = id;
	}
}

/** A job that was found again is still the one that its submitter asked for. */
function named({value, context}: JobSnapshot, {job}: LostEntry): JobSnapshot {
	return {value, context: {...context, requestId: job?.context.requestId ?? null}};
}

function isOfPart(fact: JobFact | PartFact): fact is PartFact {
	return fact.type.startsWith('part.');
}

const STATE_VERSION = 1;
/** One for all rows: each new one begins with a buffer of its own, and grows it. */
const rowEncoder = new Encoder({sortKeys: true, useBigInt64: true});

interface EncodedState {
	readonly version: number;
	readonly broker: BrokerSnapshot;
	readonly jobs: readonly JobSnapshot[];
	readonly parts: readonly PartSnapshot[];
	readonly requests: readonly (readonly [string, bigint])[];
	readonly lost: readonly LostEntry[];
	readonly archive: ArchiveState;
	readonly waitable: readonly bigint[];
	readonly lastJobId: bigint;
	readonly peers?: readonly PeerSnapshot[];
	readonly nodes?: readonly NodeSnapshot[];
	readonly queues?: readonly QueueSnapshot[];
	readonly released?: readonly bigint[];
}

function byNumber<T>(entries: ReadonlyMap<number, T>): readonly T[] {
	return [...entries].sort(([a], [b]) => a - b).map(([, entry]) => entry);
}

function byName<T>(entries: ReadonlyMap<string, T>): readonly T[] {
	return [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
}

function encodeRow(value: ArchiveRow | bigint): Uint8Array {
	return rowEncoder.encode(value);
}

function archived(archive: ArchiveState, {result}: ArchiveRow, rows: readonly StateRow[]): ArchiveState {
	const hash = createHash('sha256').update(archive.chain);
	for (const {key, value} of rows) hash.update(key).update(value);
	return {
		...archive,
		count: archive.count + 1,
		completed: archive.completed + Number(result === 'COMPLETED'),
		failed: archive.failed + Number(result === 'FAILED'),
		canceled: archive.canceled + Number(result === 'CANCELED'),
		timeout: archive.timeout + Number(result === 'TIMEOUT'),
		chain: hash.digest('hex'),
	};
}

/** The counts are of what is there; the chain goes on, so that a replay must have purged the same. */
function purged(
	archive: ArchiveState,
	{ids, results}: Extract<BrokerFact, {type: 'broker.purge'}>,
): ArchiveState {
	const hash = createHash('sha256')
		.update(archive.chain)
		.update(`purge ${ids.join(' ')}`);
	return {
		count: archive.count - ids.length,
		completed: archive.completed - results.completed,
		failed: archive.failed - results.failed,
		canceled: archive.canceled - results.canceled,
		timeout: archive.timeout - results.timeout,
		purged: (archive.purged ?? 0) + ids.length,
		chain: hash.digest('hex'),
	};
}
