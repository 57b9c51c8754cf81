/**
 * Ranks that join, are away, and come back: their inventories are judged against the log, and only then effects for them
 * are let through. Silence is not death: the parts of a rank that is away end when the rank says so, comes back with another
 * boot, outlives its lease, or an admin declares it dead.
 */
import {f58} from '../../formats/jobid.ts';
import {SystemError} from '../../formats/errno.ts';
import {Hostlist} from '../../formats/hostlist.ts';
import {Idset} from '../../formats/idset.ts';
import {parseJobspec} from '../../formats/jobspec.ts';
import {readJobspec} from '../../formats/stored-jobspec.ts';
import {partKey} from '../../machines/part.ts';
import {ranksOfR} from '../../machines/job-adopt.ts';
import type {JobSnapshot, Json} from '../../machines/job.ts';
import type {Archive} from '../archive.ts';
import type {Core, FactBody} from '../core.ts';
import type {
	AdoptMessage,
	InventoryMessage,
	InventoryResponse,
	JoinedMessage,
	PartName,
} from '../job-exec/messages.ts';
import type {Membership} from '../membership.ts';
import type {Peers} from '../peers.ts';
import type {GhostHolder} from './ghost-holder.ts';
import {drainFor} from './perilog-failures.ts';
import {isPending, judgeInventory, lostFactsOf, type Loss} from './judge-inventory.ts';

/** After a lease a shell gets so long to end what it has, before the root goes on without it. */
export const LEASE_MARGIN_MS = 10_000;
/** How often ranks that are away are looked at. */
const LEASE_POLL_MS_MAX = 5000;

export interface RankJoinsOptions {
	readonly core: Core;
	readonly peers: Peers;
	readonly archive: Archive;
	readonly nodes: {report(rank: number, R: Json): void};
	readonly ghosts: GhostHolder;
	readonly membership: Membership;
	/** `exec.lease`; null: none. */
	readonly leaseMs: number | null;
	/** A rank can be given work again. */
	readonly onJoined: (rank: number) => void;
}

interface Join {
	readonly round: number;
	/** The parts that it had, by name. */
	readonly parts: ReadonlySet<string>;
	isJoined: boolean;
}

export class RankJoins {
	readonly #options: RankJoinsOptions;
	readonly #core: Core;
	/** The last inventory of each rank that is here. */
	readonly #joins = new Map<number, Join>();
	/** Since when ranks that jobs need are away, by the monotonic clock. */
	readonly #awaySinceMs = new Map<number, number>();
	#round = 0;

