/**
 * A root and some ranks in one process, each with a log and a node of its own, joined by messages that this file carries
 * instead of a tree: so that every commit, order and message is a step at which one of them can die. The ranks stand in a
 * chain, so that what the last one says is passed on by those before it; who loses its parent starts again, as in a tree.
 */
import {Runtime} from '../../../src/broker/runtime.ts';
import {SystemError} from '../../../src/formats/errno.ts';
import {Idset} from '../../../src/formats/idset.ts';
import {ResourceSet} from '../../../src/formats/resource-set.ts';
import type {PerilogPlan} from '../../../src/machines/job-perilog.ts';
import type {Json} from '../../../src/machines/job.ts';
import {partKey} from '../../../src/machines/part.ts';
import type {Clock} from '../../../src/ports/clock.ts';
import type {ProcessHost} from '../../../src/ports/process-host.ts';
import type {Store, StoreDir} from '../../../src/ports/store.ts';
import {Archive} from '../../../src/services/archive.ts';
import {JobExec} from '../../../src/services/job-exec/job-exec.ts';
import {JobManager} from '../../../src/services/job-manager/job-manager.ts';
import type {Membership} from '../../../src/services/membership.ts';
import type {PeerAnswer, PeerHandler, PeerOptions, Peers} from '../../../src/services/peers.ts';
import {ServiceRegistry} from '../../../src/net/service-registry.ts';
import {Scheduling} from '../../../src/services/scheduling.ts';
import {Topology} from '../../../src/net/overlay/topology.ts';
import {SimClock} from '../../../src/sim/clock.ts';
import {SimNode, type SimNodeOptions} from '../../../src/sim/process-host.ts';
import {SimRandom} from '../../../src/sim/random.ts';
import {SimDisk} from '../../../src/sim/store-dir.ts';
import {EventLog} from '../../../src/store/event-log.ts';

const ROOT = 0;
const INSTANCE = '5eed0000-0000-4000-8000-000000000002';
const RESTART_MS = 10;
const HELLO_MS = 2;
const MESSAGE_MS = 1;
const REQUEST_TIMEOUT_MS = 30_000;

export interface CrashPoint {
	readonly step: number;
	readonly when: 'before' | 'after';
	/** Who dies; default: whose step it is. */
	readonly rank?: number;
}

export interface RanksOptions {
	readonly size: number;
	readonly cores?: number;
	readonly crashes?: readonly CrashPoint[];
	readonly leaseMs?: number;
	readonly node?: SimNodeOptions;
	/** Children of each rank. Default: 1, a chain. */
	readonly fanout?: number;
	/** Messages that get lost, by their number among all that are sent. */
	readonly isLost?: (number: number) => boolean;
	readonly perilog?: PerilogPlan;
}

export interface Step {
	readonly rank: number;
	readonly name: string;
}

export class RanksWorld {
	readonly clock = new SimClock();
	readonly random = new SimRandom(1);
	readonly ranks: readonly Rank[];
	readonly options: RanksOptions;
	readonly topology: Topology;
	readonly steps: Step[] = [];
	/** Every message that was sent, as `from>to topic`. */
	readonly messages: string[] = [];
	/** What requests to many ranks would be in a tree: one message to each child that is on the way. */
	readonly splits: string[] = [];
	crashCount = 0;
	#isArmed = true;

	constructor(options: RanksOptions) {
		this.options = options;
		this.topology = Topology.kary(options.size, options.fanout ?? 1);
		this.ranks = Array.from({length: options.size}, (_, rank) => new Rank(this, rank));
	}

	start(): void {
		for (const rank of this.ranks) rank.start();
	}

	get(rank: number): Rank {
		return this.ranks[rank]!;
	}

	get root(): RootServices | null {
		return this.get(ROOT).life?.root ?? null;
	}

	/** All are there, and the root has compared what they have with its log. */
	get isWhole(): boolean {
		const core = this.get(ROOT).life?.core;
		return core != null && this.ranks.every(({rank}) => core.isReconciled(rank));
	}

	/** Reached from the root: it and all on the way have said hello. */
	isOnline(rank: number): boolean {
		for (let at: number | null = rank; at !== null; at = this.topology.parentOf(at)) {
			if (this.get(at).life?.hasJoined !== true) return false;
		}
		return true;
	}

