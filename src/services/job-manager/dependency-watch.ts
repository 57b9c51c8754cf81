/**
 * Watches what jobs depend on, and says by a fact when it has come about or never will. What is watched is derived from the
 * states of the jobs (effect `await`), so after a replay everything is looked at anew. Each job's change costs as much as
 * there are jobs that wait for just that.
 */
import {hasDependency, type AfterKind, type JobDependency} from '../../machines/job-dependencies.ts';
import {
	judgeAfter,
	judgeGone,
	SATISFIED,
	WAITS,
	type Antecedent,
	type DependencyVerdict,
} from '../../machines/judge-dependency.ts';
import type {JobChange} from '../../machines/durable-state.ts';
import type {Effect} from '../../machines/effects.ts';
import type {Archive} from '../archive.ts';
import type {Core} from '../core.ts';
import {BeginTimes} from './begin-times.ts';
import {NamedJobs} from './named-jobs.ts';

/** So many are judged in a row before others have their turn on the event loop. */
export const JUDGED_PER_PASS_MAX = 256;

type Await = Extract<Effect, {kind: 'await'}>;
type After = Extract<JobDependency, {kind: AfterKind}>;

export class DependencyWatch {
	readonly #core: Core;
	readonly #archive: Archive;
	/** Who waits for the end of a job, by its id and the key of the effect. */
	readonly #forEnd = new Map<bigint, Map<string, Await>>();
	/** Who waits for its start, or for an end without one. */
	readonly #forStart = new Map<bigint, Map<string, Await>>();
	readonly #named: NamedJobs<Await>;
	readonly #times: BeginTimes<Await>;
	/** To be judged, in this order. */
	#due: Await[] = [];
	#isDue = false;

	constructor(core: Core, archive: Archive) {
		this.#core = core;
		this.#archive = archive;
		this.#named = new NamedJobs(core);
		this.#times = new BeginTimes(core.clock, one => this.#judgeSoon([one]));
		core.perform('await', {perform: one => this.#add(one), withdraw: one => this.#remove(one)});
		core.onChange(change => {
			if (change.kind === 'job') this.#changed(change);
		});
	}

	/** Whether a job still waits for this one: then it must be there to be judged. */
	isAwaited(id: bigint): boolean {
		return this.#forEnd.has(id) || this.#forStart.has(id);
	}

	#add(one: Await): void {
		const {dependency} = one;
		switch (dependency.kind) {
			case 'begin-time':
				this.#times.add(dependency.epochMs, one);
				break;
			case 'singleton':
				this.#named.wait(one.id, one);
				this.#judgeSoon([one]);
				break;
			default: {
				const index = this.#indexOf(dependency);
				const there = index.get(dependency.id) ?? new Map<string, Await>();
				index.set(dependency.id, there.set(one.key, one));
				this.#judgeSoon([one]);
			}
		}
	}

	#remove(one: Await): void {
		const {dependency} = one;
		if (dependency.kind === 'begin-time') {
			this.#times.remove(dependency.epochMs, one);
		} else if (dependency.kind === 'singleton') {
			this.#named.leave(one.id);
		} else {
			const index = this.#indexOf(dependency);
			const there = index.get(dependency.id);
			there?.delete(one.key);
			if (there?.size === 0) index.delete(dependency.id);
		}
	}

	#indexOf({kind}: After): Map<bigint, Map<string, Await>> {
		return kind === 'after-start' ? this.#forStart : this.#forEnd;
	}

	#changed({id, snapshot, isFinal}: JobChange): void {
		const next = this.#named.changed({snapshot, isFinal});
		if (next !== null) this.#judgeSoon([next]);
		if (isFinal) this.#judgeSoon(this.#forEnd.get(id)?.values() ?? []);
		if (isFinal || snapshot.context.started) this.#judgeSoon(this.#forStart.get(id)?.values() ?? []);
	}

	#judgeSoon(ones: Iterable<Await>): void {
		for (const one of ones) this.#due.push(one);
		if (this.#isDue || this.#due.length === 0) return;
		this.#isDue = true;
		this.#core.clock.defer(() => {
			this.#isDue = false;
			this.#judgeSome();
		});
	}

	#judgeSome(): void {
		if (this.#core.refusal !== null) return;
		const some = this.#due.splice(0, JUDGED_PER_PASS_MAX);
		const rows = new Map<bigint, Antecedent>();
		for (const {id, dependency} of some) {
			const job = this.#core.state.jobs.get(id);
			// What came before it in this pass may have ended its wait.
			if (job?.value !== 'depend' || !hasDependency(job.context, dependency.description)) continue;
			const verdict = this.#judge(id, dependency, rows);
			if (verdict.kind === 'satisfied') {
				const {description} = dependency;
				this.#core.post({type: 'job.dependency-remove', id, description});
			} else if (verdict.kind === 'impossible') {
				const {note} = verdict;
				this.#core.post({type: 'job.exception', id, exception: 'dependency', severity: 0, note, userid: -1});
			}
		}
		this.#judgeSoon([]);
	}

	#judge(id: bigint, dependency: JobDependency, rows: Map<bigint, Antecedent>): DependencyVerdict {
		switch (dependency.kind) {
			case 'begin-time':
				return SATISFIED; // Nobody else asks before its time.
			case 'singleton':
				return this.#named.isFirst(id) ? SATISFIED : WAITS;
			default: {
				// How it will have ended when someone has put it right is not known.
				if (this.#core.state.lost.has(dependency.id)) return WAITS;
				const antecedent = this.#antecedentOf(dependency.id, rows);
				return antecedent === null ? judgeGone(dependency.id) : judgeAfter(dependency.kind, antecedent);
			}
		}
	}

	/** @param rows finished jobs that were read in this pass: many may wait for one. */
	#antecedentOf(id: bigint, rows: Map<bigint, Antecedent>): Antecedent | null {
		const job = this.#core.state.jobs.get(id);
		if (job !== undefined) return {context: job.context, isInactive: false};
		const known = rows.get(id);
		if (known !== undefined) return known;
		const row = this.#archive.job(id);
		if (row === undefined) return null;
		const found = {context: row, isInactive: true};
		rows.set(id, found);
		return found;
	}
}