	constructor(options: RankJoinsOptions) {
		const {core, peers, membership, leaseMs} = options;
		this.#options = options;
		this.#core = core;
		peers.handle('job-manager.exec-inventory', (message: InventoryMessage) => this.#inventory(message));
		peers.handle('job-manager.exec-adopt', (message: AdoptMessage) => this.#adopt(message));
		peers.handle('job-manager.exec-joined', (message: JoinedMessage) => this.#joined(message));
		membership.onChange(() => this.#membersChanged());
		if (leaseMs !== null) this.#watchLeases(leaseMs);
	}

	/**
	 * An admin's word that the node of `rank` is dead: its parts end as lost. When it comes back, they are killed there, and
	 * until they are gone nobody else gets what they use. Returns how many parts were ended.
	 * @throws {SystemError} EBUSY when the rank is here, and can say itself what it runs.
	 */
	declareDead(rank: number, reason: string): number {
		this.checkAway(rank);
		const host = this.#options.membership.hostOf(rank);
		const note = `rank ${rank} (${host}) was declared dead${reason === '' ? '' : `: ${reason}`}`;
		return this.#concludeLost(rank, note);
	}

	checkAway(rank: number): void {
		if (!this.#isHere(rank)) return;
		const host = this.#options.membership.hostOf(rank);
		throw new SystemError('EBUSY', `rank ${rank} (${host}) is online, and says itself what runs there`);
	}

	ranksOf(targets: string): number[] {
		const {size} = this.#options.membership;
		if (/^[\d[\],-]+$/.test(targets)) {
			const ranks = [...Idset.parse(targets)];
			const alien = ranks.find(rank => rank >= size);
			if (alien !== undefined) throw new SystemError('ENOENT', `rank ${alien} is not in this instance`);
			return ranks;
		}
		const byHost = new Map(
			Array.from({length: size}, (_, rank) => [this.#options.membership.hostOf(rank), rank]),
		);
		return [...Hostlist.parse(targets)].map(host => {
			const rank = byHost.get(host);
			if (rank === undefined) throw new SystemError('ENOENT', `host ${host} is not in this instance`);
			return rank;
		});
	}

	#isHere(rank: number): boolean {
		return rank === this.#core.rank || this.#options.membership.isOnline(rank);
	}

	#inventory(message: InventoryMessage): InventoryResponse {
		const {rank, parts, highestJobId} = message;
		const {nodes, ghosts, archive} = this.#options;
		const core = this.#core;
		const {state} = core;
		this.#round += 1;
		core.unreconciled(rank);
		const names = new Set(parts.map(part => partKey(part)));
		this.#joins.set(rank, {round: this.#round, parts: names, isJoined: false});
		if (highestJobId > state.lastJobId) core.post({type: 'broker.jobid-floor', id: highestJobId});
		if (message.resources !== undefined) nodes.report(rank, message.resources);
		const {facts, ...answer} = judgeInventory(message, {
			jobs: [...state.jobs.values()],
			isArchived: id => archive.job(id) !== undefined,
			// A part on its node says more than what is left of the log, unless the job was to end.
			isSetAside: id => {
				const entry = state.lost.get(id);
				return entry?.isQuarantined === true || entry?.job?.value === 'cleanup';
			},
			nowMs: core.clock.epochMs(),
		});
		for (const fact of facts) this.#conclude(rank, fact);
		ghosts.restart(rank);
		const alive = new Set(
			parts.filter(({state: now, isDead}) => now !== 'exited' && isDead !== true).map(part => partKey(part)),
		);
		// What is unknown has a job when it was registered again, and may be refused.
		for (const name of [...answer.superseded, ...answer.unknown]) {
			if (alive.has(partKey(name))) ghosts.hold({...name, rank}, this.#knownR(name));
		}
		return {...answer, round: this.#round};
	}

	/** What a part without a job was given, as far as it is remembered. */
	#knownR({id, attempt}: PartName): Json | null {
		const job = this.#core.state.jobs.get(id)?.context ?? this.#options.archive.job(id);
		if (job === undefined) return null;
		if (job.attempt === attempt && job.R !== null) return job.R;
		return job.past?.find(one => one.attempt === attempt)?.R ?? null;
	}

	#adopt(message: AdoptMessage): void {
		const {ghosts} = this.#options;
		try {
			this.#register(message);
		} catch (error) {
			// It runs on all the same, with what its directory says.
			if (message.isDead !== true) ghosts.hold(message, message.record.R);
			throw error;
		}
		ghosts.release(message);
	}

	#register({id, attempt, rank, record, isDead}: AdoptMessage): void {
		const core = this.#core;
		const known = core.state.jobs.get(id);
		if (known?.context.attempt === attempt && known.context.ranks[rank] !== undefined) return;
		if (known !== undefined && !(isPending(known) && attempt > known.context.attempt)) {
			throw new SystemError('EEXIST', `job ${f58(id)} is known, and attempt ${attempt} of it is not wanted`);
		}
		const {userid, urgency, flags, jobspec, R, submitMs, allocMs, perilog} = record;
		parseJobspec(readJobspec(jobspec));
		const ranks = ranksOfR(R);
		if (!ranks.includes(rank))
			throw new SystemError('EINVAL', `R of job ${f58(id)} does not name rank ${rank}`);
		core.log('notice', `job ${f58(id)} was found on rank ${rank} and is registered again`);
		core.post({
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
			...(perilog === undefined ? {} : {perilog}),
		});
		const atMs = core.clock.epochMs();
		const bootId = core.clock.bootId;
		if (isDead === true) {
			const note = `node of rank ${rank} was rebooted while the job was running`;
			this.#lose(id, {rank, exception: 'node-failure', note, atMs, bootId, isNodeLost: true});
		}
		for (const other of ranks) {
			const join = this.#joins.get(other);
			if (other === rank || join === undefined || join.parts.has(partKey({id, attempt}))) continue;
			// It has said that it has nothing of it: started there once, it may not be started again.
			const note = `rank ${other} has no trace of the job: neither its processes nor its directory`;
			this.#lose(id, {rank: other, exception: 'exec', note, atMs, bootId, isNodeLost: false});
		}
	}

	#joined({rank, round}: JoinedMessage): void {
		const join = this.#joins.get(rank);
		if (join?.round !== round) {
			throw new SystemError('EAGAIN', `the inventory of rank ${rank} is not the last one`);
		}
		if (!this.#isHere(rank)) throw new SystemError('EAGAIN', `rank ${rank} is not online`);
		join.isJoined = true;
		this.#awaySinceMs.delete(rank);
		this.#core.reconciled(rank);
		this.#options.onJoined(rank);
	}

	#membersChanged(): void {
		for (const rank of this.#joins.keys()) {
			if (this.#isHere(rank)) continue;
			this.#joins.delete(rank);
			this.#core.unreconciled(rank);
		}
	}

	/** Its parts have ended, and nobody can tell how. */
	#concludeLost(rank: number, note: string): number {
		const {clock, state} = this.#core;
		let count = 0;
		for (const {context} of [...state.jobs.values()]) {
			const part = context.ranks[rank];
			if (part === undefined || part.state === 'exited') continue;
			count += 1;
			const {bootId} = part;
			this.#lose(context.id, {
				rank,
				note,
				bootId,
				atMs: clock.epochMs(),
				exception: 'node-failure',
				isNodeLost: true,
			});
		}
		if (count > 0) this.#core.log('err', `${note}: ${count} part(s) of jobs on it are lost`);
		return count;
	}

	#lose(id: bigint, loss: Loss): void {
		const job: JobSnapshot | undefined = this.#core.state.jobs.get(id);
		if (job === undefined) return;
		for (const fact of lostFactsOf(job, loss)) this.#conclude(loss.rank, fact);
	}

