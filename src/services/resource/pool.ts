/**
 * The resources of the instance: what there is, what is held by whom, and which part of a request fits. Derived from
 * the nodes' and jobs' states, never stored. Invariant: what a holder holds on a rank stays held there whatever becomes of
 * the rank's definition; what is free is what the definition has and nobody holds.
 */
import {Idset} from '../../formats/idset.ts';
import type {ResourceRequest} from '../../formats/jobspec.ts';
import {ResourceSet, type RankResources} from '../../formats/resource-set.ts';

export type PoolRequest = Omit<ResourceRequest, 'ntasks'>;

/** A job, or the name of what is left of one. */
export type Holder = bigint | string;

/** Which ranks may be taken. */
export type Admits = (rank: number) => boolean;

export class ResourcePool {
	/** Ascending by rank. */
	#nodes: Node[] = [];
	readonly #byRank = new Map<number, Node>();
	readonly #held = new Map<Holder, ResourceSet>();
	/** The same by rank, of ranks that are not defined as well. */
	readonly #holders = new Map<number, Map<Holder, RankResources>>();
	#total: ResourceSet | null = null;

	constructor(total: ResourceSet = ResourceSet.empty) {
		for (const [rank, resources] of total.ranks) this.define(rank, resources);
	}

	/** All that is defined, held or not. */
	get total(): ResourceSet {
		this.#total ??= ResourceSet.from(this.#nodes.map(({rank, all}) => [rank, all]));
		return this.#total;
	}

	get held(): ReadonlyMap<Holder, ResourceSet> {
		return this.#held;
	}

	/** What `rank` has from now on; null: it is no part of the pool. What is held there stays held. */
	define(rank: number, all: RankResources | null): void {
		this.#total = null;
		const before = this.#byRank.get(rank);
		if (all === null || (all.cores.isEmpty && all.gpus.isEmpty)) {
			this.#byRank.delete(rank);
			this.#nodes = this.#nodes.filter(node => node !== before);
			return;
		}
		const node = before ?? {rank, all, cores: all.cores, gpus: all.gpus, isExact: true};
		node.all = all;
		this.#count(node);
		if (before !== undefined) return;
		this.#byRank.set(rank, node);
		// Ranks mostly come in order.
		const isLast = (this.#nodes.at(-1)?.rank ?? -1) < rank;
		this.#nodes.push(node);
		if (!isLast) this.#nodes.sort((a, b) => a.rank - b.rank);
	}

	/** What nobody holds. */
	free(): ResourceSet {
		return ResourceSet.from(
			this.#nodes.map(({rank, all: {host}, cores, gpus}) => [rank, {host, cores, gpus}]),
		);
	}

	/** What is held of all that is defined. */
	allocated(): ResourceSet {
		return ResourceSet.from(
			this.#nodes.map(({rank, all, cores, gpus}) => [
				rank,
				{host: all.host, cores: all.cores.difference(cores), gpus: all.gpus.difference(gpus)},
			]),
		);
	}

	/** `holder` holds `set`, instead of what it held before. What is held twice stays held until the last one lets go. */
	hold(holder: Holder, set: ResourceSet): void {
		this.release(holder);
		this.#held.set(holder, set);
		for (const [rank, taken] of set.ranks) {
			const holders = this.#holders.get(rank);
			if (holders === undefined) this.#holders.set(rank, new Map([[holder, taken]]));
			else holders.set(holder, taken);
			const node = this.#byRank.get(rank);
			if (node === undefined) continue;
			node.isExact &&= isWithin(taken, node);
			node.cores = node.cores.difference(taken.cores);
			node.gpus = node.gpus.difference(taken.gpus);
		}
	}

	release(holder: Holder): void {
		const set = this.#held.get(holder);
		if (set === undefined) return;
		this.#held.delete(holder);
		for (const rank of set.ranks.keys()) {
			const holders = this.#holders.get(rank);
			holders?.delete(holder);
			if (holders?.size === 0) this.#holders.delete(rank);
			const node = this.#byRank.get(rank);
			if (node !== undefined) this.#giveBack(node, set.ranks.get(rank)!);
		}
	}

	/**
	 * A set that satisfies `request` from what is free on the ranks that `admits` lets through, lowest ranks and cores
	 * first; null when it doesn't fit now.
	 */
	find(request: PoolRequest, admits: Admits): ResourceSet | null {
		const chosen: [number, RankResources][] = [];
		const isEnough = choose({
			nodes: this.#nodes,
			request,
			admits,
			isFree: false,
			take: (node, slots) => chosen.push([node.rank, take(node, slots, request)]),
		});
		return isEnough ? ResourceSet.from(chosen) : null;
	}

	/** Whether `request` could be satisfied by the ranks that `admits` lets through if nothing were held. */
	isFeasible(request: PoolRequest, admits: Admits = () => true): boolean {
		return choose({nodes: this.#nodes, request, admits, isFree: true, take: () => undefined});
	}

	/** On how many ranks that `admits` lets through a node's share of `request` would fit if nothing were held. */
	countFitting(request: PoolRequest, admits: Admits): number {
		const share = Math.ceil(request.nslots / (request.nnodes ?? 1));
		return this.#nodes.filter(node => admits(node.rank) && slotsOn(node, request, true) >= share).length;
	}

	/** What one holder of many has let go of; to count them all again each time would cost as much as there are of them. */
	#giveBack(node: Node, taken: RankResources): void {
		if (!node.isExact) {
			this.#count(node);
			return;
		}
		node.cores = node.cores.union(taken.cores);
		node.gpus = node.gpus.union(taken.gpus);
	}

	/** Brings what is free up to date with the holders of its rank. */
	#count(node: Node): void {
		node.cores = node.all.cores;
		node.gpus = node.all.gpus;
		node.isExact = true;
		for (const taken of this.#holders.get(node.rank)?.values() ?? []) {
			node.isExact &&= isWithin(taken, node);
			node.cores = node.cores.difference(taken.cores);
			node.gpus = node.gpus.difference(taken.gpus);
		}
	}
}

