/** Processes of this machine as /proc shows them. A pid counts only together with its start ticks. */

import {readFileSync} from 'node:fs';
import {isDeadState, parseStat} from '../proc-text.ts';
import type {ProcessId} from '../task-record.ts';

/** Whether this very process is alive: same pid, same start, and not a zombie. Its boot is the caller's affair. */
export function isAlive({pid, startTicks}: ProcessId): boolean {
	const stat = statOf(pid);
	return stat?.startTicks === startTicks && !isDeadState(stat.state);
}

/** The start ticks of a pid, or undefined when there is no such process. */
export function startTicksOf(pid: number): number | undefined {
	return statOf(pid)?.startTicks;
}

/**
 * Sends a signal to a pid, or with a negative one to a process group. False: nobody is there, or it is not ours.
 */
export function sendSignal(pid: number, signum: number): boolean {
	try {
		return process.kill(pid, signum);
	} catch (error) {
		const {code} = error as NodeJS.ErrnoException;
		if (code === 'ESRCH' || code === 'EPERM') return false;
		throw error;
	}
}

function statOf(pid: number) {
	try {
		return parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
	} catch (error) {
		const {code} = error as NodeJS.ErrnoException;
		// ESRCH: it ended between open and read.
		if (code === 'ENOENT' || code === 'ESRCH') return undefined;
		throw error;
	}
}