	#conclude(rank: number, fact: FactBody): void {
		const job = fact.type === 'job.report' ? this.#core.state.jobs.get(fact.id)?.context : undefined;
		if (fact.type === 'job.report' && job?.perilog != null) {
			drainFor(this.#core, {job, rank, host: this.#options.membership.hostOf(rank), body: fact.body});
		}
		this.#core.post(fact);
	}

	/** With a lease, shells end what has been out of contact for longer; some time after that the root need not wait. */
	#watchLeases(leaseMs: number): void {
		const {clock} = this.#core;
		const pollMs = Math.min(LEASE_POLL_MS_MAX, Math.max(1, leaseMs / 4));
		const look = () => {
			clock.setTimer(pollMs, look);
			if (this.#core.refusal !== null) return;
			const nowMs = clock.monotonicMs();
			for (const rank of this.#ranksInUse()) {
				if (this.#core.isReconciled(rank)) continue;
				const sinceMs = this.#awaySinceMs.get(rank) ?? nowMs;
				this.#awaySinceMs.set(rank, sinceMs);
				// One that is here may be slow to tell, and will.
				if (this.#isHere(rank) || nowMs - sinceMs < leaseMs + LEASE_MARGIN_MS) continue;
				const host = this.#options.membership.hostOf(rank);
				this.#concludeLost(rank, `rank ${rank} (${host}) was out of contact for longer than exec.lease`);
			}
		};
		clock.setTimer(pollMs, look);
	}

	#ranksInUse(): Set<number> {
		const ranks = new Set<number>();
		for (const {context} of this.#core.state.jobs.values()) {
			for (const [rank, {state}] of Object.entries(context.ranks)) {
				if (state !== 'exited') ranks.add(Number(rank));
			}
		}
		return ranks;
	}
}
