/** R of version 1 (RFC 20) as JSON: its type, and the strict reader that gives the resources of each rank. */
import {SystemError} from './errno.ts';
import {Hostlist} from './hostlist.ts';
import {Idset} from './idset.ts';
import type {Members} from './shape.ts';
import {
	asArray,
	asInteger,
	asNumber,
	asObject,
	asString,
	asStrings,
	atPath,
	fault,
	onlyMembers,
} from './shape.ts';

export interface RankResources {
	readonly host: string;
	readonly cores: Idset;
	readonly gpus: Idset;
}

/** What R says beside the resources of each rank. */
export interface ResourceSetInfo {
	/** Epoch seconds, or 0: not set. */
	readonly starttime: number;
	/** Epoch seconds, or 0: does not expire. */
	readonly expiration: number;
	/** Property to the ranks that have it; ranks that are not in the set are dropped, and names without any. */
	readonly properties: ReadonlyMap<string, Idset>;
	/** How many task slots the set holds, when a scheduler has said so. */
	readonly nslots: number | null;
	/** The scheduler's own part of R, opaque, or null. */
	readonly scheduling: Members | null;
}

/** R as JSON. */
export interface REncoded {
	readonly version: 1;
	readonly execution: {
		readonly R_lite: readonly {
			readonly rank: string;
			readonly children: {readonly core?: string; readonly gpu?: string};
		}[];
		readonly nodelist: readonly string[];
		readonly nslots?: number;
		readonly starttime: number;
		readonly expiration: number;
		readonly properties?: Readonly<Record<string, string>>;
	};
	readonly scheduling?: Members;
}

/** The most ranks of a set that is read: the same as of hosts in a hostlist. */
export const RESOURCE_RANKS_MAX = 2 ** 20;

/** Reads R; ranks ascend. @throws {SystemError} EINVAL that names the path of the fault. */
export function parseR(value: unknown): {
	readonly ranks: readonly (readonly [rank: number, resources: RankResources])[];
	readonly info: ResourceSetInfo;
} {
	const r = asObject(value, 'R');
	if (r['version'] !== 1) throw fault('R.version', '1', r['version']);
	const execution = asObject(r['execution'], 'R.execution');
	const children = parseRLite(execution['R_lite']);
	const hosts = parseNodelist(execution['nodelist']);
	if (hosts.count !== children.size) {
		throw fault('R.execution.nodelist', `the hosts of ${children.size} ranks`, `${hosts.count} hosts`);
	}
	const ranks = [...children].sort(([a], [b]) => a - b);
	const {nslots, starttime = 0, expiration = 0, properties = {}} = execution;
	return {
		ranks: ranks.map(([rank, resources], i) => [rank, {host: hosts.nth(i), ...resources}]),
		info: {
			starttime: asNumber(starttime, 'R.execution.starttime', 0),
			expiration: asNumber(expiration, 'R.execution.expiration', 0),
			properties: parseProperties(properties),
			nslots: nslots === undefined ? null : asInteger(nslots, 'R.execution.nslots', 1),
			scheduling: r['scheduling'] === undefined ? null : asObject(r['scheduling'], 'R.scheduling'),
		},
	};
}

/** Characters that RFC 20 keeps for the syntax of constraints. */
const PROPERTY_FORBIDDEN = /[!&'"^`|()\s]/;

function parseRLite(value: unknown): Map<number, {cores: Idset; gpus: Idset}> {
	const ranks = new Map<number, {cores: Idset; gpus: Idset}>();
	for (const [i, item] of asArray(value, 'R.execution.R_lite').entries()) {
		const path = `R.execution.R_lite[${i}]`;
		const entry = asObject(item, path);
		const children = asObject(entry['children'], `${path}.children`);
		onlyMembers(children, `${path}.children`, ['core', 'gpu']);
		const resources = {
			cores: parseIdset(children['core'] ?? '', `${path}.children.core`),
			gpus: parseIdset(children['gpu'] ?? '', `${path}.children.gpu`),
		};
		if (resources.cores.isEmpty && resources.gpus.isEmpty) {
			throw fault(`${path}.children`, 'at least one core or gpu', children);
		}
		const ids = parseIdset(entry['rank'], `${path}.rank`);
		if (ids.isEmpty) throw fault(`${path}.rank`, 'an idset of at least one rank', entry['rank']);
		if (ranks.size + ids.count > RESOURCE_RANKS_MAX) {
			throw fault('R.execution.R_lite', `at most ${RESOURCE_RANKS_MAX} ranks`, ranks.size + ids.count);
		}
		for (const rank of ids) {
			if (ranks.has(rank))
				throw fault(`${path}.rank`, `without rank ${rank}, which came before`, entry['rank']);
			ranks.set(rank, resources);
		}
	}
	return ranks;
}

function parseNodelist(value: unknown): Hostlist {
	const path = 'R.execution.nodelist';
	return atPath(path, () => Hostlist.parseAll(asStrings(value, path)));
}

function parseProperties(value: unknown): ReadonlyMap<string, Idset> {
	const properties = new Map<string, Idset>();
	for (const [name, ids] of Object.entries(asObject(value, 'R.execution.properties'))) {
		const path = `R.execution.properties.${name}`;
		if (name === '' || PROPERTY_FORBIDDEN.test(name)) {
			throw new SystemError(
				'EINVAL',
				`${path}: a property name may not hold any of ! & ' " ^ \` | ( ) or space`,
			);
		}
		properties.set(name, parseIdset(ids, path));
	}
	return properties;
}

function parseIdset(value: unknown, path: string): Idset {
	return atPath(path, () => Idset.parse(asString(value, path)));
}
