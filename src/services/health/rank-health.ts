/**
 * What a broker knows of its own health: requests that are pending and their age, its event loop, its disk, its job shell.
 * Invariant: it answers within `SHELL_PROBE_MS`, whatever is stuck.
 */
import type {ProcessHost} from '../../ports/process-host.ts';
import {SystemError} from '../../formats/errno.ts';
import type {RpcContext} from '../../machines/rpc.ts';
import {SCATTER_TOPIC} from '../../net/overlay/scatter.ts';
import {serviceOf} from '../../net/message.ts';
import type {EventLog} from '../../store/event-log.ts';
import type {Core} from '../core.ts';
import type {JobExec} from '../job-exec/job-exec.ts';
import type {RoutedPeers} from '../routed-peers.ts';
import {LoopProbe} from './loop-probe.ts';

/** Above these a broker is unhealthy. */
export const LOOP_DELAY_MS_MAX = 1000;
export const COMMIT_MS_MAX = 2000;
export const REQUEST_MS_MAX = 5000;
export const RECONCILE_MS_MAX = 5000;
/** A job shell that says nothing for so long is stopped. */
export const SHELL_PROBE_MS = 1000;

export interface PendingRequests {
	readonly service: string;
	readonly topic: string;
	readonly count: number;
	/** Of the oldest, seconds. */
	readonly age: number;
	/** The neighbour that they were passed on to; null: a service of this broker owes the answer. */
	readonly neighbour: number | null;
}

/** Something that is wrong: where, since when (seconds), and in words. */
export interface Problem {
	readonly service: string;
	readonly topic: string;
	readonly age: number;
	readonly text: string;
}

export interface RankHealth {
	readonly rank: number;
	readonly hostname: string;
	/** Seconds. */
	readonly loop_delay: number;
	readonly commit_latency: number;
	readonly pending: readonly PendingRequests[];
	readonly problems: readonly Problem[];
}

export interface RankHealthOptions {
	readonly core: Core;
	readonly peers: RoutedPeers;
	readonly log: Pick<EventLog, 'commitAgeMs' | 'commitLatencyMs'>;
	readonly exec: Pick<JobExec, 'isReconciled'>;
	readonly host: ProcessHost;
	readonly hostname: string;
	/** Input that made this broker panic and is not taken any more, in sentences. */
	readonly refused?: readonly string[];
}

export class HealthOfRank {
	readonly #options: RankHealthOptions;
	readonly #loop: LoopProbe;
	readonly #startMs: number;

	constructor(options: RankHealthOptions) {
		this.#options = options;
		this.#loop = new LoopProbe(options.core.clock);
		this.#startMs = options.core.clock.monotonicMs();
	}

