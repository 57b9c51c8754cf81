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
	MATCHTAG_NONE,
	NODEID_ANY,
	ROLE_LOCAL,
	ROUTE_HOPS_MAX,
	serviceOf,
	type Control,
	type Message,
	type Request,
	type Response,
} from '../message.ts';
import {encodeErrorText, encodePayload} from '../payload.ts';
import type {ServiceRegistry} from '../service-registry.ts';
import {CONTROL_FLOW} from './peer-link.ts';
import {PendingRpcs, rpcKey, type Origin, type PendingRpc} from './pending-rpcs.ts';
import {ROOT, type Topology} from './topology.ts';

/** More requests over one neighbour that have no final response are refused with EAGAIN. */
export const HOP_PENDING_MAX = 65_536;
/** With more queued for a neighbour, clients wait, and requests of other neighbours are refused with EAGAIN. */
export const HOP_QUEUE_BYTES_MAX = 8 * 1024 * 1024;
/** How often deadlines are looked at. */
const EXPIRY_POLL_MS = 100;
/** What a hop keeps of the time of a request, so that the broker that knows more answers first. */
const HOP_MARGIN_MS = 20;

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
	readonly pending: PendingRpcs;
	/** Clients that wait until it has caught up. */
	readonly paused: Set<Origin>;
}

export class Router {
	readonly #options: RouterOptions;
	readonly #hops = new Map<number, HopState>();
	/** Streams that wait for their origin to catch up. */
	readonly #slow = new Map<Origin, Set<PendingRpc>>();
	#expiry: Timer | null = null;

	constructor(options: RouterOptions) {
		this.#options = options;
	}

