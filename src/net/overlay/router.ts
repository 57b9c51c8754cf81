/**
 * Where a message goes (DESIGN section 6): to a service of this broker, or over a neighbour. Payloads are not decoded on the way.
 * Invariant: each request that was passed on gets exactly one final response: the one that comes back, EHOSTUNREACH when
 * its neighbour is lost, ETIMEDOUT when its time is over; none when whoever asked has gone.
 */
import {SystemError} from '../../formats/errno.ts';
import type {RpcFact} from '../../machines/rpc.ts';
import type {Clock, Timer} from '../../ports/clock.ts';
import {
	CANCEL_SUFFIX,
	DISCONNECT_METHOD,
	MATCHTAG_NONE,
	PAYLOAD_BYTES_MAX,
	ROLE_LOCAL,
	ROUTE_HOPS_MAX,
	serviceOf,
	TOPIC_BYTES_MAX,
	type Control,
	type Message,
	type Request,
	type Response,
} from '../message.ts';
import {decodePayload, encodeErrorText, encodePayload} from '../payload.ts';
import type {ServiceRegistry} from '../service-registry.ts';
import {CONTROL_FLOW} from './peer-link.ts';
import {PendingRpcs, rpcKey, type Origin, type PendingRpc} from './pending-rpcs.ts';
import {nextHop} from './next-hop.ts';
import type {Topology} from './topology.ts';

/** More requests over one neighbour that have no final response are refused with EAGAIN. */
export const HOP_PENDING_MAX = 65_536;
/** With more queued for a neighbour, clients wait, and requests of other neighbours are refused with EAGAIN. */
export const HOP_QUEUE_BYTES_MAX = 8 * 1024 * 1024;
/** With more queued, requests of clients are refused too: many of them at once would end the link (LINK_QUEUE_BYTES_MAX). */
export const HOP_QUEUE_BYTES_FULL = 32 * 1024 * 1024;
/**
 * What each hop keeps of the time of a request, so that the broker that knows more answers first: a share of what is left,
 * within bounds. Half of it is between the answer of the next broker and our own.
 */
export const HOP_MARGIN_SHARE = 0.02;
export const HOP_MARGIN_MS_MIN = 2;
export const HOP_MARGIN_MS_MAX = 100;
/** Deadlines are looked at no more often. */
const EXPIRY_GRAIN_MS = 5;

type Body<F> = F extends unknown ? Omit<F, 'atMs'> : never;
export type RpcFactBody = Body<RpcFact>;

/** A neighbour that can be reached. */
export interface Hop {
	readonly rank: number;
	/** As an origin of what comes from it. */
	readonly origin: Origin;
	readonly queuedBytes: number;
	/** False: it is behind. */
	send(message: Message): boolean;
	/** Stops or resumes a stream of a service of this broker that goes there; false: it is none of them. */
	setFlow(key: string, isStopped: boolean): boolean;
}

export interface RouterOptions {
	readonly rank: number;
	readonly topology: Topology;
	readonly hosts: readonly string[];
	readonly registry: ServiceRegistry;
	readonly clock: Clock;
	readonly post: (fact: RpcFactBody) => void;
	/** Why a neighbour is not there, for the answer to whoever wanted to reach it. */
	readonly whyAway: (neighbour: number) => string;
}

interface HopState {
	readonly hop: Hop;
	/** Clients that wait until it has caught up. */
	readonly paused: Set<Origin>;
}

export class Router {
	readonly #options: RouterOptions;
	readonly #hops = new Map<number, HopState>();
	readonly #pending = new PendingRpcs();
	/** Streams that wait for their origin's link to catch up. */
	readonly #slow = new Map<Origin, Set<PendingRpc>>();
	#expiry: {readonly atMs: number; readonly timer: Timer} | null = null;

	constructor(options: RouterOptions) {
		this.#options = options;
	}

