/**
 * Resource sets: R of version 1 (RFC 20), parsed and normalised. Immutable. Every rank in it has at least one core or
 * one gpu; ranks ascend; a rank is there once, with one host.
 */
import {SystemError} from './errno.ts';
import {Hostlist} from './hostlist.ts';
import {Idset} from './idset.ts';
import type {RankResources, REncoded, ResourceSetInfo} from './r-json.ts';
import {parseR} from './r-json.ts';

export type {RankResources, REncoded, ResourceSetInfo} from './r-json.ts';

// Before the class: its `empty` is made with it when the class is.
const NO_INFO: ResourceSetInfo = {
	starttime: 0,
	expiration: 0,
	properties: new Map(),
	nslots: null,
	scheduling: null,
};

/** By what they were read from: R of a job is never changed, and read at every turn of it. */
const READ = new WeakMap<object, ResourceSet>();

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
		const known = typeof value === 'object' && value !== null ? READ.get(value) : undefined;
		if (known !== undefined) return known;
		const {ranks, info} = parseR(value);
		const set = ResourceSet.from(ranks, info);
		READ.set(value as object, set);
		return set;
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
		const R: REncoded = {
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
		READ.set(R, this); // Whoever reads it in this process need not.
		return R;
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
		return this.derive(new Map([...this.ranks].filter(([rank]) => ids.has(rank))));
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

	/** As `union`, of sets that share nothing. @throws {SystemError} EINVAL when something is in both, naming its rank. */
	append(other: ResourceSet): ResourceSet {
		const [shared] = this.intersect(other).ranks;
		if (shared !== undefined) {
			const [rank, {host, cores, gpus}] = shared;
			const what = cores.isEmpty ? `gpu ${gpus}` : `core ${cores}`;
			throw new SystemError('EINVAL', `resource sets overlap: rank ${rank} (${host}) has ${what} in both`);
		}
		return this.union(other);
	}

	/** The same nodes with the ranks 0, 1, … in their order, as an instance within a job sees them. */
	remap(): ResourceSet {
		const newRank = new Map([...this.ranks.keys()].map((rank, index) => [rank, index]));
		const properties = [...this.info.properties].map(
			([name, ids]) => [name, Idset.from(Array.from(ids, rank => newRank.get(rank)!))] as const,
		);
		return ResourceSet.from(
			[...this.ranks].map(([rank, resources]) => [newRank.get(rank)!, resources]),
			{...this.info, properties: new Map(properties)},
		);
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
			const rest = {
				host: ours.host,
				cores: ours.cores.difference(theirs.cores),
				gpus: ours.gpus.difference(theirs.gpus),
			};
			if (rest.cores.isEmpty && rest.gpus.isEmpty) ranks.delete(rank);
			else ranks.set(rank, rest);
		}
		return this.derive(ranks);
	}

	/** What is in both; hosts, times and properties are this set's. @throws {SystemError} EINVAL when hosts differ. */
	intersect(other: ResourceSet): ResourceSet {
		const ranks = new Map<number, RankResources>();
		for (const [rank, ours] of this.ranks) {
			const theirs = other.ranks.get(rank);
			if (theirs === undefined) continue;
			assertSameHost(rank, ours, theirs);
			const cores = ours.cores.intersect(theirs.cores);
			const gpus = ours.gpus.intersect(theirs.gpus);
			if (!cores.isEmpty || !gpus.isEmpty) ranks.set(rank, {host: ours.host, cores, gpus});
		}
		return this.derive(ranks);
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

	/** Fewer of the same resources: `ranks` ascends and holds no rank without a core and a gpu. */
	// Not `#derive`: where a #method names its class, the compiler refers to the class by an alias that is not set
	// yet when `empty` is made.
	private derive(ranks: ReadonlyMap<number, RankResources>): ResourceSet {
		const properties = restrictProperties(this.info.properties, ranks.keys());
		return new ResourceSet(ranks, {...this.info, nslots: null, properties});
	}

	#sum(countOf: (resources: RankResources) => number): number {
		let sum = 0;
		for (const resources of this.ranks.values()) sum += countOf(resources);
		return sum;
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
