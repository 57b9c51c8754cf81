/** Lists jobs: the active ones from memory, the finished ones from the archive. */
import {f58} from '../../formats/jobid.ts';
import {SystemError} from '../../formats/errno.ts';
import {Idset} from '../../formats/idset.ts';
import type {JobSnapshot} from '../../machines/job.ts';
import type {Archive} from '../archive.ts';
import type {Core} from '../core.ts';
import {compileConstraint} from './constraint.ts';
import {jobViewOf, PENDING_STATES, RUNNING_STATES, STATE_BITS, type JobView} from './job-view.ts';

export interface ListRequest {
	/** 0: all. */
	readonly maxEntries: number;
	readonly constraint: unknown;
	/** Finished jobs only if they became inactive after this, epoch seconds. */
	readonly since: number;
}

export class JobList {
	readonly #core: Core;
	readonly #archive: Archive;
	readonly #whyPending: (id: bigint) => string | null;

	constructor(core: Core, archive: Archive, whyPending: (id: bigint) => string | null = () => null) {
		this.#core = core;
		this.#whyPending = whyPending;
		this.#archive = archive;
	}

	/** Pending by priority, then running, newest first, then inactive, newest first. @throws {SystemError} EINVAL. */
	async *list({maxEntries, constraint, since}: ListRequest): AsyncGenerator<JobView> {
		const matches = compileConstraint(constraint);
		let left = maxEntries === 0 ? Infinity : maxEntries;
		for (const job of this.#active()) {
			if (left === 0) return;
			if (!matches(job)) continue;
			left -= 1;
			yield job;
		}
		if (left === 0 || !admitsInactive(constraint)) return;
		for await (const row of this.#archive.newestFirst()) {
			const job = jobViewOf('inactive', row);
			if (typeof job.t_inactive === 'number' && job.t_inactive <= since) continue;
			if (!matches(job)) continue;
			left -= 1;
			yield job;
			if (left === 0) return;
		}
	}

	/** @throws {SystemError} ENOENT. */
	one(id: bigint): JobView {
		const job = this.#core.state.jobs.get(id) ?? this.#core.state.lost.get(id)?.job;
		if (job !== undefined && job !== null) return this.#view(job);
		const row = this.#archive.job(id);
		if (row === undefined) throw new SystemError('ENOENT', `no job ${f58(id)}`);
		return jobViewOf('inactive', row);
	}

	stats(): Readonly<Record<string, unknown>> {
		const states: Record<string, number> = {depend: 0, priority: 0, sched: 0, run: 0, cleanup: 0};
		for (const {value} of this.#core.state.jobs.values()) states[value] = (states[value] ?? 0) + 1;
		const {count, completed, failed, canceled, timeout} = this.#core.state.archive;
		const total = this.#core.state.jobs.size + count;
		return {
			job_states: {...states, inactive: count, total},
			successful: completed,
			failed: failed + canceled + timeout,
			canceled,
			timeout,
			inactive_purged: this.#core.state.archive.purged ?? 0,
		};
	}

	#active(): JobView[] {
		const jobs = [...this.#core.state.jobs.values()].map(job => this.#view(job));
		const classOf = ({state}: JobView) =>
			(state & PENDING_STATES) !== 0 ? 0 : (state & RUNNING_STATES) !== 0 ? 1 : 0;
		return jobs.sort((a, b) => {
			const difference = classOf(a) - classOf(b);
			if (difference !== 0) return difference;
			if (classOf(a) === 0 && a.priority !== b.priority) return Number(b.priority) - Number(a.priority);
			const byId = a.id < b.id ? -1 : 1;
			return classOf(a) === 0 ? byId : -byId;
		});
	}

	#view({value, context}: JobSnapshot): JobView {
		if (value !== 'run' && value !== 'cleanup') {
			const view = jobViewOf(value, context);
			const reason = value === 'sched' ? this.#whyPending(context.id) : null;
			return reason === null ? view : {...view, annotations: {sched: {reason_pending: reason}}};
		}
		const out = Object.entries(context.ranks)
			.filter(([rank, part]) => part.state !== 'exited' && !this.#core.isReconciled(Number(rank)))
			.map(([rank]) => Number(rank));
		return jobViewOf(value, context, out.length === 0 ? '' : Idset.from(out).toString());
	}
}

/** False when a constraint can only match active jobs, so that the archive need not be read. */
function admitsInactive(constraint: unknown): boolean {
	const {and, states} = (constraint ?? {}) as {and?: unknown; states?: unknown};
	if (Array.isArray(states)) return states.some(mask => (Number(mask) & (STATE_BITS.inactive ?? 0)) !== 0);
	return !Array.isArray(and) || and.every(admitsInactive);
}
