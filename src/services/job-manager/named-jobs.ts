/**
 * Who of all active jobs of one user and name is the first, for jobs that are to run one at a time. The index is built when
 * the first such job comes, and kept from then on; an instance without any pays nothing.
 */
import {jobNameOf} from '../../formats/jobspec.ts';
import {outlineOf} from '../../formats/stored-jobspec.ts';
import type {JobContext, JobSnapshot} from '../../machines/job.ts';
import type {Core} from '../core.ts';

interface Named {
	/** In ascending order. */
	ids: Set<bigint>;
	/** The highest that was ever there. */
	lastId: bigint;
}

export class NamedJobs<T> {
	readonly #core: Core;
	/** Active jobs by user and name, in the order of their ids; null: nobody has asked. */
	#byName: Map<string, Named> | null = null;
	/** Those that wait for their turn. */
	readonly #waiting = new Map<bigint, T>();

	constructor(core: Core) {
		this.#core = core;
	}

	wait(id: bigint, what: T): void {
		this.#waiting.set(id, what);
		if (this.#byName !== null) return;
		this.#byName = new Map();
		for (const {context} of this.#core.state.jobs.values()) this.#enter(context);
	}

	leave(id: bigint): void {
		this.#waiting.delete(id);
	}

	/** No other one with its name is before it. */
	isFirst(id: bigint): boolean {
		const job = this.#core.state.jobs.get(id);
		return job !== undefined && this.#firstOf(keyOf(job.context)) === id;
	}

	/** Takes note of a job, and returns what waits for its end as the next in turn. */
	changed({snapshot: {value, context}, isFinal}: {snapshot: JobSnapshot; isFinal: boolean}): T | null {
		if (this.#byName === null) return null;
		if (!isFinal) {
			if (value === 'new' || value === 'run') this.#enter(context);
			return null;
		}
		const key = keyOf(context);
		const there = this.#byName.get(key);
		there?.ids.delete(context.id);
		if (there?.ids.size === 0) this.#byName.delete(key);
		const first = this.#firstOf(key);
		return first === null ? null : (this.#waiting.get(first) ?? null);
	}

	#enter(context: JobContext): void {
		const key = keyOf(context);
		const there = this.#byName?.get(key);
		if (there === undefined) {
			this.#byName?.set(key, {ids: new Set([context.id]), lastId: context.id});
		} else if (context.id > there.lastId) {
			there.ids.add(context.id);
			there.lastId = context.id;
		} else if (!there.ids.has(context.id)) {
			// Only a job that is found on a node can be older than one that is here.
			there.ids = new Set([...there.ids, context.id].sort((a, b) => (a < b ? -1 : 1)));
		}
	}

	#firstOf(key: string): bigint | null {
		const [first] = this.#byName?.get(key)?.ids ?? [];
		return first ?? null;
	}
}

function keyOf({userid, jobspec}: JobContext): string {
	return `${userid} ${jobNameOf(outlineOf(jobspec))}`;
}
