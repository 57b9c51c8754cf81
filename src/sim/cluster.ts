/**
 * An instance of many brokers on simulated nodes, in one process and under one seed. Each broker that ends is brought back
 * as a daemon would, on the same disk and node, until the instance has been shut down.
 */
import {Broker} from '../broker/broker.ts';
import {Idset} from '../formats/idset.ts';
import {ResourceSet} from '../formats/resource-set.ts';
import {Topology} from '../net/overlay/topology.ts';
import {SimClock} from './clock.ts';
import {SimNode, type SimNodeOptions} from './process-host.ts';
import {SimRandom} from './random.ts';
import {SimDisk} from './store-dir.ts';
import {SimNetwork} from './transport.ts';
import {SIM_TIMES} from './world.ts';

const INSTANCE = '5eed0000-0000-4000-8000-000000000001';
const RESTART_MS = 20;

export interface SimClusterOptions {
	readonly seed: number;
	readonly topology: Topology;
	/** Of each node. Default 4. */
	readonly cores?: number;
	readonly node?: SimNodeOptions;
	readonly latencyMs?: {readonly min: number; readonly max: number};
}

/** One rank: its disk and node, and the broker that is there at present. */
export interface SimRank {
	readonly rank: number;
	readonly host: string;
	readonly disk: SimDisk;
	readonly node: SimNode;
	readonly lines: string[];
	/** Why its brokers ended, oldest first; those that were killed have none. */
	readonly ends: string[];
	broker: Broker | null;
	bootCount: number;
	/** It is not brought back. */
	isHeld: boolean;
}

export function simUri(rank: number): string {
	return `local:///run/sim/local-${rank}`;
}

export class SimCluster {
	readonly clock = new SimClock();
	readonly random: SimRandom;
	readonly network: SimNetwork;
	readonly ranks: readonly SimRank[];
	readonly #options: SimClusterOptions;
	readonly #endLife = new Map<number, () => void>();
	#isStopping = false;

	constructor(options: SimClusterOptions) {
		this.#options = options;
		this.random = new SimRandom(options.seed);
		const {latencyMs} = options;
		this.network = new SimNetwork({
			clock: this.clock,
			random: this.random,
			...(latencyMs === undefined ? {} : {latencyMs}),
		});
		this.ranks = Array.from({length: options.topology.size}, (_, rank) => ({
			rank,
			host: `n${rank}`,
			disk: new SimDisk({clock: this.clock}),
			node: new SimNode(this.clock, options.node),
			lines: [],
			ends: [],
			broker: null,
			bootCount: 0,
			isHeld: false,
		}));
	}

	/** Starts all brokers. */
	start(): void {
		for (const {rank} of this.ranks) this.#start(rank);
	}

	get(rank: number): SimRank {
		const one = this.ranks[rank];
		if (one === undefined) throw new Error(`rank ${rank} is not in this cluster`);
		return one;
	}

	/** Every rank is reached from the root, and reconciled. */
	get isWhole(): boolean {
		const root = this.get(0).broker;
		return root !== null && this.ranks.every(({rank}) => root.runtime.isReconciled(rank));
	}

	/** SIGKILL; the broker is brought back unless `hold`. */
	kill(rank: number, {hold = false}: {readonly hold?: boolean} = {}): void {
		const one = this.get(rank);
		if (one.isHeld) return; // It is dead already, and stays so.
		one.isHeld = hold;
		this.#finish(rank);
	}

	/** Lets a broker that was held come back. */
	release(rank: number): void {
		const one = this.get(rank);
		if (!one.isHeld) return;
		one.isHeld = false;
		this.#start(rank);
	}

	#start(rank: number): void {
		const one = this.get(rank);
		const {topology, cores = 4} = this.#options;
		const {clock, end} = this.clock.life();
		one.bootCount += 1;
		const boot = one.bootCount;
		this.#endLife.set(rank, end);
		const isCurrent = () => one.bootCount === boot && this.#endLife.has(rank);
		const parent = topology.parentOf(rank);
		Broker.start({
			ports: {
				clock,
				random: this.random,
				store: one.disk.dir(boot),
				transport: this.network.transport(one.host),
				host: one.node.host(),
			},
			instance: INSTANCE,
			rank,
			hostname: one.host,
			userid: 1000,
			pid: boot,
			version: '0.0.0-sim',
			localUri: simUri(rank),
			overlay: {
				topology,
				hosts: this.ranks.map(({host}) => host),
				listenUri: topology.childrenOf(rank).length === 0 ? null : treeUri(rank),
				parentUri: parent === null ? null : treeUri(parent),
				...SIM_TIMES,
			},
			create: one.disk.database === null,
			resources: ResourceSet.from([
				[rank, {host: one.host, cores: Idset.range(0, cores - 1), gpus: Idset.empty}],
			]),
			killTimeoutMs: 5000,
			snapshotFacts: 50,
			retentionFacts: 10_000,
			config: {},
			attributes: {},
			write: line => one.lines.push(line),
			onShutdown: async () => void (this.#isStopping = true),
		}).then(
			broker => {
				if (!isCurrent()) return;
				one.broker = broker;
				void broker.ended.then(({reason}) => {
					if (!isCurrent()) return;
					one.ends.push(reason);
					this.#finish(rank);
				});
			},
			(error: unknown) => {
				if (!isCurrent()) return;
				one.ends.push(String(error));
				this.#finish(rank);
			},
		);
	}

	#finish(rank: number): void {
		const one = this.get(rank);
		const end = this.#endLife.get(rank);
		if (end === undefined) return;
		this.#endLife.delete(rank);
		end();
		one.broker = null;
		one.disk.crash({});
		this.network.kill(one.host);
		if (this.#isStopping || one.isHeld) return;
		this.clock.setTimer(RESTART_MS, () => {
			if (!this.#endLife.has(rank) && !one.isHeld) this.#start(rank);
		});
	}
}

function treeUri(rank: number): string {
	return `local:///run/sim/tbon-${rank}`;
}
