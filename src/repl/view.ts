/** A state as people look at it: plain JSON, ids as text, times in epoch seconds. Pure. */
import {decodeJobid, encodeJobid} from '../formats/jobid.ts';
import type {DurableState} from '../machines/durable-state.ts';
import type {JobSnapshot} from '../machines/job.ts';
import {plain} from '../broker/log-view.ts';

export interface JobSummary {
	readonly id: string;
	readonly f58: string;
	readonly state: string;
	readonly [field: string]: unknown;
}

export function brokerView({broker}: DurableState): object {
	return {state: broker.value, ...(plain(broker.context) as object)};
}

export function jobView({value, context}: JobSnapshot): JobSummary {
	const {jobspec: _, events, ...rest} = context;
	return {
		...(plain(rest) as object),
		id: String(context.id),
		f58: encodeJobid(context.id, 'f58plain'),
		state: value,
		events: events.map(({name, atMs, context: what}) => ({
			time: atMs / 1000,
			name,
			...(plain(what ?? {}) as object),
		})),
	};
}

export function jobsView({jobs}: DurableState): readonly JobSummary[] {
	return [...jobs.values()].map(jobView);
}

export function partsView({parts}: DurableState): readonly object[] {
	return [...parts.values()].map(({value, context}) => ({state: value, ...(plain(context) as object)}));
}

export function rpcsView({rpcs}: DurableState): readonly object[] {
	return [...rpcs.values()].map(({value, context}) => ({state: value, ...(plain(context) as object)}));
}

export function peersView({peers}: DurableState): readonly object[] {
	return [...peers.values()].map(({value, context}) => ({state: value, ...(plain(context) as object)}));
}

export function nodesView({nodes}: DurableState): readonly object[] {
	return [...nodes.values()].map(({value, context}) => ({state: value, ...(plain(context) as object)}));
}

/** Those that are not open. */
export function queuesView({queues}: DurableState): readonly object[] {
	return [...queues.values()].map(({value, context}) => ({state: value, ...(plain(context) as object)}));
}

/** Any RFC 19 form, a number, or a job as `jobs` lists it. */
export function idOf(job: unknown): bigint {
	if (typeof job === 'bigint') return job;
	if (typeof job === 'number') return BigInt(job);
	if (typeof job === 'object' && job !== null && 'id' in job) return decodeJobid(String(job.id));
	return decodeJobid(String(job));
}

/** What differs between two plain values: paths with what was and what is. */
export function differences(before: unknown, after: unknown, path = ''): readonly object[] {
	if (Object.is(before, after)) return [];
	const isBoth = isObject(before) && isObject(after);
	if (!isBoth) return [{path, before: before ?? null, after: after ?? null}];
	const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
	return [...keys].flatMap(key => differences(before[key], after[key], path === '' ? key : `${path}.${key}`));
}

function isObject(value: unknown): value is Record<string, unknown> {
	return typeof value === 'object' && value !== null;
}
