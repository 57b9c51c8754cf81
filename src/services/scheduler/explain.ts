/** What a job that waits, or can never run, is told: what it needs, what there is, and what of it is away. */
import {Idset} from '../../formats/idset.ts';
import type {ResourceRequest} from '../../formats/jobspec.ts';
import type {ResourceSet} from '../../formats/resource-set.ts';
import type {Resources} from '../resource/resources.ts';
import {admitsOf, type Needs} from './needs.ts';

/** So many groups of ranks are named. */
const GROUPS_MAX = 4;

/** The note of the exception of a job that could not run with every node up and nothing held. */
export function explainNever(needs: Needs, {pool, exclude}: Resources): string {
	const matching = pool.total.pick(Idset.from([...pool.total.ranks.keys()].filter(admitsOf(needs))));
	const matched =
		needs.matching === null
			? ''
			: `, of which ${describeSet(matching)} fit its constraints or those of its queue`;
	const excluded = exclude.isEmpty ? '' : `, without rank(s) ${exclude.toString()}, which are excluded`;
	return `unsatisfiable request: the instance has ${describeSet(pool.total)}${matched}${excluded}; the job needs ${describeRequest(needs.request)}`;
}

/** Of a job that would fit on the nodes that are up if they were free. */
export function explainBusy({request}: Needs): string {
	return `needs ${describeRequest(request)}, which others hold`;
}

/** Of a job that would fit only with nodes that get no new work now. */
export function explainAway(needs: Needs, resources: Resources): string {
	const admits = admitsOf(needs);
	const groups = new Map<string, number[]>();
	for (const rank of resources.ranks) {
		const isUnknown = !resources.pool.total.ranks.has(rank);
		if (resources.exclude.has(rank) || (!isUnknown && !admits(rank))) continue;
		const why = resources.whyNot(rank) ?? (isUnknown ? 'never seen' : null);
		if (why !== null) groups.set(why, [...(groups.get(why) ?? []), rank]);
	}
	const named = [...groups].slice(0, GROUPS_MAX).map(([why, ranks]) => {
		const [first = 0] = ranks;
		const host = ranks.length === 1 ? ` (${resources.hostOf(first)})` : '';
		return `rank ${Idset.from(ranks).toString()}${host} ${why}`;
	});
	const more = groups.size > GROUPS_MAX ? [`${groups.size - GROUPS_MAX} more reasons`] : [];
	return `needs ${describeRequest(needs.request)}; ${[...named, ...more].join('; ')}`;
}

export function describeRequest({
	nslots,
	nnodes,
	coresPerSlot,
	gpusPerSlot,
	exclusive,
}: ResourceRequest): string {
	const parts = [
		`${nslots * coresPerSlot} core(s)`,
		...(gpusPerSlot === 0 ? [] : [`${nslots * gpusPerSlot} gpu(s)`]),
		...(coresPerSlot > 1 || gpusPerSlot > 0 ? [`in ${nslots} slot(s)`] : []),
		...(nnodes === null ? [] : [`on ${nnodes} ${exclusive ? 'whole ' : ''}node(s)`]),
	];
	return parts.join(' ');
}

function describeSet({nodeCount, coreCount, gpuCount}: ResourceSet): string {
	return `${nodeCount} node(s), ${coreCount} core(s), ${gpuCount} gpu(s)`;
}
