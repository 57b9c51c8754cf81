/**
 * Ghosts: parts of jobs that this log knows no job for, and that may still run on a node: of finished jobs, of attempts that
 * were followed by another one, and of jobs that could not be registered again. What they use is held, so that nobody else
 * gets it, until the node says that they are gone, or an admin does (`broker.release`). Volatile: each inventory
 * of a rank says anew which ghosts there are.
 */
import {ResourceSet, type RankResources} from '../../formats/resource-set.ts';
import type {Json} from '../../machines/job.ts';
import type {GhostHolder, GhostName} from '../job-manager/ghost-holder.ts';
import type {ResourcePool} from './pool.ts';

export interface Ghost extends GhostName {
	/** What is held on its rank. */
	readonly resources: RankResources;
	/** Whether the whole node is held, because nobody knows what the part has. */
	readonly isWholeNode: boolean;
}

export interface GhostsOptions {
	readonly pool: ResourcePool;
	/** An admin has said that nothing of this job is left. */
	readonly isReleased: (id: bigint) => boolean;
	/** Something is free again. */
	readonly onFree: () => void;
}

export class Ghosts implements GhostHolder {
	readonly #pool: ResourcePool;
	readonly #isReleased: GhostsOptions['isReleased'];
	readonly #onFree: () => void;
	readonly #ghosts = new Map<string, Ghost>();

	constructor({pool, isReleased, onFree}: GhostsOptions) {
		this.#pool = pool;
		this.#isReleased = isReleased;
		this.#onFree = onFree;
	}

	get all(): readonly Ghost[] {
		return [...this.#ghosts.values()];
	}

	restart(rank: number): void {
		for (const ghost of this.all) if (ghost.rank === rank) this.release(ghost);
	}

	/** Holds what `R` gives the part on its rank; the whole node when `R` is not known or does not say. */
	hold({id, attempt, rank}: GhostName, R: Json | null): void {
		const known = R === null ? undefined : resourcesIn(R, rank);
		const resources = known ?? this.#pool.total.ranks.get(rank);
		if (resources === undefined || this.#isReleased(id)) return;
		const ghost = {id, attempt, rank, resources, isWholeNode: known === undefined};
		this.#ghosts.set(keyOf(ghost), ghost);
		this.#pool.hold(keyOf(ghost), ResourceSet.from([[rank, resources]]));
	}

	release(name: GhostName): void {
		const key = keyOf(name);
		if (!this.#ghosts.delete(key)) return;
		this.#pool.release(key);
		this.#onFree();
	}

	/** All parts of job `id`. */
	releaseJob(id: bigint): void {
		for (const ghost of this.all) if (ghost.id === id) this.release(ghost);
	}
}

function keyOf({id, attempt, rank}: GhostName): string {
	return `${id}.${attempt}:${rank}`;
}

function resourcesIn(R: Json, rank: number): RankResources | undefined {
	try {
		return ResourceSet.parse(R).ranks.get(rank);
	} catch {
		return undefined; // It was found on a disk, and may be anything.
	}
}