	/** The process of `rank` dies; those below it notice, and start again. */
	kill(rank: number, {hold = false}: {readonly hold?: boolean} = {}): void {
		this.get(rank).die({hold});
	}

	disarm(): void {
		this.#isArmed = false;
	}

	/** Notes that `rank` is about to do something, and lets die whoever dies of it. True: it was done. */
	step(life: Life, name: string, perform: () => void): void {
		const crash = this.#note(life, name);
		if (life.isOver) return;
		perform();
		if (crash?.when === 'after') this.kill(crash.rank ?? life.rank.rank);
	}

	async longStep(life: Life, name: string, perform: () => Promise<void>): Promise<void> {
		const crash = this.#note(life, name);
		if (life.isOver) return never();
		await perform();
		if (crash?.when === 'after') this.kill(crash.rank ?? life.rank.rank);
		if (life.isOver) return never();
	}

	#note(life: Life, name: string): CrashPoint | undefined {
		if (life.isOver) return undefined;
		this.steps.push({rank: life.rank.rank, name});
		if (!this.#isArmed) return undefined;
		const crash = this.options.crashes?.find(({step}) => step === this.steps.length);
		if (crash === undefined) return undefined;
		this.crashCount += 1;
		if (crash.when === 'before') this.kill(crash.rank ?? life.rank.rank);
		return crash;
	}
}

/** What outlives the broker of a rank: its disk and node. */
export class Rank {
	readonly rank: number;
	readonly world: RanksWorld;
	disk: SimDisk;
	readonly node: SimNode;
	readonly lines: string[] = [];
	life: Life | null = null;
	bootCount = 0;
	#isHeld = false;

	constructor(world: RanksWorld, rank: number) {
		this.world = world;
		this.rank = rank;
		this.disk = new SimDisk({clock: world.clock});
		this.node = new SimNode(world.clock, world.options.node);
	}

	get host(): string {
		return `n${this.rank}`;
	}

	start(): void {
		if (this.life !== null || this.#isHeld) return;
		this.bootCount += 1;
		this.life = new Life(this);
		this.life.begin().catch((error: unknown) => {
			throw error;
		});
	}

	die({hold = false}: {readonly hold?: boolean} = {}): void {
		this.#isHeld ||= hold;
		const {life} = this;
		if (life === null) return;
		life.end();
		this.node.contact(null);
		this.life = null;
		this.disk.crash();
		this.world.clock.setTimer(RESTART_MS, () => this.start());
		for (const child of this.world.topology.childrenOf(this.rank)) {
			const below = this.world.get(child);
			const lost = below.life;
			if (lost?.hasJoined !== true) continue;
			this.world.clock.setTimer(MESSAGE_MS, () => {
				if (below.life === lost) below.die();
			});
		}
		this.world.get(ROOT).life?.membersChanged();
	}

	/** Its state directory is gone; it must be dead. */
	wipe(): void {
		this.disk = new SimDisk({clock: this.world.clock});
	}

	release(): void {
		this.#isHeld = false;
		this.start();
	}
}

interface RootServices {
	readonly manager: JobManager;
	readonly archive: Archive;
	readonly scheduling: Scheduling;
}

/** One process of a rank's broker. */
export class Life implements Membership, Peers {
	readonly rank: Rank;
	readonly clock: Clock;
	readonly size: number;
	readonly parent: number | null;
	core: Runtime | null = null;
	root: RootServices | null = null;
	log: EventLog | null = null;
	isOver = false;
	/** It has said hello to its parent. */
	hasJoined = false;
	readonly #endClock: () => void;
	readonly #handlers = new Map<string, PeerHandler>();
	readonly #listeners = new Set<() => void>();
	readonly #pending = new Map<number, {readonly to: number; readonly reject: (error: SystemError) => void}>();
	#nextRequest = 1;

	constructor(rank: Rank) {
		const {clock, end} = rank.world.clock.life();
		this.rank = rank;
		this.clock = {...clock, bootId: rank.node.bootId};
		this.#endClock = end;
		this.size = rank.world.options.size;
		this.parent = rank.world.topology.parentOf(rank.rank);
	}

