/**
 * The root's side of PMI barriers over several ranks (RFC 13): when every rank of a job has told what its tasks put before a
 * barrier, all of them are told all of it. Nothing of that is in the log: what a rank told stays in the part's directory there,
 * so that a root that was restarted hears it again, or asks for it.
 *
 * Invariant: what a rank put before a barrier never changes once it was told; so whoever puts a barrier together, and however
 * often, gets the same.
 */
import {f58} from '../../formats/jobid.ts';
import {SystemError} from '../../formats/errno.ts';
import {partKey} from '../../machines/part.ts';
import type {Timer} from '../../ports/clock.ts';
import type {Exchange} from '../../ports/process-host.ts';
import type {Core} from '../core.ts';
import type {BarrierEntry, BarrierName} from '../job-exec/messages.ts';
import type {Peers} from '../peers.ts';
import {ranksWithTasks} from './job-taskmap.ts';

type Puts = Exchange['puts'];

/** A barrier that is not complete for so long is asked for: a rank may have told an earlier root. Doubling, up to the second. */
export const ASK_AFTER_MS = 1000;
export const ASK_AFTER_MS_MAX = 30_000;

interface Barrier {
	readonly name: BarrierName;
	/** The ranks that have tasks of the job. */
	readonly ranks: readonly number[];
	readonly entries: Map<number, Puts>;
	timer: Timer | null;
	waitMs: number;
}

interface Job {
	open: Barrier | null;
	/** The last one that was complete: some rank may ask for it again. */
	last: Exchange | null;
}

export interface PmiBarriersOptions {
	readonly core: Core;
	readonly peers: Peers;
}

export class PmiBarriers {
	readonly #options: PmiBarriersOptions;
	readonly #jobs = new Map<string, Job>();

	constructor(options: PmiBarriersOptions) {
		this.#options = options;
		options.peers.handle('job-manager.barrier-enter', (entry: BarrierEntry) => this.#enter(entry));
	}

	/** @throws {SystemError} ENOENT: the job does not run in this attempt, or has no part there. */
	#enter({rank, puts, ...name}: BarrierEntry): void {
		const {id, attempt, barrier} = name;
		const snapshot = this.#options.core.state.jobs.get(id);
		const context = snapshot?.context;
		const isThere = context?.attempt === attempt && context.ranks[rank] !== undefined;
		if (!isThere || snapshot?.value !== 'run')
			throw new SystemError('ENOENT', `job ${f58(id)} does not run on rank ${rank} in attempt ${attempt}`);
		const job = this.#jobOf(name);
		if (job.last !== null && barrier <= job.last.barrier) {
			// It did not hear of it, or it is far behind and is told what it asks for when it asks for the one before.
			if (barrier === job.last.barrier) void this.#tell([rank], job.last);
			return;
		}
		// Who is ahead has passed the one that is open, and is asked for both.
		if (job.open !== null && barrier > job.open.name.barrier) return;
		if (job.open?.name.barrier !== barrier) {
			job.open?.timer?.cancel();
			const ranks = ranksWithTasks(context);
			job.open = {name, ranks, entries: new Map(), timer: null, waitMs: ASK_AFTER_MS};
			this.#askLater(job.open);
		}
		this.#add(job, job.open, {rank, puts});
	}

	#add(job: Job, open: Barrier, {rank, puts}: {readonly rank: number; readonly puts: Puts}): void {
		open.entries.set(rank, puts);
		if (job.open !== open || open.ranks.some(one => !open.entries.has(one))) return;
		open.timer?.cancel();
		job.open = null;
		// In the order of ranks, so that it does not depend on who came first.
		const all = Object.assign({}, ...open.ranks.map(one => open.entries.get(one))) as Puts;
		job.last = {...open.name, puts: all};
		void this.#tell(open.ranks, job.last);
	}

	/** Who does not hear it tells its entry again when it is back; what no message can carry ends the job, since it would wait for ever. */
	async #tell(ranks: readonly number[], exchange: Exchange): Promise<void> {
		const {core, peers} = this.#options;
		const answers = await peers.requestAll(ranks, 'job-exec.barrier-exit', exchange);
		for (const [rank, {error}] of answers) {
			if (error === null) continue;
			const note = `PMI barrier ${exchange.barrier}: rank ${rank} can't be told what the tasks have put: ${error.toString()}`;
			core.log('warning', `job part ${partKey(exchange)}: ${note}`);
			if (error.code !== 'EMSGSIZE' || !isRunning(core, exchange)) continue;
			core.post({type: 'job.exception', id: exchange.id, exception: 'exec', severity: 0, note, userid: -1});
		}
	}

	#askLater(open: Barrier): void {
		open.timer = this.#options.core.clock.setTimer(open.waitMs, () => void this.#ask(open));
		open.waitMs = Math.min(open.waitMs * 2, ASK_AFTER_MS_MAX);
	}

	/** Asks those that have told nothing: they have passed this barrier under an earlier root, or are not there yet. */
	async #ask(open: Barrier): Promise<void> {
		const job = this.#jobs.get(partKey(open.name));
		if (job?.open !== open) return;
		const missing = open.ranks.filter(rank => !open.entries.has(rank));
		const answers = await this.#options.peers.requestAll(missing, 'job-exec.barrier-entry', open.name);
		for (const [rank, {payload}] of answers) {
			const puts = (payload as {puts?: Puts | null} | null)?.puts;
			if (puts != null) this.#add(job, open, {rank, puts});
		}
		if (job.open === open && this.#jobs.get(partKey(open.name)) === job) this.#askLater(open);
	}

	#jobOf(name: BarrierName): Job {
		const key = partKey(name);
		const known = this.#jobs.get(key);
		if (known !== undefined) return known;
		const job: Job = {open: null, last: null};
		this.#jobs.set(key, job);
		const stop = this.#options.core.onJob(name.id, ({snapshot, isFinal}) => {
			if (!isFinal && snapshot.value === 'run' && snapshot.context.attempt === name.attempt) return;
			job.open?.timer?.cancel();
			this.#jobs.delete(key);
			stop();
		});
		return job;
	}
}

function isRunning({state}: Core, {id, attempt}: Exchange): boolean {
	const job = state.jobs.get(id);
	return job?.value === 'run' && job.context.attempt === attempt;
}
