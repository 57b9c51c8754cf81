/** The topics that tell about the broker itself (docs/services.md). */
import {SystemError} from '../../formats/errno.ts';
import type {RpcRequest} from '../../net/rpc-request.ts';
import type {ServiceRegistry} from '../../net/service-registry.ts';
import type {Core} from '../core.ts';
import {Fields} from '../fields.ts';
import type {ResourcePool} from '../resource/pool.ts';
import type {Attributes} from './attributes.ts';
import type {LogRing} from './log-ring.ts';

export interface BrokerInfoTopics {
	readonly core: Core;
	readonly registry: ServiceRegistry;
	readonly attributes: Attributes;
	readonly ring: LogRing;
	/** The root's; null elsewhere: its topics are served at the root. */
	readonly pool: ResourcePool | null;
	readonly config: object;
}

export function registerBrokerInfo(options: BrokerInfoTopics): void {
	const {core, registry, attributes, ring, pool, config} = options;
	const startMs = core.clock.monotonicMs();
	registry.register('attr.get', request => request.respond(attributes.get(new Fields(request).text('name'))));
	registry.register('attr.list', request => request.respond({names: attributes.names}));
	registry.register('attr.set', request => {
		const name = new Fields(request).text('name');
		attributes.get(name);
		throw new SystemError('EPERM', `attribute '${name}' may not be set`);
	});
	registry.register('state-machine.get', request =>
		request.respond({
			state: stateOf(core),
			duration: (core.clock.monotonicMs() - startMs) / 1000,
		}),
	);
	registry.register('config.get', request => request.respond(config));
	registry.register('broker.startlog', request => request.respond({periods: periodsOf(core)}));
	registry.register('log.dmesg', request => followLog(request, ring), {streaming: 'always'});
	if (pool !== null) registerInstanceInfo({core, registry}, pool);
	for (const topic of registry.topics) {
		const service = topic.slice(0, topic.lastIndexOf('.'));
		if (registry.find(`${service}.ping`) === undefined) {
			registry.register(`${service}.ping`, request => answerPing(core, request));
		}
	}
}

function registerInstanceInfo(
	{core, registry}: Pick<BrokerInfoTopics, 'core' | 'registry'>,
	pool: ResourcePool,
): void {
	registry.register('groups.get', request => {
		const name = new Fields(request).text('name');
		if (name !== 'broker.online') throw new SystemError('ENOENT', `no group '${name}'`);
		request.respond({members: onlineOf(core, pool)});
	});
	registry.register('resource.status', request =>
		request.respond({
			R: pool.total.encode(),
			online: onlineOf(core, pool),
			offline: pool.total.rankset.toString() === onlineOf(core, pool) ? '' : pool.total.rankset.toString(),
			exclude: '',
			torpid: '',
			drain: {},
		}),
	);
	registry.register('resource.sched-status', request => {
		const online = onlineOf(core, pool) !== '';
		request.respond({
			all: pool.total.encode(),
			down: (online ? pool.total.difference(pool.total) : pool.total).encode(),
			allocated: pool.allocated().encode(),
		});
	});
	registry.register('job-manager.queue-status', request => {
		const isOpen = core.refusal === null && core.state.broker.value !== 'stopping';
		request.respond({enable: isOpen, start: isOpen});
	});
	registry.register('job-manager.queue-list', request => request.respond({queues: []}));
}

function answerPing(core: Core, request: RpcRequest): void {
	request.respond({
		...(request.payload as object | undefined),
		route: [...request.message.route, String(core.rank)].join('!'),
		userid: request.userid,
		rolemask: request.rolemask,
		rank: core.rank,
	});
}

/** The broker's state as `uptime` shows it. */
function stateOf(core: Core): string {
	if (core.refusal !== null) return 'safe';
	if (core.state.broker.value === 'running') return 'run';
	return core.state.broker.value;
}

function onlineOf(core: Core, pool: ResourcePool): string {
	return [...pool.total.rankset].filter(rank => core.isReconciled(rank)).join(',');
}

function periodsOf(core: Core): readonly object[] {
	const {periods, epoch} = core.state.broker.context;
	return periods.map(period => ({
		epoch: period.epoch,
		start: period.startMs / 1000,
		...(period.endMs === null ? {} : {end: period.endMs / 1000}),
		pid: period.pid,
		crashed: period.endMs === null && period.epoch !== epoch,
	}));
}

function followLog(request: RpcRequest, ring: LogRing): void {
	const fields = new Fields(request);
	if (!fields.flag('nobacklog')) {
		for (const line of ring.lines) request.respondStream(line);
	}
	if (!fields.flag('follow')) {
		request.end();
		return;
	}
	request.onCancel = ring.follow(line => request.respondStream(line));
}
