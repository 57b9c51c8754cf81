/**
 * Reads what the claims and exit records of a part's tasks say into its ledger, and has the output of a task rescued whose shim
 * was killed. Level triggered: whatever is on disk counts, whenever it is looked at.
 */
import {asSystemError} from '../../formats/errno.ts';
import type {Clock} from '../../ports/clock.ts';
import {partName, type PartKey} from '../../ports/process-host.ts';
import type {StoredSpec} from '../launch-record.ts';
import type {PartLedger, TaskEntry} from '../part-ledger.ts';
import type {ProcessId} from '../task-record.ts';
import {readClaim, readExit} from './part-dir.ts';
import {sayDropped} from './dropped-output.ts';
import type {PartProcesses} from './part-processes.ts';
import {isAlive} from './proc.ts';

export interface TaskClaimsOptions {
	readonly site: {
		readonly clock: Clock;
		readonly log: (text: string) => void;
		/** Asks for somebody to go on with the output of a task whose shim was killed. */
		readonly rescue: (key: PartKey, task: number) => void;
	};
	readonly spec: StoredSpec;
	readonly dir: string;
	readonly processes: PartProcesses;
	readonly ledger: PartLedger;
	/** A task was found to have started. */
	readonly onStart: (entry: TaskEntry) => void;
	/** A task has lost its shim: nobody will announce its end. */
	readonly onShimLost: () => void;
}

/** How often a rescue is asked for: whoever is at it already makes the next one end at once. */
const RESCUE_MS = 2000;

export class TaskClaims {
	readonly #options: TaskClaimsOptions;
	/** The shims of started tasks, by task, as their claims name them. */
	readonly #shims = new Map<number, ProcessId>();
	/** When the next rescue of a lost task is due, by the monotonic clock. */
	readonly #rescueDueMs = new Map<number, number>();
	/** How many shims ended before they took a task, by task. */
	readonly #shimsGone = new Map<number, number>();

	constructor(options: TaskClaimsOptions) {
		this.#options = options;
	}

	/** Reads claim and exit record of one task. */
	check(entry: TaskEntry): void {
		if (entry.phase === 'ended') return;
		const {site, spec, dir, ledger} = this.#options;
		const {task} = entry;
		const isOfEarlierBoot = spec.bootId !== site.clock.bootId;
		const known = this.#shims.get(task);
		// Nothing is new in the claim of a running task whose shim lives.
		if (entry.phase === 'started' && known !== undefined && !isOfEarlierBoot && isAlive(known)) {
			this.noteRecordedEnd(entry);
			return;
		}
		const claim = readClaim(dir, task);
		if (claim === null) return;
		if (claim.kind === 'void') return ledger.noteVoid(entry);
		ledger.noteClaim(entry);
		if (claim.shim !== null) this.#shims.set(task, claim.shim);
		if (claim.task !== null) {
			const isNews = entry.process === null;
			ledger.noteStart(entry, claim.task);
			if (isNews) this.#options.onStart(entry);
		}
		if (this.noteRecordedEnd(entry) || isOfEarlierBoot) return;
		if (claim.shim !== null && isAlive(claim.shim)) return;
		// It may have recorded the end just before it died.
		if (!this.noteRecordedEnd(entry)) this.#lose(entry);
	}

	/** Whether no task of the part runs any more, as far as can be seen without the exit status of lost ones. */
	get areTasksOver(): boolean {
		return this.#options.ledger.tasks.every(entry => this.#isOver(entry));
	}

	/**
	 * Whether a task has ended, with a status or without, and another one goes on. One that nobody has named has ended, too: a
	 * fork that lives says so itself, at once.
	 */
	get hasStragglers(): boolean {
		const {tasks} = this.#options.ledger;
		const hasEnded = (entry: TaskEntry) => this.#isOver(entry) || entry.isNameless;
		return tasks.some(entry => entry.phase !== 'void' && hasEnded(entry)) && !this.areTasksOver;
	}

	#isOver({phase, lost, process}: TaskEntry): boolean {
		if (phase === 'ended' || phase === 'void') return true;
		if (!lost) return false;
		return process === null ? !this.#options.processes.isPopulated() : !isAlive(process);
	}

	/** Counts a shim that ended without the task, and tells how many there were. */
	countShims({task}: TaskEntry): number {
		const count = (this.#shimsGone.get(task) ?? 0) + 1;
		this.#shimsGone.set(task, count);
		return count;
	}

	/** With nothing of the tasks and their shims alive: what has no end on record now never will. */
	judgeEnds(): void {
		const {ledger, site} = this.#options;
		const endMs = Math.round(site.clock.epochMs());
		for (const entry of ledger.tasks) {
			if (entry.lost) this.#endOutput(entry);
			if (entry.phase === 'ended' || entry.phase === 'void' || this.noteRecordedEnd(entry)) continue;
			ledger.noteEnd(entry, {task: entry.task, waitStatus: null, endMs});
		}
	}

	/** What a rescuer can't do: there may have been none, or several. */
	#endOutput({task}: TaskEntry): void {
		const {site, spec, dir} = this.#options;
		for (const stream of ['stdout', 'stderr'] as const) {
			try {
				if (spec[stream] === null) sayDropped(dir, task, stream);
			} catch (error) {
				site.log(`part ${partName(spec)}: ${asSystemError(error).toString()}`);
			}
		}
	}

	/** False: there is none. */
	noteRecordedEnd(entry: TaskEntry): boolean {
		const {dir, ledger} = this.#options;
		const exit = readExit(dir, entry.task);
		if (exit === null) return false;
		const {waitStatus, endMs, error, lostBytes} = exit;
		ledger.noteEnd(entry, {
			task: entry.task,
			waitStatus,
			endMs,
			...(error === undefined ? {} : {error}),
		});
		if (lostBytes > 0) ledger.noteLog(`task ${entry.task}: ${lostBytes} bytes of output were lost`, endMs);
		return true;
	}

	#lose(entry: TaskEntry): void {
		const {site, spec, ledger, processes, onShimLost} = this.#options;
		if (!entry.lost) processes.remember();
		ledger.noteShimLost(entry, Math.round(site.clock.epochMs()));
		onShimLost();
		const monotonicMs = site.clock.monotonicMs();
		const dueMs = this.#rescueDueMs.get(entry.task);
		if (dueMs !== undefined && monotonicMs < dueMs) return;
		if (dueMs !== undefined && entry.process === null) ledger.noteNameless(entry);
		this.#rescueDueMs.set(entry.task, monotonicMs + RESCUE_MS);
		site.rescue(spec, entry.task);
	}
}
