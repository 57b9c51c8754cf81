/**
 * One part in the job shell: brings the ledger, the directory, the processes and the timers together. `check` is level
 * triggered and reads everything from disk and kernel; lines of shims are only the fast way to the same facts.
 *
 * Invariants: a report is in the journal before it is sent; `exited` is reported only after the part's processes were
 * removed (its cgroup, where it has one), from when on no late shim can claim anything; an end without status is judged
 * only after the exit record was read again with nothing of the part alive. A part with a prolog starts no task before `begin`, and one
 * with an epilog is over only with that (part-scripts.ts).
 */

import {asSystemError} from '../../formats/errno.ts';
import {deadlineIn, remainingMs, type Clock, type Timer} from '../../ports/clock.ts';
import {partName, type InventoryEntry, type PartKey, type PartReport} from '../../ports/process-host.ts';
import type {JournalEvent} from '../journal.ts';
import type {StoredSpec} from '../launch-record.ts';
import {PartLedger, type TaskEntry} from '../part-ledger.ts';
import type {ShimEvent} from '../task-record.ts';
import {takeClaim} from './part-dir.ts';
import {PartJournal} from './part-journal.ts';
import {PartTimers} from './part-timers.ts';
import type {PartProcesses} from './part-processes.ts';
import {PartScripts} from './part-scripts.ts';
import {isAlive, sendSignal} from './proc.ts';
import {TaskClaims} from './task-claims.ts';

/** What a part needs of its shell. */
export interface PartSite {
	readonly clock: Clock;
	readonly log: (text: string) => void;
	readonly report: (report: PartReport) => void;
	/** The processes of a prolog or epilog. */
	readonly processesOf: (script: StoredSpec) => PartProcesses;
	/** Asks a launcher for what can be started now. */
	readonly feed: (key: PartKey) => void;
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
	/** It is a prolog or an epilog: the part that it belongs to keeps the journal. */
	readonly isScript?: boolean;
}

const SIGKILL = 9;
const SIGALRM = 14;
const SIGTERM = 15;
/** So many shims of one task may end before they take it. */
const SHIMS_MAX = 10;
/** While something of it is alive: from the first retry to the longest wait between two. */
const SETTLE_RETRY_MS = 1;
const SETTLE_RETRY_MS_MAX = 250;
/** A shim that still waits for the end of output when nothing of its tasks is left gets this long. */
const SHIM_LINGER_MS_MAX = 5000;

export class PartSupervisor {
	readonly spec: StoredSpec;
	readonly dir: string;
	readonly processes: PartProcesses;
	readonly ledger: PartLedger;
	readonly #site: PartSite;
	readonly #claims: TaskClaims;
	/** Whether this shell has asked a launcher for its tasks. */
	isFed = false;
	/** Nothing of it is on disk: it could not be laid out, or was deleted long ago. */
	isRefused = false;
	readonly #journal: PartJournal | null;
	/** Its prolog and epilog; null: it has neither. */
	readonly #scripts: PartScripts | null;
	#watch: {close(): void} | null = null;
	readonly #timers: PartTimers;
	#killTimer: Timer | null = null;
	#settleTimer: Timer | null = null;
	#settleRetryMs = SETTLE_RETRY_MS;
	/** When the tasks and what they left were gone, by the monotonic clock. */
	#emptySinceMs: number | null = null;

