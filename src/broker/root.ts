/** What only the root runs: job manager, scheduler, resources, and what tells about jobs. */
import {ResourceSet} from '../formats/resource-set.ts';
import type {ServiceRegistry} from '../net/service-registry.ts';
import {Archive} from '../services/archive.ts';
import {JobInfo} from '../services/job-info/job-info.ts';
import {registerJobInfo} from '../services/job-info/topics.ts';
import {JobList} from '../services/job-list/job-list.ts';
import {registerJobList} from '../services/job-list/topics.ts';
import {JobManager} from '../services/job-manager/job-manager.ts';
import {registerJobManager} from '../services/job-manager/topics.ts';
import type {Membership} from '../services/membership.ts';
import type {Peers} from '../services/peers.ts';
import {ResourcePool} from '../services/resource/pool.ts';
import {Scheduler} from '../services/scheduler/scheduler.ts';
import type {EventLog} from '../store/event-log.ts';
import type {Runtime} from './runtime.ts';

export interface RootOptions {
	readonly core: Runtime;
	readonly peers: Peers;
	readonly log: EventLog;
	readonly registry: ServiceRegistry;
	readonly membership: Membership;
	readonly resources: ResourceSet;
	/** `exec.lease`; null: none. */
	readonly leaseMs: number | null;
}

export class Root {
	readonly manager: JobManager;
	readonly pool: ResourcePool;
	readonly #options: RootOptions;
	#scheduler: Scheduler | null = null;

	constructor(options: RootOptions) {
		const {core, peers, log, registry, membership, resources} = options;
		this.#options = options;
		const archive = new Archive(log);
		this.pool = new ResourcePool(resources);
		this.manager = new JobManager({
			core,
			peers,
			archive,
			membership,
			leaseMs: options.leaseMs,
			onJoined: () => this.wake(),
			ghosts: {
				restart: () => undefined,
				hold: ({id}, R) => {
					if (R !== null && !core.state.jobs.has(id)) this.pool.hold(id, ResourceSet.parse(R));
				},
				release: ({id}) => {
					if (core.state.jobs.has(id)) return;
					this.pool.release(id);
					this.wake();
				},
			},
		});
		registerJobManager({core, registry, manager: this.manager, archive});
		registerJobList(registry, new JobList(core, archive));
		registerJobInfo(registry, new JobInfo({core, peers, archive}));
		membership.onChange(() => this.wake());
	}

	/** After the replay, since it derives what is held from the state. */
	start(): void {
		this.#scheduler = new Scheduler(this.#options.core, this.pool);
	}

	/** Looks at the queue again. */
	wake(): void {
		this.#scheduler?.wake();
	}
}
