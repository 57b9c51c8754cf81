/** What the tasks say that they did, beside what the instance says about their jobs. */
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import {isAlive, type ProcessName} from './processes.ts';

/** One task's ledger. */
export interface Ledger {
	readonly starts: readonly (ProcessName & {readonly atS: number})[];
	/** How it ended: `exited 3`, `signaled 9`. More than one end is as wrong as more than one start. */
	readonly ends: readonly {
		readonly kind: 'exited' | 'signaled';
		readonly value: number;
		readonly atS: number;
	}[];
}

/** One job of `coppice jobs --json`. */
export interface JobRow {
	readonly id: string;
	readonly f58: string;
	readonly name: string;
	readonly state: string;
	readonly status: string;
	readonly result?: string;
	readonly outcome?: string;
	readonly returncode?: number;
	readonly waitstatus?: number;
	readonly ntasks: number;
	readonly reattached: number;
	readonly t_submit: number;
	readonly t_run?: number;
	readonly t_cleanup?: number;
	readonly t_inactive?: number;
	readonly expiration?: number;
	readonly exception?: {readonly type: string; readonly severity: number; readonly note: string};
}

/** The ledgers of a job's tasks; one that never started has no ledger and is absent. */
export function readLedgers(directory: string, {f58, ntasks}: Pick<JobRow, 'f58' | 'ntasks'>): Ledger[] {
	return Array.from({length: ntasks}, (_, task) => `${directory}/${f58}.${task}`)
		.filter(path => existsSync(path))
		.map(parseLedger);
}

/** The names of all ledgers: `<job id>.<task>`. */
export function ledgerNames(directory: string): string[] {
	return readdirSync(directory);
}

/** What a job's task was told to do, as far as it matters to how the job may end. */
export interface Expectation {
	/** `itself`: the task ends by itself. `canceled`, `timeout`: it is ended from outside, unless it was faster. */
	readonly ends: 'itself' | 'canceled' | 'timeout';
	/** Its shim was killed: the outcome may be unknown. */
	readonly mayBeUnknown?: boolean;
	/** Its shim was stopped for a while: its end may have been seen later than it was. */
	readonly mayBeLate?: boolean;
}

/**
 * Compares a job with what its tasks did, and returns what is wrong, in words. Of an inactive job everything is
 * known; of a running one only that each task started once and lives.
 */
export function disagreements(
	job: JobRow,
	ledgers: readonly Ledger[],
	expected: Expectation = {ends: 'itself'},
): string[] {
	const wrong: string[] = [];
	const who = `job ${job.f58} (${job.name}, ${job.status})`;
	for (const {starts, ends} of ledgers) {
		if (starts.length !== 1) wrong.push(`${who}: a task started ${starts.length} times`);
		if (ends.length > 1) wrong.push(`${who}: a task ended ${ends.length} times`);
		if (job.state === 'RUN' && ends.length === 0 && !starts.some(isAlive)) {
			wrong.push(`${who}: it runs, but its task is gone`);
		}
	}
	if (job.state !== 'INACTIVE') return wrong;
	if (ledgers.some(({starts}) => starts.some(isAlive))) wrong.push(`${who}: its task still runs`);
	return [...wrong, ...wrongResult(job, ledgers, expected).map(text => `${who}: ${text}`)];
}

function wrongResult(job: JobRow, ledgers: readonly Ledger[], expected: Expectation): string[] {
	if (job.outcome === 'unknown' && expected.mayBeUnknown === true) {
		const isEnded = job.result === 'FAILED' || job.result === expected.ends.toUpperCase();
		const isRight = isEnded && job.returncode === undefined && job.waitstatus === undefined;
		return isRight ? [] : [`an unknown outcome with result ${job.result}, returncode ${job.returncode}`];
	}
	if (job.result === 'CANCELED' || job.result === 'TIMEOUT') {
		return job.result === expected.ends.toUpperCase()
			? []
			: [`result ${job.result} (${job.exception?.note})`];
	}
	// A task that has not joined its own cgroup yet looks like its shim, and was killed in its place.
	if (expected.mayBeUnknown === true && ledgers.length === 0 && job.waitstatus === 9) return [];
	if (ledgers.length !== job.ntasks) return [`${ledgers.length} of ${job.ntasks} tasks started`];
	const ends = ledgers.flatMap(ledger => ledger.ends);
	if (ends.length !== job.ntasks)
		return [`${ends.length} of ${job.ntasks} tasks wrote an end (${job.outcome})`];
	return wrongEnd(job, ends, expected.mayBeLate === true ? Infinity : END_LATE_S_MAX);
}

function wrongEnd(job: JobRow, ends: Ledger['ends'], lateSMax: number): string[] {
	const statuses = ends.map(({kind, value}) => ({
		kind,
		returncode: kind === 'exited' ? value : 128 + value,
		waitstatus: kind === 'exited' ? value * 256 : value,
	}));
	// The worst of the tasks is the job's.
	const {kind, returncode, waitstatus} = statuses.reduce((a, b) => (b.returncode > a.returncode ? b : a));
	const result = returncode === 0 ? 'COMPLETED' : 'FAILED';
	const should = {result, outcome: kind, returncode, waitstatus};
	const wrong = Object.entries(should)
		.filter(([name, value]) => job[name as keyof typeof should] !== value)
		.map(([name, value]) => `${name} is ${job[name as keyof typeof should]}, not ${value}`);
	// The task writes its end some milliseconds before it ends; a busy machine makes that more.
	const lateS = (job.t_cleanup ?? 0) - Math.max(...ends.map(({atS}) => atS));
	if (!(lateS > -0.05 && lateS < lateSMax)) {
		wrong.push(`t_cleanup is ${lateS.toFixed(3)} s after its task's end`);
	}
	return wrong;
}

const END_LATE_S_MAX = 2;

function parseLedger(path: string): Ledger {
	const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean);
	const starts = [];
	const ends = [];
	for (const line of lines) {
		const [verb, ...fields] = line.split(' ');
		if (verb === 'start') {
			starts.push({pid: Number(fields[0]), startTicks: Number(fields[1]), atS: Number(fields[2])});
			continue;
		}
		const [, signal, value] = /^(sig)?(\d+)$/.exec(fields[0] ?? '') ?? [];
		if (verb !== 'end' || value === undefined) throw new Error(`${path}: damaged line: ${line}`);
		const kind = signal === undefined ? ('exited' as const) : ('signaled' as const);
		ends.push({kind, value: Number(value), atS: Number(fields[1])});
	}
	return {starts, ends};
}
