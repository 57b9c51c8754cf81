/** `-r/--rank`: which broker a request is for. */
import type {ParsedArguments} from './command.ts';
import {integerOption} from './option-value.ts';

export const RANK_OPTION = {alias: 'r', type: 'string', describe: 'ask the broker of this rank'} as const;

export const RANK_MAX = 2 ** 32 - 3;

/** The part of a call's options that says where it goes; nothing: to the nearest broker that has the service. */
export function rankOption(argv: ParsedArguments): {readonly nodeid?: number} {
	const rank = integerOption(argv, 'rank', {min: 0, max: RANK_MAX});
	return rank === undefined ? {} : {nodeid: rank};
}
