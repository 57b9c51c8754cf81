/**
 * What ranks report about their parts: taken once and in order, and acknowledged from end to end, one by one or many of a
 * subtree in one message.
 */
import {f58} from '../../formats/jobid.ts';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {ResourceSet} from '../../formats/resource-set.ts';
import type {ReportBody} from '../../machines/job-report.ts';
import type {JobContext} from '../../machines/job.ts';
import type {Archive} from '../archive.ts';
import type {Core} from '../core.ts';
import type {
	ChunkMessage,
	ReportAnswer,
	ReportAnswers,
	ReportBatch,
	ReportMessage,
	ReportResponse,
} from '../job-exec/messages.ts';
import type {Peers} from '../peers.ts';
import {asksForRequeue} from './judge-inventory.ts';
import type {GhostHolder} from './ghost-holder.ts';
import {drainFor, namedScripts} from './perilog-failures.ts';
import {drainUnwritable, isUnwritable, mayWait} from './unwritable-node.ts';

/** What a shell says when it ended a part because the root was out of its reach for too long. */
export const LEASE_EXPIRED = 'lease-expired';

const FACTUAL = {isFactual: true};

export interface RankReportsOptions {
	readonly core: Core;
	readonly peers: Peers;
	readonly archive: Archive;
	readonly ghosts: GhostHolder;
}

export class RankReports {
	readonly #core: Core;
	readonly #archive: Archive;
	readonly #ghosts: GhostHolder;

	constructor({core, peers, archive, ghosts}: RankReportsOptions) {
		this.#core = core;
		this.#archive = archive;
		this.#ghosts = ghosts;
		peers.handle('job-manager.exec-report', (message: ReportMessage) => this.#report(message), FACTUAL);
		peers.handle('job-manager.exec-reports', (batch: ReportBatch) => this.#reportAll(batch), FACTUAL);
		peers.handle('job-manager.exec-chunk', (message: ChunkMessage) => this.#chunk(message));
	}

	#reportAll({reports}: ReportBatch): ReportAnswers {
		const answer = (message: ReportMessage): ReportAnswer => {
			try {
				return this.#report(message);
			} catch (error) {
				if (!(error instanceof SystemError)) throw error;
				const {code, message: text} = asSystemError(error);
				return {error: {code, message: text}};
			}
		};
		return {answers: reports.map(answer)};
	}

	#report(message: ReportMessage): ReportResponse {
		const {id, attempt, rank, seq, bootId, body, output} = message;
		const job = this.#core.state.jobs.get(id);
		if (this.#core.state.lost.has(id)) return {ack: seq, forget: false};
		if (job === undefined && this.#archive.job(id) === undefined) {
			// What this log does not know may be all that is left of a job: it is not acknowledged away.
			throw new SystemError('ENOENT', `job ${f58(id)} is not known to this instance`);
		}
		const part = job?.context.attempt === attempt ? job.context.ranks[rank] : undefined;
		// Inactive, or another attempt followed: whatever it says, it can finish nothing.
		if (job === undefined || part === undefined) {
			if (body.kind === 'exited') this.#ghosts.release({id, attempt, rank});
			return {ack: seq, forget: true};
		}
		// Said before, or after its end was concluded: nobody will ever need it.
		if (part.state === 'exited' || seq <= part.seq) {
			if (body.kind === 'exited') this.#ghosts.release({id, attempt, rank});
			return {ack: seq, forget: false};
		}
		if (output !== undefined) {
			const {outputs, eventlog, chunks} = output;
			this.#core.post({type: 'job.output', id, rank, outputs, eventlog}, chunks);
		}
		if (job.context.perilog != null) {
			drainFor(this.#core, {job: job.context, rank, host: hostOf(job.context, rank), body});
		}
		const waits = isUnwritable(body, part) && mayWait(job.context);
		if (isUnwritable(body, part)) {
			const host = hostOf(job.context, rank);
			drainUnwritable(this.#core, {job: job.context, rank, host, note: body.note});
		}
		const noted = bodyFor(body, rank, job.context);
		const said = waits && noted.kind === 'exception' ? {...noted, severity: 1} : noted;
		this.#core.post({type: 'job.report', id, rank, seq, bootId, body: said});
		const isRunning = this.#core.state.jobs.get(id)?.value === 'run';
		if (body.kind === 'exception' && isRunning && (waits || (isLease(body) && asksForRequeue(job.context)))) {
			this.#core.post({type: 'job.evict', id, note: body.note});
		}
		return {ack: seq, forget: false};
	}

	#chunk({id, attempt, rank, row}: ChunkMessage): void {
		const job = this.#core.state.jobs.get(id);
		if (job?.context.attempt !== attempt || job.context.ranks[rank] === undefined) return;
		if (this.#core.isBehind) throw new SystemError('EAGAIN', 'the disk of the event log is behind');
		this.#core.post({type: 'job.chunk', id, rank, bytes: row.value.length}, [row]);
	}
}

function isLease(body: ReportBody): boolean {
	return body.kind === 'exception' && body.exception === LEASE_EXPIRED;
}

/** A report as it is noted: what goes wrong on one of many ranks names it, and what all of them say is said once. */
function bodyFor(body: ReportBody, rank: number, job: JobContext): ReportBody {
	if (body.kind !== 'exception' && job.perilog == null) return body;
	const isOfMany = Object.keys(job.ranks).length > 1;
	const where = isOfMany ? `rank ${rank} (${hostOf(job, rank)}): ` : '';
	if (body.kind !== 'exception') return namedScripts(body, where);
	const named = `${where}${body.note}`;
	if (isLease(body)) {
		return {...body, exception: 'node-failure', severity: asksForRequeue(job) ? 1 : 0, note: named};
	}
	if (body.exception !== 'timeout') return {...body, note: named};
	const isSaid = [job.exception, ...job.complaints].some(one => one?.type === 'timeout');
	return isSaid ? {...body, isRepeated: true} : body;
}

function hostOf({R}: JobContext, rank: number): string {
	return R === null ? '' : (ResourceSet.parse(R).ranks.get(rank)?.host ?? '');
}
