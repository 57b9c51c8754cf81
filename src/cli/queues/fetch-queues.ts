/** The queues of the instance as the broker tells about them. */
import {SystemError} from '../../formats/errno.ts';
import type {BrokerSession} from '../broker-session.ts';
import {isObject, type Members} from '../../formats/shape.ts';
import {listField, objectOf, scalarText} from '../fields.ts';

export interface QueueRecord {
	/** '': the anonymous one. */
	readonly name: string;
	readonly isEnabled: boolean;
	readonly isStarted: boolean;
	readonly disableReason: string;
	readonly stopReason: string;
	/** Seconds; null: no limit. */
	readonly durationMaxS: number | null;
	/** Seconds, of a job that asks for none; null: that is unlimited. */
	readonly durationDefaultS: number | null;
	/** `nnodes`, `ncores`, `ngpus`; absent: no limit. */
	readonly sizeMax: Members;
	readonly sizeMin: Members;
	readonly requires: readonly string[];
	readonly pending: number;
	readonly allocPending: number;
	readonly running: number;
}

/** All queues by name; of an instance without named ones, the anonymous one. */
export async function fetchQueues(session: BrokerSession): Promise<readonly QueueRecord[]> {
	const topic = 'job-manager.queue-list';
	const answer = await session.call(topic, {}, {idempotent: true});
	const names = listField(answer, 'queues', topic).map(String);
	return Promise.all((names.length === 0 ? [''] : names).map(async name => fetchQueue(session, name)));
}

/** @throws {SystemError} ENOENT: one of these does not exist. */
export async function assertQueues(session: BrokerSession, names: readonly string[]): Promise<void> {
	if (names.length === 0) return;
	const all = await fetchQueues(session);
	for (const name of names) if (!all.some(queue => queue.name === name)) throw unknownQueue(name, all);
}

export function unknownQueue(name: string, all: readonly QueueRecord[]): SystemError {
	const named = all.map(queue => queue.name).filter(each => each !== '');
	const there = named.length === 0 ? 'the instance has no named queues' : `there are ${named.join(', ')}`;
	return new SystemError('ENOENT', `no queue '${name}': ${there}`);
}

export async function fetchQueue(session: BrokerSession, name: string): Promise<QueueRecord> {
	const topic = 'job-manager.queue-status';
	const answer = await session.call(topic, name === '' ? {} : {name}, {idempotent: true});
	const fields = objectOf(answer, topic);
	const numberOf = (field: string) => Number(fields[field] ?? 0);
	return {
		name,
		isEnabled: fields['enable'] !== false,
		isStarted: fields['start'] !== false,
		disableReason: scalarText(fields['disable_reason']),
		stopReason: scalarText(fields['stop_reason']),
		durationMaxS: typeof fields['duration_max'] === 'number' ? fields['duration_max'] : null,
		durationDefaultS: typeof fields['duration_default'] === 'number' ? fields['duration_default'] : null,
		sizeMax: isObject(fields['size_max']) ? fields['size_max'] : {},
		sizeMin: isObject(fields['size_min']) ? fields['size_min'] : {},
		requires: Array.isArray(fields['requires']) ? fields['requires'].map(String) : [],
		pending: numberOf('pending'),
		allocPending: numberOf('alloc_pending'),
		running: numberOf('running'),
	};
}

/** The line about one of its two switches. */
export function switchLine(queue: QueueRecord, which: 'enable' | 'start'): string {
	const prefix = queue.name === '' ? '' : `${queue.name}: `;
	const [isOn, reason] =
		which === 'enable' ? [queue.isEnabled, queue.disableReason] : [queue.isStarted, queue.stopReason];
	const what =
		which === 'enable'
			? `Job submission is ${isOn ? 'enabled' : 'disabled'}`
			: `Scheduling is ${isOn ? 'started' : 'stopped'}`;
	return `${prefix}${what}${isOn || reason === '' ? '' : `: ${reason}`}`;
}

/** A queue in JSON. */
export function queueJson(queue: QueueRecord): object {
	const {name, isEnabled, isStarted, disableReason, stopReason, requires} = queue;
	const {durationMaxS, durationDefaultS, sizeMin, sizeMax} = queue;
	const range = {min: sizeMin, max: sizeMax};
	const isSized = Object.keys({...sizeMin, ...sizeMax}).length > 0;
	return {
		queue: name,
		enabled: isEnabled,
		started: isStarted,
		...(disableReason === '' ? {} : {disable_reason: disableReason}),
		...(stopReason === '' ? {} : {stop_reason: stopReason}),
		limits: {
			...(durationMaxS === null ? {} : {timelimit: durationMaxS}),
			...(isSized ? {range} : {}),
		},
		...(durationDefaultS === null ? {} : {defaults: {timelimit: durationDefaultS}}),
		requires,
		pending: queue.pending,
		alloc_pending: queue.allocPending,
		running: queue.running,
	};
}
