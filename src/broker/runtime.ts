/**
 * The core at work: one way leads from a fact to the world (DESIGN section 3).
 *
 *     post → apply (pure) → append (group commit) → durable (fsync) → effects, replies
 *
 * The same `applyFact` and the same `effectsOf` serve a live broker and a replay; there is no second reading of the log.
 */
import {
	DurableState,
	isDurable,
	type AnyFact,
	type Change,
	type JobChange,
} from '../machines/durable-state.ts';
import {effectsOfJob, effectsOfPart, type EffectKind} from '../machines/effects.ts';
import type {JobFact} from '../machines/job.ts';
import {IllegalFactError} from '../machines/machine.ts';
import type {PartFact} from '../machines/part.ts';
import {asSystemError, SystemError} from '../formats/errno.ts';
import type {Clock} from '../ports/clock.ts';
import type {Random} from '../ports/random.ts';
import type {Core, FactBody, PerformerOf, RowWrite, Severity} from '../services/core.ts';
import {LogDamageError} from '../store/damage.ts';
import type {EventLog} from '../store/event-log.ts';
import type {Blame} from './blame.ts';
import {EffectRunner, jobEntity, partEntity} from './effect-runner.ts';

export interface RuntimeOptions {
	readonly log: EventLog;
	readonly clock: Clock;
	readonly random: Random;
	readonly rank: number;
	/** A line for people. */
	readonly report: (severity: Severity, message: string) => void;
	/** The log did not take a fact that was applied, because of `cause`: nothing may leave any more. */
	readonly onFatal: (error: SystemError, cause: unknown) => void;
	/** Is told which job is in hand. Default: nobody wants to know. */
	readonly blame?: Pick<Blame, 'ofJob'>;
	/** A snapshot is written after so many facts, or 20 for each active job if that is more. */
	readonly snapshotFacts: number;
	/** The newest so many facts can be opened and re-executed; older ones are dropped in time. 0: none is ever dropped. */
	readonly retentionFacts: number;
}

const NO_BLAME: Pick<Blame, 'ofJob'> = {ofJob: (_, run) => run()};
const SNAPSHOT_FACTS_PER_JOB = 20;
/** With so much waiting for the disk no new work is taken; the log itself refuses at four times as much. */
const BACKLOG_BYTES_BEHIND = 16 * 1024 * 1024;

interface Posting {
	readonly fact: FactBody;
	readonly rows: readonly RowWrite[];
	/** Of a fact that follows by rule: whether the state still asks for it when its turn comes. */
	readonly isWanted?: () => boolean;
}

export class Runtime implements Core {
	readonly clock: Clock;
	readonly random: Random;
	readonly rank: number;
	readonly #log: EventLog;
	readonly #report: RuntimeOptions['report'];
	readonly #onFatal: RuntimeOptions['onFatal'];
	readonly #blame: Pick<Blame, 'ofJob'>;
	readonly #runner: EffectRunner;
	readonly #listeners = new Set<(change: Change) => void>();
	readonly #jobListeners = new Map<bigint, Set<(change: JobChange) => void>>();
	readonly #snapshotFacts: number;
	readonly #retentionFacts: number;
	#state = new DurableState();
	#snapshotSeq = 0;
	#checkpointSeq: number;
	/** Facts that were posted while another one was being posted. */
	#pending: Posting[] | null = null;
	#refusal: string | null = null;
	/** Jobs whose parts on this rank made it panic: nothing is done about them in this life. */
	#suspended: ReadonlySet<bigint> = new Set();

