/** Where the REPL reads: a live broker through its services, or a dead log through a private copy. */
import {decode} from '@msgpack/msgpack';
import {DurableState} from '../machines/durable-state.ts';
import type {JobContext} from '../machines/job.ts';
import type {RpcSnapshot} from '../machines/rpc.ts';
import type {BrokerSession} from './broker-session.ts';
import {inspectLog} from './inspect-log.ts';
import {LOG_TIMEOUT_MS} from './log-source.ts';

export interface ReplSource {
	/** The state after fact `seq`; null: the newest. */
	state(seq: number | null): Promise<{readonly seq: number; readonly state: DurableState}>;
	/** Facts as plain JSON, both ends included. */
	facts(range: {
		readonly from: number;
		readonly to: number;
	}): AsyncIterable<Readonly<Record<string, unknown>>>;
	/** Facts from `from` on, and then as they come, over any number of connections; null: none can come. */
	readonly follow: ((from: number) => AsyncIterable<Readonly<Record<string, unknown>>>) | null;
	/** A finished job, or null. A live instance is asked wherever the archive is; a dead log has its own. */
	archived(id: bigint): Promise<JobContext | null>;
}

/** What `src/repl` makes of a source; handed in by the entry point, since neither folder imports the other. */
export interface ReplSession {
	/** The value of an expression; an async iterable where values keep coming. */
	evaluate(expression: string): Promise<unknown>;
	/** How the end of a line may go on, as readline wants it. */
	complete(line: string): Promise<readonly [matches: string[], fragment: string]>;
	/** A value as people read it, with a line feed at its end. */
	render(
		value: unknown,
		options: {
			readonly columns: number;
			readonly isColored: boolean;
			readonly utcOffsetMinutes: (epochS: number) => number;
		},
	): string;
}

export type OpenRepl = (source: ReplSource) => Promise<ReplSession>;

export function liveSource(session: BrokerSession, options: {readonly nodeid?: number}): ReplSource {
	const patience = {idempotent: true, timeoutMs: LOG_TIMEOUT_MS};
	return {
		async state(seq) {
			const payload = seq === null ? {} : {seq};
			let text = '';
			let at = 0;
			for await (const one of session.stream('repl.state', payload, options)) {
				const {seq: when, piece} = one as {readonly seq: number; readonly piece: string};
				at = when;
				text += piece;
			}
			const [bytes, rpcs] = decode(Buffer.from(text, 'base64')) as [Uint8Array, RpcSnapshot[]];
			const state = DurableState.decode(bytes);
			for (const rpc of rpcs) state.rpcs.set(rpc.context.key, rpc);
			return {seq: at, state};
		},
		facts: range =>
			session.stream('event-log.dump', range, options) as AsyncIterable<Readonly<Record<string, unknown>>>,
		follow: from => followFacts(session, from, options),
		async archived(id) {
			const {row} = (await session.call('job-info.archived', {id}, patience)) as {row: string | null};
			return row === null ? null : (decode(Buffer.from(row, 'base64'), {useBigInt64: true}) as JobContext);
		},
	};
}

/** Each fact once: after a loss the stream goes on behind the last one that was seen. */
async function* followFacts(
	session: BrokerSession,
	from: number,
	options: {readonly nodeid?: number},
): AsyncGenerator<Readonly<Record<string, unknown>>> {
	let next = from;
	const payloadOf = () => ({from: next, follow: true});
	for await (const value of session.follow('event-log.dump', payloadOf, {
		...options,
		isComplete: () => false,
	})) {
		const fact = value as {readonly seq: number};
		if (fact.seq < next) continue;
		next = fact.seq + 1;
		yield fact;
	}
}

export async function deadSource(dir: string): Promise<ReplSource> {
	const log = await inspectLog();
	return {
		state: seq => log.inspectState(dir, seq),
		facts: range => log.inspectDump(dir, range) as AsyncIterable<Readonly<Record<string, unknown>>>,
		follow: null,
		archived: id => log.inspectArchived(dir, id),
	};
}
