/**
 * The scheduler: in each queue first in, first out within a priority, without overtaking: the first job waits for its
 * resources, and those behind it wait for it. Two exceptions: a queue that waits holds up no other queue, and a job
 * that could not run even if all nodes that are up were free, since it needs some that are away, holds up nobody; when the nodes
 * change, it is the first again. What it knows is derived from the states of jobs, nodes and queues.
 */
import {requestOf} from '../../formats/jobspec.ts';
import type {ResourceSet} from '../../formats/resource-set.ts';
import {outlineOf} from '../../formats/stored-jobspec.ts';
import type {PerilogPlan} from '../../machines/job-perilog.ts';
import type {Core} from '../core.ts';
import {Queues, queueOf} from '../queue/queues.ts';
import type {Resources} from '../resource/resources.ts';
import {bypassOf} from './bypass.ts';
import {explainAway, explainBusy, explainNever} from './explain.ts';
import {admitsOf, NeedsReader, type Needs} from './needs.ts';
import {isBefore, JobQueue, type QueueEntry} from './queue.ts';

/** So many jobs are looked at in a row before others have their turn on the event loop. */
export const JOBS_PER_PASS_MAX = 128;

export interface SchedulerOptions {
	readonly core: Core;
	readonly resources: Resources;
	/** Default: one without a name. */
	readonly queues?: Queues;
	/** What runs before and after the tasks of each job that is scheduled; default: nothing. */
	readonly perilog?: PerilogPlan;
}

type Outcome = 'over' | 'waits' | 'away';

interface Place {
	readonly queue: string;
	readonly entry: QueueEntry;
}

export class Scheduler {
	readonly #core: Core;
	readonly #resources: Resources;
	readonly #queues: Queues;
	readonly #perilog: PerilogPlan | undefined;
	readonly #needs: NeedsReader;
	readonly #waiting = new Map<string, JobQueue>();
	readonly #places = new Map<bigint, Place>();
	/** Jobs that name their resources themselves, until they have them. */
	readonly #bypassing = new Set<bigint>();
	/** Jobs that need nodes that are away, until the nodes change, with the reason. */
	readonly #away = new Map<bigint, string>();
	/** Why the first job of a queue waits. */
	readonly #blocked = new Map<string, {readonly id: bigint; readonly reason: string}>();
	/** The same by what is needed, so that many equal jobs cost no more than one. */
	readonly #awayReasons = new Map<string, string>();
	/** Ranks that got new work in the pass before. */
	#ready: ReadonlySet<number> = new Set();
	#definitions = 0;
	/** Whether to look at every node again: that costs as much as there are nodes. */
	#isStale = true;
	#isDue = false;

	constructor({core, resources, queues = new Queues(core), perilog}: SchedulerOptions) {
		this.#core = core;
		this.#perilog = perilog;
		this.#resources = resources;
		this.#queues = queues;
		this.#needs = new NeedsReader(resources, queues);
		core.perform('alloc', {
			perform: ({id, priority}) => this.#add({id, priority}),
			withdraw: ({id, priority}) => this.#remove({id, priority}),
		});
		resources.onChange(what => (what === 'nodes' ? this.wake() : this.#wake()));
		core.onChange(({kind}) => {
			if (kind === 'queue') this.#wake();
		});
	}

	/** The jobs of a queue that wait, in the order of their turn; without those that need nodes that are away. */
	queueOf(name: string): JobQueue {
		const known = this.#waiting.get(name);
		if (known !== undefined) return known;
		const queue = new JobQueue();
		this.#waiting.set(name, queue);
		return queue;
	}

	/** Looks at nodes and queues again after the work at hand: a rank was reconciled, or came or went. */
	wake(): void {
		this.#isStale = true;
		this.#wake();
	}

	#wake(): void {
		if (this.#isDue) return;
		this.#isDue = true;
		this.#core.clock.defer(() => {
			this.#isDue = false;
			this.#run();
		});
	}

