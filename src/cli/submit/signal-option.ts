/** `--signal=[SIG][@DURATION]`: a signal some time before the time limit. */
import {SystemError} from '../../formats/errno.ts';
import {parseSignal} from '../../formats/signal.ts';
import {UsageError} from '../command-error.ts';
import {parseDuration} from '../option-value.ts';

/** As in the jobspec (`shell.options.signal`). */
export interface SignalOption {
	readonly signum: number;
	/** Seconds before the time limit. */
	readonly timeleft: number;
}

/** Either half may be left out: SIGUSR1, 60 s. @throws {UsageError} */
export function parseSignalOption(text: string): SignalOption {
	const at = text.indexOf('@');
	const [name, time] = at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
	const timeleft = time === '' ? 60 : parseDuration(time, 'option --signal');
	if (!Number.isFinite(timeleft) || timeleft <= 0)
		throw new UsageError(`option --signal: the time before the limit must be more than 0, is ${time}`);
	return {signum: parseName(name === '' ? 'SIGUSR1' : name), timeleft};
}

function parseName(name: string): number {
	try {
		return parseSignal(name);
	} catch (error) {
		if (error instanceof SystemError) throw new UsageError(`option --signal: ${error.message}`);
		throw error;
	}
}
