/**
 * The queues of the instance: what the configuration says of each, and whether it is enabled and started, which is durable.
 * Without any in the configuration there is one, the anonymous one, with the name ''.
 */
import {SystemError} from '../../formats/errno.ts';
import type {Constraint} from '../../formats/constraint.ts';
import type {Jobspec} from '../../formats/jobspec.ts';
import {isEnabled, isStarted, type QueueSnapshot} from '../../machines/queue.ts';
import type {Core} from '../core.ts';
import {checkLimits, policyOver, withDefaultDuration, type JobPolicy} from './job-policy.ts';

export interface QueuePolicy {
	/** A job of this queue runs only on ranks that have all of these properties. */
	readonly requires: readonly string[];
	/** The longest duration of a job, or null: no limit. */
	readonly durationMsMax: number | null;
	/** Over the instance's; absent: there is none. */
	readonly policy?: JobPolicy;
}

export interface QueueStatus {
	readonly enable: boolean;
	readonly start: boolean;
	/** '' where none was given. */
	readonly disableReason: string;
	readonly stopReason: string;
}

/** Which of the two switches. */
export type QueueSwitch = 'enable' | 'start';

export const ANONYMOUS = '';
/** So long may a reason be. */
export const QUEUE_REASON_LENGTH_MAX = 4096;

const NO_POLICY: QueuePolicy = {requires: [], durationMsMax: null};
const FACTS = {
	enable: {on: 'queue.enable', off: 'queue.disable'},
	start: {on: 'queue.start', off: 'queue.stop'},
} as const;

export class Queues {
	/** Of the configuration; empty: there is only the anonymous one. */
	readonly names: readonly string[];
	readonly #core: Core;
	readonly #policies: ReadonlyMap<string, QueuePolicy>;
	readonly #policy: JobPolicy;
	readonly #effective = new Map<string, JobPolicy>();

	/** @param policy what holds in all queues, where they do not say otherwise. */
	constructor(core: Core, policies: Readonly<Record<string, QueuePolicy>> = {}, policy: JobPolicy = {}) {
		this.#core = core;
		this.#policy = policy;
		this.names = Object.keys(policies).sort();
		this.#policies =
			this.names.length === 0 ? new Map([[ANONYMOUS, NO_POLICY]]) : new Map(Object.entries(policies));
	}

	/** The constraint that jobs of a queue have beside their own, or null. */
	constraintOf(name: string): Constraint | null {
		const {requires} = this.#policies.get(name) ?? NO_POLICY;
		return requires.length === 0 ? null : {properties: requires};
	}

	/** Whether the configuration has it. */
	has(name: string): boolean {
		return this.#policies.has(name);
	}

	/** Whether its jobs may get resources. */
	isStarted(name: string): boolean {
		const queue = this.#core.state.queues.get(name);
		return this.has(name) && (queue === undefined || isStarted(queue));
	}

	/** @throws {SystemError} ENOENT */
	statusOf(name: string): QueueStatus {
		this.#check(name);
		return statusOf(this.#core.state.queues.get(name));
	}

	/**
	 * Turns a switch of one queue, or of all (`name` null). One that is as asked stays so, but for its reason.
	 * @throws {SystemError} EINVAL without a name where queues have names, ENOENT.
	 */
	turn(which: QueueSwitch, {name, isOn, reason}: {name: string | null; isOn: boolean; reason: string}): void {
		if (reason.length > QUEUE_REASON_LENGTH_MAX) {
			throw new SystemError('EINVAL', `a reason may have at most ${QUEUE_REASON_LENGTH_MAX} characters`);
		}
		const names = name === null ? [...this.#policies.keys()] : [name];
		for (const queue of names) this.#check(queue);
		for (const queue of names) {
			if (isOn && this.statusOf(queue)[which]) continue;
			if (isOn) this.#core.post({type: FACTS[which].on, queue});
			else this.#core.post({type: FACTS[which].off, queue, reason});
		}
	}

	/**
	 * Whether a job may come in; returns its jobspec with the default queue and duration where it has none.
	 * @throws {SystemError} EINVAL: its queue is not there or disabled, or it asks for more than the policy admits.
	 */
	admit(jobspec: Jobspec): Jobspec {
		const asked = this.#withQueue(jobspec);
		const name = asked.attributes.system.queue ?? ANONYMOUS;
		if (!this.has(name)) throw new SystemError('EINVAL', this.#explain(name));
		const {enable, disableReason} = this.statusOf(name);
		if (!enable) {
			const what =
				name === ANONYMOUS ? 'job submission is disabled' : `job submission to ${name} is disabled`;
			throw new SystemError('EINVAL', disableReason === '' ? what : `${what}: ${disableReason}`);
		}
		const policy = this.policyOf(name);
		const admitted = withDefaultDuration(asked, policy);
		checkLimits(admitted, policy, name === ANONYMOUS ? 'the instance' : `queue ${name}`);
		return admitted;
	}

	/** What jobs of the queue may ask for. */
	policyOf(name: string): JobPolicy {
		const known = this.#effective.get(name);
		if (known !== undefined) return known;
		const {durationMsMax, policy = {}} = this.#policies.get(name) ?? NO_POLICY;
		const own = durationMsMax === null ? policy : {durationMsMax, ...policy};
		const effective = policyOver(own, this.#policy);
		this.#effective.set(name, effective);
		return effective;
	}

	#withQueue(jobspec: Jobspec): Jobspec {
		const {queueDefault} = this.#policy;
		const {attributes} = jobspec;
		if (queueDefault === undefined || attributes.system.queue !== undefined) return jobspec;
		return {...jobspec, attributes: {...attributes, system: {...attributes.system, queue: queueDefault}}};
	}

	#check(name: string): void {
		if (!this.has(name)) throw new SystemError(name === ANONYMOUS ? 'EINVAL' : 'ENOENT', this.#explain(name));
	}

	#explain(name: string): string {
		if (name === ANONYMOUS) return `a queue must be named: ${this.names.join(', ')}`;
		return this.names.length === 0
			? `no queue '${name}': this instance has no named queues`
			: `no queue '${name}', there are ${this.names.join(', ')}`;
	}
}

/** The queue that a job asks for. */
export function queueOf(jobspec: Jobspec): string {
	return jobspec.attributes.system.queue ?? ANONYMOUS;
}

function statusOf(queue: QueueSnapshot | undefined): QueueStatus {
	if (queue === undefined) return {enable: true, start: true, disableReason: '', stopReason: ''};
	const {disableReason, stopReason} = queue.context;
	return {enable: isEnabled(queue), start: isStarted(queue), disableReason, stopReason};
}
