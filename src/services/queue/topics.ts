/** The topics `job-manager.queue-*`, `drain` and `idle` (docs/services.md), at the root. */
import {SystemError} from '../../formats/errno.ts';
import {outlineOf} from '../../formats/stored-jobspec.ts';
import type {RpcRequest} from '../../net/rpc-request.ts';
import type {ServiceRegistry} from '../../net/service-registry.ts';
import type {JobSnapshot} from '../../machines/job.ts';
import type {Core} from '../core.ts';
import {Fields} from '../fields.ts';
import {queueOf, type Queues, type QueueSwitch} from './queues.ts';

export interface QueueTopics {
	readonly core: Core;
	readonly registry: ServiceRegistry;
	readonly queues: Queues;
}

export function registerQueue({core, registry, queues}: QueueTopics): void {
	registry.register('job-manager.queue-list', request => request.respond({queues: queues.names}));
	registry.register('job-manager.queue-status', request => request.respond(statusOf(request, core, queues)));
	for (const which of ['enable', 'start'] as const) {
		registry.register(`job-manager.queue-${which}`, request => {
			turn(which, new Fields(request), queues);
			request.respond();
		});
	}
	registry.register('job-manager.drain', request => {
		answerWhen({request, core, isSo: () => core.state.jobs.size === 0});
	});
	registry.register('job-manager.idle', request => {
		answerWhen({request, core, isSo: () => isIdle(core, queues)});
	});
}

/** Without a name, of an instance with named queues: enabled or started if any of them is, as Flux has it for `uptime`. */
function statusOf(request: RpcRequest, core: Core, queues: Queues): object {
	const given = new Fields(request).text('name', '');
	const isOpen = core.refusal === null && core.state.broker.value !== 'stopping';
	if (given === '' && queues.names.length > 0) {
		const all = queues.names.map(name => queues.statusOf(name));
		return {enable: isOpen && all.some(({enable}) => enable), start: isOpen && all.some(({start}) => start)};
	}
	const {enable, start, disableReason, stopReason} = queues.statusOf(given);
	const closed = core.refusal ?? 'the instance is shutting down';
	const policy = queues.policyOf(given);
	const {durationMsMax = null, durationMsDefault = null} = policy;
	return {
		...(given === '' ? {} : {name: given}),
		enable: isOpen && enable,
		start: isOpen && start,
		...(isOpen && enable ? {} : {disable_reason: enable ? closed : disableReason}),
		...(isOpen && start ? {} : {stop_reason: start ? closed : stopReason}),
		...(durationMsMax === null ? {} : {duration_max: durationMsMax / 1000}),
		...(durationMsDefault === null ? {} : {duration_default: durationMsDefault / 1000}),
		size_max: policy.sizeMax ?? {},
		size_min: policy.sizeMin ?? {},
		requires: queues.constraintOf(given)?.['properties'] ?? [],
		...countsOf(core, given),
	};
}

function countsOf(core: Core, name: string): object {
	const jobs = [...core.state.jobs.values()].filter(
		({context}) => queueOf(outlineOf(context.jobspec)) === name,
	);
	const countOf = (isOne: (job: JobSnapshot) => boolean) => jobs.filter(isOne).length;
	return {
		pending: countOf(isPending),
		alloc_pending: countOf(({value, context}) => value === 'sched' && context.priority > 0),
		running: countOf(({value}) => value === 'run' || value === 'cleanup'),
	};
}

function turn(which: QueueSwitch, fields: Fields, queues: Queues): void {
	const name = fields.any('name') === undefined || fields.any('name') === null ? null : fields.text('name');
	const isAll = fields.flag('all');
	if (name !== null && isAll) throw new SystemError('EINVAL', 'either a queue or all of them');
	if (name === null && !isAll && queues.names.length > 0) {
		throw new SystemError('EINVAL', `a queue must be named, or all: ${queues.names.join(', ')}`);
	}
	queues.turn(which, {name, isOn: fields.flag(which), reason: fields.text('reason', '')});
}

function isPending({value}: JobSnapshot): boolean {
	return value !== 'run' && value !== 'cleanup';
}

/** No job runs, and none is about to get resources. */
function isIdle(core: Core, queues: Queues): boolean {
	for (const job of core.state.jobs.values()) {
		if (!isPending(job)) return false;
		const {priority, jobspec} = job.context;
		if (job.value === 'sched' && priority > 0 && queues.isStarted(queueOf(outlineOf(jobspec)))) return false;
	}
	return true;
}

/** Answers as soon as `isSo`, with how many jobs are pending then. Deadlines are the client's. */
function answerWhen({request, core, isSo}: {request: RpcRequest; core: Core; isSo: () => boolean}): void {
	const answer = () => request.respond({pending: [...core.state.jobs.values()].filter(isPending).length});
	if (isSo()) {
		answer();
		return;
	}
	let isDue = false;
	const unsubscribe = core.onChange(({kind}) => {
		if (isDue || (kind !== 'job' && kind !== 'queue')) return;
		// Many facts come at once, and each look takes as long as there are jobs.
		isDue = true;
		core.clock.defer(() => {
			isDue = false;
			if (!request.isOpen || !isSo()) return;
			unsubscribe();
			answer();
		});
	});
	request.onCancel = unsubscribe;
}
