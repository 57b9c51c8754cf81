/** Nodes, queues and the scheduler of the root, wired together, with their topics. */
import {SystemError} from '../formats/errno.ts';
import type {Idset} from '../formats/idset.ts';
import type {Jobspec} from '../formats/jobspec.ts';
import type {PerilogPlan} from '../machines/job-perilog.ts';
import type {ServiceRegistry} from '../net/service-registry.ts';
import type {Core} from './core.ts';
import type {Membership} from './membership.ts';
import type {JobPolicy} from './queue/job-policy.ts';
import {Queues, type QueuePolicy} from './queue/queues.ts';
import {registerQueue} from './queue/topics.ts';
import {Resources} from './resource/resources.ts';
import {registerResource} from './resource/topics.ts';
import {bypassOf} from './scheduler/bypass.ts';
import {Scheduler} from './scheduler/scheduler.ts';

/** What the configuration says about scheduling. */
export interface SchedulingPolicy {
	/** Ranks on which nothing is ever scheduled. */
	readonly exclude: Idset;
	/** By name; empty: there is one queue, without a name. */
	readonly queues: Readonly<Record<string, QueuePolicy>>;
	/** What runs on each rank before and after the tasks of a job; absent: nothing. */
	readonly perilog?: PerilogPlan;
	/** What jobs of all queues may ask for; absent: anything. */
	readonly policy?: JobPolicy;
}

export interface SchedulingOptions {
	readonly core: Core;
	readonly membership: Membership;
	readonly registry: ServiceRegistry;
	/** Default: nothing is excluded, and there is one queue. */
	readonly policy?: SchedulingPolicy;
}

export class Scheduling {
	readonly resources: Resources;
	readonly queues: Queues;
	readonly #core: Core;
	readonly #perilog: PerilogPlan | undefined;
	#scheduler: Scheduler | null = null;

	constructor({core, membership, registry, policy}: SchedulingOptions) {
		this.#core = core;
		this.#perilog = policy?.perilog;
		this.resources = new Resources({
			core,
			membership,
			...(policy === undefined ? {} : {exclude: policy.exclude}),
		});
		this.queues = new Queues(core, policy?.queues, policy?.policy);
		registerResource({core, registry, resources: this.resources});
		registerQueue({core, registry, queues: this.queues});
	}

	/** After the replay, since what is held is derived from the state, and before effects are performed. */
	begin(): void {
		const {resources, queues} = this;
		resources.begin();
		const perilog = this.#perilog === undefined ? {} : {perilog: this.#perilog};
		this.#scheduler = new Scheduler({core: this.#core, resources, queues, ...perilog});
	}

	/** A rank was reconciled: looks at the queues again. */
	wake(): void {
		this.#scheduler?.wake();
	}

	/**
	 * Whether a job can be taken in; returns its jobspec with the defaults of the policy.
	 * @throws {SystemError} as its queue has it; EHOSTUNREACH when it names ranks itself and one is out of contact.
	 */
	admit(jobspec: Jobspec): Jobspec {
		const admitted = this.queues.admit(jobspec);
		for (const [rank, {host}] of bypassOf(jobspec)?.ranks ?? []) {
			if (this.#core.isReconciled(rank)) continue;
			throw new SystemError('EHOSTUNREACH', `rank ${rank} (${host}) is out of contact`);
		}
		return admitted;
	}

	/** Why a job has no resources yet; null: it does not wait for any. */
	whyPending(id: bigint): string | null {
		return this.#scheduler?.whyPending(id) ?? null;
	}
}
