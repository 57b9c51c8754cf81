/**
 * The nodes of the instance at its root: what each has and why it may get no new work, from the durable state and from
 * who can be reached now. Invariant: a rank gets new work only when it is reachable, reconciled, not torpid, not drained and
 * not excluded.
 */
import {SystemError} from '../../formats/errno.ts';
import {Hostlist} from '../../formats/hostlist.ts';
import {Idset} from '../../formats/idset.ts';
import {ResourceSet, type RankResources} from '../../formats/resource-set.ts';
import type {NodeContext} from '../../machines/node.ts';
import type {Core} from '../core.ts';
import type {Membership} from '../membership.ts';
import {Ghosts} from './ghosts.ts';
import {keepHoldings} from './holdings.ts';
import {ResourcePool} from './pool.ts';

export interface ResourcesOptions {
	readonly core: Core;
	readonly membership: Membership;
	/** Ranks on which nothing is ever scheduled (`resource.exclude`). Default: none. */
	readonly exclude?: Idset;
}

/** Something held is free, or nodes are not what or where they were. */
export type ResourceChange = 'free' | 'nodes';

/** What a rank is like, as constraints see it. */
export interface NodeFacts {
	readonly rank: number;
	readonly hostname: string;
	readonly properties: ReadonlySet<string>;
}

export class Resources {
	/** All nodes that are known and not excluded, and who holds what of them. */
	readonly pool = new ResourcePool();
	readonly ghosts: Ghosts;
	readonly membership: Membership;
	readonly exclude: Idset;
	readonly #core: Core;
	readonly #nodes = new Map<number, NodeFacts & {readonly resources: RankResources}>();
	readonly #listeners = new Set<(what: ResourceChange) => void>();
	#definitions = 0;

	constructor({core, membership, exclude = Idset.empty}: ResourcesOptions) {
		this.#core = core;
		this.membership = membership;
		this.exclude = exclude;
		this.ghosts = new Ghosts({
			pool: this.pool,
			isReleased: id => core.state.released.has(id),
			onFree: () => this.#changed('free'),
		});
	}

