/**
 * Deletes what is kept of finished jobs. A job is purged only when every rank that had a part of it has said that nothing
 * of that is left there: a part that turns up later would be taken for one of a job that the log has lost, and be registered
 * again. It is done in small batches, each one commit, so that others have their turn; what a crash leaves over is purged later.
 */
import {f58} from '../../formats/jobid.ts';
import {SystemError} from '../../formats/errno.ts';
import {resultOf, type ArchiveRow} from '../../machines/archive-row.ts';
import type {PurgedResults} from '../../machines/broker.ts';
import {ranksOfR} from '../../machines/job-adopt.ts';
import type {Archive} from '../archive.ts';
import type {Core, RowWrite} from '../core.ts';
import type {PartName, RemainsMessage} from '../job-exec/messages.ts';
import type {Membership} from '../membership.ts';
import type {Peers} from '../peers.ts';

/** How often is looked whether there is something to purge. */
export const PURGE_PERIOD_MS = 10_000;
/** Jobs of one question to the ranks, and of one commit. */
export const PURGE_BATCH_MAX = 64;
/** Ranks have so long to answer. */
const ANSWER_MS = 10_000;
/** Among so many more of the oldest jobs by their ids those are found that have been inactive for the longest. */
const NUM_WINDOW = 1000;

export interface PurgeLimits {
	/** Inactive for longer; null: no matter for how long. */
	readonly inactiveAgeMs: number | null;
	/** The oldest of more than so many; null: no matter how many. */
	readonly inactiveNum: number | null;
}

export interface PurgeResult {
	/** Jobs that were purged, or would be. */
	readonly count: number;
	/** Finished jobs before. */
	readonly total: number;
	/** Jobs that stay, since a rank has not said that it is clean, or another job waits for them. */
	readonly kept: number;
}

export interface JobPurgeOptions {
	readonly core: Core;
	readonly peers: Peers;
	readonly archive: Archive;
	readonly membership: Membership;
	/** Whether a job still waits for the end of this one. */
	readonly isAwaited: (id: bigint) => boolean;
	readonly retention?: PurgeLimits;
}

export class JobPurge {
	readonly #options: JobPurgeOptions;
	/** One at a time. */
	#running: Promise<unknown> = Promise.resolve();

	constructor(options: JobPurgeOptions) {
		this.#options = options;
	}

	/** Purges from time to time what the configuration does not want kept. */
	begin(): void {
		const {retention, core} = this.#options;
		if (retention === undefined) return;
		if (retention.inactiveAgeMs === null && retention.inactiveNum === null) return;
		core.clock.setTimer(PURGE_PERIOD_MS, () => {
			if (core.refusal !== null) return;
			this.purge(retention, {isDryRun: false})
				.catch((error: unknown) => core.log('warning', `purge of finished jobs: ${String(error)}`))
				.finally(() => this.begin());
		});
	}

	async purge(limits: PurgeLimits, {isDryRun}: {readonly isDryRun: boolean}): Promise<PurgeResult> {
		return this.#inTurn(async () => this.#purge(await this.#beyond(limits), isDryRun));
	}

