/**
 * A tree of overlays, routers, peers and clients' sockets over the simulated network, without brokers: no log and no jobs. Who
 * panics dies 20 ms later and comes back, as a daemon would bring it back, with what its log would know of its peers.
 */
import {Clients} from '../../../src/broker/clients.ts';
import {trackRpcs} from '../../../src/broker/rpc-tracking.ts';
import {SystemError} from '../../../src/formats/errno.ts';
import {DurableState} from '../../../src/machines/durable-state.ts';
import {decodeMessage, ROLE_LOCAL, ROLE_OWNER, type Message} from '../../../src/net/message.ts';
import type {OverlayOptions} from '../../../src/net/overlay/overlay-options.ts';
import {Overlay, type Identity} from '../../../src/net/overlay/overlay.ts';
import {Topology} from '../../../src/net/overlay/topology.ts';
import {RpcClient} from '../../../src/net/rpc-client.ts';
import {RpcServer} from '../../../src/net/rpc-server.ts';
import {ServiceRegistry} from '../../../src/net/service-registry.ts';
import type {Clock} from '../../../src/ports/clock.ts';
import type {Link, Transport} from '../../../src/ports/transport.ts';
import type {Core, FactBody} from '../../../src/services/core.ts';
import {fetchEvents, registerEvents} from '../../../src/services/event/topics.ts';
import {RoutedPeers} from '../../../src/services/routed-peers.ts';
import {SimClock} from '../../../src/sim/clock.ts';
import {SimRandom} from '../../../src/sim/random.ts';
import {SimNetwork} from '../../../src/sim/transport.ts';

export const TIMES = {
	torpidMs: 5000,
	lostTimeoutMs: 30_000,
	keepaliveMs: 1000,
	reconnectMsMax: 2000,
} as const;
const DEATH_MS = 20;
const RESTART_MS = 50;
const OWNER = {userid: 1000, rolemask: ROLE_OWNER | ROLE_LOCAL};
const INSTANCE = 'a-sim-tree';

export const hostOf = (rank: number) => `n${rank}`;
export const treeUri = (rank: number) => `local:///run/tbon-${rank}`;
const clientUri = (rank: number) => `local:///run/local-${rank}`;

export interface SimTreeOptions {
	readonly topology: Topology;
	readonly seed?: number;
	readonly latencyMs?: {readonly min: number; readonly max: number};
	/** What the brokers of a rank serve. */
	readonly serve?: (node: TreeNode) => void;
	/** What a rank's configuration says otherwise than the others'. */
	readonly overlay?: (rank: number) => Partial<OverlayOptions>;
	readonly identity?: (rank: number) => Partial<Identity>;
}

/** One life of a rank's process. */
export interface TreeNode {
	readonly rank: number;
	readonly clock: Clock;
	readonly overlay: Overlay;
	readonly peers: RoutedPeers;
	readonly registry: ServiceRegistry;
	readonly server: RpcServer;
	readonly state: DurableState;
}

/** A frame that a rank sent to another one's tree socket or over it. */
interface Sent {
	readonly from: number;
	readonly message: Message;
}

interface Rank {
	readonly rank: number;
	/** As if in its log. */
	peers: DurableState['peers'];
	/** What it said. */
	readonly lines: string[];
	/** Why its processes panicked. */
	readonly panics: string[];
	bootCount: number;
	node: TreeNode | null;
	end: () => void;
	/** It is not brought back. */
	isHeld: boolean;
	/** Timers that have come due in a stopped process; null: it runs. */
	frozen: (() => void)[] | null;
}

export class SimTree {
	readonly clock = new SimClock();
	readonly random: SimRandom;
	readonly network: SimNetwork;
	readonly topology: Topology;
	/** Handlers and routers that threw. */
	readonly failures: unknown[] = [];
	/** Told of each message between two ranks; null: they are not looked at. */
	onSent: ((sent: Sent) => void) | null = null;
	/** The longest queue of each rank's links so far. */
	readonly deepestBytes = new Map<number, number>();
	readonly #ranks: readonly Rank[];
	readonly #options: SimTreeOptions;