	/** Requests that were passed on and are owed a response, by neighbour. */
	get pendingCounts(): ReadonlyMap<number, number> {
		return new Map([...this.#hops].map(([rank, {pending}]) => [rank, pending.count]));
	}

	/** The same one by one, with the neighbour that owes the response. */
	*pending(): Generator<{readonly neighbour: number; readonly rpc: PendingRpc}> {
		for (const [neighbour, {pending}] of this.#hops) {
			for (const rpc of pending.values()) yield {neighbour, rpc};
		}
	}

	/** Messages can go over this neighbour from now on. */
	addHop(hop: Hop): void {
		this.#hops.set(hop.rank, {hop, pending: new PendingRpcs(), paused: new Set()});
	}

	/** The neighbour is gone: everything that was passed on to it is answered with `error`, now and once. */
	removeHop(rank: number, error: SystemError): void {
		const state = this.#hops.get(rank);
		if (state === undefined) return;
		this.#hops.delete(rank);
		for (const entry of state.pending.take(() => true)) this.#fail(entry, error);
		for (const origin of state.paused) origin.resume?.();
		this.originGone(state.hop.origin);
	}

	/** Takes a request; what is for a service of this broker goes to `local`. */
	route(request: Request, origin: Origin, local: (request: Request) => void): void {
		const next = this.#nextOf(request);
		if (next === 'local') {
			local(request);
			return;
		}
		const hop = next instanceof SystemError ? undefined : this.#hops.get(next);
		if (next instanceof SystemError || hop === undefined) {
			if (!request.noresponse) origin.deliver(errorTo(request, this.#unreachable(request, next)));
			return;
		}
		this.#forward(request, origin, hop);
	}

	/** Takes a request that came from a neighbour. */
	fromHop(rank: number, request: Request, local: (request: Request) => void): void {
		const state = this.#hops.get(rank);
		if (state !== undefined) this.route(request, state.hop.origin, local);
	}

	/** A response came from a neighbour. What nobody waits for, as from an earlier life, is dropped. */
	respond(from: number, response: Response): void {
		const pending = this.#hops.get(from)?.pending;
		const entry = pending?.get(rpcKey(response.matchtag, response.route));
		if (pending === undefined || entry === undefined || entry.request.topic !== response.topic) return;
		const isFinal = !response.streaming || response.errnum !== 0;
		if (isFinal) {
			this.#remove(pending, entry);
			if (entry.isTracked) this.#options.post({type: 'rpc.end', key: entry.key, errnum: response.errnum});
		} else if (!entry.isAnswered) {
			entry.isAnswered = true;
			if (entry.isTracked && entry.request.streaming) {
				this.#options.post({type: 'rpc.answer', key: entry.key});
			}
		}
		const keepsUp = entry.origin.deliver({...response, route: entry.request.route});
		if (!keepsUp && !isFinal) this.#stop(from, entry);
	}

	/** A neighbour can't take more of a stream that goes to it, or can again. */
	flow(from: number, control: Control): void {
		const key = Buffer.from(control.payload).toString('utf8');
		const isStopped = control.status !== 0;
		const hop = this.#hops.get(from)?.hop;
		if (hop === undefined || hop.setFlow(key, isStopped)) return;
		const passedOn = `${key}${key.endsWith(' ') ? '' : ' '}${hop.origin.name}`;
		for (const {hop: other, pending} of this.#hops.values()) {
			if (pending.has(passedOn)) other.send({...control, payload: Buffer.from(passedOn)});
		}
	}

	/** Whoever asked is gone: what it asked for is canceled where it is. */
	originGone(origin: Origin): void {
		this.#slow.delete(origin);
		for (const {hop, pending, paused} of this.#hops.values()) {
			paused.delete(origin);
			for (const entry of pending.take(({origin: one}) => one === origin)) {
				if (entry.isTracked) this.#options.post({type: 'rpc.cancel', key: entry.key});
				hop.send(this.#cancelOf(entry));
			}
		}
	}

	/** It takes responses again. */
	originDrained(origin: Origin): void {
		const slow = this.#slow.get(origin);
		this.#slow.delete(origin);
		for (const entry of slow ?? []) {
			entry.isStopped = false;
			for (const {hop, pending} of this.#hops.values()) {
				if (pending.get(entry.key) === entry) hop.send(flowOf(entry.key, false));
			}
		}
	}

	/** A neighbour has taken what was queued. */
	hopDrained(rank: number): void {
		const state = this.#hops.get(rank);
		if (state === undefined) return;
		for (const origin of state.paused) origin.resume?.();
		state.paused.clear();
		this.originDrained(state.hop.origin);
	}

	/** Answers everything that is pending with `error`, as a panic owes it. */
	failAll(error: SystemError): void {
		for (const rank of [...this.#hops.keys()]) this.removeHop(rank, error);
		this.#expiry?.cancel();
		this.#expiry = null;
	}

	/** 'local', a neighbour's rank, or why there is no way. */
	#nextOf({nodeid, upstream, topic}: Request): 'local' | number | SystemError {
		const {rank, topology, registry} = this.#options;
		const parent = topology.parentOf(rank);
		if (nodeid === NODEID_ANY || upstream) {
			const isPassedBy = upstream && nodeid === rank;
			if (!isPassedBy && (parent === null || registry.has(serviceOf(topic)))) return 'local';
			return (
				parent ?? new SystemError('EHOSTUNREACH', `${topic}: rank ${rank} is the root, nothing is above it`)
			);
		}
		if (nodeid === rank) return 'local';
		if (nodeid >= topology.size) {
			return new SystemError('EHOSTUNREACH', `${topic}: rank ${nodeid} is not in this instance`);
		}
		return topology.childToward(rank, nodeid) ?? parent ?? ROOT;
	}

	#forward(request: Request, origin: Origin, state: HopState): void {
		const {clock, post} = this.#options;
		const {hop, pending, paused} = state;
		const fault = this.#faultOf(request, origin, state);
		if (fault !== null) {
			if (!request.noresponse) origin.deliver(errorTo(request, fault));
			return;
		}
		const route = [...request.route, origin.name];
		const {deadlineMs} = request;
		const key = rpcKey(request.matchtag, route);
		if (!request.noresponse) {
			const isTracked = !request.topic.endsWith('.ping');
			pending.add({
				key,
				origin,
				request,
				expiresMs: deadlineMs === null ? null : clock.monotonicMs() + deadlineMs,
				isTracked,
				isAnswered: false,
				isStopped: false,
			});
			if (deadlineMs !== null) this.#watchDeadlines();
			const {topic, streaming} = request;
			const target = `rank ${hop.rank}`;
			if (isTracked) post({type: 'rpc.request', key, topic, streaming, sender: origin.name, target});
		}
		const keepsUp = hop.send({
			...request,
			rolemask: request.rolemask & ~ROLE_LOCAL,
			route,
			deadlineMs: deadlineMs === null ? null : Math.max(1, Math.min(deadlineMs, deadlineMs - HOP_MARGIN_MS)),
		});
		if (!keepsUp && hop.queuedBytes > HOP_QUEUE_BYTES_MAX && origin.pause !== undefined) {
			origin.pause();
			paused.add(origin);
		}
	}

	#faultOf(request: Request, origin: Origin, {hop, pending}: HopState): SystemError | null {
		const {topic, matchtag, route} = request;
		const name = this.#nameOf(hop.rank);
		if (route.length >= ROUTE_HOPS_MAX) {
			return new SystemError(
				'ELOOP',
				`${topic}: passed on ${route.length} times, the limit (ROUTE_HOPS_MAX)`,
			);
		}
		if (pending.count >= HOP_PENDING_MAX) {
			return new SystemError(
				'EAGAIN',
				`${topic}: ${pending.count} requests over ${name} are pending, the limit (HOP_PENDING_MAX)`,
			);
		}
		if (hop.queuedBytes > HOP_QUEUE_BYTES_MAX && origin.pause === undefined) {
			return new SystemError(
				'EAGAIN',
				`${topic}: ${name} has ${hop.queuedBytes} bytes to read, the limit is ${HOP_QUEUE_BYTES_MAX} (HOP_QUEUE_BYTES_MAX)`,
			);
		}
		if (matchtag !== MATCHTAG_NONE && pending.has(rpcKey(matchtag, [...route, origin.name]))) {
			return new SystemError('EPROTO', `${topic}: matchtag ${matchtag} is that of a pending request`);
		}
		return null;
	}

	#unreachable({topic}: Request, next: number | SystemError): SystemError {
		if (next instanceof SystemError) return next;
		return new SystemError('EHOSTUNREACH', `${topic}: ${this.#nameOf(next)}: ${this.#options.whyAway(next)}`);
	}

	#nameOf(rank: number): string {
		return `rank ${rank} (${this.#options.hosts[rank] ?? 'unknown'})`;
	}

	#fail(entry: PendingRpc, error: SystemError): void {
		const {key, origin, request, isTracked} = entry;
		this.#slow.get(origin)?.delete(entry);
		if (isTracked) this.#options.post({type: 'rpc.lost', key, errnum: error.errnum});
		origin.deliver(errorTo(request, new SystemError(error.code, `${request.topic}: ${error.message}`)));
	}

	#remove(pending: PendingRpcs, entry: PendingRpc): void {
		pending.remove(entry);
		if (entry.isStopped) this.#slow.get(entry.origin)?.delete(entry);
	}

