/**
 * Resource sets: R of version 1 (RFC 20), parsed and normalised. Immutable. Every rank in it has at least one core or
 * one gpu; ranks ascend; a rank is there once, with one host.
 */
import {SystemError} from './errno.ts';
import {Hostlist} from './hostlist.ts';
import {Idset} from './idset.ts';
import type {Members} from './shape.ts';
import {asArray, asInteger, asNumber, asObject, asString, fault, onlyMembers} from './shape.ts';

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

// Before the class: its `empty` is made with it when the class is.
const NO_INFO: ResourceSetInfo = {
	starttime: 0,
	expiration: 0,
	properties: new Map(),
	nslots: null,
	scheduling: null,
};

export class ResourceSet {
	static readonly empty = ResourceSet.from([]);

	/** By rank, ascending. */
	readonly ranks: ReadonlyMap<number, RankResources>;
	readonly info: ResourceSetInfo;

	private constructor(ranks: ReadonlyMap<number, RankResources>, info: ResourceSetInfo) {
		this.ranks = ranks;
		this.info = info;
	}

	/** A set of `entries` in any order; ranks without a core and a gpu are left out, a rank twice is an error of the caller. */
	static from(
		entries: Iterable<readonly [rank: number, resources: RankResources]>,
		info: Partial<ResourceSetInfo> = {},
	): ResourceSet {
		const sorted = [...entries].filter(([, {cores, gpus}]) => !cores.isEmpty || !gpus.isEmpty);
		sorted.sort(([a], [b]) => a - b);
		const ranks = new Map(sorted);
		if (ranks.size !== sorted.length) throw new Error('ResourceSet: a rank is there twice');
		return new ResourceSet(ranks, {
			...NO_INFO,
			...info,
			properties: restrictProperties(info.properties ?? NO_INFO.properties, ranks.keys()),
		});
	}

	/** Reads R. @throws {SystemError} EINVAL that names the path of the fault, as `R.execution.R_lite[0].rank: …` */
	static parse(value: unknown): ResourceSet {
		const r = asObject(value, 'R');
		if (r['version'] !== 1) throw fault('R.version', '1', r['version']);
		const execution = asObject(r['execution'], 'R.execution');
		const children = parseRLite(execution['R_lite']);
		const hosts = parseNodelist(execution['nodelist']);
		if (hosts.count !== children.size) {
			throw fault('R.execution.nodelist', `the hosts of ${children.size} ranks`, `${hosts.count} hosts`);
		}
		const ranks = [...children.keys()].sort((a, b) => a - b);
		const entries = ranks.map((rank, i) => [rank, {host: hosts.nth(i), ...children.get(rank)!}] as const);
		return ResourceSet.from(entries, {
			starttime: asNumber(execution['starttime'] ?? 0, 'R.execution.starttime', 0),
			expiration: asNumber(execution['expiration'] ?? 0, 'R.execution.expiration', 0),
			properties: parseProperties(execution['properties'] ?? {}),
			nslots:
				execution['nslots'] === undefined ? null : asInteger(execution['nslots'], 'R.execution.nslots', 1),
			scheduling: r['scheduling'] === undefined ? null : asObject(r['scheduling'], 'R.scheduling'),
		});
	}

	/** R as JSON: equal ranks share an entry, the node list is compressed. `parse` gives an equal set back. */
	encode(): REncoded {
		const groups = new Map<string, {ranks: number[]; resources: RankResources}>();
		for (const [rank, resources] of this.ranks) {
			const key = `${resources.cores}/${resources.gpus}`;
			const group = groups.get(key);
			if (group === undefined) groups.set(key, {ranks: [rank], resources});
			else group.ranks.push(rank);
		}
		const {starttime, expiration, properties, nslots, scheduling} = this.info;
		return {
			version: 1,
			execution: {
				R_lite: [...groups.values()].map(({ranks, resources: {cores, gpus}}) => ({
					rank: Idset.from(ranks).toString(),
					children: {
						...(cores.isEmpty ? {} : {core: cores.toString()}),
						...(gpus.isEmpty ? {} : {gpu: gpus.toString()}),
					},
				})),
				// Flux's own clients expect one element, an empty one for no hosts.
				nodelist: [this.hostlist().toString()],
				...(nslots === null ? {} : {nslots}),
				starttime,
				expiration,
				...(properties.size === 0
					? {}
					: {properties: Object.fromEntries([...properties].map(([name, ids]) => [name, ids.toString()]))}),
			},
			...(scheduling === null ? {} : {scheduling}),
		};
	}

	get isEmpty(): boolean {
		return this.ranks.size === 0;
	}

	get rankset(): Idset {
		return Idset.from(this.ranks.keys());
	}

	get nodeCount(): number {
		return this.ranks.size;
	}

	get coreCount(): number {
		return this.#sum(({cores}) => cores.count);
	}

	get gpuCount(): number {
		return this.#sum(({gpus}) => gpus.count);
	}

	/** Hosts in the order of the ranks. */
	hostlist(): Hostlist {
		return Hostlist.from(Array.from(this.ranks.values(), ({host}) => host));
	}

	/** The names of the properties of `rank`. */
	propertiesOf(rank: number): ReadonlySet<string> {
		return new Set([...this.info.properties].filter(([, ids]) => ids.has(rank)).map(([name]) => name));
	}

