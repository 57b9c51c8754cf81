/** How the brokers of one host divide it. Pure. */
import {Idset} from '../formats/idset.ts';

export interface ShareQuestion {
	readonly rank: number;
	/** Brokers on the host, at least 1. */
	readonly size: number;
	/** Processors of the host, at least 1. */
	readonly count: number;
}

/**
 * The cores of a rank by their ids on the host: a run of them in rank order, the first ranks one more where it does not
 * come out even. At least one each: more brokers than cores share them in turn.
 */
export function shareOfCores({rank, size, count}: ShareQuestion): Idset {
	if (size > count) return Idset.from([rank % count]);
	const each = Math.floor(count / size);
	const more = count % size;
	const first = rank * each + Math.min(rank, more);
	return Idset.range(first, first + each - (rank < more ? 0 : 1));
}
