/** The configuration of what jobs may ask for, `[policy]` and `[queues.NAME.policy]` (flux-config-policy), as it is read. */
import type {JobPolicy, SizeLimits} from '../services/queue/job-policy.ts';
import {durationMs, integer, string, tableAt, unknownKey, type At, type Reader} from './config-readers.ts';

const COUNT_MAX = 2 ** 31 - 1;

/** @throws {ConfigFault} for an unknown key or a bad value. */
export const policy: Reader<JobPolicy> = at =>
	readTable(at, {limits, jobspec: section('defaults', section('system', defaults))});

/** The same for a queue, which can't name a default queue. */
export const queuePolicy: Reader<JobPolicy> = at =>
	readTable(at, {limits, jobspec: section('defaults', section('system', queueDefaults))});

type Part = (at: At) => JobPolicy;

function readTable(at: At, readers: Readonly<Record<string, Part>>): JobPolicy {
	let read: JobPolicy = {};
	for (const [key, member] of tableAt(at)) {
		const reader = Object.hasOwn(readers, key) ? readers[key] : undefined;
		if (reader === undefined) throw unknownKey(member.path, Object.keys(readers));
		read = {...read, ...reader(member)};
	}
	return read;
}

function section(name: string, part: Part): Part {
	return at => readTable(at, {[name]: part});
}

const finite = durationMs({allowsInf: true});
const duration: Reader<number | null> = at => {
	const ms = finite(at);
	return ms === Infinity ? null : ms;
};

function limits(at: At): JobPolicy {
	return readTable(at, {
		duration: one => ({durationMsMax: duration(one)}),
		'job-size': one =>
			readTable(one, {max: most => ({sizeMax: sizes(most)}), min: least => ({sizeMin: sizes(least)})}),
	});
}

function defaults(at: At): JobPolicy {
	return readTable(at, {
		duration: one => ({durationMsDefault: duration(one)}),
		queue: one => ({queueDefault: string(one)}),
	});
}

function queueDefaults(at: At): JobPolicy {
	return readTable(at, {duration: one => ({durationMsDefault: duration(one)})});
}

const SIZES = ['nnodes', 'ncores', 'ngpus'] as const;

function sizes(at: At): SizeLimits {
	const read: Record<string, number> = {};
	for (const [key, member] of tableAt(at)) {
		if (!SIZES.some(name => name === key)) throw unknownKey(member.path, SIZES);
		read[key] = integer(0, COUNT_MAX)(member);
	}
	return read;
}