	constructor(options: RuntimeOptions) {
		const {log, clock, random, rank, report, onFatal, snapshotFacts, retentionFacts} = options;
		this.#onFatal = onFatal;
		this.#blame = options.blame ?? NO_BLAME;
		this.#log = log;
		this.clock = clock;
		this.random = random;
		this.rank = rank;
		this.#report = report;
		this.#snapshotFacts = snapshotFacts;
		this.#retentionFacts = retentionFacts;
		this.#checkpointSeq = log.base;
		this.#runner = new EffectRunner({
			rank,
			leave: run => this.leave(run),
			advance: (fact, isWanted) => this.#post({fact, rows: [], isWanted}),
			inHand: (id, run) => this.#blame.ofJob(id, run),
		});
		log.onSeal = seq => this.#snapshotAt(seq);
	}

	get state(): DurableState {
		return this.#state;
	}

	get isBehind(): boolean {
		return this.#log.backlogBytes > BACKLOG_BYTES_BEHIND;
	}

	get refusal(): string | null {
		return this.#refusal;
	}

	/** From now on durable facts are refused with EROFS and this reason. */
	refuse(reason: string): void {
		this.#refusal = reason;
	}

	/**
	 * Rebuilds the state from the newest snapshot and the log after it. Effects are derived, and performed by
	 * `goLive`. A fact that its job can't take sets the job aside; damage of the log ends the replay where it begins.
	 * Nothing is derived from `toSetAside`, jobs with the reasons why `setAside` is to follow.
	 */
	async replay(
		toSetAside: ReadonlyMap<bigint, string> = new Map(),
	): Promise<{readonly facts: number; readonly setAside: number}> {
		const {snapshot} = this.#log;
		this.#suspended = new Set(toSetAside.keys());
		let fromSeq = this.#log.base;
		if (snapshot !== null) {
			try {
				this.#state = DurableState.decode(snapshot.bytes);
				fromSeq = snapshot.seq + 1;
				this.#snapshotSeq = snapshot.seq;
			} catch (error) {
				this.#report('warning', `snapshot at ${snapshot.seq} is not used: ${String(error)}`);
			}
		}
		const isFromSnapshot = snapshot !== null && fromSeq > snapshot.seq;
		const before = this.#state.lost.size;
		let facts = 0;
		try {
			for await (const piece of this.#log.read({fromSeq})) {
				for (const record of piece) {
					if (record.checkpoint !== null && facts === 0 && !isFromSnapshot) {
						this.#state = DurableState.decode(record.checkpoint.state);
					}
					for (const [index, fact] of record.facts.entries()) {
						this.#replayOne(fact as AnyFact, record.seq + index);
						facts += 1;
					}
				}
			}
		} catch (error) {
			// Safe mode shows what lies before the damage, and whoever opened the log has named it.
			if (!(error instanceof LogDamageError && this.#log.mode === 'safe')) throw error;
		}
		this.#state.rpcs.clear(); // Those who asked are gone, also where safe mode writes no boot.
		for (const {context} of this.#state.jobs.values()) {
			if (!toSetAside.has(context.id)) this.inHand(context.id, () => this.#derive(context.id));
		}
		for (const [key, {context}] of this.#state.parts) {
			this.inHand(context.id, () => this.#derivePart(key));
		}
		return {facts, setAside: this.#state.lost.size - before};
	}

	/** Jobs that made this broker panic leave the active ones, for lost+found: nothing is done about them any more. */
	setAside(jobs: ReadonlyMap<bigint, string>): void {
		for (const [id, reason] of jobs) {
			if (!this.#state.jobs.has(id)) continue;
			this.post({type: 'broker.set-aside', id, reason, seq: this.#log.appendedSeq + 1});
			this.#report('crit', reason);
		}
	}

	/** The replay is over and the services stand: performs what the state asks for. */
	goLive(): void {
		this.#runner.goLive();
	}

	post(fact: FactBody, rows: readonly RowWrite[] = []): void {
		this.#post({fact, rows});
	}

	leave(leave: () => void): void {
		// In safe mode nothing is written, so nothing waits; a salvage answers when the log and its gate are closed.
		if (this.#log.mode === 'safe') leave();
		else this.#log.whenDurable(leave);
	}

	onChange(listener: (change: Change) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	onJob(id: bigint, listener: (change: JobChange) => void): () => void {
		const listeners = this.#jobListeners.get(id) ?? new Set();
		this.#jobListeners.set(id, listeners.add(listener));
		return () => {
			listeners.delete(listener);
			if (listeners.size === 0 && this.#jobListeners.get(id) === listeners) this.#jobListeners.delete(id);
		};
	}

	perform<K extends EffectKind>(kind: K, performer: PerformerOf<K>): void {
		this.#runner.register(kind, performer);
	}

	isReconciled(rank: number): boolean {
		return this.#runner.isReconciled(rank);
	}

	reconciled(rank: number): void {
		this.#runner.reconciled(rank);
	}

	unreconciled(rank: number): void {
		this.#runner.unreconciled(rank);
	}

	again(kind: EffectKind): void {
		this.#runner.again(kind);
	}

	inHand<T>(id: bigint, run: () => T): T {
		return this.#blame.ofJob(id, run);
	}

	log(severity: Severity, message: string): void {
		this.#report(severity, message);
	}

	#replayOne(fact: AnyFact, seq: number): void {
		const reason = replayFact(this.#state, fact, seq);
		// Jobs that are set aside are counted, and RPCs that began before the snapshot are none of the future's business.
		if (reason !== null && !isOfJob(fact) && isDurable(fact)) {
			this.#report('err', `fact ${seq} of the log is passed over: ${reason}`);
		}
	}

	/** In turn: rules and listeners may ask for facts in the middle of one. The first that fails is thrown in the end. */
	#post(posting: Posting): void {
		if (this.#pending !== null) {
			this.#pending.push(posting);
			return;
		}
		this.#pending = [posting];
		const failures: unknown[] = [];
		for (let next = this.#pending.shift(); next !== undefined; next = this.#pending.shift()) {
			try {
				if (next.isWanted?.() !== false) this.#postInHand(next);
			} catch (error) {
				failures.push(error);
			}
		}
		this.#pending = null;
		if (failures.length > 0) throw failures[0];
	}

	/** For a fact that makes a new job, whoever asked for it is to blame. */
	#postInHand(posting: Posting): void {
		const {fact} = posting;
		const id = 'id' in fact && isOfJob(fact) ? fact.id : null;
		const isKnown = id !== null && (this.#state.jobs.has(id) || fact.type.startsWith('part.'));
		if (isKnown) this.inHand(id, () => this.#postOne(posting));
		else this.#postOne(posting);
	}

	#postOne({fact: body, rows}: Posting): void {
		const fact = {...body, atMs: body.atMs ?? this.clock.epochMs()} as AnyFact;
		const durable = isDurable(fact);
		if (durable && this.#refusal !== null) throw new SystemError('EROFS', this.#refusal);
		const change = this.#state.applyFact(fact);
		const hasRows = change.kind === 'job' && change.rows.length > 0;
		if (this.#refusal === null) this.#append(fact, hasRows ? [...rows, ...change.rows] : rows);
		if (change.kind === 'job') {
			if (change.isFinal) {
				this.#runner.update(jobEntity(change.id), []);
				this.#runner.last(effectsOfJob(change.snapshot));
			} else {
				this.#derive(change.id);
			}
		} else if (change.kind === 'part') {
			this.#derivePart(change.key);
		}
		for (const listener of this.#listeners) listener(change);
		if (change.kind !== 'job') return;
		const listeners = this.#jobListeners.get(change.id);
		if (listeners !== undefined) for (const listener of [...listeners]) listener(change);
	}

	/** The state is ahead of the log from here on until it is appended: a log that does not take it ends this broker. */
	#append(fact: AnyFact, rows: readonly RowWrite[]): void {
		try {
			this.#log.append([fact], {durable: isDurable(fact), rows});
		} catch (error) {
			this.refuse(`the event log did not take ${fact.type}`);
			this.#onFatal(asSystemError(error, 'EIO', `event log: ${fact.type}`), error);
			throw error;
		}
	}

	#derive(id: bigint): void {
		const job = this.#state.jobs.get(id);
		this.#runner.update(jobEntity(id), job === undefined ? [] : effectsOfJob(job));
	}

	#derivePart(key: string): void {
		const part = this.#state.parts.get(key);
		const isIdle = part === undefined || this.#suspended.has(part.context.id);
		this.#runner.update(partEntity(key), isIdle ? [] : effectsOfPart(part));
	}

	#snapshotAt(seq: number): Uint8Array | null {
		// A snapshot costs as much as there are active jobs, so it is taken less often when there are many.
		const interval = Math.max(this.#snapshotFacts, SNAPSHOT_FACTS_PER_JOB * this.#state.jobs.size);
		if (seq - this.#snapshotSeq < interval) return null;
		this.#snapshotSeq = seq;
		if (this.#retentionFacts > 0 && seq - this.#checkpointSeq >= this.#retentionFacts / 2) {
			this.clock.defer(() => this.#checkpoint());
		}
		return this.#state.encode();
	}

	/**
	 * Writes a base to replay from, and drops all of the past before it. Resolves to its sequence number.
	 * @throws {SystemError} EROFS in safe mode; then nothing was dropped.
	 */
	async compact(): Promise<number> {
		if (this.#refusal !== null) throw new SystemError('EROFS', this.#refusal);
		const {appendedSeq} = this.#log;
		this.#checkpointSeq = appendedSeq;
		// The base itself is the next one.
		return this.#log.checkpoint(this.#state.encode(), {keepFromSeq: appendedSeq + 1});
	}

	/** Writes a base to replay from, and drops what is older than the retained past. */
	#checkpoint(): void {
		if (this.#refusal !== null) return;
		const {appendedSeq} = this.#log;
		this.#checkpointSeq = appendedSeq;
		const keepFromSeq = Math.max(0, appendedSeq - this.#retentionFacts);
		this.#log.checkpoint(this.#state.encode(), {keepFromSeq}).catch((error: unknown) => {
			this.#report('warning', `checkpoint of the event log: ${asSystemError(error).toString()}`);
		});
	}
}

/**
 * Applies one fact of a log; what its job can't take sets the job aside, and the reason is returned. Also used by
 * `log replay` and the REPL. A fact of the broker itself or of an RPC may not fit where a part of the log was lost, or
 * where the RPC was opened before the snapshot: it is passed over, since the next boot settles both.
 */
export function replayFact(state: DurableState, fact: AnyFact, seq: number): string | null {
	try {
		state.applyFact(fact);
		return null;
	} catch (error) {
		// What breaks the rules of a job breaks them in each replay: it must not keep the broker from coming up.
		if (!(error instanceof IllegalFactError) && !isOfJob(fact)) throw error;
		const reason = error instanceof IllegalFactError ? error.message : String(error);
		if (isOfJob(fact)) state.setAside(fact, {seq, reason});
		return reason;
	}
}

function isOfJob(fact: FactBody | AnyFact): fact is JobFact | PartFact {
	const {type} = fact;
	return type.startsWith('job.') || type.startsWith('part.');
}
