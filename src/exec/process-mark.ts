/** How the processes of parts name themselves: by their environment (tasks) or their command line (shims). */

import type {PartKey} from '../ports/process-host.ts';
import type {ProcessMark} from './process-table.ts';
import {parsePartName} from './part-paths.ts';

export const MARK_VARIABLE = 'COPPICE_PART';
/** The launcher, also before its fork has got a name of its own. */
const LAUNCHER = 'coppice-launcher';

/**
 * The mark of a task or of what it started, in the text of /proc/PID/environ, or null.
 * @param rank `INSTANCE.RANK`: those of others are none.
 */
export function markInEnvironment(environ: string, rank: string): ProcessMark | null {
	const head = `\0${MARK_VARIABLE}=${rank}/`;
	const text = `\0${environ}`;
	const at = text.indexOf(head);
	if (at === -1) return null;
	const end = text.indexOf('\0', at + 1);
	return markOf(text.slice(at + head.length, end === -1 ? undefined : end), 'payload');
}

/** The mark of a shim, or of its fork before it is the task, in the text of /proc/PID/cmdline, or null. */
export function markInCommandLine(cmdline: string, rank: string): ProcessMark | null {
	const match = /^coppice-(shim|rescue|task) ([0-9.]+(?:prolog|epilog)?)\/\w+ ([^\0 ]+)/.exec(cmdline);
	if (match?.[3] !== rank) return null;
	return markOf(match[2]!, match[1] === 'task' ? 'payload' : 'shim');
}

/** Whether a process may still become one of a part's without a new start: it is no stranger for good. */
export function isLauncher(cmdline: string): boolean {
	return cmdline.includes(LAUNCHER);
}

/** The part that a mark names: its own, or that of its prolog or epilog. */
export function partOfMark(mark: string): PartKey | undefined {
	return parsePartName(mark.replace(/\.(prolog|epilog)$/, ''));
}

function markOf(part: string, role: ProcessMark['role']): ProcessMark | null {
	return partOfMark(part) === undefined ? null : {part, role};
}
