/**
 * The root's job manager: takes jobs in, steers them, and brings together what the ranks report. It decides facts and
 * answers; what follows from a job's state (RFC 21) is derived by effectsOfJob.
 */
import {SystemError} from '../../formats/errno.ts';
import {nextJobid} from '../../formats/jobid.ts';
import {parseJobspec} from '../../formats/jobspec.ts';
import type {JobSnapshot, Json} from '../../machines/job.ts';
import type {Core} from '../core.ts';
import type {
	AdoptMessage,
	ChunkMessage,
	InventoryMessage,
	InventoryResponse,
	ReportMessage,
	ReportResponse,
} from '../job-exec/messages.ts';
import type {Archive} from '../archive.ts';
import type {Peers} from '../peers.ts';
import {judgeInventory} from './judge-inventory.ts';

export const URGENCY_MAX = 31;
/** So many jobs may be active at once; further ones are refused with EAGAIN. */
export const ACTIVE_JOBS_MAX = 1_000_000;
export const REQUEST_ID_LENGTH_MAX = 128;
/** A longer note of an exception is cut. */
export const NOTE_LENGTH_MAX = 4096;

export interface SubmitRequest {
	readonly jobspec: unknown;
	readonly urgency: number;
	readonly flags: number;
	readonly userid: number;
	/** The client's own name for this submit; the same one again gives the same job. */
	readonly requestId: string | null;
}

export interface JobManagerOptions {
	readonly core: Core;
	readonly peers: Peers;
	readonly archive: Archive;
	/** Keeps resources that a part of a job that is over still uses from being given to others, until it is gone. */
	readonly ghosts: {hold(id: bigint, R: Json): void; release(id: bigint): void};
}

export class JobManager {
	readonly #core: Core;
	readonly #peers: Peers;
	readonly #archive: Archive;
	readonly #ghosts: JobManagerOptions['ghosts'];