	/** The same resources with other times, properties, or scheduler data. */
	withInfo(info: Partial<ResourceSetInfo>): ResourceSet {
		return ResourceSet.from(this.ranks, {...this.info, ...info});
	}

	/** The ranks of `ids` alone, with all they have here. */
	pick(ids: Idset): ResourceSet {
		return ResourceSet.from(
			[...this.ranks].filter(([rank]) => ids.has(rank)),
			{...this.info, nslots: null},
		);
	}

	/**
	 * All of both; times and scheduler data are this set's.
	 *
	 * @throws {SystemError} EINVAL when a rank has another host in `other`.
	 */
	union(other: ResourceSet): ResourceSet {
		const ranks = new Map(this.ranks);
		for (const [rank, theirs] of other.ranks) {
			const ours = ranks.get(rank);
			if (ours !== undefined) assertSameHost(rank, ours, theirs);
			ranks.set(rank, {
				host: theirs.host,
				cores: theirs.cores.union(ours?.cores ?? Idset.empty),
				gpus: theirs.gpus.union(ours?.gpus ?? Idset.empty),
			});
		}
		const properties = new Map(this.info.properties);
		for (const [name, ids] of other.info.properties) {
			properties.set(name, ids.union(properties.get(name) ?? Idset.empty));
		}
		return ResourceSet.from(ranks, {...this.info, nslots: null, properties});
	}

	/**
	 * What is here and not in `other`.
	 *
	 * @throws {SystemError} EINVAL when `other` has something that is not here, naming the first such thing.
	 */
	difference(other: ResourceSet): ResourceSet {
		const ranks = new Map(this.ranks);
		for (const [rank, theirs] of other.ranks) {
			const ours = ranks.get(rank);
			if (ours === undefined) throw notSubset(`rank ${rank} (${theirs.host}) is not in the set`);
			assertSameHost(rank, ours, theirs);
			const cores = theirs.cores.difference(ours.cores);
			if (!cores.isEmpty) throw notSubset(`rank ${rank} (${ours.host}) does not hold core ${cores}`);
			const gpus = theirs.gpus.difference(ours.gpus);
			if (!gpus.isEmpty) throw notSubset(`rank ${rank} (${ours.host}) does not hold gpu ${gpus}`);
			ranks.set(rank, {
				host: ours.host,
				cores: ours.cores.difference(theirs.cores),
				gpus: ours.gpus.difference(theirs.gpus),
			});
		}
		return ResourceSet.from(ranks, {...this.info, nslots: null});
	}

	/** What is in both; hosts, times and properties are this set's. @throws {SystemError} EINVAL when hosts differ. */
	intersect(other: ResourceSet): ResourceSet {
		const entries: [number, RankResources][] = [];
		for (const [rank, ours] of this.ranks) {
			const theirs = other.ranks.get(rank);
			if (theirs === undefined) continue;
			assertSameHost(rank, ours, theirs);
			entries.push([
				rank,
				{
					host: ours.host,
					cores: ours.cores.intersect(theirs.cores),
					gpus: ours.gpus.intersect(theirs.gpus),
				},
			]);
		}
		return ResourceSet.from(entries, {...this.info, nslots: null});
	}

	/** Whether all ranks, hosts, cores and gpus are the same; times, properties and the like are not compared. */
	equals(other: ResourceSet): boolean {
		if (this.ranks.size !== other.ranks.size) return false;
		for (const [rank, ours] of this.ranks) {
			const theirs = other.ranks.get(rank);
			if (theirs === undefined || ours.host !== theirs.host) return false;
			if (!ours.cores.equals(theirs.cores) || !ours.gpus.equals(theirs.gpus)) return false;
		}
		return true;
	}

	toJSON(): REncoded {
		return this.encode();
	}

	#sum(countOf: (resources: RankResources) => number): number {
		let sum = 0;
		for (const resources of this.ranks.values()) sum += countOf(resources);
		return sum;
	}
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
	let hosts = Hostlist.empty;
	for (const [i, item] of asArray(value, 'R.execution.nodelist').entries()) {
		const path = `R.execution.nodelist[${i}]`;
		hosts = hosts.append(atPath(path, () => Hostlist.parse(asString(item, path))));
	}
	return hosts;
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

/** Puts `path` before the message of an error that does not have it yet. */
function atPath<T>(path: string, parse: () => T): T {
	try {
		return parse();
	} catch (error) {
		if (!(error instanceof SystemError) || error.message.startsWith(path)) throw error;
		throw new SystemError('EINVAL', `${path}: ${error.message}`, {cause: error});
	}
}

function restrictProperties(
	properties: ReadonlyMap<string, Idset>,
	ranks: Iterable<number>,
): ReadonlyMap<string, Idset> {
	if (properties.size === 0) return properties;
	const rankset = Idset.from(ranks);
	const restricted = new Map<string, Idset>();
	for (const [name, ids] of properties) {
		const inside = ids.intersect(rankset);
		if (!inside.isEmpty) restricted.set(name, inside);
	}
	return restricted;
}

function assertSameHost(rank: number, ours: RankResources, theirs: RankResources): void {
	if (ours.host !== theirs.host) {
		throw new SystemError(
			'EINVAL',
			`resource sets disagree: rank ${rank} is ${ours.host} in one and ${theirs.host} in the other`,
		);
	}
}

function notSubset(what: string): SystemError {
	return new SystemError('EINVAL', `cannot subtract resources that are not there: ${what}`);
}