interface Node {
	readonly rank: number;
	all: RankResources;
	/** What is free of `all`. */
	cores: Idset;
	gpus: Idset;
	/** Nothing is held twice, and nothing that the node does not have: who lets go makes free what it held. */
	isExact: boolean;
}

interface Choice {
	readonly nodes: readonly Node[];
	readonly request: PoolRequest;
	readonly admits: Admits;
	/** Count what is held as free. */
	readonly isFree: boolean;
	readonly take: (node: Node, slots: number) => void;
}

/** Chooses nodes in the order of their ranks until the request is satisfied; false: it is not. */
function choose({nodes, request, admits, isFree, take}: Choice): boolean {
	const {nslots, nnodes} = request;
	let missing = nslots;
	let chosen = 0;
	for (const node of nodes) {
		if (nnodes === null ? missing === 0 : chosen === nnodes) break;
		const fitting = slotsOn(node, request, isFree);
		const wanted = nnodes === null ? Math.min(missing, fitting) : shareOf(request, chosen);
		// The counts first: they are cheap, and most nodes of a busy cluster are full.
		if (wanted === 0 || fitting < wanted || !admits(node.rank)) continue;
		take(node, wanted);
		chosen += 1;
		missing -= Math.min(missing, wanted);
	}
	return chosen > 0 && (nnodes === null ? missing === 0 : chosen === nnodes);
}

function isWithin(taken: RankResources, {cores, gpus}: Node): boolean {
	return taken.cores.difference(cores).isEmpty && taken.gpus.difference(gpus).isEmpty;
}

/** Slots of the n-th of `nnodes` nodes, when the slots are spread as evenly as they go. */
function shareOf({nslots, nnodes}: PoolRequest, index: number): number {
	const count = nnodes ?? 1;
	return Math.floor(nslots / count) + (index < nslots % count ? 1 : 0);
}

function slotsOn(node: Node, request: PoolRequest, isFree: boolean): number {
	const {coresPerSlot, gpusPerSlot, exclusive} = request;
	const {all} = node;
	const {cores, gpus} = isFree ? all : node;
	if (exclusive && (cores.count < all.cores.count || gpus.count < all.gpus.count)) return 0;
	const byCores = coresPerSlot === 0 ? Infinity : Math.floor(cores.count / coresPerSlot);
	const byGpus = gpusPerSlot === 0 ? Infinity : Math.floor(gpus.count / gpusPerSlot);
	return Math.min(byCores, byGpus);
}

function take({all, cores, gpus}: Node, slots: number, request: PoolRequest): RankResources {
	if (request.exclusive) return all;
	return {
		host: all.host,
		cores: cores.take(slots * request.coresPerSlot),
		gpus: gpus.take(slots * request.gpusPerSlot),
	};
}
