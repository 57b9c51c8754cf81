/**
 * What ranks are told about a job: to start, end or forget their parts. Orders of one kind for one attempt that come true in
 * the same turn are one message to all their ranks, split on its way down the tree. Every order may be repeated; one that
 * reached nobody is given again when its rank is reconciled, and before that while the rank can be reached.
 */
import {f58} from '../../formats/jobid.ts';
import {asSystemError, type SystemError} from '../../formats/errno.ts';
import {ResourceSet} from '../../formats/resource-set.ts';
import type {Effect} from '../../machines/effects.ts';
import {planOf} from '../../machines/job-perilog.ts';
import {partKey} from '../../machines/part.ts';
import type {Core} from '../core.ts';
import type {StartMessage} from '../job-exec/messages.ts';
import {CONTACT_ERRORS, type Peers} from '../peers.ts';
import {taskmapOf} from './job-taskmap.ts';

/** An order that failed although its rank can be reached is given again after so long. */
const ORDER_RETRY_MS = 1000;
/** For all ranks to say that they are ready; each has less (PREPARE_TIMEOUT_MS), so that the late one is named. */
const BARRIER_TIMEOUT_MS = 30_000;
/** A rank that can be reached and does not get ready in so many tries never will: the job fails. One out of reach is waited for. */
const BARRIER_TRIES_MAX = 5;
/** `forget` is not vital: the rank's next inventory asks for it again. */
const FORGET_TRIES_MAX = 5;
type OrderEffect = Extract<Effect, {kind: 'start' | 'begin' | 'kill' | 'forget'}>;

interface Order {
	readonly effect: OrderEffect;
	readonly ranks: Set<number>;
	readonly tries: number;
	/** All ranks were ready. */
	readonly isPassed?: boolean;
}

export class RankOrders {
	readonly #core: Core;
	readonly #peers: Peers;
	/** Those of this turn, by kind, attempt and signal. */
	#orders = new Map<string, Order>();
	/** Ranks whose start waits at the barrier, by attempt: each attempt waits once, however often its ranks come back. */
	readonly #atBarrier = new Map<string, Set<number>>();

