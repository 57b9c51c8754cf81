/**
 * Gives the resources of ranks back that have finished before the others of their job. Ranks that finish within a moment
 * of each other are one event, and a job whose ranks all finish within it has none but its final one.
 */
import type {Core} from '../core.ts';
import {Idset} from '../../formats/idset.ts';

/** From the first rank that finishes to the event. */
export const RELEASE_DELAY_MS = 100;

export function releaseEarly(core: Core): void {
	const due = new Set<bigint>();
	core.perform('release', {
		perform: ({id}) => {
			if (due.has(id)) return;
			due.add(id);
			core.clock.setTimer(RELEASE_DELAY_MS, () => {
				due.delete(id);
				release(core, id);
			});
		},
	});
}

function release(core: Core, id: bigint): void {
	const job = core.state.jobs.get(id);
	if (job === undefined || core.refusal !== null || (job.value !== 'run' && job.value !== 'cleanup')) return;
	const parts = Object.entries(job.context.ranks);
	const ranks = parts
		.filter(([, {state, released}]) => state === 'exited' && !released)
		.map(([rank]) => Number(rank));
	if (ranks.length === 0 || parts.every(([, {state}]) => state === 'exited')) return;
	core.post({type: 'job.release', id, ranks: Idset.from(ranks).toString(), final: false});
}
