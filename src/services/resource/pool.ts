/**
 * The resources of the instance: what there is, what is held by which job, and which part of a request fits. Derived from
 * the jobs' states, never stored: a job that holds resources names them in its R.
 */
import {Idset} from '../../formats/idset.ts';
import type {ResourceRequest} from '../../formats/jobspec.ts';
import {ResourceSet, type RankResources} from '../../formats/resource-set.ts';

export type PoolRequest = Omit<ResourceRequest, 'ntasks'>;

export class ResourcePool {
	readonly total: ResourceSet;
	readonly #free = new Map<number, Free>();
	readonly #held = new Map<bigint, ResourceSet>();

	constructor(total: ResourceSet) {
		this.total = total;
		for (const [rank, {cores, gpus}] of total.ranks) this.#free.set(rank, {cores, gpus});
	}

	get held(): ReadonlyMap<bigint, ResourceSet> {
		return this.#held;
	}

	/** What no job holds. */
	free(): ResourceSet {
		return ResourceSet.from(
			[...this.total.ranks].flatMap(([rank, {host}]) => {
				const {cores, gpus} = this.#free.get(rank) as Free;
				return cores.isEmpty && gpus.isEmpty ? [] : ([[rank, {host, cores, gpus}]] as const);
			}),
		);
	}

	allocated(): ResourceSet {
		return this.total.difference(this.free());
	}

	/** Notes that job `id` holds `set`. Cores that are held twice stay held until the last one lets go. */
	hold(id: bigint, set: ResourceSet): void {
		this.#held.set(id, set);
		for (const [rank, taken] of set.ranks) {
			const free = this.#free.get(rank);
			if (free === undefined) continue; // A node that the configuration no longer has.
			this.#free.set(rank, {
				cores: free.cores.difference(taken.cores),
				gpus: free.gpus.difference(taken.gpus),
			});
		}
	}

	release(id: bigint): void {
		const set = this.#held.get(id);
		if (set === undefined) return;
		this.#held.delete(id);
		for (const rank of set.ranks.keys()) {
			const all = this.total.ranks.get(rank);
			if (all !== undefined) this.#free.set(rank, this.#leftOver(rank, all));
		}
	}

	/**
	 * A set that satisfies `request` from what is free on the ranks that `isUp` admits, lowest ranks and cores
	 * first; null when it doesn't fit now.
	 */
	find(request: PoolRequest, isUp: (rank: number) => boolean): ResourceSet | null {
		return findIn(
			[...this.total.ranks].filter(([rank]) => isUp(rank)).map(([rank, all]) => this.#nodeOf(rank, all)),
			request,
		);
	}

	/** Whether `request` could be satisfied with every node up and nothing held. */
	isFeasible(request: PoolRequest): boolean {
		const nodes = [...this.total.ranks].map(([rank, all]) => ({rank, all, free: all}));
		return findIn(nodes, request) !== null;
	}

	#nodeOf(rank: number, all: RankResources): Node {
		return {rank, all, free: this.#free.get(rank) as Free};
	}

	#leftOver(rank: number, all: RankResources): Free {
		let {cores, gpus} = all;
		for (const set of this.#held.values()) {
			const taken = set.ranks.get(rank);
			if (taken === undefined) continue;
			cores = cores.difference(taken.cores);
			gpus = gpus.difference(taken.gpus);
		}
		return {cores, gpus};
	}
}

interface Free {
	readonly cores: Idset;
	readonly gpus: Idset;
}

interface Node {
	readonly rank: number;
	readonly all: RankResources;
	readonly free: Free;
}

function findIn(nodes: readonly Node[], request: PoolRequest): ResourceSet | null {
	const {nslots, nnodes} = request;
	const chosen: [number, RankResources][] = [];
	let missing = nslots;
	for (const node of nodes) {
		if (nnodes === null ? missing === 0 : chosen.length === nnodes) break;
		const fitting = slotsOn(node, request);
		const wanted = nnodes === null ? Math.min(missing, fitting) : shareOf(request, chosen.length);
		if (wanted === 0 || fitting < wanted) continue;
		chosen.push([node.rank, take(node, wanted, request)]);
		missing -= Math.min(missing, wanted);
	}
	const isEnough = nnodes === null ? missing === 0 : chosen.length === nnodes;
	return isEnough && chosen.length > 0 ? ResourceSet.from(chosen) : null;
}

/** Slots of the n-th of `nnodes` nodes, when the slots are spread as evenly as they go. */
function shareOf({nslots, nnodes}: PoolRequest, index: number): number {
	const count = nnodes ?? 1;
	return Math.floor(nslots / count) + (index < nslots % count ? 1 : 0);
}

function slotsOn({all, free}: Node, {coresPerSlot, gpusPerSlot, exclusive}: PoolRequest): number {
	if (exclusive && !(free.cores.equals(all.cores) && free.gpus.equals(all.gpus))) return 0;
	const byCores = coresPerSlot === 0 ? Infinity : Math.floor(free.cores.count / coresPerSlot);
	const byGpus = gpusPerSlot === 0 ? Infinity : Math.floor(free.gpus.count / gpusPerSlot);
	return Math.min(byCores, byGpus);
}

function take({all, free}: Node, slots: number, request: PoolRequest): RankResources {
	if (request.exclusive) return all;
	return {
		host: all.host,
		cores: free.cores.take(slots * request.coresPerSlot),
		gpus: free.gpus.take(slots * request.gpusPerSlot),
	};
}
