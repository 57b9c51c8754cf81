/** Processes as /proc shows them. Invariant: a process is its pid and its start time; a zombie is dead. */
import {readdirSync, readFileSync, statSync} from 'node:fs';

/** A process, never taken for another one that got its pid later. */
export interface ProcessName {
	readonly pid: number;
	/** Field 22 of /proc/PID/stat: its start, in clock ticks since the boot. */
	readonly startTicks: number;
}

/** Who has this pid now, or null when nobody that lives. */
export function processNamed(pid: number): ProcessName | null {
	const stat = readText(`/proc/${pid}/stat`);
	const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
	if (fields.length < 20 || /^[ZX]/.test(fields[0]!)) return null;
	return {pid, startTicks: Number(fields[19])};
}

export function isAlive({pid, startTicks}: ProcessName): boolean {
	return processNamed(pid)?.startTicks === startTicks;
}

/** Signals this very process; false when it is gone. */
export function signalProcess(name: ProcessName, signal: NodeJS.Signals): boolean {
	if (!isAlive(name)) return false;
	try {
		process.kill(name.pid, signal);
		return true;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
		throw error;
	}
}

/** The processes of a user, by default this one, whose command line names a path below `directory`. */
export function processesNaming(directory: string, userid = process.getuid!()): ProcessName[] {
	const found: ProcessName[] = [];
	for (const entry of readdirSync('/proc')) {
		if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
		const args = readText(`/proc/${entry}/cmdline`).split('\0');
		const isNode = /(^|\/)(node|perl)$/.test(args[0] ?? '');
		if (!isNode || !args.some(arg => arg === directory || arg.startsWith(`${directory}/`))) continue;
		try {
			if (statSync(`/proc/${entry}`).uid !== userid) continue;
		} catch {
			continue; // It has just ended.
		}
		const name = processNamed(Number(entry));
		if (name !== null) found.push(name);
	}
	return found;
}

/** The arguments of a process, separated by spaces; '' when it is gone. */
export function commandLine(pid: number): string {
	return readText(`/proc/${pid}/cmdline`).replaceAll('\0', ' ');
}

/** One line of /proc/PID/status, without its name; '' when there is none. */
export function statusField(pid: number, field: string): string {
	return new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(readText(`/proc/${pid}/status`))?.[1] ?? '';
}

function readText(path: string): string {
	try {
		return readFileSync(path, 'utf8');
	} catch {
		return '';
	}
}