	/** @param service only requests to it, and problems with it; null: all. */
	async report(service: string | null): Promise<RankHealth> {
		const {core, hostname, log} = this.#options;
		const shell = await this.#probeShell();
		const isMeant = (one: {readonly service: string}) => service === null || one.service === service;
		const pending = this.#pending().filter(isMeant);
		const problems = [...this.#brokerProblems(), ...shell, ...pending.flatMap(problemOf)].filter(isMeant);
		return {
			rank: core.rank,
			hostname,
			loop_delay: this.#loop.delayMs / 1000,
			commit_latency: log.commitLatencyMs / 1000,
			pending,
			problems,
		};
	}

	#brokerProblems(): readonly Problem[] {
		const {core, log, exec} = this.#options;
		const upMs = core.clock.monotonicMs() - this.#startMs;
		const problems: Problem[] = [];
		const add = (service: string, topic: string, {ms, text}: {readonly ms: number; readonly text: string}) =>
			problems.push({service, topic, age: ms / 1000, text});
		if (core.refusal !== null) add('event-log', 'safe-mode', {ms: upMs, text: core.refusal});
		else if (!exec.isReconciled && upMs > RECONCILE_MS_MAX) {
			const text = 'what is on this node has not been compared with the root so far';
			add('job-exec', 'inventory', {ms: upMs, text});
		}
		for (const text of this.#options.refused ?? []) add('broker', 'panic', {ms: upMs, text});
		if (this.#loop.delayMs > LOOP_DELAY_MS_MAX) {
			add('broker', 'event-loop', {ms: this.#loop.delayMs, text: 'the event loop stood still'});
		}
		if (log.commitLatencyMs > COMMIT_MS_MAX) {
			const text = log.commitAgeMs > COMMIT_MS_MAX ? 'the disk does not take a commit' : 'commits are slow';
			add('event-log', 'commit', {ms: log.commitLatencyMs, text});
		}
		return problems;
	}

	/**
	 * Asks the shell for what it must refuse: an answer is a sign of life. Only one that we have contact with: a question to
	 * another would start it, and safe mode touches nothing.
	 */
	#probeShell(): Promise<readonly Problem[]> {
		const {core, host} = this.#options;
		const startMs = core.clock.monotonicMs();
		const {shellPid, fault} = host.attributes();
		if (fault != null) {
			return Promise.resolve([
				{service: 'job-exec', topic: 'shell', age: fault.ageMs / 1000, text: fault.text},
			]);
		}
		if (shellPid === null || core.refusal !== null) return Promise.resolve([]);
		return new Promise(resolve => {
			const timer = core.clock.setTimer(SHELL_PROBE_MS, () => {
				const who = `the job shell (pid ${shellPid})`;
				const age = (core.clock.monotonicMs() - startMs) / 1000;
				resolve([{service: 'job-exec', topic: 'shell', age, text: `${who} does not answer: is it stopped?`}]);
			});
			const answered = () => {
				timer.cancel();
				resolve([]);
			};
			host.signal(NO_PART, 0).then(answered, (error: unknown) => {
				if (error instanceof SystemError && error.code === 'ETIMEDOUT') return;
				answered();
			});
		});
	}

	#pending(): readonly PendingRequests[] {
		const {core, peers} = this.#options;
		const groups = new Map<string, {topic: string; neighbour: number | null; count: number; ageMs: number}>();
		const add = (topic: string, neighbour: number | null, ageMs: number) => {
			if (isOwn(topic)) return;
			const key = `${neighbour} ${topic}`;
			const group = groups.get(key) ?? {topic, neighbour, count: 0, ageMs: 0};
			group.count += 1;
			group.ageMs = Math.max(group.ageMs, ageMs);
			groups.set(key, group);
		};
		const nowMs = core.clock.epochMs();
		for (const {value, context} of core.state.rpcs.values()) {
			// Streams that have begun are no debt.
			if (value === 'pending') add(context.topic, neighbourOf(context), nowMs - context.openedMs);
		}
		for (const {topic, sinceMs} of peers.serving) add(topic, null, core.clock.monotonicMs() - sinceMs);
		return [...groups.values()].map(({topic, neighbour, count, ageMs}) => ({
			service: serviceOf(topic),
			topic,
			count,
			age: ageMs / 1000,
			neighbour,
		}));
	}
}

/** Job ids begin at 1. */
const NO_PART = {id: 0n, attempt: 0};

/** Only whoever owes the answer is to blame, not those who passed the request on. */
function problemOf({service, topic, count, age, neighbour}: PendingRequests): readonly Problem[] {
	if (neighbour !== null || isWait(topic) || age * 1000 <= REQUEST_MS_MAX) return [];
	return [
		{service, topic, age, text: count === 1 ? 'a request has no answer' : `${count} requests have no answer`},
	];
}

function neighbourOf({target}: RpcContext): number | null {
	const rank = /^rank (\d+)$/.exec(target)?.[1];
	return rank === undefined ? null : Number(rank);
}

/** What the question itself makes pending. */
function isOwn(topic: string): boolean {
	return topic === SCATTER_TOPIC || topic === 'broker.health' || topic.startsWith('health.');
}

/** Requests whose sender wants to wait, or that may take long. */
function isWait(topic: string): boolean {
	return WAITS.has(topic) || topic.startsWith('event-log.') || topic.endsWith('-watch');
}

const WAITS: ReadonlySet<string> = new Set([
	'event.subscribe',
	'job-list.list-id',
	'job-manager.wait',
	'job-manager.drain',
	'job-manager.idle',
	'log.dmesg',
	'overlay.ready',
	'overlay.trace',
	'repl.state',
	'shutdown.start',
	'broker.stop',
]);
