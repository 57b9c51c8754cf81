/** Resource limits of setrlimit(2), by the names of Flux: in lower case, without RLIMIT_. */

/** The numbers of Linux: the same on x86-64, arm64, riscv64, ppc64le and s390x. */
export const RLIMITS: Readonly<Record<string, number>> = {
	cpu: 0,
	fsize: 1,
	data: 2,
	stack: 3,
	core: 4,
	rss: 5,
	nproc: 6,
	nofile: 7,
	memlock: 8,
	as: 9,
	locks: 10,
	sigpending: 11,
	msgqueue: 12,
	nice: 13,
	rtprio: 14,
	rttime: 15,
};

/** How a soft limit without bound is written. */
export const RLIMIT_UNLIMITED = -1;

/** As /proc/PID/limits calls them. */
const TITLES: Readonly<Record<string, string>> = {
	'Max cpu time': 'cpu',
	'Max file size': 'fsize',
	'Max data size': 'data',
	'Max stack size': 'stack',
	'Max core file size': 'core',
	'Max resident set': 'rss',
	'Max processes': 'nproc',
	'Max open files': 'nofile',
	'Max locked memory': 'memlock',
	'Max address space': 'as',
	'Max file locks': 'locks',
	'Max pending signals': 'sigpending',
	'Max msgqueue size': 'msgqueue',
	'Max nice priority': 'nice',
	'Max realtime priority': 'rtprio',
	'Max realtime timeout': 'rttime',
};

/** The soft limits in the text of /proc/PID/limits (proc(5)); lines that it does not know are passed over. */
export function parseProcLimits(text: string): Record<string, number> {
	const limits: Record<string, number> = {};
	for (const line of text.split('\n')) {
		const match = /^(Max [a-z ]+?) {2,}(\d+|unlimited) /.exec(line);
		const name = match === null ? undefined : TITLES[match[1]!];
		if (name !== undefined) limits[name] = match![2] === 'unlimited' ? RLIMIT_UNLIMITED : Number(match![2]);
	}
	return limits;
}
