/** Jobs as real facts make them, at each place where a service may meet them. */
import {jobspecFromCommand, type CommandOptions} from '../../src/formats/jobspec-from-command.ts';
import type {Jobspec} from '../../src/formats/jobspec.ts';
import {storeJobspec} from '../../src/formats/stored-jobspec.ts';
import {Idset} from '../../src/formats/idset.ts';
import {ResourceSet} from '../../src/formats/resource-set.ts';
import type {JobFactBody} from '../../src/machines/effects.ts';
import {jobMachine, type JobFact, type JobSnapshot, type Json} from '../../src/machines/job.ts';
import type {ReportBody} from '../../src/machines/job-report.ts';
import {advanceFactOf} from '../machines/job-facts.ts';

export const SUBMIT_MS = 1_700_000_000_000;
export const BOOT = 'boot-1';

export function jobspecOf(options: Partial<CommandOptions> = {}): Jobspec {
	return jobspecFromCommand({argv: ['/bin/true'], cwd: '/work', ...options});
}

/** `nodes` nodes from rank 0 on, of `cores` cores each. */
export function resourcesOf(nodes: number, cores: number): ResourceSet {
	return ResourceSet.from(
		Array.from({length: nodes}, (_, rank) => [
			rank,
			{host: `n${rank}`, cores: Idset.range(0, cores - 1), gpus: Idset.empty},
		]),
	);
}

/** A job that is led by facts from outside; what follows by rule follows at once. */
export class JobLine {
	readonly id: bigint;
	job: JobSnapshot = jobMachine.initial();
	#atMs = SUBMIT_MS;

	constructor(id = 1n) {
		this.id = id;
	}

	post(body: Omit<Extract<JobFactBody, object>, 'id'> & Record<string, unknown>): this {
		this.#apply({...body, id: this.id, atMs: this.#atMs} as unknown as JobFact);
		for (let next = advanceFactOf(this.job); next !== null; next = advanceFactOf(this.job)) {
			this.#apply({...next, atMs: this.#atMs});
		}
		this.#atMs += 1000;
		return this;
	}

	submit({jobspec = jobspecOf(), urgency = 16}: {jobspec?: Jobspec; urgency?: number} = {}): this {
		const stored = storeJobspec(jobspec);
		return this.post({type: 'job.submit', userid: 1000, urgency, flags: 0, jobspec: stored, requestId: null});
	}

	alloc(set: ResourceSet): this {
		const R = set.encode() as unknown as Json;
		return this.post({type: 'job.alloc', R, ranks: [...set.ranks.keys()]});
	}

	report(rank: number, body: ReportBody): this {
		const seq = (this.job.context.ranks[rank]?.seq ?? 0) + 1;
		return this.post({type: 'job.report', rank, seq, bootId: BOOT, body});
	}

	started(rank: number): this {
		const task = {task: rank, pid: 100 + rank, startTicks: 5, startMs: this.#atMs};
		return this.report(rank, {kind: 'started', tasks: [task]});
	}

	exited(rank: number, waitStatus: number | null): this {
		return this.report(rank, {kind: 'exited', tasks: [{task: rank, waitStatus, endMs: this.#atMs}]});
	}

	exception(exception: string, severity = 0): this {
		return this.post({type: 'job.exception', exception, severity, note: 'a note', userid: 1000});
	}

	#apply(fact: JobFact): void {
		this.job = jobMachine.apply(this.job, fact);
	}
}
