/**
 * The event log: the one place where facts become durable, and the gate behind which everything waits that rests on them.
 * Facts are opaque here. Invariants: sequence numbers have no gaps; each record names its predecessor's
 * hash; after a failed write nothing is written and nothing passes the gate, ever.
 */
import {asSystemError, SystemError} from '../formats/errno.ts';
import type {Clock, Timer} from '../ports/clock.ts';
import type {Store, StoreDir, StoreEntry, StoreOp} from '../ports/store.ts';
import {CommitGate} from './commit-gate.ts';
import {LogDamageError, type Damage} from './damage.ts';
import {FlushWaiters} from './flush-waiters.ts';
import {HEAD_MARK_BYTES_MAX, type Head} from './head-file.ts';
import {HeadWriter} from './head-writer.ts';
import {META_BASE, META_CLEAN} from './keyspaces.ts';
import {metaOp, type SeqMark} from './meta.ts';
import {OpenBatch, type SealedBatch} from './open-batch.ts';
import {openForInspection, openLog, type OpenedLog, type OpenOptions} from './open-log.ts';
import {pruneBelow} from './prune-log.ts';
import {encodeFacts, sha256, type LogRecord} from './record-codec.ts';
import {newestCheckpointAt, readRecords, verifyRecords} from './read-log.ts';
import {blobKey, mergedRows, openRow, PendingRows, type Row, type RowRange} from './rows.ts';
import {dropSnapshotOp, snapshotOp, SNAPSHOTS_KEPT_MAX, type Snapshot} from './snapshots.ts';

export type {LogRecord} from './record-codec.ts';
export type {Row, RowRange} from './rows.ts';

/** Relaxed facts are written at the latest so long after they were appended. */
export const RELAXED_DELAY_MS = 50;
/** A clean close that takes longer is given up; the log is then opened as after a crash. */
export const CLOSE_TIMEOUT_MS = 10_000;
/** What is left of a slow commit in the latency that is reported, after each one that follows. */
const LATENCY_MEMORY = 0.9;

export interface AppendOptions {
	/** False: relaxed (DESIGN section 3.2), written within `RELAXED_DELAY_MS`, not waited for by the gate. */
	readonly durable: boolean;
	readonly rows?: readonly Row[];
}

export class EventLog {
	readonly mode: 'normal' | 'safe';
	readonly damages: readonly Damage[];
	/** The last owner did not close the log. */
	readonly crashed: boolean;
	/** Unsynced facts that a power cut tore and that were dropped at the opening; none was acknowledged. */
	readonly torn: {readonly fromSeq: number; readonly toSeq: number} | null;
	/** Empty when a safe log's id is not known. */
	readonly logId: string;
	/** What replay begins with: then read from `seq + 1`. Null: read from `base`. */
	readonly snapshot: Snapshot | null;
	/** The owner's mark as the HEAD file had it at the opening; null: none. */
	readonly headMark: unknown;
	/**
	 * Called when a batch is sealed and the owner's state is that after all facts up to `seq`; bytes that it
	 * returns become a snapshot in the same batch. May not append.
	 */
	onSeal: ((seq: number) => Uint8Array | null) | null = null;
	/** Called once, when a write or an fsync failed: the log is dead, and only `close` is left to do. */
	onFatal: (error: SystemError) => void = error => {
		throw error;
	};

	readonly #clock: Clock;
	readonly #dir: StoreDir | null;
	readonly #store: Store | null;
	readonly #gate: CommitGate;
	readonly #headWriter: HeadWriter | null;
	readonly #pendingRows = new PendingRows();
	readonly #flushes: FlushWaiters;
	#snapshotSeqs: readonly number[];
	#base: number;
	#mark: unknown;
	/** The end of what the store has; `#open` begins after it, or after the batch under way. */
	#written: SeqMark;
	#open: OpenBatch;
	#appendedSeq: number;
	#durableSeq: number;
	#lastDurableAppendedSeq: number;
	#commitStartMs: number | null = null;
	#commitLatencyMs = 0;
	#isSealing = false;
	#isScheduled = false;
	#syncWanted = false;
	#hasUnsynced = false;
	#relaxedTimer: Timer | null = null;
	#fatal: SystemError | null = null;
	#closing: Promise<void> | null = null;
	/** The last truncation under way. */
	#truncation: Promise<void> = Promise.resolve();

	/**
	 * Opens the log of `dir`, or makes one where there never was one. Damage does not reject: it leads to safe mode.
	 * @throws {SystemError} EBUSY, ENOENT, EACCES…: see `openLog`; the directory is unlocked again.
	 */
	static async open(dir: StoreDir, options: OpenOptions): Promise<EventLog> {
		const opened = await openLog(dir, options);
		return new EventLog(opened, {clock: options.clock, dir});
	}