	#stop(from: number, entry: PendingRpc): void {
		if (entry.isStopped) return;
		entry.isStopped = true;
		const slow = this.#slow.get(entry.origin) ?? new Set();
		this.#slow.set(entry.origin, slow.add(entry));
		this.#hops.get(from)?.hop.send(flowOf(entry.key, true));
	}

	#cancelOf({request, origin}: PendingRpc): Request {
		return {
			...request,
			topic: `${request.topic}${CANCEL_SUFFIX}`,
			matchtag: MATCHTAG_NONE,
			streaming: false,
			noresponse: true,
			deadlineMs: null,
			route: [...request.route, origin.name],
			payload: encodePayload({matchtag: request.matchtag}),
		};
	}

	#watchDeadlines(): void {
		this.#expiry ??= this.#options.clock.setTimer(EXPIRY_POLL_MS, () => {
			this.#expiry = null;
			this.#expire();
			if ([...this.#hops.values()].some(({pending}) => pending.hasDeadlines)) this.#watchDeadlines();
		});
	}

	#expire(): void {
		const {clock, post} = this.#options;
		const nowMs = clock.monotonicMs();
		for (const {hop, pending} of this.#hops.values()) {
			if (!pending.hasDeadlines) continue;
			for (const entry of pending.take(({expiresMs}) => expiresMs !== null && expiresMs <= nowMs)) {
				const {key, origin, request, isTracked} = entry;
				this.#slow.get(origin)?.delete(entry);
				const text = `${request.topic}: no answer over ${this.#nameOf(hop.rank)} within ${request.deadlineMs} ms`;
				const error = new SystemError('ETIMEDOUT', text);
				if (isTracked) post({type: 'rpc.expire', key, errnum: error.errnum});
				hop.send(this.#cancelOf(entry));
				origin.deliver(errorTo(request, error));
			}
		}
	}
}

function flowOf(key: string, isStopped: boolean): Control {
	return {
		type: 'control',
		controlType: CONTROL_FLOW,
		status: isStopped ? 1 : 0,
		payload: Buffer.from(key),
	};
}

function errorTo(request: Request, error: SystemError): Response {
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
