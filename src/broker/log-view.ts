/**
 * A log as people look at it, live or dead: its facts, its proof, and its re-execution up to any moment of the retained
 * past. It reads committed records only and changes nothing.
 */
import {readJobspec, type StoredJobspec} from '../formats/stored-jobspec.ts';
import {DurableState, isDurable, type AnyFact} from '../machines/durable-state.ts';
import type {EventLog} from '../store/event-log.ts';
import {LogDamageError} from '../store/damage.ts';
import {replayFact} from './runtime.ts';

export interface Replay {
	readonly state: DurableState;
	/** The last sequence number that was applied. */
	readonly seq: number;
	readonly facts: number;
	readonly records: number;
	/** What is wrong: facts that their job did not take, digests that differ, damage. */
	readonly problems: readonly string[];
	readonly illegal: number;
	/** What a salvage gave up, and how many later facts lack what was given up: known, and no fault of the log any more. */
	readonly notes: readonly string[];
}

/** Re-executes the log from its base through `toSeq` (null: to its end). */
export async function replayLog(log: EventLog, toSeq: number | null): Promise<Replay> {
	let state = new DurableState();
	const problems: string[] = [];
	let facts = 0;
	let records = 0;
	let illegal = 0;
	const notes: string[] = [];
	let orphans = 0;
	let hasHole = false;
	/** Whether RPCs may be open that this replay has not seen opened: those are no part of the states it can begin with. */
	let isPartial = false;
	let seq = log.base;
	const last = toSeq ?? Number.MAX_SAFE_INTEGER;
	try {
		for await (const piece of log.read({fromSeq: log.base, toSeq: last})) {
			for (const record of piece) {
				records += 1;
				if (record.checkpoint !== null && facts === 0) {
					state = DurableState.decode(record.checkpoint.state);
					isPartial = true;
				}
				if (record.bridge !== null) {
					isPartial = true;
					hasHole = true;
					notes.push(`facts ${record.seq} to ${record.bridge.toSeq} were lost: ${record.bridge.reason}`);
				}
				for (const [index, one] of record.facts.entries()) {
					const at = record.seq + index;
					if (at > last) break;
					const fact = one as AnyFact;
					checkDigest(state, fact, {seq: at, problems});
					const reason = replayFact(state, fact, at);
					if (reason !== null && (isDurable(fact) || !isPartial)) {
						if (hasHole) {
							orphans += 1;
						} else {
							illegal += 1;
							problems.push(`fact ${at} is illegal: ${reason}`);
						}
					}
					facts += 1;
					seq = at;
				}
				seq = Math.min(record.endSeq, last);
			}
		}
	} catch (error) {
		if (!(error instanceof LogDamageError)) throw error;
		problems.push(error.message);
	}
	if (orphans > 0) notes.push(`${orphans} later facts could not be applied for want of those`);
	return {state, seq, facts, records, problems, illegal, notes};
}

/** A clean stop says what the state was: a replay must reach the same. */
function checkDigest(
	state: DurableState,
	fact: AnyFact,
	{seq, problems}: {readonly seq: number; readonly problems: string[]},
): void {
	if (fact.type !== 'broker.stop' || fact.digest === '') return;
	const digest = state.digest();
	if (digest !== fact.digest) {
		problems.push(
			`the state before fact ${seq} has the digest ${digest}, but the broker that stopped had ${fact.digest}`,
		);
	}
}

/**
 * The facts from `from` through `to`, as plain JSON: ids as decimal strings, bytes in hex, jobspecs as objects. `seq` is the
 * place in the log; a report's own number, which its rank counts, is `reportSeq`.
 */
export async function* dumpFacts(
	log: EventLog,
	{from, to}: {readonly from: number; readonly to: number},
): AsyncGenerator<object> {
	for await (const piece of log.read({fromSeq: Math.max(from, log.base), toSeq: to})) {
		for (const record of piece) {
			if (record.kind !== 'facts' && record.seq >= from) {
				yield {seq: record.seq, type: `log.${record.kind}`, ...(plain(record.genesis ?? {}) as object)};
			}
			for (const [index, fact] of record.facts.entries()) {
				const seq = record.seq + index;
				if (seq >= from && seq <= to) yield {seq, ...plainFact(fact)};
			}
		}
	}
}

function plainFact(fact: unknown): object {
	const {jobspec} = fact as {readonly jobspec?: StoredJobspec};
	const readable = jobspec === undefined ? fact : {...(fact as object), jobspec: readJobspec(jobspec)};
	const {seq: reportSeq, ...rest} = plain(readable) as {readonly seq?: number};
	return reportSeq === undefined ? rest : {...rest, reportSeq};
}

/** A value that JSON can carry. */
export function plain(value: unknown): unknown {
	if (typeof value === 'bigint') return String(value);
	if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
	if (Array.isArray(value)) return value.map(plain);
	if (value instanceof Map) return plain(Object.fromEntries(value as Map<string, unknown>));
	if (typeof value === 'object' && value !== null) {
		return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
	}
	return value;
}

export interface Verified {
	readonly ok: boolean;
	readonly records: number;
	readonly facts: number;
	readonly illegal: number;
	readonly problems: readonly string[];
	readonly notes: readonly string[];
}

/** Proves the chain of the whole log, then re-executes it: no fact may be illegal, no digest may differ. */
export async function verifyLog(log: EventLog): Promise<Verified> {
	const damages = [...(await log.verify())];
	const {facts, records, illegal, problems, notes} = await replayLog(log, null);
	const sentences = damages.map(({sentence}) => sentence);
	const all = [...new Set([...log.damages.map(({sentence}) => sentence), ...sentences, ...problems])];
	return {ok: all.length === 0, records, facts, illegal, problems: all, notes};
}

export function describeLost(state: DurableState): readonly object[] {
	return [...state.lost.values()].map(({id, reason, seq, facts}) => ({
		id: String(id),
		reason,
		seq,
		facts: facts.map(plain),
	}));
}
