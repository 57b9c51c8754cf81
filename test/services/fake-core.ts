/** A core without log and time: facts are true at once, effects are performed at once, and deferred work waits for `settle`. */
import {DurableState, type AnyFact, type Change, type JobChange} from '../../src/machines/durable-state.ts';
import type {EffectKind} from '../../src/machines/effects.ts';
import type {Jobspec} from '../../src/formats/jobspec.ts';
import {storeJobspec} from '../../src/formats/stored-jobspec.ts';
import type {JobContext} from '../../src/machines/job.ts';
import type {Clock} from '../../src/ports/clock.ts';
import type {Random} from '../../src/ports/random.ts';
import type {Core, FactBody, PerformerOf, Severity} from '../../src/services/core.ts';
import {EffectRunner, jobEntity, partEntity} from '../../src/broker/effect-runner.ts';
import {effectsOfJob, effectsOfPart} from '../../src/machines/effects.ts';
import {BOOT, jobspecOf, SUBMIT_MS} from './job-fixture.ts';

export class FakeCore implements Core {
	readonly state: DurableState;
	readonly rank = 0;
	readonly refusal = null;
	readonly isBehind = false;
	readonly lines: string[] = [];
	/** Jobs in the order of their allocation. */
	readonly starts: bigint[] = [];
	readonly clock: Clock;
	readonly random: Random = {float: () => 0.5, bytes: length => new Uint8Array(length), uuid: () => 'uuid'};
	readonly #runner: EffectRunner;
	readonly #listeners = new Set<(change: Change) => void>();
	readonly #last = new Map<bigint, {value: string; context: JobContext}>();
	#deferred: (() => void)[] = [];
	#pending: FactBody[] | null = null;
	#nextId = 1n;
	#nowMs = SUBMIT_MS;

	constructor(state = new DurableState()) {
		this.state = state;
		this.clock = {
			epochMs: () => (this.#nowMs += 1),
			monotonicMs: () => this.#nowMs - SUBMIT_MS,
			bootId: BOOT,
			setTimer: () => ({cancel: () => undefined}),
			defer: run => void this.#deferred.push(run),
		};
		this.#runner = new EffectRunner({leave: run => run(), advance: fact => this.post(fact)});
		this.#runner.goLive();
	}

	post(fact: FactBody): void {
		if (this.#pending !== null) {
			this.#pending.push(fact);
			return;
		}
		this.#pending = [fact];
		for (let next = this.#pending.shift(); next !== undefined; next = this.#pending.shift())
			this.#postOne(next);
		this.#pending = null;
	}

	inHand<T>(_: bigint, run: () => T): T {
		return run();
	}

	leave(leave: () => void): void {
		leave();
	}

	onChange(listener: (change: Change) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	onJob(id: bigint, listener: (change: JobChange) => void): () => void {
		return this.onChange(change => {
			if (change.kind === 'job' && change.id === id) listener(change);
		});
	}

	perform<K extends EffectKind>(kind: K, performer: PerformerOf<K>): void {
		this.#runner.register(kind, performer);
	}

	isReconciled(rank: number): boolean {
		return this.#runner.isReconciled(rank);
	}

	reconciled(rank: number): void {
		this.#runner.reconciled(rank);
	}

	unreconciled(rank: number): void {
		this.#runner.unreconciled(rank);
	}

	log(severity: Severity, message: string): void {
		this.lines.push(`${severity}: ${message}`);
	}

	/** Does what was deferred, and what that deferred. */
	settle(): void {
		for (let run = this.#deferred.shift(); run !== undefined; run = this.#deferred.shift()) run();
	}

	submit({jobspec = jobspecOf(), urgency = 16}: {jobspec?: Jobspec; urgency?: number}): bigint {
		const id = this.#nextId;
		this.#nextId += 1n;
		const stored = storeJobspec(jobspec);
		this.post({type: 'job.submit', id, userid: 1000, urgency, flags: 0, jobspec: stored, requestId: null});
		return id;
	}

	/** All parts of the job start, and end well. */
	end(id: bigint): void {
		for (const rank of Object.keys(this.lastOf(id).ranks).map(Number)) {
			const at = {type: 'job.report' as const, id, rank, bootId: BOOT};
			const started = {task: 0, pid: 1, startTicks: 1, startMs: this.#nowMs};
			const ended = {task: 0, waitStatus: 0, endMs: this.#nowMs};
			this.post({...at, seq: 1, body: {kind: 'started', tasks: [started]}});
			this.post({...at, seq: 2, body: {kind: 'exited', tasks: [ended]}});
		}
	}

	valueOf(id: bigint): string {
		return this.#last.get(id)?.value ?? 'none';
	}

	lastOf(id: bigint): JobContext {
		return this.#last.get(id)!.context;
	}

	#postOne(body: FactBody): void {
		const fact = {...body, atMs: body.atMs ?? this.clock.epochMs()} as AnyFact;
		const change = this.state.applyFact(fact);
		if (change.kind === 'job') {
			this.#last.set(change.id, change.snapshot);
			if (fact.type === 'job.alloc') this.starts.push(change.id);
			this.#runner.update(jobEntity(change.id), change.isFinal ? [] : effectsOfJob(change.snapshot));
		} else if (change.kind === 'part') {
			this.#runner.update(partEntity(change.key), change.isFinal ? [] : effectsOfPart(change.snapshot));
		}
		for (const listener of this.#listeners) listener(change);
	}
}