	/** @throws {SystemError} EINVAL: one is active; ENOENT: there is no such job. Nothing was purged. */
	async purgeIds(ids: readonly bigint[], {isDryRun}: {readonly isDryRun: boolean}): Promise<PurgeResult> {
		return this.#inTurn(async () => {
			const {core, archive} = this.#options;
			for (const id of ids) {
				if (core.state.jobs.has(id)) throw new SystemError('EINVAL', `job ${f58(id)} is active`);
				if (archive.job(id) === undefined) throw new SystemError('ENOENT', `no job ${f58(id)}`);
			}
			return this.#purge([...new Set(ids)], isDryRun);
		});
	}

	async #inTurn(run: () => Promise<PurgeResult>): Promise<PurgeResult> {
		const turn = this.#running.then(run, run);
		this.#running = turn.catch(() => undefined);
		return turn;
	}

	async #beyond({inactiveAgeMs, inactiveNum}: PurgeLimits): Promise<bigint[]> {
		const {core, archive} = this.#options;
		const {count} = core.state.archive;
		const excess = inactiveNum === null ? 0 : Math.max(0, count - inactiveNum);
		const beforeMs = inactiveAgeMs === null ? -Infinity : core.clock.epochMs() - inactiveAgeMs;
		const old: bigint[] = [];
		const others: {readonly id: bigint; readonly inactiveMs: number}[] = [];
		if (excess === 0 && beforeMs === -Infinity) return old;
		for await (const {id, events} of archive.oldestFirst()) {
			const inactiveMs = events.at(-1)?.atMs ?? 0;
			if (inactiveMs < beforeMs) old.push(id);
			else if (others.length < excess + NUM_WINDOW) others.push({id, inactiveMs});
			// Jobs that came later can't have been inactive for longer.
			const isYoung = (events[0]?.atMs ?? 0) >= beforeMs;
			if (isYoung && old.length + others.length >= excess + (excess === 0 ? 0 : NUM_WINDOW)) break;
		}
		others.sort((a, b) => a.inactiveMs - b.inactiveMs);
		return [...old, ...others.slice(0, Math.max(0, excess - old.length)).map(({id}) => id)];
	}

	async #purge(ids: readonly bigint[], isDryRun: boolean): Promise<PurgeResult> {
		const {core} = this.#options;
		const total = core.state.archive.count;
		if (isDryRun) return {count: ids.length, total, kept: 0};
		let count = 0;
		for (let first = 0; first < ids.length; first += PURGE_BATCH_MAX) {
			count += await this.#purgeBatch(ids.slice(first, first + PURGE_BATCH_MAX));
		}
		if (count > 0) core.log('info', `${count} finished job(s) were purged`);
		return {count, total, kept: ids.length - count};
	}

	async #purgeBatch(ids: readonly bigint[]): Promise<number> {
		const {core, archive, isAwaited} = this.#options;
		const jobs = ids.flatMap(id => (isAwaited(id) ? [] : (archive.job(id) ?? [])));
		const unclean = await this.#unclean(jobs);
		const clean = jobs.filter(({id}) => !unclean.has(id));
		const rows: RowWrite[] = [];
		for (const job of clean) rows.push(...(await archive.deletionOf(job)));
		// While the ranks were asked, someone may have submitted a job that waits for one of these.
		if (clean.some(({id}) => isAwaited(id) || core.state.jobs.has(id))) return 0;
		if (clean.length === 0) return 0;
		core.post({type: 'broker.purge', ids: clean.map(({id}) => id), results: resultsOf(clean)}, rows);
		return clean.length;
	}

	/** The jobs of which something is left somewhere, or may be. */
	async #unclean(jobs: readonly ArchiveRow[]): Promise<Set<bigint>> {
		const {peers, membership} = this.#options;
		const unclean = new Set<bigint>();
		const partsOf = new Map<number, PartName[]>();
		for (const job of jobs) {
			for (const {attempt, ranks} of attemptsOf(job)) {
				// A rank that is no part of the instance any more has nobody who could say so.
				for (const rank of ranks.filter(one => one < membership.size)) {
					partsOf.set(rank, [...(partsOf.get(rank) ?? []), {id: job.id, attempt}]);
				}
			}
		}
		const all = [...new Set([...partsOf.values()].flat())];
		const answers = await peers.requestAll(
			[...partsOf.keys()],
			'job-exec.remains',
			{parts: all} satisfies RemainsMessage,
			{
				timeoutMs: ANSWER_MS,
			},
		);
		for (const [rank, parts] of partsOf) {
			const answer = answers.get(rank);
			const left = answer?.error === null ? (answer.payload as RemainsMessage).parts : parts;
			for (const {id} of left) unclean.add(id);
		}
		return unclean;
	}
}

function attemptsOf({attempt, R, past = []}: ArchiveRow): {attempt: number; ranks: number[]}[] {
	const all = R === null ? past : [...past, {attempt, R}];
	return all.map(one => ({attempt: one.attempt, ranks: ranksOfR(one.R)}));
}

function resultsOf(jobs: readonly ArchiveRow[]): PurgedResults {
	const results = {completed: 0, failed: 0, canceled: 0, timeout: 0};
	for (const job of jobs) results[RESULT_NAMES[resultOf(job)]] += 1;
	return results;
}

const RESULT_NAMES = {
	COMPLETED: 'completed',
	FAILED: 'failed',
	CANCELED: 'canceled',
	TIMEOUT: 'timeout',
} as const;
