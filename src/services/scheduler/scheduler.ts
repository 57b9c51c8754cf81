/**
 * The scheduler: first in, first out within a priority, without overtaking. The job at the head waits for its resources,
 * and those behind it wait for the head. Its queue and its view of what is held are derived from the jobs' states.
 */
import {requestOf, type Jobspec} from '../../formats/jobspec.ts';
import {ResourceSet} from '../../formats/resource-set.ts';
import type {Change} from '../../machines/durable-state.ts';
import type {JobSnapshot} from '../../machines/job.ts';
import type {Core} from '../core.ts';
import type {ResourcePool} from '../resource/pool.ts';
import {JobQueue, type QueueEntry} from './queue.ts';

export class Scheduler {
	readonly queue = new JobQueue();
	readonly #core: Core;
	readonly #pool: ResourcePool;
	#isDue = false;

	constructor(core: Core, pool: ResourcePool) {
		this.#core = core;
		this.#pool = pool;
		for (const job of core.state.jobs.values()) this.#holdOf(job);
		for (const {id, job} of core.state.lost.values()) {
			if (job?.context.hasResources === true && job.context.R !== null) {
				pool.hold(id, ResourceSet.parse(job.context.R));
			}
		}
		core.perform('alloc', {
			perform: entry => {
				this.queue.add(entry);
				this.wake();
			},
			withdraw: entry => this.queue.remove(entry),
		});
		core.onChange(change => this.#changed(change));
	}

	/** Looks at the queue again after the work at hand: resources came, or a rank is up. */
	wake(): void {
		if (this.#isDue) return;
		this.#isDue = true;
		this.#core.clock.defer(() => {
			this.#isDue = false;
			this.#run();
		});
	}

	#run(): void {
		if (this.#core.refusal !== null || this.#core.state.broker.value === 'stopping') return;
		for (let head = this.queue.first; head !== undefined; head = this.queue.first) {
			if (!this.#schedule(head)) return;
		}
	}

	/** False: the head must wait, and so must all others. */
	#schedule({id, priority}: QueueEntry): boolean {
		const job = this.#core.state.jobs.get(id);
		if (job?.value !== 'sched') {
			this.queue.remove({id, priority});
			return true;
		}
		const jobspec = job.context.jobspec as unknown as Jobspec;
		const request = requestOf(jobspec);
		const found = this.#pool.find(request, rank => this.#core.isReconciled(rank));
		if (found !== null) {
			const startMs = this.#core.clock.epochMs();
			const durationMs = jobspec.attributes.system.duration * 1000;
			const R = found.withInfo({
				nslots: request.nslots,
				starttime: startMs / 1000,
				expiration: durationMs === 0 ? 0 : (startMs + durationMs) / 1000,
			});
			this.#core.post({
				type: 'job.alloc',
				id,
				R: R.encode() as unknown as Readonly<Record<string, unknown>>,
				ranks: [...R.ranks.keys()],
			});
			return true;
		}
		if (this.#pool.isFeasible(request)) return false;
		this.#core.post({
			type: 'job.exception',
			id,
			exception: 'alloc',
			severity: 0,
			note: `unsatisfiable request: ${describeTotal(this.#pool)}`,
			userid: -1,
		});
		return true;
	}

	#changed(change: Change): void {
		if (change.kind !== 'job') return;
		this.#holdOf(change.snapshot);
	}

	#holdOf({context: {id, hasResources, R}}: JobSnapshot): void {
		const isHeld = this.#pool.held.has(id);
		if (hasResources && !isHeld && R !== null) {
			this.#pool.hold(id, ResourceSet.parse(R));
		} else if (!hasResources && isHeld) {
			this.#pool.release(id);
			this.wake();
		}
	}
}

function describeTotal({total}: ResourcePool): string {
	return `the instance has ${total.nodeCount} node(s), ${total.coreCount} core(s), ${total.gpuCount} gpu(s)`;
}
