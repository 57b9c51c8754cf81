/** The topics that open a broker's own log (docs/services.md): its size, facts, proof and re-execution. */
import {encode} from '@msgpack/msgpack';
import type {DurableState} from '../../machines/durable-state.ts';
import type {ServiceRegistry} from '../../net/service-registry.ts';
import type {RpcRequest} from '../../net/rpc-request.ts';
import {Fields} from '../fields.ts';
import {drained} from '../job-list/topics.ts';

/** What is known of a log, live or dead; the broker makes it, this page serves it. */
export interface LogInspector {
	stat(): Promise<object>;
	facts(range: {readonly from: number; readonly to: number}): AsyncIterable<object>;
	/** Resolves when there may be facts after `seq`, at the latest after a second. */
	grown(seq: number): Promise<void>;
	verify(): Promise<object>;
	replay(toSeq: number | null): Promise<object>;
	salvage(yes: boolean): Promise<object>;
	lostFound(): object;
	/** The state after the fact `seq` (null: now), encoded, for the REPL. */
	stateAt(seq: number | null): Promise<{readonly seq: number; readonly state: DurableState}>;
}

export function registerEventLog(registry: ServiceRegistry, inspector: LogInspector): void {
	registry.register('event-log.stat', async request => request.respond(await inspector.stat()));
	registry.register('event-log.dump', request => dump(request, inspector), {streaming: 'always'});
	registry.register('event-log.verify', async request => request.respond(await inspector.verify()));
	registry.register('event-log.replay', async request => {
		const to = new Fields(request).integer('to', -1);
		request.respond(await inspector.replay(to < 0 ? null : to));
	});
	registry.register('event-log.salvage', async request => {
		request.respond(await inspector.salvage(new Fields(request).flag('yes')));
	});
	registry.register('event-log.lost-found', request => request.respond(inspector.lostFound()));
	registry.register('repl.state', request => sendState(request, inspector), {streaming: 'always'});
}

/** Characters of base64 in one response. */
const STATE_PIECE_LENGTH = 1024 * 1024;

/** The encoded state and the open RPCs (which are no part of it, since a boot ends them), in pieces of base64. */
async function sendState(request: RpcRequest, inspector: LogInspector): Promise<void> {
	const at = new Fields(request).integer('seq', -1);
	const {seq, state} = await inspector.stateAt(at < 0 ? null : at);
	const text = Buffer.from(encode([state.encode(), [...state.rpcs.values()]])).toString('base64');
	for (let offset = 0; offset < text.length; offset += STATE_PIECE_LENGTH) {
		const piece = text.slice(offset, offset + STATE_PIECE_LENGTH);
		if (!request.respondStream({seq, piece})) await drained(request);
		if (!request.isOpen) return;
	}
	request.end();
}

async function dump(request: RpcRequest, inspector: LogInspector): Promise<void> {
	const fields = new Fields(request);
	let from = fields.integer('from', 1);
	const to = fields.integer('to', Number.MAX_SAFE_INTEGER);
	const isFollowed = fields.flag('follow');
	do {
		for await (const fact of inspector.facts({from, to})) {
			if (!request.isOpen) return;
			if (!request.respondStream(fact)) await drained(request);
			from = (fact as {readonly seq: number}).seq + 1;
		}
		if (isFollowed && request.isOpen) await inspector.grown(from - 1);
	} while (isFollowed && request.isOpen && from <= to);
	request.end();
}
