/**
 * Prolog and epilog of a part together: whose turn it is. Invariant: at most one of prolog, tasks and epilog runs; tasks
 * start only after the prolog has succeeded and the broker has let them begin; an epilog follows whatever was started.
 */
import type {Clock} from '../../ports/clock.ts';
import type {PartReport, ScriptEnd} from '../../ports/process-host.ts';
import type {StoredSpec} from '../launch-record.ts';
import type {PartLedger, TaskEntry} from '../part-ledger.ts';
import type {ShimEvent} from '../task-record.ts';
import {PartScript, scriptSpecOf, type ScriptName} from './part-script.ts';
import type {PartSupervisor} from './part-supervisor.ts';

export interface PartScriptsOptions {
	readonly clock: Clock;
	readonly spec: StoredSpec;
	readonly dir: string;
	readonly ledger: PartLedger;
	/** Makes the supervisor of a part within the part. */
	readonly supervise: (spec: StoredSpec, report: (report: PartReport) => void) => PartSupervisor;
	/** The ledger has news, and something else may have its turn. */
	readonly changed: () => void;
}

export class PartScripts {
	readonly #options: PartScriptsOptions;
	readonly #prolog: PartScript | null;
	readonly #epilog: PartScript | null;
	/** The broker has let the tasks begin. */
	#isBegun = false;
	#epilogEnd: ScriptEnd | null = null;

	constructor(options: PartScriptsOptions) {
		this.#options = options;
		this.#prolog = this.#make('prolog');
		this.#epilog = this.#make('epilog');
	}

	/** The one that has its turn and is not over, or null. */
	get active(): PartSupervisor | null {
		const script = this.#options.ledger.areTasksEnded ? this.#epilog : this.#prolog;
		return script?.isOver === false ? script.supervisor : null;
	}

	get isPrologActive(): boolean {
		return this.active !== null && this.active === this.#prolog?.supervisor;
	}

	/** The tasks never start: there was a prolog that did not succeed. */
	get isHopeless(): boolean {
		return this.#prolog?.isOver === true && this.#options.ledger.prologEnd?.verdict !== 'ok';
	}

	/** Whether tasks may be started now. */
	get letsBegin(): boolean {
		const {ledger} = this.#options;
		if (this.active !== null || ledger.areTasksEnded) return false;
		if (this.#prolog === null) return true;
		if (ledger.prologEnd?.verdict !== 'ok') return false;
		// Where one was claimed, an earlier shell was told.
		return this.#isBegun || ledger.tasks.some(isClaimed);
	}

	/** Whether the epilog is due once the tasks are over: something was started. */
	get hasEpilog(): boolean {
		return this.#epilog !== null && this.hasRun;
	}

	get hasRun(): boolean {
		const {tasks, reports} = this.#options.ledger;
		if (reports.some(({kind}) => kind !== 'exception' && kind !== 'exited')) return true;
		return tasks.some(isClaimed) || this.#prolog?.supervisor.ledger.tasks.some(isClaimed) === true;
	}

	get isEpilogOver(): boolean {
		return this.#epilog?.isOver !== false;
	}

	get epilogEnd(): ScriptEnd | null {
		return this.#epilogEnd;
	}

	/** After a reboot: how the epilog ended, or that nobody knows; null: none was due. */
	get lastEpilogEnd(): ScriptEnd | null {
		return this.#epilogEnd ?? (this.hasEpilog ? (this.#epilog?.unknownEnd ?? null) : null);
	}

	get isLost(): boolean {
		return [this.#prolog, this.#epilog].some(script => script?.supervisor.ledger.tasks[0]?.lost === true);
	}

	begin(): void {
		if (this.#options.ledger.prologEnd?.verdict === 'ok') this.#isBegun = true;
	}

	check(): void {
		this.#prolog?.supervisor.check();
		if (this.#options.ledger.areTasksEnded) this.#epilog?.supervisor.check();
	}

	/** True: it was about one of them. */
	take(event: ShimEvent): boolean {
		const script = [this.#prolog, this.#epilog].find(
			each => each?.supervisor.ledger.entry(event.task) !== undefined,
		);
		script?.supervisor.take(event);
		return script !== undefined;
	}

	close(): void {
		for (const script of [this.#prolog, this.#epilog]) {
			script?.supervisor.close();
			script?.supervisor.processes.close();
		}
	}

	#make(name: ScriptName): PartScript | null {
		const {clock, dir, ledger, supervise, changed} = this.#options;
		const spec = scriptSpecOf(this.#options.spec, name);
		if (spec === null) return null;
		return new PartScript(spec, {
			clock,
			dir,
			supervise,
			isOrdered: () => name === 'prolog' && ledger.order !== null,
			onStart: start => {
				if (name === 'prolog') ledger.notePrologStart(start);
				changed();
			},
			onEnd: end => {
				if (name === 'epilog') this.#epilogEnd = end;
				else if (end !== null) ledger.notePrologEnd(end);
				changed();
			},
		});
	}
}

function isClaimed({phase}: TaskEntry): boolean {
	return phase !== 'new' && phase !== 'void';
}