	/** Requests that were passed on and are owed a response, by neighbour. */
	get pendingCounts(): ReadonlyMap<number, number> {
		return new Map([...this.#hops.keys()].map(rank => [rank, this.#pending.countOf(rank)]));
	}

	/** The same one by one, with the neighbour that owes the response. */
	*pending(): Generator<{readonly neighbour: number; readonly rpc: PendingRpc}> {
		for (const rpc of this.#pending.values()) yield {neighbour: rpc.hop, rpc};
	}

	/** Messages can go over this neighbour from now on. */
	addHop(hop: Hop): void {
		this.#hops.set(hop.rank, {hop, paused: new Set()});
	}

	/** The neighbour is gone: everything that was passed on to it is answered with `error`, now and once. */
	removeHop(rank: number, error: SystemError): void {
		const state = this.#hops.get(rank);
		if (state === undefined) return;
		this.#hops.delete(rank);
		for (const entry of this.#pending.takeOver(rank)) {
			const text = `${entry.request.topic}: ${error.message}`;
			this.#fail(entry, {type: 'rpc.lost', error: new SystemError(error.code, text)});
		}
		for (const origin of state.paused) origin.resume?.();
		this.originGone(state.hop.origin);
	}

	/** Takes a request; what is for a service of this broker goes to `local`. */
	route(request: Request, origin: Origin, local: (request: Request) => void): void {
		if (request.noresponse && this.#followsOthers(request, origin)) return;
		const next = nextHop(request, this.#options);
		if (next === 'local') {
			local(request);
			return;
		}
		const hop = next instanceof SystemError ? undefined : this.#hops.get(next);
		if (hop !== undefined) this.#forward(request, origin, hop);
		else this.#refuse(request, origin, this.#unreachable(request, next));
	}

	/** Takes a request that came from a neighbour. */
	fromHop(rank: number, request: Request, local: (request: Request) => void): void {
		const state = this.#hops.get(rank);
		if (state !== undefined) this.route(request, state.hop.origin, local);
	}

	/** A response came from a neighbour. What nobody waits for, as from an earlier life, is dropped. */
	respond(from: number, response: Response): void {
		const entry = this.#pending.get(response.matchtag);
		if (entry === undefined || entry.hop !== from || entry.request.topic !== response.topic) return;
		const {origin, request, factKey: key} = entry;
		const {topic, userid, rolemask, streaming, errnum, payload} = response;
		const isFinal = !streaming || errnum !== 0;
		if (isFinal) {
			this.#remove(entry);
			if (key !== null) this.#options.post({type: 'rpc.end', key, errnum});
		} else if (!entry.isAnswered) {
			entry.isAnswered = true;
			if (key !== null && request.streaming) this.#options.post({type: 'rpc.answer', key});
		}
		const {matchtag, route} = request;
		const head = {type: 'response', topic, matchtag, userid, rolemask, route, streaming} as const;
		const keepsUp = origin.deliver({...head, errnum, payload});
		if (!keepsUp && !isFinal) this.#fallBehind(entry);
	}

	/** A neighbour can't take more of a stream that goes to it, or can again. */
	flow(from: number, control: Control): void {
		const key = Buffer.from(control.payload).toString('utf8');
		const isStopped = control.status !== 0;
		const hop = this.#hops.get(from)?.hop;
		if (hop === undefined || hop.setFlow(key, isStopped)) return;
		const entry = this.#pending.of(hop.origin, Number.parseInt(key, 10));
		if (entry === undefined || rpcKey(entry.request.matchtag, entry.request.route) !== key) return;
		this.#regulate(entry, () => (entry.isHeld = isStopped));
	}

	/** Whoever asked is gone: what it asked for is canceled where it is. */
	originGone(origin: Origin): void {
		this.#slow.delete(origin);
		for (const {paused} of this.#hops.values()) paused.delete(origin);
		for (const entry of this.#pending.takeOf(origin)) this.#abandon(entry);
		this.#pending.forget(origin);
	}

	/** It takes responses again. */
	originDrained(origin: Origin): void {
		const slow = this.#slow.get(origin);
		if (slow === undefined) return;
		this.#slow.delete(origin);
		for (const entry of slow) this.#regulate(entry, () => (entry.isBehind = false));
	}

	/** A neighbour has taken what was queued. */
	hopDrained(rank: number): void {
		const state = this.#hops.get(rank);
		if (state === undefined) return;
		const waiting = [...state.paused];
		state.paused.clear();
		for (const origin of waiting) origin.resume?.();
		this.originDrained(state.hop.origin);
	}

	/** Answers everything that is pending with `error`, as a panic owes it. */
	failAll(error: SystemError): void {
		for (const rank of [...this.#hops.keys()]) this.removeHop(rank, error);
		this.#expiry?.timer.cancel();
		this.#expiry = null;
	}

	/**
	 * A cancel goes after the RPC that it means, and so does each that a disconnect means: to where it was passed on, under
	 * the tag that it has there. True: that was all.
	 */
	#followsOthers(request: Request, origin: Origin): boolean {
		const {topic, payload} = request;
		if (this.#options.registry.find(topic) !== undefined) return false;
		if (topic.endsWith(`.${DISCONNECT_METHOD}`)) {
			const service = serviceOf(topic);
			const isMeant = (entry: PendingRpc) => serviceOf(entry.request.topic) === service;
			for (const entry of this.#pending.takeOf(origin, isMeant)) this.#abandon(entry);
			return nextHop(request, this.#options) !== 'local';
		}
		if (!topic.endsWith(CANCEL_SUFFIX)) return false;
		const entry = this.#pending.of(origin, matchtagIn(payload));
		if (entry === undefined || `${entry.request.topic}${CANCEL_SUFFIX}` !== topic) {
			// It means one of ours, or one that is over.
			return nextHop(request, this.#options) !== 'local';
		}
		this.#sendCancel(entry);
		return true;
	}

	#forward(request: Request, origin: Origin, {hop, paused}: HopState): void {
		const fault = this.#faultOf(request, origin, hop);
		if (fault !== null) {
			this.#refuse(request, origin, fault);
			return;
		}
		if (request.noresponse) this.#note(request, origin, `rank ${hop.rank}`);
		const {deadlineMs} = request;
		const marginMs = deadlineMs === null ? 0 : marginOf(deadlineMs);
		const keepsUp = hop.send({
			...request,
			matchtag: request.noresponse ? MATCHTAG_NONE : this.#track(request, origin, {hop, marginMs}),
			rolemask: withoutRole(request.rolemask, ROLE_LOCAL),
			route: [...request.route, origin.name],
			deadlineMs: deadlineMs === null ? null : Math.max(1, Math.floor(deadlineMs - marginMs)),
		});
		if (!keepsUp && hop.queuedBytes > HOP_QUEUE_BYTES_MAX && origin.pause !== undefined) {
			origin.pause();
			paused.add(origin);
		}
	}

	/** Returns the matchtag under which it is passed on. */
	#track(
		request: Request,
		origin: Origin,
		{hop, marginMs}: {readonly hop: Hop; readonly marginMs: number},
	): number {
		const {clock, post} = this.#options;
		const {topic, streaming, deadlineMs} = request;
		// Unique among the RPCs of this broker that are open. Pings are no facts.
		const key = topic.endsWith('.ping') ? null : `${origin.name}:${request.matchtag}`;
		const expiresMs =
			deadlineMs === null ? null : clock.monotonicMs() + Math.max(0, deadlineMs - marginMs / 2);
		const entry: PendingRpc = {
			matchtag: this.#pending.nextTag(),
			hop: hop.rank,
			origin,
			request,
			expiresMs,
			factKey: key,
			isAnswered: false,
			isBehind: false,
			isHeld: false,
		};
		this.#pending.add(entry);
		if (expiresMs !== null) this.#watchDeadline(expiresMs);
		if (key !== null) {
			post({type: 'rpc.request', key, topic, streaming, sender: origin.name, target: `rank ${hop.rank}`});
		}
		return entry.matchtag;
	}

	#faultOf({topic, matchtag, route, payload}: Request, origin: Origin, hop: Hop): SystemError | null {
		if (route.length >= ROUTE_HOPS_MAX) {
			return new SystemError(
				'ELOOP',
				`${topic}: passed on ${route.length} times, the limit (ROUTE_HOPS_MAX)`,
			);
		}
		if (payload.length > PAYLOAD_BYTES_MAX) {
			return new SystemError(
				'EMSGSIZE',
				`${topic}: request of ${payload.length} bytes exceeds PAYLOAD_BYTES_MAX (${PAYLOAD_BYTES_MAX})`,
			);
		}
		if (matchtag !== MATCHTAG_NONE) {
			if (Buffer.byteLength(topic) > TOPIC_BYTES_MAX - CANCEL_SUFFIX.length) {
				return new SystemError('EINVAL', `topic ${topic} is too long to cancel it`);
			}
			if (this.#pending.of(origin, matchtag) !== undefined) {
				return new SystemError('EPROTO', `${topic}: matchtag ${matchtag} is that of a pending request`);
			}
		}
		return this.#overload(topic, {hop, canWait: origin.pause !== undefined});
	}

	#overload(
		topic: string,
		{hop, canWait}: {readonly hop: Hop; readonly canWait: boolean},
	): SystemError | null {
		const pending = this.#pending.countOf(hop.rank);
		if (pending >= HOP_PENDING_MAX) {
			return new SystemError(
				'EAGAIN',
				`${topic}: ${pending} requests over ${this.#nameOf(hop.rank)} are pending, the limit (HOP_PENDING_MAX)`,
			);
		}
		const limit = canWait ? HOP_QUEUE_BYTES_FULL : HOP_QUEUE_BYTES_MAX;
		if (hop.queuedBytes <= limit) return null;
		const name = canWait ? 'HOP_QUEUE_BYTES_FULL' : 'HOP_QUEUE_BYTES_MAX';
		return new SystemError(
			'EAGAIN',
			`${topic}: ${this.#nameOf(hop.rank)} has ${hop.queuedBytes} bytes to read, the limit is ${limit} (${name})`,
		);
	}

	#unreachable({topic}: Request, next: number | SystemError): SystemError {
		if (next instanceof SystemError) return next;
		return new SystemError('EHOSTUNREACH', `${topic}: ${this.#nameOf(next)}: ${this.#options.whyAway(next)}`);
	}

	#nameOf(rank: number): string {
		return `rank ${rank} (${this.#options.hosts[rank] ?? 'unknown'})`;
	}

	/** Answers what was not passed on; what wants no answer is at least in the log. */
	#refuse(request: Request, origin: Origin, error: SystemError): void {
		if (request.noresponse) this.#note(request, origin, 'nobody', error.errnum);
		else origin.deliver(errorTo(request, error));
	}

	/** Nothing is owed for a request without response: its RPC begins and ends here. */
	#note({topic}: Request, {name}: Origin, target: string, errnum = 0): void {
		const key = `${name}:${MATCHTAG_NONE}`;
		this.#options.post({type: 'rpc.request', key, topic, streaming: false, sender: name, target});
		this.#options.post(errnum === 0 ? {type: 'rpc.end', key, errnum} : {type: 'rpc.lost', key, errnum});
	}

	/** Answers what was taken out. */
	#fail(
		entry: PendingRpc,
		{type, error}: {readonly type: 'rpc.lost' | 'rpc.expire'; readonly error: SystemError},
	): void {
		const {origin, request, factKey: key} = entry;
		this.#slow.get(origin)?.delete(entry);
		if (key !== null) this.#options.post({type, key, errnum: error.errnum});
		origin.deliver(errorTo(request, error));
	}

	/** Nobody waits for what was taken out. */
	#abandon(entry: PendingRpc): void {
		const {origin, factKey: key} = entry;
		this.#slow.get(origin)?.delete(entry);
		if (key !== null) this.#options.post({type: 'rpc.cancel', key});
		this.#sendCancel(entry);
	}

	#remove(entry: PendingRpc): void {
		this.#pending.remove(entry);
		if (entry.isBehind) this.#slow.get(entry.origin)?.delete(entry);
	}

	#fallBehind(entry: PendingRpc): void {
		if (entry.isBehind) return;
		const slow = this.#slow.get(entry.origin) ?? new Set();
		this.#slow.set(entry.origin, slow.add(entry));
		this.#regulate(entry, () => (entry.isBehind = true));
	}

