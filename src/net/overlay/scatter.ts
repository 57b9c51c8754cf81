/**
 * One request to many ranks (DESIGN section 7): a message that names its ranks is split at each broker among its children,
 * and their answers are gathered on the way up, equal ones together. A broker sends as many messages as it has children to
 * reach, however many ranks there are. Payloads pass as they are.
 */
import {decode, encode} from '@msgpack/msgpack';
import {Idset} from '../../formats/idset.ts';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {DEADLINE_MS_MAX, ERRNUM_MAX} from '../message.ts';
import {decodeError, encodeErrorText} from '../payload.ts';
import {RANKS_MAX, type Topology} from './topology.ts';

export const SCATTER_TOPIC = 'overlay.scatter';

export interface Scatter {
	readonly ranks: Idset;
	readonly topic: string;
	readonly payload: Uint8Array;
	/** For each rank to answer, in milliseconds. */
	readonly deadlineMs: number;
}

/** What a rank answered: a payload, or an error number and its text. */
export interface RankAnswer {
	readonly errnum: number;
	readonly payload: Uint8Array;
}

export type Answers = ReadonlyMap<number, RankAnswer>;

export interface ScatterOptions {
	readonly topology: Topology;
	readonly rank: number;
	/** Asks a child to do the same for the ranks below it. */
	readonly ask: (child: number, scatter: Scatter) => Promise<Answers>;
	/** Asks the service of this broker. */
	readonly local: (scatter: Scatter) => Promise<RankAnswer>;
}

/** What a broker leaves of the deadline to its service and to those below, so that it can say who was late. */
const MARGIN_SHARE = 0.9;

/** Resolves to an answer for each rank; never rejects. Ranks that are not at or below this broker are EHOSTUNREACH. */
export async function scatter(
	request: Scatter,
	{topology, rank, ask, local}: ScatterOptions,
): Promise<Answers> {
	const answers = new Map<number, RankAnswer>();
	const byChild = new Map<number, number[]>();
	let isForUs = false;
	for (const one of request.ranks) {
		if (one === rank) {
			isForUs = true;
			continue;
		}
		const child = one < topology.size ? topology.childToward(rank, one) : null;
		if (child === null) {
			answers.set(one, failure(new SystemError('EHOSTUNREACH', `rank ${one} is not below rank ${rank}`)));
		} else {
			const ranks = byChild.get(child);
			if (ranks === undefined) byChild.set(child, [one]);
			else ranks.push(one);
		}
	}
	const deadlineMs = Math.max(1, Math.floor(request.deadlineMs * MARGIN_SHARE));
	const below = [...byChild].map(async ([child, ranks]) => {
		try {
			const given = await ask(child, {...request, ranks: Idset.from(ranks), deadlineMs});
			for (const one of ranks) answers.set(one, given.get(one) ?? failure(silent(one)));
		} catch (error) {
			for (const one of ranks) answers.set(one, failure(asSystemError(error)));
		}
	});
	const here = async () => {
		try {
			answers.set(rank, await local({...request, deadlineMs}));
		} catch (error) {
			answers.set(rank, failure(asSystemError(error)));
		}
	};
	await Promise.all([...below, ...(isForUs ? [here()] : [])]);
	return answers;
}

export function encodeScatter({ranks, topic, payload, deadlineMs}: Scatter): Uint8Array {
	return encode([ranks.toString(), topic, deadlineMs, payload]);
}

/** @throws {SystemError} EPROTO */
export function decodeScatter(bytes: Uint8Array): Scatter {
	const [ranks, topic, deadlineMs, payload] = decodeArray(bytes);
	if (
		typeof ranks !== 'string' ||
		typeof topic !== 'string' ||
		!(typeof deadlineMs === 'number' && deadlineMs >= 0 && deadlineMs <= DEADLINE_MS_MAX) ||
		!isBytes(payload)
	) {
		throw new SystemError('EPROTO', 'malformed request to many ranks');
	}
	return {ranks: parseRanks(ranks), topic, deadlineMs, payload};
}

/** Equal answers are one entry. */
export function encodeAnswers(answers: Answers): Uint8Array {
	const groups = new Map<string, {readonly ranks: number[]; readonly answer: RankAnswer}>();
	for (const [rank, answer] of answers) {
		const key = `${answer.errnum} ${Buffer.from(answer.payload).toString('latin1')}`;
		const group = groups.get(key);
		if (group === undefined) groups.set(key, {ranks: [rank], answer});
		else group.ranks.push(rank);
	}
	return encode(
		[...groups.values()].map(({ranks, answer}) => [
			Idset.from(ranks).toString(),
			answer.errnum,
			answer.payload,
		]),
	);
}

/** @throws {SystemError} EPROTO */
export function decodeAnswers(bytes: Uint8Array): Answers {
	const answers = new Map<number, RankAnswer>();
	for (const group of decodeArray(bytes)) {
		const [ranks, errnum, payload] = Array.isArray(group) ? (group as unknown[]) : [];
		if (typeof ranks !== 'string' || !isErrnum(errnum) || !isBytes(payload)) {
			throw new SystemError('EPROTO', 'malformed answer of many ranks');
		}
		for (const rank of parseRanks(ranks)) answers.set(rank, {errnum, payload});
	}
	return answers;
}

/** As a caller sees it. */
export function errorOf({errnum, payload}: RankAnswer): SystemError | null {
	return errnum === 0 ? null : decodeError(errnum, payload);
}

export function failure(error: SystemError): RankAnswer {
	return {errnum: error.errnum, payload: encodeErrorText(error.message)};
}

function silent(rank: number): SystemError {
	return new SystemError('EPROTO', `rank ${rank} is missing in the answers of those on the way to it`);
}

/** Judged before anything is done for each of them. */
function parseRanks(text: string): Idset {
	const ranks = Idset.parse(text);
	if ((ranks.last ?? 0) >= RANKS_MAX) {
		throw new SystemError('EPROTO', `rank ${ranks.last} is none: the limit is ${RANKS_MAX} (RANKS_MAX)`);
	}
	return ranks;
}

function isErrnum(value: unknown): value is number {
	return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= ERRNUM_MAX;
}

function decodeArray(bytes: Uint8Array): readonly unknown[] {
	let value: unknown;
	try {
		value = decode(bytes);
	} catch (error) {
		throw new SystemError('EPROTO', `malformed: ${(error as Error).message}`, {cause: error});
	}
	if (!Array.isArray(value)) throw new SystemError('EPROTO', 'malformed: no array');
	return value;
}

function isBytes(value: unknown): value is Uint8Array {
	return value instanceof Uint8Array;
}
