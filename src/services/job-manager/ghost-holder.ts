/** Keeps resources that a part without a job may still use from being given to others, until it is gone. */
import type {Json} from '../../machines/job.ts';

export interface GhostName {
	readonly id: bigint;
	readonly attempt: number;
	readonly rank: number;
}

export interface GhostHolder {
	/** A new inventory of `rank` begins: whatever is a ghost there is said again. */
	restart(rank: number): void;
	/** Holds what `R` gives the part on its rank; null: nobody knows what it has. */
	hold(name: GhostName, R: Json | null): void;
	/** The part is gone. */
	release(name: GhostName): void;
}