	constructor(options: SimTreeOptions) {
		const {topology, seed = 1, latencyMs = {min: 0.1, max: 0.5}} = options;
		this.#options = options;
		this.topology = topology;
		this.random = new SimRandom(seed);
		this.network = new SimNetwork({clock: this.clock, random: this.random, latencyMs});
		this.#ranks = Array.from({length: topology.size}, (_, rank) => ({
			rank,
			peers: new Map(),
			lines: [],
			panics: [],
			bootCount: 0,
			node: null,
			end: () => undefined,
			isHeld: false,
			frozen: null,
		}));
	}

	start(ranks: Iterable<number> = this.#ranks.keys()): void {
		for (const rank of ranks) this.#start(this.get(rank));
	}

	get(rank: number): Rank {
		const one = this.#ranks[rank];
		if (one === undefined) throw new Error(`no rank ${rank}`);
		return one;
	}

	node(rank: number): TreeNode {
		const {node} = this.get(rank);
		if (node === null) throw new Error(`rank ${rank} has no process`);
		return node;
	}

	/** Ranks that the root can reach. */
	get online(): string {
		return this.get(0).node?.overlay.subtree.online.toString() ?? '';
	}

	get bootCounts(): readonly number[] {
		return this.#ranks.map(({bootCount}) => bootCount);
	}

	/** All are one tree. */
	async whole(withinMs = 120_000): Promise<void> {
		const all = `0-${this.topology.size - 1}`;
		await this.clock.run(() => this.online === all, {withinMs, what: `all are online: ${this.describe()}`});
	}

	describe(): string {
		return this.#ranks
			.map(({rank, bootCount, panics}) => `${rank}: ${bootCount} ${panics.at(-1) ?? ''}`)
			.join('; ');
	}

	async until(isTrue: () => boolean, what: string, withinMs = 120_000): Promise<void> {
		await this.clock.run(isTrue, {withinMs, what});
	}

	/** Lets time pass until the promise has settled. */
	async settle<T>(promise: Promise<T>, withinMs = 120_000): Promise<T> {
		let isSettled = false;
		const done = () => void (isSettled = true);
		promise.then(done, done);
		await this.clock.run(() => isSettled, {withinMs, what: 'an answer'});
		return promise;
	}

	/** SIGKILL; it is brought back unless `hold`. */
	kill(rank: number, {hold = false} = {}): void {
		const one = this.get(rank);
		one.isHeld = hold;
		this.#die(one);
	}

	release(rank: number): void {
		this.get(rank).isHeld = false;
		this.#start(this.get(rank));
	}

	/** SIGSTOP: it takes nothing in, and its timers wait. */
	freeze(rank: number): void {
		this.network.stall(hostOf(rank));
		this.get(rank).frozen = [];
	}

	/** SIGCONT: timers first, then what is waiting to be read, then what they deferred. */
	thaw(rank: number): void {
		const one = this.get(rank);
		const timers = one.frozen ?? [];
		one.frozen = null;
		this.network.unstall(hostOf(rank));
		for (const fire of timers) fire();
	}

	/** A client at the socket of a rank. */
	async client(rank: number, from = 'client'): Promise<{readonly client: RpcClient; readonly link: Link}> {
		const connected = this.network.transport(from).connect(clientUri(rank), {timeoutMs: 1000});
		const link = await this.settle(connected);
		return {link, client: RpcClient.over(link, {clock: this.clock})};
	}

	/** Starts one more process of a rank, on a host of its own. */
	startAnother(rank: number): TreeNode {
		return this.#open({...this.get(rank), bootCount: 99, isHeld: true}, `other${rank}`);
	}

	#start(one: Rank): void {
		one.bootCount += 1;
		one.node = this.#open(one, hostOf(one.rank));
	}

	#open(one: Rank, host: string): TreeNode {
		const {rank} = one;
		const {topology} = this;
		const {clock, end} = this.#life(one);
		one.end = end;
		const state = new DurableState();
		for (const [peer, snapshot] of one.peers) state.peers.set(peer, {...snapshot, value: 'offline'});
		one.peers = state.peers;
		const post = (fact: FactBody) => void state.applyFact({...fact, atMs: clock.epochMs()});
		const leave = (run: () => void) => clock.defer(run);
		const core = {
			...{state, clock, rank, random: this.random, refusal: null, isBehind: false, post, leave},
			log: (_: string, text: string) => one.lines.push(text),
		} as unknown as Core;
		const registry = new ServiceRegistry();
		const server = new RpcServer({
			...{registry, clock, name: `rank ${rank}`, owner: OWNER, leave},
			onHandlerError: error => this.failures.push(error),
			...trackRpcs(core),
		});
		const parent = topology.parentOf(rank);
		const uuid = this.random.uuid();
		const bootId = `boot-of-${rank}`;
		const transport = this.#watched(this.network.transport(host), rank);
		const overlay: Overlay = new Overlay({
			rank,
			options: {
				topology,
				hosts: Array.from({length: topology.size}, (_, each) => hostOf(each)),
				listenUri: topology.childrenOf(rank).length === 0 ? null : treeUri(rank),
				parentUri: parent === null ? null : treeUri(parent),
				...TIMES,
				...this.#options.overlay?.(rank),
			},
			ports: {clock, random: this.random, transport},
			registry,
			server,
			post,
			leave,
			log: (_, text) => one.lines.push(text),
			identity: () => ({
				...{instance: INSTANCE, version: '0.0.0', uuid, pid: one.bootCount, bootCount: one.bootCount, bootId},
				...{logId: `log-of-${rank}`, headSeq: one.bootCount},
				...this.#options.identity?.(rank),
			}),
			peerOf: peer => state.peers.get(peer),
			panic: reason => panic(reason),
			fetchEvents: after => fetchEvents(peers, after),
			onJoined: () => undefined,
		});
		const peers = new RoutedPeers({
			...{core, topology, registry, owner: {...OWNER, rolemask: ROLE_OWNER}},
			send: (request, origin) => overlay.router.route(request, origin, () => undefined),
		});
		const clients = new Clients({server, router: overlay.router, owner: OWNER});
		const panic = (reason: string) => {
			one.panics.push(reason);
			const failure = new SystemError('ECONNRESET', `the broker of rank ${rank} panicked: ${reason}`);
			server.failAll(failure);
			overlay.close(failure, failure);
			clients.close();
			this.clock.setTimer(DEATH_MS, () => {
				if (one.end === end && one.frozen === null) this.#die(one);
			});
		};
		registerEvents({registry, peers, events: overlay.events, isRoot: rank === 0});
		const node = {rank, clock, overlay, peers, registry, server, state};
		this.#options.serve?.(node);
		void transport.listen(clientUri(rank), link => clients.accept(link)).catch(() => undefined);
		overlay.open().catch((error: unknown) => this.failures.push(error));
		return node;
	}

	#life(one: Rank): {readonly clock: Clock; readonly end: () => void} {
		const {clock, end} = this.clock.life();
		const whenAwake = (fire: () => void) => () => {
			if (one.frozen === null) fire();
			else one.frozen.push(fire);
		};
		const setTimer: Clock['setTimer'] = (delayMs, fire) => {
			let isCanceled = false;
			const timer = clock.setTimer(
				delayMs,
				whenAwake(() => {
					if (!isCanceled) fire();
				}),
			);
			return {
				cancel: () => {
					isCanceled = true;
					timer.cancel();
				},
			};
		};
		return {clock: {...clock, setTimer, defer: run => void setTimer(0, run)}, end};
	}

	#die(one: Rank): void {
		one.end();
		one.node = null;
		one.frozen = null;
		this.network.kill(hostOf(one.rank));
		if (one.isHeld) return;
		const boot = one.bootCount;
		this.clock.setTimer(RESTART_MS, () => {
			if (one.bootCount === boot && one.node === null && !one.isHeld) this.#start(one);
		});
	}

	/** What passes between ranks is told, and how much a rank's links hold is noted. */
	#watched(transport: Transport, from: number): Transport {
		const watch = (link: Link, isOfTree: boolean) => {
			const send = link.send.bind(link);
			link.send = frame => {
				if (isOfTree) this.onSent?.({from, message: decodeMessage(frame)});
				const keepsUp = send(frame);
				this.deepestBytes.set(from, Math.max(this.deepestBytes.get(from) ?? 0, link.queuedBytes));
				return keepsUp;
			};
			return link;
		};
		return {
			listen: (address, onLink) =>
				transport.listen(address, link => onLink(watch(link, address.includes('tbon')))),
			connect: async (address, options) => watch(await transport.connect(address, options), true),
		};
	}
}