	end(): void {
		this.isOver = true;
		this.#endClock();
	}

	async begin(): Promise<void> {
		const {world, disk, node, rank} = this.rank;
		const dir = watchDir(this, disk.dir(this.rank.bootCount));
		const {clock} = this;
		const {random} = world;
		const log = await EventLog.open(dir, {clock, random, create: disk.database === null});
		this.log = log;
		const core = new Runtime({
			log,
			clock,
			random,
			rank,
			report: (severity, line) => void this.rank.lines.push(`${severity}: ${line}`),
			onFatal: error => {
				throw error;
			},
			snapshotFacts: 20,
			retentionFacts: 0,
		});
		await core.replay();
		if (core.state.broker.value === 'new') {
			const hostname = this.rank.host;
			core.post({type: 'broker.instance', instance: INSTANCE, epochMs: clock.epochMs(), rank, hostname});
		}
		const {epoch} = core.state.broker.context;
		const {bootId} = clock;
		core.post({type: 'broker.boot', epoch: epoch + 1, bootId, uuid: random.uuid(), pid: 1, version: 'sim'});
		if (rank === ROOT) this.root = this.#rootServices(core, log);
		const {leaseMs = Infinity, cores = 2} = world.options;
		const R = ResourceSet.from([
			[rank, {host: this.rank.host, cores: Idset.range(0, cores - 1), gpus: Idset.empty}],
		]);
		const exec = new JobExec({
			core,
			peers: this,
			host: watchHost(this, node.host()),
			settings: {rank, uri: `local:///sim-${rank}`, killTimeoutMs: 5000, leaseMs},
			resources: R.encode() as unknown as Json,
			onReconciled: () => {
				if (core.state.broker.value === 'recovering') core.post({type: 'broker.reconcile'});
			},
		});
		this.root?.scheduling.begin();
		core.goLive();
		this.core = core;
		this.#hello(exec);
	}

	#rootServices(core: Runtime, log: EventLog): RootServices {
		const {world} = this.rank;
		const {leaseMs = null} = world.options;
		const archive = new Archive(log);
		const {perilog} = world.options;
		const policy = perilog === undefined ? {} : {policy: {exclude: Idset.empty, queues: {}, perilog}};
		const scheduling = new Scheduling({core, membership: this, registry: new ServiceRegistry(), ...policy});
		const manager = new JobManager({
			core,
			peers: this,
			archive,
			membership: this,
			leaseMs,
			onJoined: () => scheduling.wake(),
			nodes: scheduling.resources,
			ghosts: scheduling.resources.ghosts,
			admit: jobspec => jobspec,
		});
		return {manager, archive, scheduling};
	}

