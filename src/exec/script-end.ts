/** How the end of a prolog or epilog is judged and told. Pure; the same for the real and the simulated host. */
import {describeWaitStatus} from '../formats/signal.ts';
import type {ScriptEnd} from '../ports/process-host.ts';

export interface ScriptFate {
	/** Raw; null: unknown, or it never ran. */
	readonly waitStatus: number | null;
	readonly endMs: number;
	/** What had it ended; null: nothing did. */
	readonly cause: 'order' | 'timeout' | null;
	/** The kill timeout was over as well. */
	readonly isKilled: boolean;
	readonly timeoutMs: number;
	/** Why it could not be started. */
	readonly error?: string;
	/** The last line that it wrote, or ''. */
	readonly lastLine: string;
}

/** A last line that is longer is cut. */
export const LAST_LINE_CHARS_MAX = 200;

export function judgeScript(fate: ScriptFate): ScriptEnd {
	const {waitStatus, endMs, cause, isKilled} = fate;
	if (waitStatus === 0) return {verdict: 'ok', waitStatus, endMs};
	const verdict =
		cause === 'timeout' ? 'timeout' : cause === null ? 'failed' : isKilled ? 'stuck' : 'canceled';
	const lastLine = fate.lastLine.slice(0, LAST_LINE_CHARS_MAX);
	const note = `${noteOf(fate)}${lastLine === '' ? '' : `: ${lastLine}`}`;
	return {verdict, waitStatus, endMs, note};
}

/** The last line with something in it. */
export function lastLineOf(text: string): string {
	return text.trimEnd().split('\n').at(-1)?.trim() ?? '';
}

function noteOf({waitStatus, cause, isKilled, timeoutMs, error}: ScriptFate): string {
	if (error !== undefined) return `could not be started: ${error}`;
	if (cause === 'timeout') return `timed out after ${timeoutMs / 1000} s`;
	if (cause === 'order') {
		return isKilled ? 'was canceled, did not end in time, and was killed' : 'was canceled';
	}
	if (waitStatus === null) return 'ended, and how is unknown: its supervisor died';
	const end = describeWaitStatus(waitStatus);
	return end.kind === 'exited' ? `exited with exit code=${end.code}` : `killed by ${end.name}`;
}
