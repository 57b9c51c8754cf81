/** What a broker knows of its own health: pending requests with their age, its event loop, its disk, its shell. */
import type {RpcServer} from '../net/rpc-server.ts';
import type {ServiceRegistry} from '../net/service-registry.ts';
import type {Clock} from '../ports/clock.ts';
import type {Core} from '../services/core.ts';
import {Fields} from '../services/fields.ts';
import type {JobExec} from '../services/job-exec/job-exec.ts';
import type {EventLog} from '../store/event-log.ts';

/** Above these a broker is unhealthy. */
const LOOP_DELAY_MS_MAX = 1000;
const COMMIT_MS_MAX = 2000;
const REQUEST_MS_MAX = 30_000;
/** The event loop is measured so often. */
const LOOP_PROBE_MS = 500;

export interface HealthOptions {
	readonly core: Core;
	readonly registry: ServiceRegistry;
	readonly server: RpcServer;
	readonly log: EventLog;
	readonly exec: JobExec;
	readonly options: {
		readonly rank: number;
		readonly hostname: string;
		readonly ports: {readonly clock: Clock};
	};
}

export function registerHealth({core, registry, log, exec, options}: HealthOptions): void {
	const loop = new LoopProbe(options.ports.clock);
	registry.register('broker.health', request => {
		const fields = new Fields(request);
		const service = fields.any('service') === undefined ? null : fields.text('service');
		const {rank, hostname} = options;
		const pending = pendingOf(core, service);
		const problems: string[] = [];
		if (core.refusal !== null) problems.push(core.refusal);
		else if (!exec.isReconciled) problems.push('the job shell has not given its inventory');
		if (loop.delayMs > LOOP_DELAY_MS_MAX)
			problems.push(`event loop was late by ${Math.round(loop.delayMs)} ms`);
		if (log.commitAgeMs > COMMIT_MS_MAX) {
			problems.push(`a commit of the event log has taken ${Math.round(log.commitAgeMs)} ms so far`);
		}
		for (const {topic, age} of pending) {
			if (age * 1000 > REQUEST_MS_MAX) problems.push(`${topic} has been pending for ${age.toFixed(1)} s`);
		}
		request.respond({
			rank,
			hostname,
			loop_delay: loop.delayMs / 1000,
			commit_latency: log.commitAgeMs / 1000,
			pending,
			problems,
		});
	});
}

interface Pending {
	readonly service: string;
	readonly topic: string;
	readonly count: number;
	/** Of the oldest, seconds. */
	readonly age: number;
}

/** Requests without an answer; streams that have begun are no debt. */
function pendingOf(core: Core, service: string | null): readonly Pending[] {
	const byTopic = new Map<string, {count: number; openedMs: number}>();
	for (const {value, context} of core.state.rpcs.values()) {
		if (value !== 'pending' || context.topic === 'broker.health' || isWait(context.topic)) continue;
		if (service !== null && !context.topic.startsWith(`${service}.`)) continue;
		const entry = byTopic.get(context.topic) ?? {count: 0, openedMs: context.openedMs};
		entry.count += 1;
		entry.openedMs = Math.min(entry.openedMs, context.openedMs);
		byTopic.set(context.topic, entry);
	}
	const nowMs = core.clock.epochMs();
	return [...byTopic].map(([topic, {count, openedMs}]) => ({
		service: topic.slice(0, topic.lastIndexOf('.')),
		topic,
		count,
		age: Math.max(0, nowMs - openedMs) / 1000,
	}));
}

/** Requests whose sender wants to wait. */
function isWait(topic: string): boolean {
	return topic === 'job-manager.wait' || topic.endsWith('-watch');
}

class LoopProbe {
	delayMs = 0;

	constructor(clock: Clock) {
		const probe = (dueMs: number) => {
			const lateMs = clock.monotonicMs() - dueMs;
			// A single long turn is remembered for a while, so that someone can see it.
			this.delayMs = Math.max(lateMs, this.delayMs * 0.9);
			clock.setTimer(LOOP_PROBE_MS, () => probe(clock.monotonicMs()));
		};
		const startMs = clock.monotonicMs() + LOOP_PROBE_MS;
		clock.setTimer(LOOP_PROBE_MS, () => probe(startMs));
	}
}