	/** Why a job has no resources yet, in one sentence; null: it does not wait for any. */
	whyPending(id: bigint): string | null {
		if (this.#bypassing.has(id)) return 'a rank that it names is out of contact';
		const place = this.#places.get(id);
		if (place === undefined) return null;
		const {queue, entry} = place;
		const name = queue === '' ? 'the queue' : `queue ${queue}`;
		if (!this.#queues.has(queue)) return `${name} is no longer in the configuration`;
		if (!this.#queues.isStarted(queue)) {
			const {stopReason} = this.#queues.statusOf(queue);
			return `${name} is stopped${stopReason === '' ? '' : `: ${stopReason}`}`;
		}
		const away = this.#away.get(id);
		if (away !== undefined) return away;
		const blocked = this.#blocked.get(queue);
		if (blocked?.id === id) return blocked.reason;
		const ahead = this.queueOf(queue).positionOf(entry);
		return ahead === 0 ? null : `${ahead} job(s) ahead in ${name}`;
	}

	#add(entry: QueueEntry): void {
		const job = this.#core.state.jobs.get(entry.id);
		if (job !== undefined && bypassOf(outlineOf(job.context.jobspec)) !== null) {
			this.#bypassing.add(entry.id);
			this.wake();
			return;
		}
		const queue = job === undefined ? '' : queueOf(outlineOf(job.context.jobspec));
		this.#places.set(entry.id, {queue, entry});
		this.queueOf(queue).add(entry);
		// Behind one that waits there is nothing new to be found.
		if (this.queueOf(queue).first?.id === entry.id) this.#wake();
	}

	#remove(entry: QueueEntry): void {
		this.#bypassing.delete(entry.id);
		const place = this.#places.get(entry.id);
		if (place?.entry.priority !== entry.priority) return;
		this.#places.delete(entry.id);
		this.#away.delete(entry.id);
		const queue = this.queueOf(place.queue);
		if (queue.first?.id === entry.id) this.#wake();
		queue.remove(entry);
	}

