/**
 * One part in the job shell: brings the ledger, the directory, the processes and the timers together. `check` is level
 * triggered and reads everything from disk and kernel; lines of shims are only the fast way to the same facts.
 *
 * Invariants: a report is in the journal before it is sent; `exited` is reported only after the part's processes were
 * removed (its cgroup, where it has one), from when on no late shim can claim anything; an end without status is judged
 * only after the exit record was read again with nothing of the part alive.
 */

import {asSystemError} from '../../formats/errno.ts';
import {deadlineIn, remainingMs, type Clock, type Timer} from '../../ports/clock.ts';
import {partName, type InventoryEntry, type PartKey, type PartReport} from '../../ports/process-host.ts';
import type {JournalEvent} from '../journal.ts';
import type {StoredSpec} from '../launch-record.ts';
import {PartLedger, type TaskEntry} from '../part-ledger.ts';
import type {ProcessId, ShimEvent} from '../task-record.ts';
import {PartTimers} from './part-timers.ts';
import {appendJournal, readClaim, readExit, takeClaim} from './part-dir.ts';
import type {PartProcesses} from './part-processes.ts';
import {isAlive, sendSignal} from './proc.ts';

/** What a part needs of its shell. */
export interface PartSite {
	readonly clock: Clock;
	readonly log: (text: string) => void;
	readonly report: (report: PartReport) => void;
	/** Asks for somebody to go on with the output of a task whose shim was killed. */
	readonly rescue: (key: PartKey, task: number) => void;
}

/** What was found of a part; `events` is empty for a new one. */
export interface FoundPart {
	readonly dir: string;
	readonly processes: PartProcesses;
	readonly events: readonly JournalEvent[];
	/** The journal's last line was cut off. */
	readonly isTorn: boolean;
}

const SIGKILL = 9;
const SIGALRM = 14;
const SIGTERM = 15;
/** While something of it is alive: from the first retry to the longest wait between two. */
const SETTLE_RETRY_MS = 1;
const SETTLE_RETRY_MS_MAX = 250;
/** A shim that still waits for the end of output when nothing of its tasks is left gets this long. */
const SHIM_LINGER_MS_MAX = 5000;
/** How often a rescue is asked for: whoever is at it already makes the next one end at once. */
const RESCUE_MS = 2000;

export class PartSupervisor {
	readonly spec: StoredSpec;
	readonly dir: string;
	readonly processes: PartProcesses;
	readonly ledger: PartLedger;
	readonly #site: PartSite;
	/** The shims of started tasks, by task, as their claims name them. */
	readonly #shims = new Map<number, ProcessId>();
	/** When the next rescue of a lost task is due, by the monotonic clock. */
	readonly #rescueDueMs = new Map<number, number>();
	/** Whether this shell has asked a launcher for its tasks. */
	isFed = false;
	/** Nothing of it is on disk: it could not be laid out. */
	isRefused = false;
	#unwritten = '';
	#watch: {close(): void} | null = null;
	readonly #timers: PartTimers;
	#killTimer: Timer | null = null;
	#settleTimer: Timer | null = null;
	#settleRetryMs = SETTLE_RETRY_MS;
	/** When the tasks and what they left were gone, by the monotonic clock. */
	#emptySinceMs: number | null = null;

