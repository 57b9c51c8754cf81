/**
 * What becomes of the ranks above the root when an instance starts: pure. Invariant: a rank whose log was there once never
 * begins anew by itself, and a rank with jobs never vanishes.
 */
import {SystemError} from '../formats/errno.ts';
import {rankHostname, rankStatedir, type InstanceInfo} from './instance.ts';
import {describePart, LISTED_MAX, type UnfinishedPart} from './start-decision.ts';

/** What was found of one rank. */
export interface RankFound {
	readonly rank: number;
	/** As its job directory says: null when the instance never had this rank. */
	readonly log: 'new' | 'made' | null;
	/** Whether its state directory has a log, even a damaged one. */
	readonly hasLog: boolean;
	/** Parts of jobs that are not over. Asked only of ranks that would vanish. */
	readonly unfinished: readonly UnfinishedPart[];
}

export interface RanksQuestion {
	/** The instance as it was. */
	readonly info: InstanceInfo;
	/** The number of brokers that it is to have. */
	readonly size: number;
	/** All ranks above 0 that the instance had or is to have, ascending. */
	readonly found: readonly RankFound[];
	readonly adopt: boolean;
}

export interface RankVerdict {
	readonly rank: number;
	/** `new`: its log may be made. */
	readonly log: 'new' | 'made';
	/** Its log was lost, and `--adopt` allows another one. */
	readonly isAdopted: boolean;
}

/**
 * How each rank above 0 starts.
 *
 * @throws {SystemError} ENOENT: the state directory of a rank is lost. EBUSY: the instance is to have fewer brokers, and
 * jobs on a rank that would vanish are not over. Nothing was changed.
 */
export function decideRanks({info, size, found, adopt}: RanksQuestion): RankVerdict[] {
	const vanishing = found.filter(({rank, unfinished}) => rank >= size && unfinished.length > 0);
	if (vanishing.length > 0) throw stillBusy(info, size, vanishing);
	const kept = found.filter(({rank}) => rank < size);
	const lost = kept.filter(({log, hasLog}) => log === 'made' && !hasLog);
	if (lost.length > 0 && !adopt) throw ranksLost({...info, size}, lost);
	return kept.map(({rank, log, hasLog}) => ({
		rank,
		log: log === 'made' && hasLog ? 'made' : 'new',
		isAdopted: log === 'made' && !hasLog,
	}));
}

function stillBusy(info: InstanceInfo, size: number, vanishing: readonly RankFound[]): SystemError {
	const parts = vanishing.flatMap(({unfinished}) => unfinished);
	const rest = parts.length - LISTED_MAX;
	return new SystemError(
		'EBUSY',
		[
			`--size ${size}: the instance ${info.instance} had ${info.size} brokers, and jobs on ranks that would vanish are not over:`,
			...parts.slice(0, LISTED_MAX).map(part => `    ${describePart(part)}`),
			...(rest > 0 ? [`    and ${rest} more`] : []),
			`Nothing was changed. Start it with --size ${info.size}, and with fewer when they have ended.`,
		].join('\n'),
	);
}

function ranksLost(info: InstanceInfo, lost: readonly RankFound[]): SystemError {
	const who = lost
		.slice(0, LISTED_MAX)
		.map(({rank}) => `rank ${rank} (${rankHostname(info, rank)}): ${rankStatedir(info, rank)}`)
		.join(', ');
	const rest = lost.length > LISTED_MAX ? `, and ${lost.length - LISTED_MAX} more` : '';
	return new SystemError(
		'ENOENT',
		`a log that was there is gone: ${who}${rest}; jobs are untouched. Bring it back and start again, or let these ranks ` +
			'begin anew with coppice start --adopt',
	);
}
