/** A running broker's own log, opened for its clients: read beside the writing, never in its way. */
import type {StoreDir} from '../ports/store.ts';
import type {DurableState} from '../machines/durable-state.ts';
import type {Core} from '../services/core.ts';
import type {LogInspector} from '../services/event-log/topics.ts';
import type {EventLog} from '../store/event-log.ts';
import {executeSalvage, planSalvage} from '../store/salvage.ts';
import {describeLost, dumpFacts, replayLog, verifyLog} from './log-view.ts';

const FLUSH_TIMEOUT_MS = 30_000;
const GROWN_POLL_MS = 100;
const GROWN_TRIES_MAX = 10;
/** From the answer to a salvage to the restart with the mended log. */
const RESTART_DELAY_MS = 100;

export interface LiveLogOptions {
	readonly log: EventLog;
	readonly core: Core;
	readonly dir: StoreDir;
	/** Ends the broker so that it comes back with what the salvage left. */
	readonly restart: (reason: string) => void;
}

export class LiveLog implements LogInspector {
	readonly #options: LiveLogOptions;

	constructor(options: LiveLogOptions) {
		this.#options = options;
	}

	async stat(): Promise<object> {
		const {log, core, dir} = this.#options;
		const seq = log.appendedSeq;
		const digest = core.state.digest();
		return {
			path: dir.path,
			log_id: log.logId,
			mode: log.mode,
			base: log.base,
			head: seq,
			digest,
			jobs: core.state.jobs.size,
			archived: core.state.archive.count,
			lost: core.state.lost.size,
			damages: log.damages.map(({sentence}) => sentence),
		};
	}

	async *facts({from, to}: {readonly from: number; readonly to: number}): AsyncGenerator<object> {
		const {log} = this.#options;
		await log.flush(FLUSH_TIMEOUT_MS);
		yield* dumpFacts(log, {from, to});
	}

	/** Looks ten times a second: a fact that nobody waits for costs nothing, and a person who watches sees no delay. */
	async grown(seq: number): Promise<void> {
		const {log, core} = this.#options;
		for (let tries = 0; tries < GROWN_TRIES_MAX && log.appendedSeq <= seq; tries += 1)
			await new Promise<void>(resolve => core.clock.setTimer(GROWN_POLL_MS, resolve));
	}

	async verify(): Promise<object> {
		const {log} = this.#options;
		await log.flush(FLUSH_TIMEOUT_MS);
		return verifyLog(log);
	}

	/** Re-executes through `toSeq`, or up to this moment: then the digest must be that of the state in memory. */
	async replay(toSeq: number | null): Promise<object> {
		const {log, core} = this.#options;
		const seq = toSeq ?? log.appendedSeq;
		const liveDigest = toSeq === null ? core.state.digest() : null;
		await log.flush(FLUSH_TIMEOUT_MS);
		const startMs = core.clock.monotonicMs();
		const replay = await replayLog(log, seq);
		const digest = replay.state.digest();
		return {
			seq: replay.seq,
			digest,
			...(liveDigest === null ? {} : {live_digest: liveDigest, match: digest === liveDigest}),
			facts: replay.facts,
			illegal: replay.illegal,
			problems: replay.problems,
			notes: replay.notes,
			seconds: (core.clock.monotonicMs() - startMs) / 1000,
		};
	}

	async salvage(yes: boolean): Promise<object> {
		const {log, dir, restart, core} = this.#options;
		if (log.mode === 'normal')
			return {plan: ['The event log is sound: there is nothing to salvage.'], done: false};
		const plan = await planSalvage(dir);
		if (!yes) return {plan: plan.sentences, done: false};
		await log.close();
		await dir.lock();
		await executeSalvage(dir, plan);
		await dir.unlock();
		core.clock.setTimer(RESTART_DELAY_MS, () => restart('the event log was salvaged'));
		return {plan: plan.sentences, done: true};
	}

	lostFound(): object {
		return {entries: describeLost(this.#options.core.state)};
	}

	async stateAt(seq: number | null): Promise<{readonly seq: number; readonly state: DurableState}> {
		const {log, core} = this.#options;
		if (seq === null) return {seq: log.appendedSeq, state: core.state};
		await log.flush(FLUSH_TIMEOUT_MS);
		return replayLog(log, seq);
	}
}
