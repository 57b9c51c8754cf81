/** Readers for the texts of /proc and cgroups that name processes and places. */

/** What of /proc/PID/stat matters here. */
export interface ProcStat {
	/** `Z` and `X` are dead. */
	readonly state: string;
	readonly parent: number;
	readonly group: number;
	readonly session: number;
	/** Field 22: clock ticks since boot at which the process started. */
	readonly startTicks: number;
}

/** Reads /proc/PID/stat from after the last `)`, because a command's name may contain anything (proc(5)). */
export function parseStat(text: string): ProcStat | undefined {
	const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
	const startTicks = Number(fields[19]);
	if (fields[0] === undefined || !Number.isInteger(startTicks)) return undefined;
	const [parent, group, session] = fields.slice(1, 4).map(Number) as [number, number, number];
	return {state: fields[0], parent, group, session, startTicks};
}

export function isDeadState(state: string): boolean {
	return state === 'Z' || state === 'X' || state === 'x';
}

/** The mount point of cgroup v2 in /proc/self/mountinfo, also below a hybrid hierarchy, or undefined. */
export function parseCgroup2Mount(mountinfo: string): {mountPoint: string; root: string} | undefined {
	for (const line of mountinfo.split('\n')) {
		const [before, after] = line.split(' - ');
		if (after?.split(' ')[0] !== 'cgroup2') continue;
		const fields = before!.split(' ');
		if (fields[4] !== undefined)
			return {mountPoint: unescapeMount(fields[4]), root: unescapeMount(fields[3]!)};
	}
	return undefined;
}

/** The path on the `0::` line of /proc/self/cgroup, or undefined without cgroup v2. */
export function parseOwnCgroup(text: string): string | undefined {
	return /^0::(.*)$/m.exec(text)?.[1];
}

/**
 * The cgroups at and above one, from it up to the nearest that is a unit of systemd (`….scope`, `….service`), or to the
 * top: what lies above a unit is its manager's, who wants no others there (systemd.io/CGROUP_DELEGATION).
 */
export function ancestorsInUnit(own: string): string[] {
	const names = own.split('/').filter(name => name !== '');
	const found: string[] = [];
	for (let length = names.length; length >= 0; length--) {
		found.push(`/${names.slice(0, length).join('/')}`);
		if (length > 0 && /\.(scope|service)$/.test(names[length - 1]!)) break;
	}
	return found;
}

/** `populated` of a cgroup.events file. */
export function parsePopulated(text: string): boolean {
	return /^populated 1$/m.test(text);
}

/** The pids of a cgroup.procs file; those of other pid namespaces read as 0 and are left out. */
export function parseProcs(text: string): number[] {
	return [...new Set(text.split('\n').map(Number))].filter(pid => pid > 0);
}

/** mountinfo writes space, tab, line feed and backslash as octal escapes. */
function unescapeMount(text: string): string {
	return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
		String.fromCharCode(Number.parseInt(octal, 8)),
	);
}
