/**
 * What a service sees of its broker: the state to read, one way to change it, and one way out. A service handler turns
 * an input into facts or an error, and never thinks about durability: whatever it answers or sends goes through the
 * gate of the broker, behind the facts that it rests on (DESIGN section 3).
 */
import type {BrokerFact} from '../machines/broker.ts';
import type {Change, DurableState, JobChange} from '../machines/durable-state.ts';
import type {Effect, EffectKind} from '../machines/effects.ts';
import type {JobFact} from '../machines/job.ts';
import type {NodeFact} from '../machines/node.ts';
import type {PartFact} from '../machines/part.ts';
import type {PeerFact} from '../machines/peer.ts';
import type {QueueFact} from '../machines/queue.ts';
import type {RpcFact} from '../machines/rpc.ts';
import type {Clock} from '../ports/clock.ts';
import type {Random} from '../ports/random.ts';

type Body<F> = F extends unknown ? Omit<F, 'atMs'> & {readonly atMs?: number} : never;

/** A fact before it is stamped; `atMs` is given only where the thing happened at another time than now. */
export type FactBody = Body<BrokerFact | JobFact | NodeFact | PartFact | PeerFact | QueueFact | RpcFact>;

/** Syslog severities that Coppice uses (RFC 5424). */
export type Severity = 'crit' | 'err' | 'warning' | 'notice' | 'info' | 'debug';

/** How effects of one kind come true. Both are called in the order of their facts. */
export interface Performer<E extends Effect> {
	/** Called once the facts behind the effect are durable, while it is still wanted. Idempotent. */
	perform(effect: E): void;
	/** The effect is no longer wanted. */
	withdraw?(effect: E): void;
}

export type PerformerOf<K extends EffectKind> = Performer<Extract<Effect, {kind: K}>>;

/** A row to be written in the same commit as a fact; null deletes it. */
export interface RowWrite {
	readonly key: Uint8Array;
	readonly value: Uint8Array | null;
}

export interface Core {
	/** Read it, never change it. It may be ahead of what is durable: that is the gate's affair. */
	readonly state: DurableState;
	readonly clock: Clock;
	readonly random: Random;
	/** This broker's rank. */
	readonly rank: number;
	/** A reason when nothing new may be begun (safe mode), else null. */
	readonly refusal: string | null;
	/** The disk is behind with the log: take nothing new that is large or can wait. */
	readonly isBehind: boolean;
	/**
	 * Makes a fact true: applies it, appends it to the log, and performs what follows from it. `rows` are written in
	 * the same commit.
	 * @throws {IllegalFactError} if its entity does not accept it; nothing has changed.
	 * @throws {SystemError} EROFS in safe mode; nothing has changed.
	 */
	post(fact: FactBody, rows?: readonly RowWrite[]): void;
	/** The gate: runs `leave` when every durable fact that was posted before is fsynced. In order. */
	leave(leave: () => void): void;
	/** Calls `listener` after each change, in order, before it is durable. Returns how to stop it. */
	onChange(listener: (change: Change) => void): () => void;
	/** The same for the changes of one job. */
	onJob(id: bigint, listener: (change: JobChange) => void): () => void;
	/** Takes over the effects of one kind; at most one performer a kind. */
	perform<K extends EffectKind>(kind: K, performer: PerformerOf<K>): void;
	/** Whether effects for this rank are let through in this boot. */
	isReconciled(rank: number): boolean;
	/** Lets effects for `rank` through; those that were performed before are performed again. */
	reconciled(rank: number): void;
	/** Holds effects for `rank` back again: contact with it was lost. */
	unreconciled(rank: number): void;
	/** Runs code that works on one job: what breaks in it is held against that job. */
	inHand<T>(id: bigint, run: () => T): T;
	/** A line for `dmesg`. */
	log(severity: Severity, message: string): void;
}
