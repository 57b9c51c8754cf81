/** The topics that tell about the broker itself (docs/services.md). */
import {SystemError} from '../../formats/errno.ts';
import type {Period} from '../../machines/broker.ts';
import type {RpcRequest} from '../../net/rpc-request.ts';
import type {ServiceRegistry} from '../../net/service-registry.ts';
import type {Core} from '../core.ts';
import {Fields} from '../fields.ts';
import type {Attributes} from './attributes.ts';
import type {LogRing} from './log-ring.ts';

export interface BrokerInfoTopics {
	readonly core: Core;
	readonly registry: ServiceRegistry;
	readonly attributes: Attributes;
	readonly ring: LogRing;
	/** Panics of earlier lives that are on record, oldest first. */
	readonly panics?: readonly PastPanic[];
	readonly config: object;
	/** Reads it again; absent: there is nothing to read it from. */
	readonly rereadConfig?: (() => Promise<object>) | undefined;
	/** Ends this broker so that it is started again, and leaves jobs alone. */
	readonly restart?: ((reason: string) => void) | undefined;
	/** It is part of the tree. */
	readonly isJoined: () => boolean;
}

export interface PastPanic {
	readonly pid: number;
	/** Epoch milliseconds. */
	readonly atMs: number;
	readonly reason: string;
}

export function registerBrokerInfo(options: BrokerInfoTopics): void {
	const {core, registry, attributes, ring, config, isJoined} = options;
	const startMs = core.clock.monotonicMs();
	registry.register('attr.get', request => request.respond(attributes.get(new Fields(request).text('name'))));
	registry.register('attr.list', request => request.respond({names: attributes.names}));
	registry.register('attr.set', request => {
		const fields = new Fields(request);
		attributes.set(fields.text('name'), fields.text('value'));
		request.respond();
	});
	registry.register('state-machine.get', request =>
		request.respond({
			state: isJoined() ? stateOf(core) : joiningStateOf(core),
			duration: (core.clock.monotonicMs() - startMs) / 1000,
		}),
	);
	registry.register('config.get', request => request.respond(config));
	registry.register('config.reload', request => reloadConfig(request, options));
	registry.register('broker.startlog', request =>
		request.respond({periods: periodsOf(core, options.panics ?? [])}),
	);
	registry.register('log.dmesg', request => followLog(request, ring), {streaming: 'always'});
	registry.register('log.clear', request => {
		ring.clear();
		request.respond();
	});
	for (const topic of registry.topics) {
		const service = topic.slice(0, topic.lastIndexOf('.'));
		if (registry.find(`${service}.ping`) === undefined) {
			registry.register(`${service}.ping`, request => answerPing(core, request));
		}
	}
}

/** A broker takes its configuration at its start: it begins anew when something has changed. */
async function reloadConfig(request: RpcRequest, options: BrokerInfoTopics): Promise<void> {
	const {config, rereadConfig, restart} = options;
	if (rereadConfig === undefined || restart === undefined)
		throw new SystemError('ENOSYS', 'this broker was given no configuration that it could read again');
	const changed = changedKeys(config, await rereadConfig());
	const fixed = changed.find(key => FIXED_KEYS.test(key));
	if (fixed !== undefined) {
		throw new SystemError(
			'EINVAL',
			`${fixed} can't change while the instance runs; shut it down, and start it again`,
		);
	}
	request.respond({changed});
	if (changed.length > 0) restart(`config reload: ${changed.join(', ')}`);
}

/** What makes the tree. */
const FIXED_KEYS = /^(bootstrap\.|tbon\.topo$)/;

/** `section.key` of all that differs. */
function changedKeys(before: object, after: object): string[] {
	const flat = (config: object) =>
		new Map(
			Object.entries(config).flatMap(([section, keys]) =>
				Object.entries(keys as object).map(
					([key, value]) => [`${section}.${key}`, JSON.stringify(value)] as const,
				),
			),
		);
	const [old, now] = [flat(before), flat(after)];
	return [...new Set([...old.keys(), ...now.keys()])].filter(key => old.get(key) !== now.get(key)).sort();
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

/** Flux's word for a broker that waits for its parent. */
function joiningStateOf({refusal}: Core): string {
	return refusal === null ? 'join' : 'safe';
}

function periodsOf(core: Core, panics: readonly PastPanic[]): readonly object[] {
	const {periods, epoch} = core.state.broker.context;
	return periods.map((period, index) => ({
		epoch: period.epoch,
		start: period.startMs / 1000,
		...(period.endMs === null ? {} : {end: period.endMs / 1000}),
		pid: period.pid,
		crashed: period.endMs === null && period.epoch !== epoch,
		...panicOf(period, {untilMs: periods[index + 1]?.startMs ?? Infinity, panics}),
	}));
}

/** What a life that ended without a stop died of, if it said so. */
function panicOf(
	{pid, startMs, endMs}: Period,
	{untilMs, panics}: {readonly untilMs: number; readonly panics: readonly PastPanic[]},
): {readonly panic?: string} {
	if (endMs !== null) return {};
	const panic = panics.findLast(one => one.pid === pid && one.atMs >= startMs && one.atMs <= untilMs);
	return panic === undefined ? {} : {panic: panic.reason};
}

function followLog(request: RpcRequest, ring: LogRing): void {
	const fields = new Fields(request);
	if (!fields.flag('nobacklog')) {
		for (const line of [...ring.lines]) request.respondStream(line);
	}
	if (!fields.flag('follow')) {
		request.end();
		return;
	}
	request.onCancel = ring.follow(line => request.respondStream(line));
}
