/**
 * The shape of the tree: who is whose parent (DESIGN section 7). Pure, and fixed for the life of an instance. Invariant: every
 * rank but the root has one parent, and leads to the root.
 */
import {SystemError} from '../../formats/errno.ts';

export const RANKS_MAX = 16_384;
export const ROOT = 0;
/** The fan-out where nothing else is said. */
export const KARY_DEFAULT = 32;

export class Topology {
	readonly size: number;
	readonly #parents: readonly number[];
	readonly #children: readonly (readonly number[])[];

	/**
	 * `kary:K`: the parent of rank i is floor((i-1)/K); K 0 is a flat tree. `size` ranks, at least 1.
	 * @throws {SystemError} EINVAL for a size or fan-out out of bounds.
	 */
	static kary(size: number, fanout: number): Topology {
		if (!Number.isInteger(fanout) || fanout < 0) {
			throw new SystemError('EINVAL', `fan-out must be a whole number, 0 or more, is ${fanout}`);
		}
		checkSize(size);
		const parentOf = (rank: number) => (fanout === 0 ? ROOT : Math.floor((rank - 1) / fanout));
		return new Topology(Array.from({length: size}, (_, rank) => (rank === ROOT ? ROOT : parentOf(rank))));
	}

	/**
	 * The parent of each rank by its index; what is given for rank 0 is ignored.
	 * @throws {SystemError} EINVAL naming a rank whose parent is no rank, or that does not lead to the root (a cycle).
	 */
	static fromParents(parents: readonly number[]): Topology {
		checkSize(parents.length);
		for (const [rank, parent] of parents.entries()) {
			if (rank === ROOT) continue;
			if (!Number.isInteger(parent) || parent < 0 || parent >= parents.length || parent === rank) {
				throw new SystemError('EINVAL', `rank ${rank} cannot have rank ${parent} as its parent`);
			}
		}
		checkRooted(parents);
		return new Topology(parents.map((parent, rank) => (rank === ROOT ? ROOT : parent)));
	}

	private constructor(parents: readonly number[]) {
		this.size = parents.length;
		this.#parents = parents;
		const children = parents.map((): number[] => []);
		for (const [rank, parent] of parents.entries()) if (rank !== ROOT) children[parent]?.push(rank);
		this.#children = children;
	}

	/** Null for the root, and for what is no rank. */
	parentOf(rank: number): number | null {
		return rank === ROOT ? null : (this.#parents[rank] ?? null);
	}

	/** Ascending. */
	childrenOf(rank: number): readonly number[] {
		return this.#children[rank] ?? [];
	}

	/** Steps from the root. */
	depthOf(rank: number): number {
		let depth = 0;
		for (let at = this.parentOf(rank); at !== null; at = this.parentOf(at)) depth += 1;
		return depth;
	}

	/** The child of `from` that `rank` is, or is below of; null when `rank` is not below `from`. */
	childToward(from: number, rank: number): number | null {
		let at = rank;
		for (let parent = this.parentOf(at); parent !== null; parent = this.parentOf(at)) {
			if (parent === from) return at;
			at = parent;
		}
		return null;
	}

	/** `rank` and all below it, ascending. */
	subtreeOf(rank: number): readonly number[] {
		const ranks = [rank];
		for (const each of ranks) ranks.push(...this.childrenOf(each));
		return ranks.sort((a, b) => a - b);
	}
}

function checkSize(size: number): void {
	if (!Number.isInteger(size) || size < 1 || size > RANKS_MAX) {
		throw new SystemError('EINVAL', `an instance has 1 to ${RANKS_MAX} ranks, not ${size}`);
	}
}

function checkRooted(parents: readonly number[]): void {
	const isRooted = new Set([ROOT]);
	for (const start of parents.keys()) {
		const path: number[] = [];
		for (let at = start; !isRooted.has(at); at = parents[at] ?? ROOT) {
			if (path.includes(at)) {
				throw new SystemError(
					'EINVAL',
					`the parents of rank ${start} form a cycle: ${[...path, at].join(' → ')}`,
				);
			}
			path.push(at);
		}
		for (const rank of path) isRooted.add(rank);
	}
}
