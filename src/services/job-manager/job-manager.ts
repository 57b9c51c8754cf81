/**
 * The root's job manager: takes jobs in, steers them, and brings together what the ranks report. It decides facts and
 * answers; what follows from a job's state (RFC 21) is derived by effectsOfJob.
 */
import {SystemError} from '../../formats/errno.ts';
import {nextJobid, f58} from '../../formats/jobid.ts';
import {parseJobspec, type Jobspec} from '../../formats/jobspec.ts';
import {checkTaskOptions} from '../../formats/input-options.ts';
import {shellOptionsOf} from '../../formats/shell-options.ts';
import {storeJobspec} from '../../formats/stored-jobspec.ts';
import type {JobSnapshot} from '../../machines/job.ts';
import type {Core} from '../core.ts';
import type {Archive} from '../archive.ts';
import type {Membership} from '../membership.ts';
import type {PeerAnswer, Peers} from '../peers.ts';
import {DependencyWatch} from './dependency-watch.ts';
import {releaseEarly} from './early-release.ts';
import {watchExitTimeouts} from './exit-timeout.ts';
import type {GhostHolder} from './ghost-holder.ts';
import {PmiBarriers} from './pmi-barriers.ts';
import {RankJoins, type RankJoinsOptions} from './rank-joins.ts';
import {RankOrders} from './rank-orders.ts';
import {RankReports} from './rank-reports.ts';
import {JobPurge, type PurgeLimits} from './job-purge.ts';
import {resolveDependencies} from './resolve-dependencies.ts';

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
	/** Is told what each node says that it has. */
	readonly nodes: RankJoinsOptions['nodes'];
	readonly ghosts: GhostHolder;
	/** The jobspec with the defaults of its queue. Throws a SystemError if that does not take it in. */
	readonly admit: (jobspec: Jobspec) => Jobspec;
	readonly membership: Membership;
	/** `exec.lease`; null: none. */
	readonly leaseMs: number | null;
	/** Finished jobs beyond these are purged in time; absent: none is. */
	readonly retention?: PurgeLimits;
	/** A rank can be given work (again). */
	readonly onJoined: (rank: number) => void;
}

export class JobManager {
	readonly dependencies: DependencyWatch;
	readonly purge: JobPurge;
	readonly #core: Core;
	readonly #peers: Peers;
	readonly #archive: Archive;
	readonly #admit: JobManagerOptions['admit'];
	readonly #joins: RankJoins;

	constructor(options: JobManagerOptions) {
		const {core, peers, archive} = options;
		this.#admit = options.admit;
		this.#core = core;
		this.#peers = peers;
		this.#archive = archive;
		this.#joins = new RankJoins(options);
		this.dependencies = new DependencyWatch(core, archive);
		const isAwaited = (id: bigint) => this.dependencies.isAwaited(id);
		this.purge = new JobPurge({...options, isAwaited});
		new RankReports(options);
		new RankOrders(core, peers);
		new PmiBarriers({core, peers});
		releaseEarly(core);
		watchExitTimeouts(core);
	}

	/**
	 * Takes a job in and returns its id, which may leave only through the gate.
	 * @throws {SystemError} EINVAL with the path of the fault, EAGAIN, EROFS, ESTALE for a request id whose job was purged.
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
		const checked = parseJobspec(jobspec);
		shellOptionsOf(checked); // For the faults that it names.
		checkTaskOptions(checked);
		const admitted = this.#admit(checked);
		const dependencies = resolveDependencies(admitted, {state: core.state, archive: this.#archive});
		const sinceMs = Math.max(0, core.clock.epochMs() - core.state.broker.context.epochMs);
		const id = nextJobid(core.state.lastJobId, sinceMs, core.rank);
		const stored = storeJobspec(admitted);
		const submit = {type: 'job.submit', id, userid, urgency, flags, jobspec: stored, requestId} as const;
		core.post(dependencies.length === 0 ? submit : {...submit, dependencies});
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
			throw new SystemError('EINVAL', `job ${f58(id)} is running: its urgency cannot be changed`);
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
		if (value !== 'run' || ranks.length === 0)
			throw new SystemError('EINVAL', `job ${f58(id)} is not running`);
		const order = {id, attempt: context.attempt, signum};
		const answers = await this.#peers.requestAll(
			ranks.map(([rank]) => Number(rank)),
			'job-exec.signal',
			order,
		);
		const failed = [...answers.values()].find(isFailure);
		if (failed !== undefined && [...answers.values()].every(isFailure)) throw failed.error;
	}

	/** The ranks of an idset, or of a list of hosts. @throws {SystemError} EINVAL, ENOENT. */
	ranksOf(targets: string): number[] {
		return this.#joins.ranksOf(targets);
	}

	/** @throws {SystemError} EBUSY when the rank is here. */
	checkAway(rank: number): void {
		this.#joins.checkAway(rank);
	}

	/**
	 * An admin's word that the node of `rank` is dead. Returns how many parts were ended.
	 * @throws {SystemError} EBUSY when the rank is here.
	 */
	declareDead(rank: number, reason: string): number {
		return this.#joins.declareDead(rank, reason.slice(0, NOTE_LENGTH_MAX));
	}

	#active(id: bigint): JobSnapshot {
		const job = this.#core.state.jobs.get(id);
		if (job !== undefined) return job;
		if (this.#core.state.lost.has(id)) {
			throw new SystemError('ENOENT', `job ${f58(id)} is in lost+found (see log lost+found)`);
		}
		throw new SystemError(
			'ENOENT',
			this.#archive.job(id) === undefined ? `no job ${f58(id)}` : 'job is inactive',
		);
	}

	#jobOfRequest(requestId: string): bigint | undefined {
		if (requestId.length > REQUEST_ID_LENGTH_MAX) {
			throw new SystemError('EINVAL', `request id is longer than ${REQUEST_ID_LENGTH_MAX} characters`);
		}
		const {requests, lost} = this.#core.state;
		const setAside = [...lost.values()].find(({job}) => job?.context.requestId === requestId);
		const id = requests.get(requestId) ?? setAside?.id ?? this.#archive.idOfRequest(requestId);
		if (id !== 'purged') return id;
		throw new SystemError('ESTALE', `request id ${requestId} was used for a job that has been purged`);
	}
}

function isFailure(answer: PeerAnswer): answer is Extract<PeerAnswer, {payload: null; error: SystemError}> {
	return answer.error !== null;
}

function checkUrgency(urgency: number): void {
	if (!Number.isInteger(urgency) || urgency < 0 || urgency > URGENCY_MAX) {
		throw new SystemError('EINVAL', `urgency range is [0:${URGENCY_MAX}], not ${urgency}`);
	}
}
