/** What `resource list` and `info` show: resources by state, and within a state by queue and properties. */
import {Idset} from '../../formats/idset.ts';
import {ResourceSet} from '../../formats/resource-set.ts';
import type {BrokerSession} from '../broker-session.ts';
import {UsageError} from '../command-error.ts';
import {objectOf} from '../fields.ts';
import type {Field} from '../format/table.ts';
import {fetchQueues} from '../queues/fetch-queues.ts';

export const RESOURCE_STATES = ['all', 'up', 'down', 'allocated', 'free'] as const;
export type ResourceState = (typeof RESOURCE_STATES)[number];

export interface ResourceLine {
	readonly state: ResourceState;
	/** Names, joined by commas. */
	readonly queue: string;
	readonly properties: string;
	readonly resources: ResourceSet;
}

export const RESOURCE_FORMATS: Readonly<Record<string, string>> = {
	default:
		'{state:>10} ?:{queue:<8.8} ?:{properties:<10.10+} {nnodes:>6} {ncores:>8} ?:{ngpus:>8} {nodelist}',
	rlist: '{state:>10} ?:{queue:<8.8} ?:{properties:<10.10+} {nnodes:>6} {ncores:>8} ?:{ngpus:>8} {rlist}',
};

export const RESOURCE_FIELDS: Readonly<Record<string, Field<ResourceLine>>> = {
	state: {heading: 'STATE', value: line => line.state},
	queue: {heading: 'QUEUE', value: line => line.queue},
	properties: {heading: 'PROPERTIES', value: line => line.properties},
	nnodes: {heading: 'NNODES', value: line => line.resources.nodeCount},
	ncores: {heading: 'NCORES', value: line => line.resources.coreCount},
	// Empty where there are none, so that the column can be left out.
	ngpus: {heading: 'NGPUS', value: line => (line.resources.gpuCount === 0 ? '' : line.resources.gpuCount)},
	ranks: {heading: 'RANKS', value: line => line.resources.rankset.toString()},
	nodelist: {heading: 'NODELIST', value: line => line.resources.hostlist().toString()},
	rlist: {heading: 'LIST', value: line => rlistOf(line.resources)},
};

export interface LineOptions {
	readonly states: readonly ResourceState[];
	readonly isWanted: (node: {rank: number; host: string}) => boolean;
	/** Only what this queue can use. */
	readonly queue?: string;
}

/** The lines in the order of `states`; a state without resources has one line all the same. */
export async function fetchLines(
	session: BrokerSession,
	options: LineOptions,
): Promise<readonly ResourceLine[]> {
	const topic = 'resource.sched-status';
	const [answer, queues] = await Promise.all([
		session.call(topic, {}, {idempotent: true}).then(value => objectOf(value, topic)),
		fetchQueues(session),
	]);
	const wanted = options.queue;
	if (wanted !== undefined && !queues.some(({name}) => name === wanted)) {
		throw new UsageError(`option --queue: no queue '${wanted}'`);
	}
	const sets = {
		all: ResourceSet.parse(answer['all']),
		down: ResourceSet.parse(answer['down']),
		allocated: ResourceSet.parse(answer['allocated']),
	};
	const queuesOf = (rank: number) =>
		queues
			.filter(({requires}) => requires.every(name => sets.all.propertiesOf(rank).has(name)))
			.map(({name}) => name);
	const isShown = (rank: number, host: string) =>
		options.isWanted({rank, host}) && (wanted === undefined || queuesOf(rank).includes(wanted));
	const up = sets.all.difference(sets.down);
	const byState = {...sets, up, free: up.difference(up.intersect(sets.allocated))};
	return options.states.flatMap(state => {
		const groups = new Map<string, number[]>();
		for (const [rank, {host}] of byState[state].ranks) {
			if (!isShown(rank, host)) continue;
			const key = JSON.stringify([
				queuesOf(rank).join(','),
				[...sets.all.propertiesOf(rank)].sort().join(','),
			]);
			groups.set(key, [...(groups.get(key) ?? []), rank]);
		}
		if (groups.size === 0) return [{state, queue: '', properties: '', resources: ResourceSet.empty}];
		return [...groups].map(([key, ranks]) => {
			const [queue, properties] = JSON.parse(key) as [string, string];
			return {state, queue, properties, resources: byState[state].pick(Idset.from(ranks))};
		});
	});
}

/** @throws {UsageError} */
export function parseResourceStates(text: string): readonly ResourceState[] {
	return text.split(',').map(name => {
		const state = RESOURCE_STATES.find(one => one === name);
		if (state === undefined) {
			throw new UsageError(`option --states: '${name}' is none of ${RESOURCE_STATES.join(', ')}`);
		}
		return state;
	});
}

/** `rank[0-3]/core[0-1],gpu0`, one for each kind of node. */
function rlistOf(set: ResourceSet): string {
	return set
		.encode()
		.execution.R_lite.map(({rank, children: {core, gpu}}) => {
			const things = [
				...(core === undefined ? [] : [`core${bracketed(core)}`]),
				...(gpu === undefined ? [] : [`gpu${bracketed(gpu)}`]),
			];
			return `rank${bracketed(rank)}/${things.join(',')}`;
		})
		.join(' ');
}

function bracketed(ids: string): string {
	return Idset.parse(ids).format({brackets: true});
}

export function resourceLineJson({state, queue, properties, resources}: ResourceLine): object {
	return {
		state,
		queue,
		properties,
		nnodes: resources.nodeCount,
		ncores: resources.coreCount,
		ngpus: resources.gpuCount,
		ranks: resources.rankset.toString(),
		nodelist: resources.hostlist().toString(),
	};
}