	/** Joins when its parent has joined. */
	#hello(exec: JobExec): void {
		this.clock.setTimer(HELLO_MS, () => {
			const {world} = this.rank;
			if (this.parent !== null && !world.isOnline(this.parent)) return this.#hello(exec);
			this.hasJoined = true;
			world.get(ROOT).life?.membersChanged();
			exec.reconcile();
		});
	}

	isOnline(rank: number): boolean {
		return this.rank.world.isOnline(rank);
	}

	isTorpid(): boolean {
		return false;
	}

	hostOf(rank: number): string {
		return this.rank.world.get(rank).host;
	}

	onChange(listener: () => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	/** What waited for a rank that is gone fails, and the services are told. */
	membersChanged(): void {
		for (const [number, {to, reject}] of this.#pending) {
			if (this.rank.world.isOnline(to)) continue;
			this.#pending.delete(number);
			reject(new SystemError('EHOSTUNREACH', `rank ${to} is out of reach`));
		}
		for (const listener of this.#listeners) listener();
	}

	handle(topic: string, handler: PeerHandler): void {
		this.#handlers.set(topic, handler);
	}

	request(to: number, topic: string, payload: object, {timeoutMs}: PeerOptions = {}): Promise<unknown> {
		const {core} = this;
		return new Promise((resolve, reject) => {
			const leave = core === null ? (run: () => void) => run() : (run: () => void) => core.leave(run);
			leave(() => {
				const number = this.#nextRequest;
				this.#nextRequest += 1;
				this.#pending.set(number, {to, reject});
				const timer = this.clock.setTimer(timeoutMs ?? REQUEST_TIMEOUT_MS, () => {
					if (this.#pending.delete(number)) reject(new SystemError('ETIMEDOUT', `${topic} to rank ${to}`));
				});
				const settle = (run: () => void) => {
					if (this.isOver || !this.#pending.delete(number)) return;
					timer.cancel();
					run();
				};
				this.#carry(
					to,
					{topic, payload},
					{
						resolve: answer => settle(() => resolve(answer)),
						reject: error => settle(() => reject(error)),
					},
				);
			});
		});
	}

	async requestAll(
		ranks: readonly number[],
		topic: string,
		payload: object,
		options?: PeerOptions,
	): Promise<ReadonlyMap<number, PeerAnswer>> {
		const {world, rank: own} = this.rank;
		const ways = new Set(ranks.map(rank => world.topology.childToward(own, rank)));
		for (const child of ways) if (child !== null) world.splits.push(`${own}>${child} ${topic}`);
		const ask = async (rank: number): Promise<[number, PeerAnswer]> => {
			try {
				return [rank, {error: null, payload: await this.request(rank, topic, payload, options)}];
			} catch (error) {
				return [rank, {error: error as SystemError, payload: null}];
			}
		};
		return new Map(await Promise.all(ranks.map(ask)));
	}

	#carry(
		to: number,
		{topic, payload}: {readonly topic: string; readonly payload: object},
		{resolve, reject}: {resolve: (answer: unknown) => void; reject: (error: SystemError) => void},
	): void {
		const {world, rank} = this.rank;
		const send = (life: Life, from: number, toRank: number, run: () => void) => {
			if (from === toRank) return run();
			world.messages.push(`${from}>${toRank} ${topic}`);
			const isLost = world.options.isLost?.(world.messages.length) === true;
			world.step(life, `${from}>${toRank} ${topic}`, () => {
				if (!isLost) world.clock.setTimer(MESSAGE_MS, run);
			});
		};
		send(this, rank, to, () => {
			const target = world.get(to).life;
			const unreachable = () => reject(new SystemError('EHOSTUNREACH', `rank ${to} is out of reach`));
			if (target?.core == null || (to !== rank && !(world.isOnline(to) && world.isOnline(rank)))) {
				return unreachable();
			}
			const handler = target.#handlers.get(topic);
			if (handler === undefined) return reject(new SystemError('ENOSYS', topic));
			const {core} = target;
			void Promise.resolve()
				.then(() => handler(structuredClone(payload) as never, rank))
				.then(
					answer => {
						if (target.isOver) return;
						core.leave(() => send(target, to, rank, () => resolve(structuredClone(answer))));
					},
					(error: unknown) => {
						if (!(error instanceof SystemError)) throw error;
						send(target, to, rank, () => reject(error));
					},
				);
		});
	}
}

function never<T>(): Promise<T> {
	return new Promise<T>(() => undefined);
}

function watchDir(life: Life, dir: StoreDir): StoreDir {
	const {world} = life.rank;
	return proxy(dir, {
		async open(options: {readonly create: boolean}) {
			const store = await dir.open(options);
			return proxy(store, {
				write: (...args: Parameters<Store['write']>) =>
					args[1].sync
						? world.longStep(life, 'commit', () => store.write(...args))
						: life.isOver
							? never<void>()
							: store.write(...args),
			});
		},
	});
}

function watchHost(life: Life, host: ProcessHost): ProcessHost {
	const {world} = life.rank;
	return proxy(host, {
		begin: (...args: Parameters<ProcessHost['begin']>) =>
			world.step(life, `begin ${partKey(args[0])}`, () => host.begin(...args)),
		launch: (...args: Parameters<ProcessHost['launch']>) =>
			world.step(life, `launch ${partKey(args[0])}`, () => host.launch(...args)),
		terminate: (...args: Parameters<ProcessHost['terminate']>) =>
			world.step(life, `terminate ${partKey(args[0])}`, () => host.terminate(...args)),
		forget: (...args: Parameters<ProcessHost['forget']>) =>
			world.step(life, `forget ${partKey(args[0])}`, () => host.forget(...args)),
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