	#run(): void {
		if (this.#core.refusal !== null || this.#core.state.broker.value === 'stopping') return;
		for (const id of [...this.#bypassing]) this.#core.inHand(id, () => this.#grant(id));
		this.#look();
		const isOver = new Set<string>();
		for (let looked = 0; looked < JOBS_PER_PASS_MAX; looked += 1) {
			const head = this.#nextHead(isOver);
			if (head === null) return;
			const outcome = this.#core.inHand(head.entry.id, () => this.#schedule(head));
			if (outcome === 'waits') isOver.add(head.queue);
			else this.#blocked.delete(head.queue);
		}
		this.#wake();
	}

	/** Looks who may get new work; after a change, jobs that waited for it have their turn again. */
	#look(): void {
		if (!this.#isStale) return;
		this.#isStale = false;
		const {pool, definitions} = this.#resources;
		const ready = new Set<number>();
		for (const rank of pool.total.ranks.keys()) if (this.#resources.isReady(rank)) ready.add(rank);
		const isSame =
			definitions === this.#definitions &&
			ready.size === this.#ready.size &&
			[...ready].every(rank => this.#ready.has(rank));
		this.#ready = ready;
		this.#definitions = definitions;
		if (isSame) return;
		this.#awayReasons.clear();
		for (const id of this.#away.keys()) {
			const place = this.#places.get(id);
			if (place !== undefined) this.queueOf(place.queue).add(place.entry);
		}
		this.#away.clear();
	}

	/** The first job of all queues that are started and not over in this pass. */
	#nextHead(isOver: ReadonlySet<string>): Place | null {
		let first: Place | null = null;
		for (const [queue, {first: entry}] of this.#waiting) {
			if (entry === undefined || isOver.has(queue) || !this.#queues.isStarted(queue)) continue;
			if (first === null || isBefore(entry, first.entry)) first = {queue, entry};
		}
		return first;
	}

	#schedule({queue, entry}: Place): Outcome {
		const {id} = entry;
		const job = this.#core.state.jobs.get(id);
		if (job?.value !== 'sched') {
			this.queueOf(queue).remove(entry);
			this.#places.delete(id);
			return 'over';
		}
		const needs = this.#needs.read(outlineOf(job.context.jobspec));
		const known = this.#awayReasons.get(needs.key);
		if (known !== undefined) {
			this.#setAway({queue, entry}, known);
			return 'away';
		}
		const {pool} = this.#resources;
		const admits = admitsOf(needs);
		const isReady = (rank: number) => this.#ready.has(rank) && admits(rank);
		const found = pool.find(needs.request, isReady);
		if (found !== null && ![...found.ranks.keys()].every(rank => this.#resources.isReady(rank))) {
			// One is being reconciled anew, which nobody tells before it is over.
			this.#isStale = true;
			this.#look();
			return 'over';
		}
		if (found !== null) {
			this.#allocate(id, {found, nslots: needs.request.nslots, perilog: this.#perilog});
			return 'over';
		}
		if (pool.isFeasible(needs.request, isReady)) {
			this.#blocked.set(queue, {id, reason: explainBusy(needs)});
			return 'waits';
		}
		if (this.#mayBeFeasible(needs)) {
			const reason = explainAway(needs, this.#resources);
			this.#awayReasons.set(needs.key, reason);
			this.#setAway({queue, entry}, reason);
			return 'away';
		}
		this.#core.post({
			type: 'job.exception',
			id,
			exception: 'alloc',
			severity: 0,
			note: explainNever(needs, this.#resources),
			userid: -1,
		});
		return 'over';
	}

	/** Gives a job what it names itself, once all its ranks can be reached. */
	#grant(id: bigint): void {
		const job = this.#core.state.jobs.get(id);
		const found = job?.value === 'sched' ? bypassOf(outlineOf(job.context.jobspec)) : null;
		if (job === undefined || found === null) {
			this.#bypassing.delete(id);
			return;
		}
		if (![...found.ranks.keys()].every(rank => this.#core.isReconciled(rank))) return;
		this.#bypassing.delete(id);
		this.#allocate(id, {found, nslots: requestOf(outlineOf(job.context.jobspec)).nslots});
	}

	#setAway({queue, entry}: Place, reason: string): void {
		this.#away.set(entry.id, reason);
		this.queueOf(queue).remove(entry);
	}

	/** A job that names its resources itself holds nothing: there is nothing to prepare or to clean up. */
	#allocate(
		id: bigint,
		{found, nslots, perilog}: {found: ResourceSet; nslots: number; perilog?: PerilogPlan | undefined},
	): void {
		const {clock, state} = this.#core;
		const jobspec = outlineOf(state.jobs.get(id)!.context.jobspec);
		const startMs = clock.epochMs();
		const durationMs = jobspec.attributes.system.duration * 1000;
		const R = found.withInfo({
			nslots,
			starttime: startMs / 1000,
			expiration: durationMs === 0 ? 0 : (startMs + durationMs) / 1000,
		});
		this.#core.post({
			type: 'job.alloc',
			id,
			R: R.encode() as unknown as Readonly<Record<string, unknown>>,
			ranks: [...R.ranks.keys()],
			...(perilog === undefined ? {} : {perilog}),
		});
	}

	/** With every node up, drained ones included; one that has never said what it has may have anything. */
	#mayBeFeasible(needs: Needs): boolean {
		const {pool, unknown} = this.#resources;
		const {request} = needs;
		const admits = admitsOf(needs);
		if (pool.isFeasible(request, admits)) return true;
		if (unknown.length === 0) return false;
		return request.nnodes === null || pool.countFitting(request, admits) + unknown.length >= request.nnodes;
	}
}
