/**
 * One broker on one simulated node, with its disk, its clients' network, and a count of everything that it does to the
 * world. A run can name the step before or after which the broker dies; it then comes back, on the same disk and node, as
 * a daemon would bring it back.
 */
import {ResourceSet} from '../formats/resource-set.ts';
import {Idset} from '../formats/idset.ts';
import {Broker} from '../broker/broker.ts';
import type {BrokerPorts} from '../broker/broker-options.ts';
import type {PerilogPlan} from '../machines/job-perilog.ts';
import {KARY_DEFAULT, Topology} from '../net/overlay/topology.ts';
import type {Link, Transport} from '../ports/transport.ts';
import type {ProcessHost} from '../ports/process-host.ts';
import type {Store, StoreDir} from '../ports/store.ts';
import {SimClock} from './clock.ts';
import {SimNode, type SimNodeOptions} from './process-host.ts';
import {SimRandom} from './random.ts';
import {SimDisk} from './store-dir.ts';
import {SimNetwork} from './transport.ts';

export const SIM_URI = 'local:///run/sim/local-0';
const INSTANCE = '5eed0000-0000-4000-8000-000000000000';
const RESTART_MS = 10;
/** The defaults of `tbon`. */
export const SIM_TIMES = {
	torpidMs: 5000,
	lostTimeoutMs: 30_000,
	keepaliveMs: 1000,
	reconnectMsMax: 2000,
} as const;

/** The broker dies when it is about to do its `step`-th effect, or has just done it. Counted over all its lives. */
export interface CrashPoint {
	readonly step: number;
	readonly when: 'before' | 'after';
}

export interface SimWorldOptions {
	readonly seed: number;
	readonly crashes?: readonly CrashPoint[];
	readonly node?: SimNodeOptions;
	readonly cores?: number;
	/** At a crash only so many unsynced writes survive; default: all (the process dies, not the machine). */
	readonly keepWrites?: number;
	/** What runs before and after the tasks of each job. */
	readonly perilog?: PerilogPlan;
}

export class SimWorld {
	readonly clock = new SimClock();
	readonly random: SimRandom;
	readonly disk: SimDisk;
	readonly node: SimNode;
	readonly network: SimNetwork;
	readonly lines: string[] = [];
	/** Every effect of the broker on the world so far, in order, by name. */
	readonly steps: string[] = [];
	broker: Broker | null = null;
	/** How often the broker died. */
	crashCount = 0;
	bootCount = 0;
	/** Every failure to start or panic, for messages. */
	readonly ends: string[] = [];
	isStopped = false;
	readonly #options: SimWorldOptions;
	#life: Life | null = null;
	#isArmed = true;

	constructor(options: SimWorldOptions) {
		this.#options = options;
		this.random = new SimRandom(options.seed);
		this.disk = new SimDisk({clock: this.clock});
		this.node = new SimNode(this.clock, options.node);
		this.network = new SimNetwork({clock: this.clock, random: this.random});
	}