	constructor(site: PartSite, spec: StoredSpec, {dir, processes, events, isTorn}: FoundPart) {
		this.#site = site;
		this.spec = spec;
		this.dir = dir;
		this.processes = processes;
		if (isTorn) this.#unwritten = '\n';
		this.ledger = new PartLedger(spec, events, nowMs(site.clock));
		this.#timers = new PartTimers({
			clock: site.clock,
			spec,
			onLimit: () => this.#guard(() => this.#expire()),
			onWarning: () => this.#guard(() => this.#warn()),
			onExitTimeout: () => this.#guard(() => this.#abandon()),
		});
	}

	/** Launched in a boot that is over: nothing of it is alive, whatever carries its name. */
	get isOfEarlierBoot(): boolean {
		return this.spec.bootId !== this.#site.clock.bootId;
	}

	/** Whether nothing is left to do but to forget it. */
	get isExited(): boolean {
		return this.ledger.isExited;
	}

	/** Whether something can happen that no shim will announce. */
	get needsAttention(): boolean {
		if (this.isExited || this.isOfEarlierBoot) return this.#unwritten !== '';
		return this.ledger.order !== null || this.#unwritten !== '' || this.ledger.tasks.some(({lost}) => lost);
	}

	/** The tasks that no shim has taken, with their index in the part; none when it is being ended. */
	get startable(): readonly {readonly task: number; readonly local: number}[] {
		if (this.isExited || this.isOfEarlierBoot || this.ledger.order !== null) return [];
		return this.ledger.tasks
			.map(({task, phase}, local) => ({task, local, phase}))
			.filter(({phase}) => phase === 'new');
	}

	/** Finds out what is so, and goes on from there: after a restart, and now and then as a net. */
	check(): void {
		if (this.isExited) return this.#flush();
		for (const entry of this.ledger.tasks) this.#checkTask(entry);
		if (this.isOfEarlierBoot) return this.#concludeEarlierBoot();
		this.#timers.arm(this.ledger);
		this.#pursueOrder();
		this.#flush();
		this.#settle();
	}

	/** Goes on with an order that an earlier shell was given: signals may repeat, the deadline stays. */
	resume(): void {
		this.check();
		const order = this.ledger.order;
		if (order === null || this.isExited || this.isOfEarlierBoot) return;
		this.#applyOrder(order.signum);
		this.#flush();
		this.#settle();
	}

	/** What a shim says, or the launcher about one. */
	take(event: ShimEvent): void {
		const entry = this.ledger.entry(event.task);
		if (entry === undefined || this.isExited || this.isOfEarlierBoot) return;
		switch (event.verb) {
			case 'start':
				this.ledger.noteStart(entry, event.process);
				this.#started(entry);
				break;
			case 'exit':
				this.ledger.noteEnd(entry, {
					task: event.task,
					waitStatus: event.waitStatus,
					endMs: event.endMs,
					...(event.error === undefined ? {} : {error: event.error}),
				});
				break;
			case 'close':
				if (event.lostBytes > 0)
					this.ledger.noteLog(
						`task ${event.task}: ${event.lostBytes} bytes of output were lost`,
						nowMs(this.#site.clock),
					);
				break;
			case 'failed':
				this.#failTask(entry, event.why);
				break;
			case 'gone':
				return this.check();
			default:
				event satisfies never;
		}
		this.#flush();
		this.#settle();
	}

	/** Ends the part; the first order's deadline stays when another follows. */
	terminate(signum: number): void {
		if (this.isExited) {
			for (const report of this.ledger.reports) this.#site.report(report);
			return;
		}
		if (this.isOfEarlierBoot) return this.#concludeEarlierBoot({force: true});
		this.#giveOrder(signum);
		this.#flush();
		this.#settle();
	}

	/** Sends one signal to all tasks; how many processes or process groups got it. */
	signal(signum: number): number {
		if (this.isExited || this.isOfEarlierBoot) return 0;
		let reached = 0;
		for (const entry of this.ledger.tasks) {
			if (entry.phase === 'started' && this.#signalTask(entry, signum)) reached++;
		}
		if (reached > 0 || this.ledger.tasks.every(({phase}) => phase === 'ended')) return reached;
		// A task that no claim names: its shim died before it could write the pid down.
		return reached + this.processes.signal('payload', signum);
	}

	/** Ends a part that can't be started, before any shim was asked for. */
	refuse(note: string): void {
		this.isRefused = true;
		const atMs = nowMs(this.#site.clock);
		this.ledger.noteFailure(note, atMs);
		for (const entry of this.ledger.tasks) this.ledger.noteVoid(entry);
		this.ledger.conclude(atMs);
		this.#flush();
	}

	/** Ends a part whose tasks can't be started, some of them or all. */
	fail(note: string): void {
		this.ledger.noteFailure(note, nowMs(this.#site.clock));
		this.#giveOrder(SIGKILL);
		this.#flush();
		this.#settle();
	}

	/** Ends the job, because one of its tasks wants it. */
	abort(reason: string): void {
		if (this.isExited || this.isOfEarlierBoot || this.ledger.order !== null) return;
		this.ledger.noteFailure(reason, nowMs(this.#site.clock));
		this.#giveOrder(SIGTERM);
		this.#flush();
		this.#settle();
	}

	/** Ends a part whose rank has been out of contact with the root for longer than its lease. */
	expireLease(note: string): void {
		if (this.isExited || this.isOfEarlierBoot || this.ledger.order !== null) return;
		this.ledger.noteLeaseExpired(note, nowMs(this.#site.clock));
		this.#giveOrder(SIGTERM);
		this.#flush();
		this.#settle();
	}

	inventoryEntry(): InventoryEntry {
		const {id, attempt, bootId, record} = this.spec;
		return {
			id,
			attempt,
			state: this.isExited ? 'exited' : this.ledger.isTouched ? 'running' : 'launching',
			reports: [...this.ledger.reports],
			bootId,
			record,
		};
	}

	close(): void {
		this.#timers.cancel();
		this.#killTimer?.cancel();
		this.#settleTimer?.cancel();
		this.#watch?.close();
		this.#watch = null;
	}

	/** Reads claim and exit record of one task. */
	#checkTask(entry: TaskEntry): void {
		if (entry.phase === 'ended') return;
		const {task} = entry;
		const known = this.#shims.get(task);
		// Nothing is new in the claim of a running task whose shim lives.
		if (entry.phase === 'started' && known !== undefined && !this.isOfEarlierBoot && isAlive(known)) {
			this.#noteRecordedEnd(entry);
			return;
		}
		const claim = readClaim(this.dir, task);
		if (claim === null) return;
		if (claim.kind === 'void') return this.ledger.noteVoid(entry);
		this.ledger.noteClaim(entry);
		if (claim.shim !== null) this.#shims.set(task, claim.shim);
		if (claim.task !== null) {
			const isNews = entry.process === null;
			this.ledger.noteStart(entry, claim.task);
			if (isNews) this.#started(entry);
		}
		if (this.#noteRecordedEnd(entry) || this.isOfEarlierBoot) return;
		if (claim.shim === null) {
			// Cut short, so nothing was started: over as soon as that shim is surely gone.
			if (!this.processes.isPopulated('shim')) this.ledger.noteVoid(entry);
			return;
		}
		if (isAlive(claim.shim)) return;
		// It may have recorded the end just before it died.
		if (this.#noteRecordedEnd(entry)) return;
		this.ledger.noteShimLost(entry, nowMs(this.#site.clock));
		this.#watch ??= this.processes.watch(() => this.#guard(() => this.check()));
		const monotonicMs = this.#site.clock.monotonicMs();
		if (monotonicMs < (this.#rescueDueMs.get(task) ?? 0)) return;
		this.#rescueDueMs.set(task, monotonicMs + RESCUE_MS);
		this.#site.rescue(this.spec, task);
	}

	#noteRecordedEnd(entry: TaskEntry): boolean {
		const exit = readExit(this.dir, entry.task);
		if (exit === null) return false;
		const {waitStatus, endMs, error, lostBytes} = exit;
		this.ledger.noteEnd(entry, {
			task: entry.task,
			waitStatus,
			endMs,
			...(error === undefined ? {} : {error}),
		});
		if (lostBytes > 0)
			this.ledger.noteLog(`task ${entry.task}: ${lostBytes} bytes of output were lost`, endMs);
		return true;
	}

	#started(entry: TaskEntry): void {
		this.#timers.arm(this.ledger);
		const order = this.ledger.order;
		if (order === null) return;
		// It got away from the order by a hair.
		if (remainingMs(this.#site.clock, order.killAt) === 0) this.processes.kill('payload');
		else this.#signalTask(entry, order.signum);
	}

	#failTask(entry: TaskEntry, why: string): void {
		if (entry.process !== null || entry.phase === 'ended' || entry.phase === 'void') return;
		this.fail(`task ${entry.task} could not be started: ${why}`);
	}

	/** The signal before the time limit: written down first, so that it is sent once. */
	#warn(): void {
		const {warning} = this.spec;
		if (warning === undefined || this.isExited || this.ledger.order !== null || this.ledger.hasWarned) return;
		this.ledger.noteWarning(warning.signum, nowMs(this.#site.clock));
		this.#flush({notes: true});
		this.signal(warning.signum);
	}

	/** The others go on long after the first task has ended. */
	#abandon(): void {
		for (const entry of this.ledger.tasks) this.#checkTask(entry);
		if (!this.ledger.hasStragglers || this.#areTasksOver()) return this.check();
		const seconds = (this.spec.exitTimeoutMs ?? 0) / 1000;
		this.abort(`a task has ended, and others go on ${seconds} s later (exit-timeout)`);
	}

	#expire(): void {
		for (const entry of this.ledger.tasks) this.#checkTask(entry);
		if (this.isExited || this.ledger.order !== null || this.#areTasksOver()) return this.check();
		this.ledger.noteTimeout(nowMs(this.#site.clock));
		this.#giveOrder(SIGALRM);
		this.#flush();
		this.#settle();
	}

	#giveOrder(signum: number): void {
		const {clock} = this.#site;
		const given = this.ledger.order;
		// Asked for again, perhaps by a broker that does not know whether it was heard: it was.
		if (given?.signum === signum) return this.#pursueOrder();
		const killAt = deadlineIn(clock, signum === SIGKILL ? 0 : this.spec.killTimeoutMs);
		if (given === null || remainingMs(clock, killAt) < remainingMs(clock, given.killAt)) {
			this.ledger.noteOrder({signum, killAt}, nowMs(clock));
			this.#killTimer?.cancel();
			this.#killTimer = null;
		}
		// Before the first signal: a new shell must know of it whatever happens next.
		this.#flush();
		this.#applyOrder(signum);
	}

	#applyOrder(signum: number): void {
		this.#timers.cancel();
		this.#takeClaims();
		if (signum !== SIGKILL) this.signal(signum);
		this.#pursueOrder();
	}

	/** SIGKILL when it is time, and again until nothing is left. */
	#pursueOrder(): void {
		const order = this.ledger.order;
		if (order === null || this.isExited) return;
		const leftMs = remainingMs(this.#site.clock, order.killAt);
		if (leftMs === 0) this.processes.kill('payload');
		else
			this.#killTimer ??= this.#site.clock.setTimer(leftMs, () => {
				this.#guard(() => {
					this.#killTimer = null;
					this.check();
				});
			});
	}

	/** Takes the claims of tasks that were not started, so that no shim will. */
	#takeClaims(): void {
		for (const entry of this.ledger.tasks) {
			if (entry.phase !== 'new') continue;
			try {
				if (takeClaim(this.dir, entry.task)) this.ledger.noteVoid(entry);
				else this.#checkTask(entry);
			} catch (error) {
				// A full disk. Once the part is over no shim can start it either; until then it may, and is told on.
				this.#site.log(`part ${partName(this.spec)}: ${asSystemError(error).toString()}`);
				this.ledger.noteVoid(entry);
			}
		}
	}

	/** Sends a signal to a task's process group, or, where its leader is gone, to all that is left of the part. */
	#signalTask({process, lost}: TaskEntry, signum: number): boolean {
		if (process !== null && isAlive(process)) return sendSignal(-process.pid, signum);
		if (!lost) return false;
		return this.processes.signal('payload', signum) > 0;
	}

	/** Whether no task of the part runs any more, as far as can be seen without the exit status of lost ones. */
	#areTasksOver(): boolean {
		return this.ledger.tasks.every(({phase, lost, process}) => {
			if (phase === 'ended' || phase === 'void') return true;
			if (!lost) return false;
			return process === null ? !this.processes.isPopulated() : !isAlive(process);
		});
	}

	/** Once the tasks are over: ends what they left behind, makes sure that nothing is left, makes the last report. */
	#settle(): void {
		if (this.isExited || this.isOfEarlierBoot || !this.#areTasksOver()) return;
		const {processes} = this;
		if (!processes.remove('payload')) {
			processes.kill('payload');
			return this.#settleLater();
		}
		this.#emptySinceMs ??= this.#site.clock.monotonicMs();
		if (!processes.remove('shim') || !processes.remove()) {
			if (this.#site.clock.monotonicMs() - this.#emptySinceMs > SHIM_LINGER_MS_MAX) {
				this.#site.log(`part ${partName(this.spec)}: killing shims that wait for output of nobody`);
				processes.kill();
			}
			return this.#settleLater();
		}
		const atMs = nowMs(this.#site.clock);
		for (const entry of this.ledger.tasks) {
			if (entry.phase === 'ended' || entry.phase === 'void') continue;
			if (!this.#noteRecordedEnd(entry))
				this.ledger.noteEnd(entry, {task: entry.task, waitStatus: null, endMs: atMs});
		}
		this.ledger.conclude(atMs);
		this.close();
		this.#flush();
	}

	#settleLater(): void {
		if (this.#settleTimer !== null) return;
		this.#settleTimer = this.#site.clock.setTimer(this.#settleRetryMs, () => {
			this.#settleTimer = null;
			this.#guard(() => this.#settle());
		});
		this.#settleRetryMs = Math.min(this.#settleRetryMs * 2, SETTLE_RETRY_MS_MAX);
	}

	/**
	 * After a reboot, exit records that have a status count. Where one is missing nobody will ever know, and the
	 * broker judges; only when it orders the end (`force`) the rest becomes unknown.
	 */
	#concludeEarlierBoot({force = false}: {readonly force?: boolean} = {}): void {
		const isKnown = this.ledger.tasks.every(({phase}) => phase === 'ended' || phase === 'void');
		const isUntouched = this.ledger.tasks.every(({phase}) => phase === 'new' || phase === 'void');
		if (!force && (!isKnown || isUntouched)) return;
		const atMs = nowMs(this.#site.clock);
		for (const entry of this.ledger.tasks) {
			if (entry.phase === 'new') this.ledger.noteVoid(entry);
			else this.ledger.noteEnd(entry, {task: entry.task, waitStatus: null, endMs: atMs});
		}
		this.ledger.conclude(atMs);
		this.#flush();
	}

	/** Writes to the journal, then reports. Plain notes wait for the next report: they are for people. */
	#flush({notes = false} = {}): void {
		if (!notes && !this.ledger.hasNews && this.ledger.order === null && this.#unwritten === '') return;
		const {lines, reports} = this.ledger.takeNews();
		if (lines !== '' || this.#unwritten !== '') this.#write(lines);
		for (const report of reports) this.#site.report(report);
	}

	/** A journal that can't be written is kept in memory and tried again: exit records are the truth. */
	#write(lines: string): void {
		this.#unwritten += lines;
		if (this.isRefused) return;
		try {
			appendJournal(this.dir, this.#unwritten);
			this.#unwritten = '';
		} catch (error) {
			// Part of it may be there: a line of its own keeps what follows readable, and readers skip the rest.
			if (!this.#unwritten.startsWith('\n')) this.#unwritten = `\n${this.#unwritten}`;
			if (lines !== '') this.#site.log(`part ${partName(this.spec)}: ${asSystemError(error).toString()}`);
		}
	}

	/** One bad part must not stop the others: an error in its timers ends in the log, and `check` comes again. */
	#guard(action: () => void): void {
		try {
			action();
		} catch (error) {
			this.#site.log(`part ${partName(this.spec)}: ${error instanceof Error ? error.stack : String(error)}`);
		}
	}
}

function nowMs(clock: Clock): number {
	return Math.round(clock.epochMs());
}
