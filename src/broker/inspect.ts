/**
 * A state directory without its broker: read from a private copy and never changed, but by a salvage that was told to. What
 * `coppice log … DIR` and `coppice repl --log DIR` stand on.
 */
import {LevelStoreDir} from '../store/real/level-store-dir.ts';
import {SystemError} from '../formats/errno.ts';
import type {DurableState} from '../machines/durable-state.ts';
import type {JobContext} from '../machines/job.ts';
import {Archive} from '../services/archive.ts';
import {EventLog} from '../store/event-log.ts';
import {executeSalvage, planSalvage} from '../store/salvage.ts';
import {SystemClock} from '../ports/real/system-clock.ts';
import {describeLost, dumpFacts, replayLog, verifyLog} from './log-view.ts';

export async function inspectStat(path: string): Promise<object> {
	return withLog(path, async log => {
		const {state} = await replayLog(log, null);
		return {
			path,
			log_id: log.logId,
			mode: log.damages.length === 0 ? 'normal' : 'safe',
			crashed: log.crashed,
			base: log.base,
			head: log.head.seq,
			digest: state.digest(),
			jobs: state.jobs.size,
			archived: state.archive.count,
			lost: state.lost.size,
			damages: log.damages.map(({sentence}) => sentence),
		};
	});
}

export async function* inspectDump(
	path: string,
	{from = 1, to = Number.MAX_SAFE_INTEGER}: {readonly from?: number; readonly to?: number} = {},
): AsyncGenerator<object> {
	const log = await openDead(path);
	try {
		yield* dumpFacts(log, {from, to});
	} finally {
		await log.close();
	}
}

export async function inspectVerify(path: string): Promise<object> {
	return withLog(path, verifyLog);
}

export async function inspectReplay(path: string, {to}: {readonly to?: number} = {}): Promise<object> {
	return withLog(path, async log => {
		const {state, seq, facts, illegal, problems, notes} = await replayLog(log, to ?? null);
		return {seq, digest: state.digest(), facts, illegal, problems, notes, match: problems.length === 0};
	});
}

export async function inspectSalvage(path: string, {yes}: {readonly yes: boolean}): Promise<object> {
	const dir = new LevelStoreDir(path);
	await dir.lock();
	try {
		const plan = await planSalvage(dir);
		if (yes && plan.isNeeded) await executeSalvage(dir, plan);
		return {plan: plan.sentences, done: yes && plan.isNeeded};
	} finally {
		await dir.unlock();
	}
}

export async function inspectLostFound(path: string): Promise<object> {
	return withLog(path, async log => ({entries: describeLost((await replayLog(log, null)).state)}));
}

/** The state of a dead log after the fact `seq` (null: its last one). */
export async function inspectState(
	path: string,
	seq: number | null,
): Promise<{seq: number; state: DurableState}> {
	return withLog(path, log => replayLog(log, seq));
}

/** A finished job, or null. */
export async function inspectArchived(path: string, id: bigint): Promise<JobContext | null> {
	return withLog(path, async log => new Archive(log).job(id) ?? null);
}

async function withLog<T>(path: string, use: (log: EventLog) => Promise<T>): Promise<T> {
	const log = await openDead(path);
	try {
		return await use(log);
	} finally {
		await log.close();
	}
}

async function openDead(path: string): Promise<EventLog> {
	const dir = new LevelStoreDir(path);
	if (!(await dir.exists()) && (await dir.readFile('HEAD')) === undefined) {
		throw new SystemError('ENOENT', `${path} is no state directory: there is no event log in it`);
	}
	return EventLog.inspect(dir, {clock: new SystemClock()});
}
