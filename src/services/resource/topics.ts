/** The topics of `resource` (docs/services.md), at the root. */
import {f58} from '../../formats/jobid.ts';
import {SystemError} from '../../formats/errno.ts';
import {Hostlist} from '../../formats/hostlist.ts';
import {Idset} from '../../formats/idset.ts';
import {ResourceSet} from '../../formats/resource-set.ts';
import type {ServiceRegistry} from '../../net/service-registry.ts';
import type {Core} from '../core.ts';
import {Fields} from '../fields.ts';
import {Drains} from './drains.ts';
import type {Resources} from './resources.ts';

export interface ResourceTopics {
	readonly core: Core;
	readonly registry: ServiceRegistry;
	readonly resources: Resources;
}

export function registerResource({core, registry, resources}: ResourceTopics): void {
	const drains = new Drains(core, resources);
	registry.register('resource.status', request => request.respond(statusOf(core, resources)));
	for (const topic of ['resource.sched-status', 'sched.resource-status']) {
		registry.register(topic, request => request.respond(schedStatusOf(resources)));
	}
	registry.register('resource.drain', request => {
		const fields = new Fields(request);
		drains.drain({
			targets: fields.text('targets'),
			reason: fields.text('reason', ''),
			mode: fields.text('mode', ''),
			userid: request.userid,
		});
		request.respond();
	});
	registry.register('resource.undrain', request => {
		const fields = new Fields(request);
		drains.undrain({
			targets: fields.text('targets'),
			reason: fields.text('reason', ''),
			mode: fields.text('mode', ''),
			userid: request.userid,
		});
		request.respond();
	});
	registry.register('resource.held', request => request.respond({held: heldOf(core, resources)}));
	registry.register('resource.release', request => {
		release(new Fields(request).id(), {core, resources});
		request.respond();
	});
}

function statusOf(core: Core, resources: Resources): object {
	const {membership, ranks, exclude} = resources;
	const those = (isOne: (rank: number) => boolean) => Idset.from(ranks.filter(isOne)).toString();
	return {
		R: resources.known().encode(),
		online: those(rank => membership.isOnline(rank)),
		offline: those(rank => !membership.isOnline(rank)),
		exclude: exclude.toString(),
		torpid: those(rank => membership.isOnline(rank) && membership.isTorpid(rank)),
		drain: drainOf(core),
		allocated: Idset.from(
			[...resources.pool.held.values()].flatMap(({ranks: held}) => [...held.keys()]),
		).toString(),
		// R has the hosts of those only that have said what they have.
		hosts: Hostlist.from(ranks.map(rank => resources.hostOf(rank) || `rank${rank}`)).toString(),
	};
}

/** Ranks that were drained together share an entry. */
function drainOf(core: Core): object {
	const groups = new Map<string, {ranks: number[]; timestamp: number; reason: string}>();
	for (const [rank, {context}] of core.state.nodes) {
		if (context.drain === null) continue;
		const {reason, sinceMs} = context.drain;
		const key = `${sinceMs} ${reason}`;
		const group = groups.get(key) ?? {ranks: [], timestamp: sinceMs / 1000, reason};
		group.ranks.push(rank);
		groups.set(key, group);
	}
	return Object.fromEntries(
		[...groups.values()].map(({ranks, timestamp, reason}) => [
			Idset.from(ranks).toString(),
			{timestamp, reason},
		]),
	);
}

function schedStatusOf(resources: Resources): object {
	const {pool} = resources;
	const down = [...pool.total.ranks.keys()].filter(rank => !resources.isReady(rank));
	const {properties} = resources.known().info;
	const all = pool.total.withInfo({properties});
	const encoded = (set: ResourceSet) => set.withInfo({properties}).encode();
	return {
		all: all.encode(),
		down: encoded(pool.total.pick(Idset.from(down))),
		allocated: encoded(pool.allocated()),
	};
}

interface Held {
	readonly id: bigint;
	readonly R: object;
	/** `lost+found`, or `ghost`: a part of a job that is no more, which may still run. */
	readonly kind: 'lost+found' | 'ghost';
	readonly reason: string;
}

/** What is held by what is no active job. */
function heldOf(core: Core, {ghosts, pool}: Resources): readonly Held[] {
	const lost = [...core.state.lost.values()].flatMap(({id, reason}): Held[] => {
		const set = pool.held.get(id);
		return set === undefined ? [] : [{id, R: set.encode(), kind: 'lost+found', reason}];
	});
	const found = ghosts.all.map(({id, attempt, rank, resources, isWholeNode}): Held => {
		const what = `attempt ${attempt} of a job that is no more may still run on rank ${rank}`;
		return {
			id,
			R: ResourceSet.from([[rank, resources]]).encode(),
			kind: 'ghost',
			reason: isWholeNode ? `${what}; what it has is not known` : what,
		};
	});
	return [...lost, ...found];
}

/** An admin says that nothing of job `id` is left. @throws {SystemError} EINVAL for an active job, ENOENT: nothing is held for it. */
function release(id: bigint, {core, resources}: Pick<ResourceTopics, 'core' | 'resources'>): void {
	if (core.state.jobs.has(id)) {
		throw new SystemError('EINVAL', `job ${f58(id)} is active: it lets go of its resources when it ends`);
	}
	if (heldOf(core, resources).every(held => held.id !== id)) {
		throw new SystemError('ENOENT', `nothing is held for job ${f58(id)}`);
	}
	if (!core.state.released.has(id)) core.post({type: 'broker.release', id});
	core.log('notice', `what was held for job ${f58(id)} is released`);
	resources.release(id);
}