	/** The other side is told when the first reason to stop has come, and when the last one has gone. */
	#regulate(entry: PendingRpc, change: () => void): void {
		const wasStopped = entry.isBehind || entry.isHeld;
		change();
		const isStopped = entry.isBehind || entry.isHeld;
		if (isStopped === wasStopped || this.#pending.get(entry.matchtag) !== entry) return;
		const key = rpcKey(entry.matchtag, [...entry.request.route, entry.origin.name]);
		this.#hops.get(entry.hop)?.hop.send({
			type: 'control',
			controlType: CONTROL_FLOW,
			status: isStopped ? 1 : 0,
			payload: Buffer.from(key),
		});
	}

	#sendCancel({matchtag, hop, request, origin}: PendingRpc): void {
		this.#hops.get(hop)?.hop.send({
			...request,
			topic: `${request.topic}${CANCEL_SUFFIX}`,
			matchtag: MATCHTAG_NONE,
			rolemask: withoutRole(request.rolemask, ROLE_LOCAL),
			streaming: false,
			noresponse: true,
			deadlineMs: null,
			route: [...request.route, origin.name],
			payload: encodePayload({matchtag}),
		});
	}

	#watchDeadline(expiresMs: number): void {
		if (this.#expiry !== null && this.#expiry.atMs <= expiresMs) return;
		this.#expiry?.timer.cancel();
		const {clock} = this.#options;
		const timer = clock.setTimer(Math.max(0, expiresMs - clock.monotonicMs()), () => {
			this.#expiry = null;
			this.#expire();
		});
		this.#expiry = {atMs: expiresMs, timer};
	}

	#expire(): void {
		const nowMs = this.#options.clock.monotonicMs();
		const {expired, nextMs} = this.#pending.takeExpired(nowMs);
		if (nextMs !== null) this.#watchDeadline(Math.max(nextMs, nowMs + EXPIRY_GRAIN_MS));
		for (const entry of expired) {
			const {topic, deadlineMs} = entry.request;
			const text = `${topic}: no answer over ${this.#nameOf(entry.hop)} within ${deadlineMs} ms`;
			this.#sendCancel(entry);
			this.#fail(entry, {type: 'rpc.expire', error: new SystemError('ETIMEDOUT', text)});
		}
	}
}

function marginOf(deadlineMs: number): number {
	return Math.min(HOP_MARGIN_MS_MAX, Math.max(HOP_MARGIN_MS_MIN, deadlineMs * HOP_MARGIN_SHARE));
}

/** Bit operations of JavaScript are signed; a role mask is not. */
function withoutRole(rolemask: number, role: number): number {
	return (rolemask & ~role) >>> 0;
}

function matchtagIn(payload: Uint8Array): number {
	try {
		const value = decodePayload(payload) as {readonly matchtag?: unknown} | null | undefined;
		return typeof value?.matchtag === 'number' ? value.matchtag : MATCHTAG_NONE;
	} catch {
		return MATCHTAG_NONE; // A cancel that names nothing cancels nothing.
	}
}

/** The response that says so to whoever sent `request`. */
export function errorTo(request: Request, error: SystemError): Response {
	const {topic, matchtag, userid, rolemask, route, streaming} = request;
	const payload = encodeErrorText(error.message);
	return {
		type: 'response',
		topic,
		matchtag,
		userid,
		rolemask,
		route,
		streaming,
		errnum: error.errnum,
		payload,
	};
}