	constructor({core, peers, archive, ghosts}: JobManagerOptions) {
		this.#ghosts = ghosts;
		this.#core = core;
		this.#peers = peers;
		this.#archive = archive;
		peers.handle('job-manager.exec-report', (message: ReportMessage) => this.#report(message));
		peers.handle('job-manager.exec-chunk', (message: ChunkMessage) => this.#chunk(message));
		peers.handle('job-manager.exec-inventory', (message: InventoryMessage) => this.#inventory(message));
		peers.handle('job-manager.exec-adopt', (message: AdoptMessage) => this.#adopt(message));
		core.perform('start', {perform: ({id, rank}) => this.#sendStart(id, rank)});
		core.perform('kill', {
			perform: ({id, attempt, rank, signum}) => this.#send(rank, 'job-exec.kill', {id, attempt, signum}),
		});
		core.perform('forget', {
			perform: ({id, attempt, rank}) => this.#send(rank, 'job-exec.forget', {id, attempt}),
		});
	}

	/**
	 * Takes a job in and returns its id, which may leave only through the gate.
	 * @throws {SystemError} EINVAL with the path of the fault, EAGAIN, EROFS.
	 */
	submit({jobspec, urgency, flags, userid, requestId}: SubmitRequest): bigint {
		const core = this.#core;
		const known = requestId === null ? undefined : this.#jobOfRequest(requestId);
		if (known !== undefined) return known;
		if (core.refusal !== null) throw new SystemError('EROFS', core.refusal);
		if (core.state.broker.value === 'stopping') {
			throw new SystemError('EAGAIN', 'the instance is shutting down and takes no jobs');
		}
		if (core.isBehind)
			throw new SystemError('EAGAIN', 'the disk of the event log is behind: try again later');
		if (core.state.jobs.size >= ACTIVE_JOBS_MAX) {
			throw new SystemError('EAGAIN', `${ACTIVE_JOBS_MAX} jobs are active, which is the limit`);
		}
		checkUrgency(urgency);
		const parsed = parseJobspec(jobspec) as unknown as Json;
		const sinceMs = Math.max(0, core.clock.epochMs() - core.state.broker.context.epochMs);
		const id = nextJobid(core.state.lastJobId, sinceMs, core.rank);
		core.post({type: 'job.submit', id, userid, urgency, flags, jobspec: parsed, requestId});
		return id;
	}

	/** @throws {SystemError} ENOENT for a job that is not active. */
	raise(
		id: bigint,
		{type, severity, note, userid}: {type: string; severity: number; note: string; userid: number},
	): void {
		this.#active(id);
		if (!/^[^\s=]+$/.test(type)) throw new SystemError('EINVAL', `exception type '${type}' is not a word`);
		if (!Number.isInteger(severity) || severity < 0 || severity > 7) {
			throw new SystemError('EINVAL', `exception severity must be from 0 to 7, is ${severity}`);
		}
		const cut = note.slice(0, NOTE_LENGTH_MAX);
		this.#core.post({type: 'job.exception', id, exception: type, severity, note: cut, userid});
	}

	/** @throws {SystemError} ENOENT, EINVAL (the urgency, or a job that runs already). */
	urgency(id: bigint, urgency: number, userid: number): number {
		checkUrgency(urgency);
		const job = this.#active(id);
		if (!['depend', 'priority', 'sched'].includes(job.value)) {
			throw new SystemError('EINVAL', `job ${id} is running: its urgency cannot be changed`);
		}
		const {urgency: before} = job.context;
		this.#core.post({type: 'job.urgency', id, urgency, userid});
		return before;
	}

	/** Sends one signal to all tasks. @throws {SystemError} ENOENT, EINVAL (not running), ESRCH. */
	async kill(id: bigint, signum: number): Promise<void> {
		if (!Number.isInteger(signum) || signum < 1 || signum > 64) {
			throw new SystemError('EINVAL', `signal number must be from 1 to 64, is ${signum}`);
		}
		const {value, context} = this.#active(id);
		const ranks = Object.entries(context.ranks).filter(([, part]) => part.state === 'started');
		if (value !== 'run' || ranks.length === 0) throw new SystemError('EINVAL', `job ${id} is not running`);
		const sent = await Promise.allSettled(
			ranks.map(([rank]) =>
				this.#peers.request(Number(rank), 'job-exec.signal', {id, attempt: context.attempt, signum}),
			),
		);
		const failed = sent.find(one => one.status === 'rejected');
		if (failed !== undefined && sent.every(one => one.status === 'rejected')) throw failed.reason;
	}

	#active(id: bigint): JobSnapshot {
		const job = this.#core.state.jobs.get(id);
		if (job !== undefined) return job;
		if (this.#core.state.lost.has(id)) {
			throw new SystemError('ENOENT', `job ${id} is in lost+found (see log lost+found)`);
		}
		throw new SystemError('ENOENT', this.#archive.job(id) === undefined ? `no job ${id}` : 'job is inactive');
	}

	#jobOfRequest(requestId: string): bigint | undefined {
		if (requestId.length > REQUEST_ID_LENGTH_MAX) {
			throw new SystemError('EINVAL', `request id is longer than ${REQUEST_ID_LENGTH_MAX} characters`);
		}
		return this.#core.state.requests.get(requestId) ?? this.#archive.idOfRequest(requestId);
	}

	#sendStart(id: bigint, rank: number): void {
		const job = this.#core.state.jobs.get(id);
		if (job?.context.R == null) return;
		const {attempt, userid, urgency, flags, jobspec, R, events} = job.context;
		const timeOf = (name: string) => events.find(event => event.name === name)?.atMs ?? 0;
		this.#send(rank, 'job-exec.start', {
			id,
			attempt,
			userid,
			urgency,
			flags,
			jobspec,
			R,
			submitMs: timeOf('submit'),
			allocMs: timeOf('alloc'),
		});
	}

	/** An order to a rank. One that fails is given again when the rank has rejoined. */
	#send(rank: number, topic: string, payload: object): void {
		this.#peers.request(rank, topic, payload).catch((error: unknown) => {
			this.#core.log('warning', `${topic} to rank ${rank}: ${String(error)}`);
		});
	}

	#report(message: ReportMessage): ReportResponse {
		const {id, attempt, rank, seq, bootId, body, output} = message;
		const job = this.#core.state.jobs.get(id);
		if (this.#core.state.lost.has(id)) return {ack: seq, forget: false};
		if (job === undefined && this.#archive.job(id) === undefined) {
			// What this log does not know may be all that is left of a job: it is not acknowledged away.
			throw new SystemError('ENOENT', `job ${id} is not known to this instance`);
		}
		// Inactive, or another attempt followed: whatever it says, it can finish nothing.
		if (job === undefined || job.context.attempt !== attempt) {
			if (job === undefined && body.kind === 'exited') this.#ghosts.release(id);
			return {ack: seq, forget: true};
		}
		const part = job.context.ranks[rank];
		if (part === undefined) return {ack: seq, forget: true};
		// Said before, or after its end was concluded: nobody will ever need it.
		if (part.state === 'exited' || seq <= part.seq) return {ack: seq, forget: false};
		if (output !== undefined) {
			const {outputs, eventlog, chunks} = output;
			this.#core.post({type: 'job.output', id, rank, outputs, eventlog}, chunks);
		}
		this.#core.post({type: 'job.report', id, rank, seq, bootId, body});
		return {ack: seq, forget: false};
	}

	#chunk({id, attempt, rank, row}: ChunkMessage): void {
		const job = this.#core.state.jobs.get(id);
		if (job?.context.attempt !== attempt || job.context.ranks[rank] === undefined) return;
		if (this.#core.isBehind) throw new SystemError('EAGAIN', 'the disk of the event log is behind');
		this.#core.post({type: 'job.chunk', id, rank, bytes: row.value.length}, [row]);
	}

	#inventory(message: InventoryMessage): InventoryResponse {
		const {state} = this.#core;
		if (message.highestJobId > state.lastJobId) {
			this.#core.post({type: 'broker.jobid-floor', id: message.highestJobId});
		}
		const verdict = judgeInventory(message, {
			jobs: state.jobs.values(),
			isArchived: id => this.#archive.job(id) !== undefined,
			isSetAside: id => state.lost.has(id),
			nowMs: this.#core.clock.epochMs(),
		});
		for (const fact of verdict.facts) this.#core.post(fact);
		const alive = new Set(message.parts.filter(({state: now}) => now !== 'exited').map(({id}) => id));
		for (const {id} of verdict.superseded) {
			const R = this.#archive.job(id)?.R ?? null;
			if (alive.has(id) && R !== null && !state.jobs.has(id)) this.#ghosts.hold(id, R);
		}
		return verdict;
	}

	#adopt({id, attempt, rank, record}: AdoptMessage): void {
		if (this.#core.state.jobs.has(id)) return;
		const {userid, urgency, flags, jobspec, R, submitMs, allocMs} = record;
		this.#core.log('notice', `job ${id} was found on rank ${rank} and is registered again`);
		this.#core.post({
			type: 'job.adopt',
			id,
			attempt,
			userid,
			urgency,
			flags,
			jobspec,
			R,
			submitMs,
			allocMs,
		});
	}
}

function checkUrgency(urgency: number): void {
	if (!Number.isInteger(urgency) || urgency < 0 || urgency > URGENCY_MAX) {
		throw new SystemError('EINVAL', `urgency range is [0:${URGENCY_MAX}], not ${urgency}`);
	}
}