	constructor(core: Core, peers: Peers) {
		this.#core = core;
		this.#peers = peers;
		core.perform('start', {perform: effect => this.#add(effect, effect.rank)});
		core.perform('begin', {perform: effect => this.#add(effect, effect.rank)});
		core.perform('kill', {perform: effect => this.#add(effect, effect.rank)});
		core.perform('forget', {perform: effect => this.#add(effect, effect.rank)});
	}

	#add(effect: OrderEffect, rank: number, tries = 0): void {
		const {kind, id, attempt} = effect;
		const key = `${kind}:${id}.${attempt}:${kind === 'kill' ? effect.signum : ''}`;
		const known = this.#orders.get(key);
		if (known !== undefined) {
			known.ranks.add(rank);
			return;
		}
		if (this.#orders.size === 0) queueMicrotask(() => this.#flush());
		this.#orders.set(key, {effect, ranks: new Set([rank]), tries});
	}

	#flush(): void {
		const orders = [...this.#orders.values()];
		this.#orders = new Map();
		for (const order of orders) this.#give(order);
	}

	#give(order: Order): void {
		const {effect} = order;
		const ranks = [...order.ranks].filter(rank => this.#isWanted(effect, rank));
		const [first] = ranks;
		if (first === undefined) return;
		if (effect.kind === 'start' && !order.isPassed && this.#waitAtBarrier(order, ranks)) return;
		const payload = this.#payloadOf(effect);
		if (payload === null) return;
		const topic = `job-exec.${effect.kind}`;
		if (ranks.length === 1) {
			this.#peers
				.request(first, topic, payload)
				.catch((error: unknown) => this.#failed(order, first, asSystemError(error)));
			return;
		}
		this.#peers.requestAll(ranks, topic, payload).then(
			answers => {
				for (const [rank, {error}] of answers) if (error !== null) this.#failed(order, rank, error);
			},
			(error: unknown) => this.#core.log('err', `${topic}: ${asSystemError(error).toString()}`),
		);
	}

	/**
	 * The start barrier of a job over several ranks: nothing of it starts anywhere before every rank has said that it can
	 * start its part. Once one has started the barrier is behind it: after a failure the others follow as they can.
	 * True: the order waits.
	 */
	#waitAtBarrier(order: Order, ranks: readonly number[]): boolean {
		const {id, attempt} = order.effect;
		const parts = Object.entries(this.#core.state.jobs.get(id)?.context.ranks ?? {});
		if (parts.length < 2 || parts.some(([, {state}]) => state !== 'requested')) return false;
		const key = partKey({id, attempt});
		const waiting = this.#atBarrier.get(key);
		if (waiting !== undefined) {
			for (const rank of ranks) waiting.add(rank);
			return true;
		}
		const arrived = new Set(ranks);
		this.#atBarrier.set(key, arrived);
		const all = parts.map(([rank]) => Number(rank));
		const options = {timeoutMs: BARRIER_TIMEOUT_MS};
		this.#peers.requestAll(all, 'job-exec.prepare', {id, attempt}, options).then(
			answers => {
				const late = [...answers].find(([, {error}]) => error !== null);
				if (late?.[1].error != null) {
					this.#notReady({...order, ranks: arrived}, {late: late[0], error: late[1].error});
					return;
				}
				this.#atBarrier.delete(key);
				this.#give({...order, ranks: arrived, isPassed: true});
			},
			(error: unknown) => {
				this.#atBarrier.delete(key);
				this.#core.log('err', `job-exec.prepare: ${asSystemError(error).toString()}`);
			},
		);
		return true;
	}

	#notReady(
		{effect, ranks, tries}: Order,
		{late, error}: {readonly late: number; readonly error: SystemError},
	): void {
		const key = partKey(effect);
		const isHopeless = error.code === 'ETIMEDOUT' && tries >= BARRIER_TRIES_MAX;
		if (isHopeless || !CONTACT_ERRORS.has(error.code)) {
			this.#atBarrier.delete(key);
			if ([...ranks].some(rank => this.#isWanted(effect, rank))) this.#fail(effect.id, late, error);
			return;
		}
		this.#core.log(
			'warning',
			`job ${f58(effect.id)} waits to start: ${this.#nameOf(effect.id, late)} is not ready: ${error.toString()}`,
		);
		this.#core.clock.setTimer(ORDER_RETRY_MS, () => {
			this.#atBarrier.delete(key);
			// Being out of reach counts for nothing.
			const next = error.code === 'ETIMEDOUT' ? tries + 1 : 0;
			for (const rank of ranks) if (this.#isWanted(effect, rank)) this.#add(effect, rank, next);
		});
	}

	#payloadOf(effect: OrderEffect): object | null {
		const {kind, id, attempt} = effect;
		switch (kind) {
			case 'start':
				try {
					return this.#startMessage(id);
				} catch (error) {
					const note = `it cannot be started: ${asSystemError(error, 'EINVAL').toString()}`;
					this.#core.post({type: 'job.exception', id, exception: 'exec', severity: 0, note, userid: -1});
					return null;
				}
			case 'kill':
				return {id, attempt, signum: effect.signum};
			case 'begin':
			case 'forget':
				return {id, attempt};
			default:
				return effect satisfies never;
		}
	}

	#startMessage(id: bigint): StartMessage | null {
		const job = this.#core.state.jobs.get(id);
		if (job?.context.R == null) return null;
		const {attempt, userid, urgency, flags, jobspec, R, events, perilog} = job.context;
		const timeOf = (name: string) => events.findLast(event => event.name === name)?.atMs ?? 0;
		const taskmap = taskmapOf({jobspec, R});
		const times = {submitMs: timeOf('submit'), allocMs: timeOf('alloc')};
		return {id, attempt, userid, urgency, flags, jobspec, R, ...times, taskmap, ...planOf(perilog)};
	}

	#failed(order: Order, rank: number, error: SystemError): void {
		const {effect, tries} = order;
		const {kind, id, attempt} = effect;
		this.#core.log(
			'warning',
			`job-exec.${kind} of job ${f58(id)} to ${this.#nameOf(id, rank)}: ${error.toString()}`,
		);
		if (!this.#isWanted(effect, rank)) return;
		if ((kind === 'start' || kind === 'begin') && !CONTACT_ERRORS.has(error.code)) {
			this.#fail(id, rank, error);
			return;
		}
		if (kind === 'forget' && tries >= FORGET_TRIES_MAX) {
			this.#core.log('warning', `part ${id}.${attempt} stays on rank ${rank} until that rank joins again`);
			return;
		}
		this.#core.clock.setTimer(ORDER_RETRY_MS, () => {
			if (this.#isWanted(effect, rank)) this.#add(effect, rank, tries + 1);
		});
	}

	/** The rank can't start its part, and would not if it was asked again: the job fails, and the other parts are ended. */
	#fail(id: bigint, rank: number, error: SystemError): void {
		const note = `${this.#nameOf(id, rank)} cannot start its part: ${error.toString()}`;
		this.#core.post({type: 'job.exception', id, exception: 'exec', severity: 0, note, userid: -1});
	}

	#nameOf(id: bigint, rank: number): string {
		const R = this.#core.state.jobs.get(id)?.context.R ?? null;
		const host = R === null ? undefined : ResourceSet.parse(R).ranks.get(rank)?.host;
		return host === undefined ? `rank ${rank}` : `rank ${rank} (${host})`;
	}

	/** Whether the state still asks for it; one for a rank out of reach is given when the rank is back. */
	#isWanted({kind, id, attempt}: OrderEffect, rank: number): boolean {
		if (!this.#core.isReconciled(rank)) return false;
		if (kind === 'forget') return true;
		const job = this.#core.state.jobs.get(id);
		if (job?.context.attempt !== attempt) return false;
		const {state, phase} = job.context.ranks[rank] ?? {};
		if (kind === 'begin') return job.value === 'run' && phase === 'ready' && state === 'started';
		if (kind === 'start') return job.value === 'run' && state === 'requested';
		return job.value === 'cleanup' && (state === 'requested' || (state === 'started' && phase !== 'epilog'));
	}
}
