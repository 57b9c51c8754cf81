/**
 * The comparison after every (re)join of a rank (DESIGN section 8): what the root's log says about its parts against what
 * the rank has. Pure. The reports of the parts themselves come afterwards, in order, each on its own.
 */
import {outlineOf} from '../../formats/stored-jobspec.ts';
import {partKey} from '../../machines/part.ts';
import type {JobContext, JobSnapshot} from '../../machines/job.ts';
import type {RankPart} from '../../machines/job-report.ts';
import type {FactBody} from '../core.ts';
import type {InventoryMessage, InventoryPart, InventoryResponse, PartName} from '../job-exec/messages.ts';

export interface Known {
	readonly jobs: Iterable<JobSnapshot>;
	readonly isArchived: (id: bigint) => boolean;
	/** In lost+found, and to be left there: neither continued nor ended. Other jobs of lost+found are unknown. */
	readonly isSetAside: (id: bigint) => boolean;
	readonly nowMs: number;
}

export interface Verdict extends Omit<InventoryResponse, 'round'> {
	readonly facts: readonly FactBody[];
}

export function judgeInventory(message: InventoryMessage, known: Known): Verdict {
	const {rank, parts} = message;
	const here = new Map(parts.map(part => [partKey(part), part]));
	const facts: FactBody[] = [];
	const superseded: PartName[] = [];
	const resend: (PartName & {readonly seq: number})[] = [];
	const expected = new Set<string>();
	const jobs = new Map<bigint, JobSnapshot>();
	for (const job of known.jobs) {
		const {id, attempt, ranks} = job.context;
		jobs.set(id, job);
		const part = ranks[rank];
		if (part === undefined) continue;
		const key = partKey({id, attempt});
		expected.add(key);
		const found = here.get(key);
		// Its end was concluded without it, and it is not over: it must not go on.
		if (part.state === 'exited' && found !== undefined && found.state !== 'exited') {
			superseded.push({id, attempt});
		}
		if (part.state === 'exited') continue;
		if (isGone(job, found, rank)) {
			facts.push(...lostFactsOf(job, lossOf(part, {found, message, atMs: known.nowMs})));
		} else if (part.state === 'started' && found?.state === 'running' && job.value === 'run') {
			facts.push({type: 'job.reattach', id, rank});
		}
		if (found !== undefined && found.acked > part.seq) resend.push({id, attempt, seq: part.seq});
	}
	const unknown: PartName[] = [];
	for (const {id, attempt} of parts) {
		if (expected.has(partKey({id, attempt})) || known.isSetAside(id)) continue;
		const job = jobs.get(id);
		if (job === undefined ? known.isArchived(id) : !isUnheardOf(job, attempt)) superseded.push({id, attempt});
		else unknown.push({id, attempt});
	}
	return {facts, unknown, superseded, resend};
}

/** Whether a part that is not over in the root's log is over on its node, without an end on record. */
function isGone({value, context}: JobSnapshot, found: InventoryPart | undefined, rank: number): boolean {
	if (found !== undefined) return found.isDead === true;
	if (context.ranks[rank]?.state === 'started') return true;
	// A job that was found was started everywhere before: what is not there has been, and must not be started again.
	return value === 'run' && isAdopted(context);
}

/** Its present attempt was found on a node and not begun by this root's log. */
export function isAdopted({events, attempt}: JobContext): boolean {
	return events.some(({name, context}) => name === 'debug.adopt' && context?.attempt === attempt);
}

/** The log knows the job as pending, and has lost this attempt's allocation. */
function isUnheardOf(job: JobSnapshot, attempt: number): boolean {
	return isPending(job) && attempt > job.context.attempt;
}

/** It waits: for another job, or for resources. */
export function isPending({value}: JobSnapshot): boolean {
	return value === 'sched' || value === 'depend';
}

export interface Loss {
	readonly rank: number;
	/** RFC 21's type of the exception. */
	readonly exception: string;
	readonly note: string;
	readonly atMs: number;
	readonly bootId: string;
	/** Another node may do instead: the job runs again if it asks for that. */
	readonly isNodeLost: boolean;
}

/** The end of a part of which nobody can tell more: the job's end, or that of its attempt. */
export function lostFactsOf({value, context}: JobSnapshot, loss: Loss): FactBody[] {
	const {id, ranks} = context;
	const {rank, exception, note, atMs, bootId, isNodeLost} = loss;
	const part = ranks[rank];
	if (part === undefined || part.state === 'exited') return [];
	const report: FactBody = {
		type: 'job.report',
		id,
		rank,
		seq: part.seq + 1,
		bootId,
		body: {kind: 'lost', note, endMs: atMs},
	};
	// Where the tasks are over, all that is lost is the epilog.
	if (value !== 'run' || part.phase === 'epilog') return [report];
	const runsAgain = isNodeLost && asksForRequeue(context);
	const said: FactBody = {
		type: 'job.exception',
		id,
		exception,
		severity: runsAgain ? 1 : 0,
		note,
		userid: -1,
	};
	return runsAgain ? [said, {type: 'job.evict', id, note}, report] : [said, report];
}

/** `--requeue`: `attributes.system.requeue` of the jobspec. */
export function asksForRequeue({jobspec}: JobContext): boolean {
	return outlineOf(jobspec).attributes.system['requeue'] === true;
}

function lossOf(
	part: RankPart,
	{found, message, atMs}: {found: InventoryPart | undefined; message: InventoryMessage; atMs: number},
): Loss {
	const {rank, bootId} = message;
	const isReboot = found?.isDead === true || (part.state === 'started' && part.bootId !== bootId);
	return {
		rank,
		atMs,
		bootId,
		exception: isReboot ? 'node-failure' : 'exec',
		note: isReboot
			? `node of rank ${rank} was rebooted while the job was running`
			: `rank ${rank} has no trace of the job: neither its processes nor its directory`,
		isNodeLost: isReboot,
	};
}
