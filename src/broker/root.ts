/** What only the root runs: job manager, nodes, queues and scheduler, and what tells about jobs. */
import type {ServiceRegistry} from '../net/service-registry.ts';
import {Archive} from '../services/archive.ts';
import {JobInfo} from '../services/job-info/job-info.ts';
import {registerJobInfo} from '../services/job-info/topics.ts';
import {JobInput} from '../services/job-input/job-input.ts';
import {registerJobInput} from '../services/job-input/topics.ts';
import {JobList} from '../services/job-list/job-list.ts';
import {registerJobList} from '../services/job-list/topics.ts';
import {JobManager} from '../services/job-manager/job-manager.ts';
import type {PurgeLimits} from '../services/job-manager/job-purge.ts';
import {registerJobManager} from '../services/job-manager/topics.ts';
import type {Membership} from '../services/membership.ts';
import type {Peers} from '../services/peers.ts';
import {Scheduling, type SchedulingPolicy} from '../services/scheduling.ts';
import type {EventLog} from '../store/event-log.ts';
import type {Runtime} from './runtime.ts';

export interface RootOptions {
	readonly core: Runtime;
	readonly peers: Peers;
	readonly log: EventLog;
	readonly registry: ServiceRegistry;
	readonly membership: Membership;
	readonly scheduling: SchedulingPolicy;
	/** Which finished jobs are kept; absent: all. */
	readonly retention: PurgeLimits | undefined;
	/** `exec.lease`; null: none. */
	readonly leaseMs: number | null;
}

export class Root {
	readonly manager: JobManager;
	readonly scheduling: Scheduling;

	constructor(options: RootOptions) {
		const {core, peers, log, registry, membership} = options;
		const archive = new Archive(log);
		const scheduling = new Scheduling({core, membership, registry, policy: options.scheduling});
		this.scheduling = scheduling;
		this.manager = new JobManager({
			core,
			peers,
			archive,
			membership,
			leaseMs: options.leaseMs,
			...(options.retention === undefined ? {} : {retention: options.retention}),
			onJoined: () => this.wake(),
			nodes: scheduling.resources,
			ghosts: scheduling.resources.ghosts,
			admit: jobspec => scheduling.admit(jobspec),
		});
		registerJobManager({core, registry, manager: this.manager, archive});
		registerJobList(registry, new JobList(core, archive, id => scheduling.whyPending(id)));
		const info = new JobInfo({core, peers, archive});
		registerJobInfo(registry, info);
		registerJobInput(registry, new JobInput({core, peers, archive, onInput: id => info.expectOutput(id)}));
	}

	/** After the replay, since it derives what is held from the state. */
	start(): void {
		this.scheduling.begin();
		this.manager.purge.begin();
	}

	/** Looks at the queues again. */
	wake(): void {
		this.scheduling.wake();
	}
}
