/**
 * Which job holds what, derived from the jobs' states: from its allocation to `free`, on each rank until that rank was
 * released. A job in lost+found holds what it held, until an admin releases it.
 */
import {f58} from '../../formats/jobid.ts';
import {ResourceSet} from '../../formats/resource-set.ts';
import {Idset} from '../../formats/idset.ts';
import {outlineOf} from '../../formats/stored-jobspec.ts';
import type {Change} from '../../machines/durable-state.ts';
import type {JobContext, JobEvent} from '../../machines/job.ts';
import type {Core} from '../core.ts';
import {bypassOf} from '../scheduler/bypass.ts';
import type {ResourcePool} from './pool.ts';

export interface HoldingsOptions {
	readonly core: Core;
	readonly pool: ResourcePool;
	/** Something is free again. */
	readonly onFree: () => void;
}

/** Brings `pool` up to the state, after a replay, and keeps it there. */
export function keepHoldings({core, pool, onFree}: HoldingsOptions): void {
	for (const {context} of core.state.jobs.values()) core.inHand(context.id, () => holdKnown(context));
	for (const {id, job} of core.state.lost.values()) {
		if (job !== null && !core.state.released.has(id)) holdLost(job.context);
	}
	/** The release that was accounted for last, of jobs that let go bit by bit. */
	const releases = new Map<bigint, JobEvent>();
	core.onChange(changed);

	function holdAll(job: JobContext): void {
		if (bypassOf(outlineOf(job.jobspec)) !== null) return; // It holds nothing.
		if (job.hasResources && job.R !== null) pool.hold(job.id, notReleased(job));
	}

	/** What this log has granted can be read, or the job is broken: no reason of the world's. */
	function holdKnown(job: JobContext): void {
		try {
			holdAll(job);
		} catch (error) {
			throw new Error(`job ${f58(job.id)}: R can't be held: ${String(error)}`, {cause: error});
		}
	}

	/** It may be set aside for the very reason that nobody can read what it holds. */
	function holdLost(job: JobContext): void {
		try {
			holdAll(job);
		} catch (error) {
			core.log('err', `job ${f58(job.id)} of lost+found: what it holds can't be read: ${String(error)}`);
		}
	}

	function changed(change: Change): void {
		if (change.kind !== 'job') return;
		const {context} = change.snapshot;
		const {id, hasResources, events} = context;
		if (!hasResources) {
			if (!pool.held.has(id)) return;
			releases.delete(id);
			pool.release(id);
			onFree();
			return;
		}
		// R changes with an allocation only, and less of it is held with a release only; the final one leads to `free`.
		const last = events.at(-1);
		const isLess = last?.name === 'release' && last.context?.final !== true && releases.get(id) !== last;
		if (pool.held.has(id) && !isLess) return;
		holdAll(context);
		if (!isLess) return;
		releases.set(id, last);
		onFree();
	}
}

/** What is held on ranks whose part has not let go. */
function notReleased({R, ranks}: JobContext): ResourceSet {
	const set = ResourceSet.parse(R);
	const gone = Object.entries(ranks).filter(([, {released}]) => released);
	if (gone.length === 0) return set;
	return set.pick(set.rankset.difference(Idset.from(gone.map(([rank]) => Number(rank)))));
}