	/** Opens a dead directory for reading, from a private copy; `mode` is `safe` even without damage. */
	static async inspect(dir: StoreDir, options: {readonly clock: Clock}): Promise<EventLog> {
		return new EventLog(await openForInspection(dir), {clock: options.clock, dir: null});
	}

	/** Use `open` or `inspect`. */
	private constructor(opened: OpenedLog, {clock, dir}: {clock: Clock; dir: StoreDir | null}) {
		const {proof, damages, store, head, headFile} = opened;
		this.#clock = clock;
		this.#dir = dir;
		this.#flushes = new FlushWaiters(clock);
		this.#store = store;
		this.mode = damages.length === 0 && dir !== null ? 'normal' : 'safe';
		this.damages = damages;
		this.crashed = !proof.clean;
		this.torn = proof.torn;
		this.logId = proof.logId ?? '';
		this.snapshot = proof.snapshot;
		this.headMark = head?.mark ?? null;
		this.#mark = this.headMark;
		this.#snapshotSeqs = proof.snapshotSeqs;
		this.#base = proof.base;
		this.#written = proof.end;
		this.#appendedSeq = proof.end.seq;
		// LevelDB's recovery writes what it found into tables and fsyncs them: what was read is durable.
		this.#durableSeq = proof.end.seq;
		this.#lastDurableAppendedSeq = Math.min(proof.durableSeq, proof.end.seq);
		this.#open = new OpenBatch(proof.end.seq + 1, proof.durableSeq);
		this.#gate = new CommitGate(proof.end.seq);
		this.#headWriter = dir && new HeadWriter(dir, headFile, error => this.#die(error, 'writing HEAD'));
		if (this.mode === 'normal' && this.#base > 0) this.#truncation = this.#prune(this.#base);
	}

	/** The end of what the store has. */
	get head(): SeqMark {
		return this.#written;
	}

	/** The first sequence number that is there. */
	get base(): number {
		return this.#base;
	}

	get appendedSeq(): number {
		return this.#appendedSeq;
	}

	/** Everything up to here survives the machine's death. */
	get durableSeq(): number {
		return this.#durableSeq;
	}

	get lastDurableAppendedSeq(): number {
		return this.#lastDurableAppendedSeq;
	}

	/** How long the commit under way has taken so far, in milliseconds; 0: there is none. For health reports. */
	get commitAgeMs(): number {
		return this.#commitStartMs === null ? 0 : this.#clock.monotonicMs() - this.#commitStartMs;
	}

	/** How long a commit took, in milliseconds: the slowest of late, each newer one counting a tenth less. For health reports. */
	get commitLatencyMs(): number {
		return Math.max(this.#commitLatencyMs, this.commitAgeMs);
	}

	/** Bytes that were appended and not yet handed to the store. */
	get backlogBytes(): number {
		return this.#open.bytes;
	}

	/** Runs that wait at the gate. */
	get gateCount(): number {
		return this.#gate.waitingCount;
	}

	/** What the HEAD file carries from the next synced commit on. At most `HEAD_MARK_BYTES_MAX` bytes encoded. */
	set mark(value: unknown) {
		if (value === this.#mark) return;
		const {length} = encodeFacts([value]).bytes;
		if (length > HEAD_MARK_BYTES_MAX)
			throw new SystemError('EMSGSIZE', `A mark of ${length} bytes is too long`);
		this.#mark = value;
	}

	/**
	 * Adds facts, and the rows that belong to them, to the open batch: all of one call are written together or not at all.
	 * @returns the sequence number of the last fact.
	 * @throws {SystemError} EROFS in safe mode, EIO after a failed write, EMSGSIZE, ENOBUFS; nothing was added.
	 */
	append(facts: readonly unknown[], {durable, rows = []}: AppendOptions): number {
		this.#assertWritable();
		if (facts.length === 0) throw new Error('An append without facts has no place in the log');
		const seq = this.#open.add(encodeFacts(facts), {durable, rows});
		for (const row of rows) this.#pendingRows.add(row);
		this.#appended(seq, durable);
		return seq;
	}

	/** The hash of a blob and the row that stores it, to be appended with the fact that mentions it. */
	putBlob(bytes: Uint8Array): {hash: Uint8Array; row: Row} {
		const hash = sha256(bytes);
		return {hash, row: {key: blobKey(hash), value: bytes}};
	}

	/** @throws {SystemError} EBADMSG when the stored bytes are not the ones of that hash. */
	getBlob(hash: Uint8Array): Uint8Array | undefined {
		return this.get(blobKey(hash));
	}

	/**
	 * The value of a row, those just appended included.
	 * @throws {SystemError} EBADMSG when it is damaged.
	 */
	get(key: Uint8Array): Uint8Array | undefined {
		const pending = this.#pendingRows.get(key);
		if (pending !== undefined) return pending.value ?? undefined;
		const stored = this.#store?.get(key);
		return stored === undefined ? undefined : openRow(key, stored);
	}

	/** Rows in key order as they are at the call, those just appended included. Throws EBADMSG at a damaged one. */
	async *rows(range: RowRange): AsyncGenerator<StoreEntry> {
		const pending = this.#pendingRows.within(range);
		if (this.#store !== null) yield* mergedRows(this.#store, range, pending);
	}

	/** Runs `run` once everything durable that was appended so far is fsynced: the gate (DESIGN section 3.1). */
	whenDurable(run: () => void): void {
		this.#gate.add(this.#lastDurableAppendedSeq, run);
	}

	/**
	 * Makes everything appended so far durable, relaxed facts included.
	 * @throws {SystemError} ETIMEDOUT, or the error that killed the log.
	 */
	async flush(timeoutMs: number): Promise<void> {
		if (this.#fatal !== null) throw this.#fatal;
		const seq = this.#appendedSeq;
		if (this.mode === 'safe' || (seq <= this.#durableSeq && !this.#hasUnsynced && this.#open.isEmpty)) return;
		this.#syncWanted = true;
		const flushed = this.#flushes.wait(seq, timeoutMs);
		this.#schedule();
		await flushed;
	}

	/**
	 * Committed records in order, from the one that contains `fromSeq` (or `base`, when that is later) through the one
	 * that contains `toSeq`, in pieces, since a turn of the event loop for each would cost more than the record. Everything up
	 * to a damage is served.
	 * @throws {LogDamageError} at the first damage.
	 */
	async *read({fromSeq, toSeq}: {fromSeq: number; toSeq?: number}): AsyncGenerator<readonly LogRecord[]> {
		if (this.#store === null) {
			if (this.damages[0] !== undefined) throw new LogDamageError(this.damages[0]);
			return;
		}
		const range = {fromSeq, toSeq: toSeq ?? Number.POSITIVE_INFINITY, base: this.#base, head: this.#written};
		yield* readRecords(this.#store, {...range, damages: this.damages});
	}

	/** Proves the records from `fromSeq` (default: `base`) to the end, the part too that the opening did not read. */
	async verify({fromSeq = this.#base}: {fromSeq?: number} = {}): Promise<readonly Damage[]> {
		if (this.#store === null) return this.damages;
		return verifyRecords(this.#store, {fromSeq, base: this.#base, head: this.#written});
	}

	/**
	 * Appends a base record with the owner's whole state after all facts so far, then deletes all records before the
	 * newest checkpoint at or before `keepFromSeq`. Resolves when that is done.
	 * @throws {SystemError} as `append` does.
	 */
	async checkpoint(state: Uint8Array, {keepFromSeq}: {readonly keepFromSeq: number}): Promise<number> {
		this.#assertWritable();
		const seq = this.#open.addCheckpoint({logId: this.logId, state});
		this.#appended(seq, true);
		await this.flush(CLOSE_TIMEOUT_MS);
		// In turn: the base must never go back to what another truncation has deleted.
		const truncated = this.#truncation.then(() => this.#truncate(keepFromSeq));
		this.#truncation = truncated.catch(() => undefined); // It is told to who asked for it; the next one tries again.
		await truncated;
		return seq;
	}

	async #truncate(keepFromSeq: number): Promise<void> {
		const base = await newestCheckpointAt(this.#store!, {base: this.#base, keepFromSeq});
		if (base <= this.#base || this.#fatal !== null) return;
		if (!(await this.#write([metaOp(META_BASE, {seq: base, hash: this.#written.hash})], true))) return;
		this.#base = base;
		await this.#prune(base);
	}

	/** Ends use: everything is durable and the log is marked as closed, unless it is dead. Idempotent. */
	async close(): Promise<void> {
		this.#closing ??= this.#close();
		await this.#closing;
	}

	#assertWritable(): void {
		if (this.#isSealing) throw new Error('onSeal may not append');
		if (this.#fatal !== null)
			throw new SystemError(this.#fatal.code, this.#fatal.message, {cause: this.#fatal});
		if (this.#closing !== null) throw new SystemError('EROFS', 'The event log is closed');
		if (this.mode === 'normal') return;
		const why = this.damages[0]?.sentence ?? 'It was opened for inspection.';
		throw new SystemError('EROFS', `The event log is in safe mode: ${why}`);
	}

	#appended(seq: number, durable: boolean): void {
		this.#appendedSeq = seq;
		if (durable) this.#lastDurableAppendedSeq = seq;
		this.#schedule();
	}

	#schedule(): void {
		if (this.#commitStartMs !== null || this.#isScheduled || this.#fatal !== null) return;
		if (this.#open.isDurable || this.#syncWanted) {
			this.#isScheduled = true;
			this.#clock.defer(() => {
				this.#isScheduled = false;
				this.#startCommit();
			});
		} else if (!this.#open.isEmpty) {
			this.#relaxedTimer ??= this.#clock.setTimer(RELAXED_DELAY_MS, () => this.#startCommit());
		}
	}

	#startCommit(): void {
		if (this.#commitStartMs !== null || this.#fatal !== null) return;
		this.#relaxedTimer?.cancel();
		this.#relaxedTimer = null;
		if (this.#flushes.count === 0) this.#syncWanted = false; // The commit before has served them.
		if (this.#open.isEmpty && !this.#syncWanted) return;
		this.#commitStartMs = this.#clock.monotonicMs();
		void this.#commit(); // Rejects only when a callback of the owner throws: a broken invariant, not for us to hide.
	}

	async #commit(): Promise<void> {
		const batch = this.#open.seal(this.#written.hash);
		this.#open = new OpenBatch(batch.lastSeq + 1, this.#lastDurableAppendedSeq);
		const sync = batch.durable || this.#syncWanted;
		this.#syncWanted = false;
		const snapshot = this.#takeSnapshot(batch);
		const ops = [...batch.ops, ...this.#snapshotOps(snapshot)];
		// LevelDB takes no empty batch, so an fsync for what was written before needs something to write.
		if (ops.length === 0) ops.push(metaOp(META_BASE, {seq: this.#base, hash: this.#written.hash}));
		const mark = this.#mark;
		if (!(await this.#write(ops, sync))) return;
		this.#commitLatencyMs = Math.max(this.commitAgeMs, this.#commitLatencyMs * LATENCY_MEMORY);
		this.#commitStartMs = null;
		this.#pendingRows.committed(batch.rows);
		this.#written = {seq: batch.lastSeq, hash: batch.hash};
		if (snapshot !== null) this.#keepSnapshot(snapshot.seq);
		this.#hasUnsynced = !sync;
		this.#schedule(); // The next commit goes to the disk while the gate lets out what this one allows.
		if (sync) this.#synced(mark);
	}

	#synced(mark: unknown): void {
		const {seq, hash} = this.#written;
		this.#durableSeq = seq;
		this.#headWriter?.write({logId: this.logId, seq, hash, mark} satisfies Head);
		this.#flushes.done(seq);
		this.#gate.open(seq);
	}

	/** False: it failed, and the log is dead. */
	async #write(ops: readonly StoreOp[], sync: boolean): Promise<boolean> {
		try {
			await this.#store!.write(ops, {sync});
		} catch (error) {
			this.#die(error, 'writing the event log');
		}
		return this.#fatal === null;
	}

	#takeSnapshot(batch: SealedBatch): Snapshot | null {
		this.#isSealing = true;
		try {
			const bytes = this.onSeal?.(batch.lastSeq) ?? null;
			return bytes && {seq: batch.lastSeq, bytes, hash: batch.hash};
		} finally {
			this.#isSealing = false;
		}
	}

	#snapshotOps(snapshot: Snapshot | null): readonly StoreOp[] {
		if (snapshot === null) return [];
		const old = this.#snapshotSeqs.filter(seq => seq !== snapshot.seq).slice(0, 1 - SNAPSHOTS_KEPT_MAX);
		return [snapshotOp(snapshot), ...old.map(seq => dropSnapshotOp(seq))];
	}

	#keepSnapshot(seq: number): void {
		const others = this.#snapshotSeqs.filter(other => other !== seq);
		this.#snapshotSeqs = [...others, seq].slice(-SNAPSHOTS_KEPT_MAX);
	}

	#prune(base: number): Promise<void> {
		return pruneBelow(this.#store!, base).catch((error: unknown) => this.#die(error, 'truncating the log'));
	}

	#die(error: unknown, what: string): void {
		if (this.#fatal !== null) return;
		const reason = asSystemError(error, 'EIO', `Failed ${what} in ${this.#dir?.path ?? 'a copy'}`);
		this.#fatal = reason;
		this.#relaxedTimer?.cancel();
		this.#gate.shut();
		this.#flushes.fail(reason);
		this.onFatal(reason);
	}

	async #close(): Promise<void> {
		let failure: unknown = null;
		try {
			if (this.mode === 'normal' && this.#fatal === null) await this.#closeCleanly();
		} catch (error) {
			failure = error;
		}
		this.#fatal ??= new SystemError('EROFS', 'The event log is closed');
		this.#gate.shut();
		this.#relaxedTimer?.cancel();
		await this.#headWriter?.idle();
		await this.#store?.close();
		await this.#dir?.unlock();
		if (failure !== null) throw asSystemError(failure);
	}

	async #closeCleanly(): Promise<void> {
		await this.flush(CLOSE_TIMEOUT_MS);
		await this.#truncation;
		await this.#write([metaOp(META_CLEAN, this.#written)], true);
	}
}
