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

/**
 * Compares a job with what its one task did, and returns what is wrong, in words. Of an inactive job everything is
 * known; of a running one only that it started once and lives.
 */
export function disagreements(job: JobRow, ledgers: readonly Ledger[]): string[] {
	const wrong: string[] = [];
	const who = `job ${job.f58} (${job.name}, ${job.status})`;
	for (const {starts, ends} of ledgers) {
		if (starts.length !== 1) wrong.push(`${who}: a task started ${starts.length} times`);
		if (ends.length > 1) wrong.push(`${who}: a task ended ${ends.length} times`);
		if (job.state === 'RUN' && ends.length === 0 && !starts.some(isAlive)) {
			wrong.push(`${who}: its task is gone (or is the reader too fast?)`);
		}
	}
	if (job.state !== 'INACTIVE') return wrong;
	if (ledgers.some(({starts}) => starts.some(isAlive))) wrong.push(`${who}: its task still runs`);
	wrong.push(...(job.ntasks === 1 ? wrongEnd(job, ledgers[0], who) : []));
	return wrong;
}

function wrongEnd(job: JobRow, ledger: Ledger | undefined, who: string): string[] {
	const end = ledger?.ends[0];
	if (end === undefined) {
		// Nothing in the ledger: it may have been ended from outside, but it can't have succeeded.
		const isEnded = job.result === 'COMPLETED' || job.outcome === 'exited';
		return isEnded && !(job.result === 'CANCELED' || job.result === 'TIMEOUT')
			? [`${who}: outcome ${job.outcome} ${job.returncode}, but its task wrote no end`]
			: [];
	}
	if (job.result === 'CANCELED' || job.result === 'TIMEOUT') return [];
	const returncode = end.kind === 'exited' ? end.value : 128 + end.value;
	const result = returncode === 0 ? 'COMPLETED' : 'FAILED';
	const waitstatus = end.kind === 'exited' ? end.value * 256 : end.value;
	const expected = {result, outcome: end.kind, returncode, waitstatus};
	const wrong = Object.entries(expected)
		.filter(([name, value]) => job[name as keyof typeof expected] !== value)
		.map(([name, value]) => `${who}: ${name} is ${job[name as keyof typeof expected]}, not ${value}`);
	const lateS = (job.t_cleanup ?? 0) - end.atS;
	// The task writes its end some milliseconds before it ends; a busy machine makes that more.
	if (!(lateS > -0.05 && lateS < END_LATE_S_MAX)) {
		wrong.push(`${who}: t_cleanup is ${lateS.toFixed(3)} s after its task's end`);
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