	/** After the replay: takes over what the state says, and follows it from now on. */
	begin(): void {
		const {core} = {core: this.#core};
		for (const {context} of core.state.nodes.values()) this.#define(context);
		keepHoldings({core, pool: this.pool, onFree: () => this.#changed('free')});
		core.onChange(change => {
			if (change.kind !== 'node') return;
			this.#define(change.snapshot.context);
			this.#changed('nodes');
		});
		this.membership.onChange(() => this.#changed('nodes'));
	}

	/** Counts the definitions of nodes: what was concluded from them holds as long as this is the same. */
	get definitions(): number {
		return this.#definitions;
	}

	/** Calls `listener` when more may be possible than before. */
	onChange(listener: (what: ResourceChange) => void): void {
		this.#listeners.add(listener);
	}

	/** Every rank that has ever said what it has, ascending. */
	get nodes(): readonly NodeFacts[] {
		return [...this.#nodes.values()].sort((a, b) => a.rank - b.rank);
	}

	/** All that is known, with what is excluded and with properties. */
	known(): ResourceSet {
		const properties = new Map<string, number[]>();
		for (const {rank, properties: names} of this.#nodes.values()) {
			for (const name of names) properties.set(name, [...(properties.get(name) ?? []), rank]);
		}
		return ResourceSet.from(
			Array.from(this.#nodes.values(), ({rank, resources}) => [rank, resources] as const),
			{properties: new Map([...properties].map(([name, ranks]) => [name, Idset.from(ranks)]))},
		);
	}

	/** Ranks of the instance that have never said what they have, and are not excluded. */
	get unknown(): readonly number[] {
		return this.ranks.filter(rank => !this.#nodes.has(rank) && !this.exclude.has(rank));
	}

	/** Every rank of the instance, as far as anything is known of it. */
	get ranks(): readonly number[] {
		const size = Math.max(this.membership.size, ...[...this.#core.state.nodes.keys()].map(rank => rank + 1));
		return Array.from({length: size}, (_, rank) => rank);
	}

	hostOf(rank: number): string {
		return (
			this.#nodes.get(rank)?.hostname ?? (rank < this.membership.size ? this.membership.hostOf(rank) : '')
		);
	}

	/** What an inventory said of its rank: a fact if it is news. */
	report(rank: number, R: unknown): void {
		const set = ResourceSet.parse(R);
		const resources = set.ranks.get(rank);
		if (resources === undefined) {
			throw new SystemError('EINVAL', `rank ${rank} said what rank(s) ${set.rankset.toString()} have`);
		}
		const before = this.#core.state.nodes.get(rank)?.context;
		const {host} = resources;
		const [cores, gpus] = [resources.cores.toString(), resources.gpus.toString()];
		const properties = [...set.propertiesOf(rank)].sort();
		if (
			before?.host === host &&
			before.cores === cores &&
			before.gpus === gpus &&
			before.properties.join() === properties.join()
		) {
			return;
		}
		this.#core.post({type: 'node.define', rank, host, cores, gpus, properties});
	}

	/** What was held for a job that is no more is free. */
	release(id: bigint): void {
		this.ghosts.releaseJob(id);
		this.pool.release(id);
		this.#changed('free');
	}

	/** Whether new work may go to `rank`. */
	isReady(rank: number): boolean {
		return (
			this.#core.isReconciled(rank) &&
			this.membership.isOnline(rank) &&
			!this.membership.isTorpid(rank) &&
			this.#core.state.nodes.get(rank)?.value !== 'drained' &&
			!this.exclude.has(rank)
		);
	}

	/** In a few words: why `rank` gets no new work; null: it does. */
	whyNot(rank: number): string | null {
		const node = this.#core.state.nodes.get(rank);
		if (this.exclude.has(rank)) return 'excluded';
		if (node?.context.drain != null) {
			const {reason} = node.context.drain;
			return reason === '' ? 'drained' : `drained: ${reason}`;
		}
		if (!this.membership.isOnline(rank)) return 'offline';
		if (this.membership.isTorpid(rank)) return 'torpid';
		if (!this.#core.isReconciled(rank)) return 'not reconciled yet';
		return null;
	}

	/** Ranks named by an idset, or by a hostlist. @throws {SystemError} EINVAL for one that is not there. */
	ranksOf(targets: string): readonly number[] {
		const ranks = /^[\d,[\]-]*$/.test(targets) ? this.#ranksOfIdset(targets) : this.#ranksOfHosts(targets);
		if (ranks.length === 0) throw new SystemError('EINVAL', 'no targets were given');
		return ranks;
	}

	#ranksOfIdset(text: string): readonly number[] {
		const ids = Idset.parse(text);
		const size = this.ranks.length;
		const outside = ids.difference(Idset.range(0, size - 1));
		if (!outside.isEmpty) {
			throw new SystemError(
				'EINVAL',
				`idset is out of range: no rank(s) ${outside.toString()} in an instance of ${size}`,
			);
		}
		return [...ids];
	}

	#ranksOfHosts(text: string): readonly number[] {
		const byHost = new Map<string, number[]>();
		for (const rank of this.ranks) {
			const host = this.hostOf(rank);
			byHost.set(host, [...(byHost.get(host) ?? []), rank]);
		}
		const {hosts} = Hostlist.parse(text);
		const unknown = hosts.filter(host => !byHost.has(host));
		if (unknown.length > 0) {
			throw new SystemError('EINVAL', `unknown host(s): ${Hostlist.from(unknown).toString()}`);
		}
		return [...Idset.from(hosts.flatMap(host => byHost.get(host) ?? []))];
	}

	#define({rank, host, cores, gpus, properties}: NodeContext): void {
		if (host === '') return;
		const resources = {host, cores: Idset.parse(cores), gpus: Idset.parse(gpus)};
		const before = this.#nodes.get(rank)?.resources;
		const isSame =
			before?.host === host && before.cores.equals(resources.cores) && before.gpus.equals(resources.gpus);
		this.#nodes.set(rank, {rank, hostname: host, properties: new Set(properties), resources});
		if (!isSame && !this.exclude.has(rank)) this.pool.define(rank, resources);
		this.#definitions += 1;
	}

	#changed(what: ResourceChange): void {
		for (const listener of this.#listeners) listener(what);
	}
}
