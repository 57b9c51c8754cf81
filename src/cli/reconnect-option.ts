/** `--reconnect-timeout`: how long a command that waits bears an instance out of reach. */
import {RECONNECT_TIMEOUT_MS, type PatienceOptions} from './broker-session.ts';
import type {ParsedArguments} from './command.ts';
import {durationOption} from './option-value.ts';

export function patienceOf(argv: ParsedArguments): PatienceOptions {
	const seconds = durationOption(argv, 'reconnect-timeout');
	return seconds === undefined
		? {reconnectTimeoutMs: RECONNECT_TIMEOUT_MS}
		: {reconnectTimeoutMs: seconds * 1000, waitForSocket: true};
}

export const RECONNECT_OPTION = {
	type: 'string',
	describe: 'how long to bear an instance out of reach; default 5m',
} as const;