	constructor(site: PartSite, spec: StoredSpec, {dir, processes, events, isTorn, isScript}: FoundPart) {
		this.#site = site;
		this.spec = spec;
		this.dir = dir;
		this.processes = processes;
		const onFailure = (text: string) => site.log(`part ${partName(spec)}: ${text}`);
		this.#journal = isScript === true ? null : new PartJournal(dir, isTorn, onFailure);
		this.ledger = new PartLedger(spec, events, nowMs(site.clock));
		this.#timers = new PartTimers({
			clock: site.clock,
			spec,
			onLimit: () => this.#guard(() => this.#expire()),
			onWarning: () => this.#guard(() => this.#warn()),
			onExitTimeout: () => this.#guard(() => this.#abandon()),
		});
		this.#claims = new TaskClaims({
			site,
			spec,
			dir,
			ledger: this.ledger,
			onStart: entry => this.#started(entry),
			processes,
			onShimLost: () => {
				this.#watch ??= processes.watch(() => this.#guard(() => this.check()));
			},
		});
		this.#scripts = spec.prolog === undefined && spec.epilog === undefined ? null : this.#makeScripts();
	}

	#makeScripts(): PartScripts {
		const {spec, dir, ledger} = this;
		return new PartScripts({
			clock: this.#site.clock,
			spec,
			dir,
			ledger,
			supervise: (each, report) => {
				const processes = this.#site.processesOf(each);
				const found = {dir, processes, events: [], isTorn: false, isScript: true};
				return new PartSupervisor({...this.#site, report}, each, found);
			},
			changed: () => {
				this.#flush();
				this.#settle();
			},
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
		const isBehind = this.#journal?.isBehind === true;
		if (this.isExited || this.isOfEarlierBoot) return isBehind;
		const isLost = this.#scripts?.isLost === true || this.ledger.tasks.some(({lost}) => lost);
		return this.ledger.order !== null || isBehind || isLost;
	}

	/** Whether anything of it was ever started. */
	get isTouched(): boolean {
		return this.ledger.isTouched || this.#scripts?.hasRun === true;
	}

	/** The tasks that no shim has taken, with their index in the part; none when it is being ended. */
	get startable(): readonly {readonly task: number; readonly local: number}[] {
		if (this.isExited || this.isOfEarlierBoot) return [];
		const script = this.#scripts?.active ?? null;
		if (script !== null) return script.startable;
		if (this.ledger.order !== null || this.#scripts?.letsBegin === false) return [];
		return this.ledger.tasks
			.map(({task, phase}, local) => ({task, local, phase}))
			.filter(({phase}) => phase === 'new');
	}

	/** Finds out what is so, and goes on from there: after a restart, and now and then as a net. */
	check(): void {
		if (this.isExited) return this.#flush();
		for (const entry of this.ledger.tasks) this.#claims.check(entry);
		this.#scripts?.check();
		if (this.isExited) return;
		if (this.isOfEarlierBoot) return this.#concludeEarlierBoot();
		this.#timers.arm(this.ledger, this.#claims);
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

	/** The prologs of all ranks have succeeded: the tasks may start. Does nothing where this one's has not. */
	begin(): void {
		this.#scripts?.begin();
		if (this.startable.length > 0) this.#site.feed(this.spec);
	}

	/** What a shim says, or the launcher about one. */
	take(event: ShimEvent): void {
		if (!this.isExited && this.#scripts?.take(event) === true) return;
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
				this.check();
				return this.#replaceShim(entry);
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

	/** Ends a part that was forgotten before. */
	disown(): void {
		this.isRefused = true;
		this.ledger.noteForgotten(nowMs(this.#site.clock));
		this.#flush();
	}

	/** Ends a part whose tasks can't be started, some of them or all. */
	fail(note: string): void {
		if (this.#scripts?.active != null) return this.#scripts.active.fail(note);
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
		if (this.ledger.areTasksEnded) return;
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
			state: this.isExited ? 'exited' : this.isTouched ? 'running' : 'launching',
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
		this.#scripts?.close();
	}

	#started(entry: TaskEntry): void {
		this.#timers.arm(this.ledger, this.#claims);
		const order = this.ledger.order;
		if (order === null) return;
		// It got away from the order by a hair.
		if (remainingMs(this.#site.clock, order.killAt) === 0) this.processes.kill('payload');
		else this.#signalTask(entry, order.signum);
	}

	/** One that was killed before it took its task. */
	#replaceShim(entry: TaskEntry): void {
		if (entry.phase !== 'new' || this.startable.length === 0) return;
		if (this.#claims.countShims(entry) < SHIMS_MAX) return this.#site.feed(this.spec);
		this.#failTask(entry, `${SHIMS_MAX} shims ended before they began it`);
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
		for (const entry of this.ledger.tasks) this.#claims.check(entry);
		if (!this.#claims.hasStragglers) return this.check();
		const seconds = (this.spec.exitTimeoutMs ?? 0) / 1000;
		this.abort(`a task has ended, and others go on ${seconds} s later (exit-timeout)`);
	}

	#expire(): void {
		for (const entry of this.ledger.tasks) this.#claims.check(entry);
		if (this.isExited || this.ledger.order !== null || this.#claims.areTasksOver) return this.check();
		this.ledger.noteTimeout(nowMs(this.#site.clock));
		this.#giveOrder(this.#journal === null ? SIGTERM : SIGALRM);
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
		if (this.#scripts?.isPrologActive === true) this.#scripts.active?.terminate(signum);
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
				else this.#claims.check(entry);
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

	/** Once the tasks are over: ends what they left behind, makes sure that nothing is left, makes the last report. */
	#settle(): void {
		if (this.isExited || this.isOfEarlierBoot || this.#scripts?.isPrologActive === true) return;
		if (this.#scripts?.isHopeless === true) this.#takeClaims();
		if (!this.#claims.areTasksOver) return;
		const {processes} = this;
		const hasEpilog = this.#scripts?.hasEpilog === true;
		if (!processes.remove('payload')) {
			processes.kill('payload');
			return this.#settleLater();
		}
		this.#emptySinceMs ??= this.#site.clock.monotonicMs();
		if (!processes.remove('shim') || (!hasEpilog && !processes.remove())) {
			if (this.#site.clock.monotonicMs() - this.#emptySinceMs > SHIM_LINGER_MS_MAX) {
				this.#site.log(`part ${partName(this.spec)}: killing shims that wait for output of nobody`);
				processes.kill('shim');
			}
			return this.#settleLater();
		}
		this.#claims.judgeEnds();
		if (hasEpilog && !this.ledger.areTasksEnded) {
			this.ledger.noteTasksEnded(nowMs(this.#site.clock));
			this.#flush();
			return this.#site.feed(this.spec);
		}
		if (hasEpilog && this.#scripts?.isEpilogOver === false) return;
		if (hasEpilog && !processes.remove()) return this.#settleLater();
		this.ledger.conclude(nowMs(this.#site.clock), this.#scripts?.epilogEnd);
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

	/** What it should have done for the next job was not done as far as is known. */
	#concludeEarlierBoot({force = false}: {readonly force?: boolean} = {}): void {
		this.ledger.concludeEarlierBoot(nowMs(this.#site.clock), {force, epilog: this.#scripts?.lastEpilogEnd});
		this.#flush();
	}

	/** Writes to the journal, then reports. Plain notes wait for the next report: they are for people. */
	#flush({notes = false} = {}): void {
		const isBehind = this.#journal?.isBehind === true;
		if (!notes && !this.ledger.hasNews && this.ledger.order === null && !isBehind) return;
		const {lines, reports} = this.ledger.takeNews();
		if (!this.isRefused) this.#journal?.write(lines);
		for (const report of reports) this.#site.report(report);
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