	/** Starts the next life of the broker; it is brought back whenever it dies, until `isStopped`. */
	start(): void {
		this.bootCount += 1;
		const life = new Life(this);
		this.#life = life;
		const ports = this.#ports(life);
		const R = ResourceSet.from([
			[0, {host: 'sim', cores: Idset.range(0, (this.#options.cores ?? 4) - 1), gpus: Idset.empty}],
		]);
		Broker.start({
			ports,
			instance: INSTANCE,
			rank: 0,
			hostname: 'sim',
			userid: 1000,
			pid: this.bootCount,
			version: '0.0.0-sim',
			localUri: SIM_URI,
			overlay: {
				topology: Topology.kary(1, KARY_DEFAULT),
				hosts: ['sim'],
				listenUri: null,
				parentUri: null,
				...SIM_TIMES,
			},
			create: this.disk.database === null,
			resources: R,
			killTimeoutMs: 5000,
			snapshotFacts: 20,
			retentionFacts: 60,
			config: {},
			attributes: {},
			...(this.#options.perilog === undefined
				? {}
				: {scheduling: {exclude: Idset.empty, queues: {}, perilog: this.#options.perilog}}),
			write: line => this.lines.push(line),
			onShutdown: async () => undefined,
		}).then(
			broker => {
				if (life.isOver) return;
				this.broker = broker;
				void broker.ended.then(({exitCode, reason}) => {
					if (life.isOver) return;
					this.ends.push(reason);
					if (exitCode === 0) this.isStopped = true;
					this.#finish(life);
				});
			},
			(error: unknown) => {
				if (life.isOver) return;
				this.ends.push(String(error));
				this.#finish(life);
			},
		);
	}

	/** No crash point counts from now on. */
	disarm(): void {
		this.#isArmed = false;
	}

	/** Kills the broker at this moment. */
	kill(): void {
		if (this.#life !== null) this.#finish(this.#life);
	}

	/** Notes one effect that is done in one go, and does it unless the broker died before. */
	step(life: Life, name: string, perform: () => void): void {
		const crash = this.#note(life, name);
		if (life.isOver) return;
		perform();
		if (crash === 'after') this.#finish(life);
	}

	/** The same for an effect that takes time: the broker may die when it is done and nobody knows. */
	async longStep(life: Life, name: string, perform: () => Promise<void>): Promise<void> {
		const crash = this.#note(life, name);
		if (life.isOver) return never();
		await perform();
		if (crash === 'after') this.#finish(life);
		if (life.isOver) return never();
	}

	/** Counts an effect that is about to be; kills the broker if that is the moment. */
	#note(life: Life, name: string): CrashPoint['when'] | null {
		if (life.isOver) return null;
		this.steps.push(name);
		const crash = this.#isArmed
			? this.#options.crashes?.find(({step}) => step === this.steps.length)
			: undefined;
		if (crash?.when === 'before') this.#finish(life);
		return crash?.when ?? null;
	}

	#finish(life: Life): void {
		if (life.isOver) return;
		life.end();
		this.crashCount += 1;
		this.broker = null;
		const {keepWrites} = this.#options;
		this.disk.crash(keepWrites === undefined ? {} : {keepWrites});
		this.network.kill('node');
		if (!this.isStopped) this.clock.setTimer(RESTART_MS, () => this.start());
	}

	#ports(life: Life): BrokerPorts {
		return {
			clock: life.clock,
			random: this.random,
			store: watchDir(this, life, this.disk.dir(this.bootCount)),
			transport: watchTransport(this, life, this.network.transport('node')),
			host: watchHost(this, life, this.node.host()),
		};
	}
}

/** One process of the broker. */
class Life {
	readonly clock;
	isOver = false;
	readonly #endClock: () => void;

	constructor(world: SimWorld) {
		const {clock, end} = world.clock.life();
		this.clock = clock;
		this.#endClock = end;
	}

	end(): void {
		this.isOver = true;
		this.#endClock();
	}
}

/** What a dead process waits for never comes. */
function never<T>(): Promise<T> {
	return new Promise<T>(() => undefined);
}

function watchDir(world: SimWorld, life: Life, dir: StoreDir): StoreDir {
	return proxy(dir, {
		async open(options: {readonly create: boolean}) {
			return watchStore(world, life, await dir.open(options));
		},
		writeHead: (bytes: Uint8Array) => world.longStep(life, 'head', () => dir.writeHead(bytes)),
	});
}

function watchStore(world: SimWorld, life: Life, store: Store): Store {
	return proxy(store, {
		write: (...args: Parameters<Store['write']>) =>
			world.longStep(life, args[1].sync ? 'commit' : 'write', () => store.write(...args)),
	});
}

function watchHost(world: SimWorld, life: Life, host: ProcessHost): ProcessHost {
	return proxy(host, {
		launch: (...args: Parameters<ProcessHost['launch']>) =>
			world.step(life, 'launch', () => host.launch(...args)),
		begin: (...args: Parameters<ProcessHost['begin']>) =>
			world.step(life, 'begin', () => host.begin(...args)),
		terminate: (...args: Parameters<ProcessHost['terminate']>) =>
			world.step(life, 'terminate', () => host.terminate(...args)),
		forget: (...args: Parameters<ProcessHost['forget']>) =>
			world.step(life, 'forget', () => host.forget(...args)),
	});
}

function watchTransport(world: SimWorld, life: Life, transport: Transport): Transport {
	return proxy(transport, {
		listen: (address: string, onLink: (link: Link) => void) =>
			transport.listen(address, link =>
				onLink(
					proxy(link, {
						send(frame: Uint8Array) {
							let result = true;
							world.step(life, 'reply', () => (result = link.send(frame)));
							return result;
						},
					}),
				),
			),
	});
}

/** `target` with some methods replaced; properties that are set go to the target. */
function proxy<T extends object>(target: T, replaced: object): T {
	return new Proxy(target, {
		get(_, name) {
			if (name in replaced) return (replaced as Record<PropertyKey, unknown>)[name];
			const value: unknown = Reflect.get(target, name, target);
			return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
		},
		set(_, name, value) {
			return Reflect.set(target, name, value, target);
		},
	});
}
