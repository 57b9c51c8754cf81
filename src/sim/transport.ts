/**
 * The transport port in memory: hosts, links between them, and what can go wrong with either. Everything happens by
 * the Clock and the Random given, so a run is repeated by its seed. The faults are those of real networks:
 *
 * - a *cut* ends links (both sides see ECONNRESET), a *partition* only holds frames back, in one direction or both,
 *   until it is healed: nobody sees it but by the silence;
 * - a *stalled* host takes nothing in (SIGSTOP); a *killed* one ends its links as a kernel does for a dead process; a
 *   *powered off* one just falls silent.
 */
import {SystemError} from '../formats/errno.ts';
import {socketPathOf} from '../net/address.ts';
import type {Clock} from '../ports/clock.ts';
import type {Random} from '../ports/random.ts';
import type {Link, Listener, Transport} from '../ports/transport.ts';
import {SimLink} from './sim-link.ts';

export interface SimNetworkOptions {
	readonly clock: Clock;
	readonly random: Random;
	/** Each frame travels between these two, uniformly distributed. Default: 0. */
	readonly latencyMs?: {readonly min: number; readonly max: number};
}

const CONNECT_RETRY_MS = 100;
const TICK_MS = 1e-6;

interface Dialling {
	readonly host: string;
	readonly timeoutMs: number;
	/** Whether the process that dials is still the host's. */
	readonly isAlive: () => boolean;
}

interface Listening {
	readonly host: string;
	readonly onLink: (link: Link) => void;
}

interface Accepting {
	readonly link: SimLink;
	readonly listening: Listening;
}

export class SimNetwork {
	readonly #clock: Clock;
	readonly #random: Random;
	#latencyMs: {readonly min: number; readonly max: number};
	readonly #listeners = new Map<string, Listening>();
	readonly #links = new Set<SimLink>();
	/** `from to`: nothing passes in this direction. */
	readonly #partitions = new Set<string>();
	readonly #stalled = new Set<string>();
	/** Addresses of hosts without power: whoever connects there hears nothing. */
	readonly #silent = new Map<string, string>();
	/** How often a host was killed: what its earlier processes still wait for never comes. */
	readonly #lives = new Map<string, number>();
	/** Connections to stalled hosts. */
	#backlog: Accepting[] = [];
	#connections = 0;

	constructor({clock, random, latencyMs = {min: 0, max: 0}}: SimNetworkOptions) {
		this.#clock = clock;
		this.#random = random;
		this.#latencyMs = latencyMs;
	}

	/**
	 * The transport of one process of a host, until the host is killed; then its promises never settle. `connect`
	 * reaches every address of every host: an address names one listener.
	 */
	transport(host: string): Transport {
		const life = this.#lives.get(host) ?? 0;
		const isAlive = () => life === (this.#lives.get(host) ?? 0);
		return {
			listen: async (address, onLink) =>
				isAlive() ? this.#listen(address, {host, onLink}) : new Promise<never>(() => {}),
			connect: async (address, {timeoutMs}) => this.#connect(address, {host, timeoutMs, isAlive}),
		};
	}

	/** The links that have not ended, as `from→to` of their dialling and their listening host. */
	get links(): readonly string[] {
		return [...this.#links].filter(link => link.isDialling).map(link => `${link.host}→${link.peerHost}`);
	}

	setLatency(latencyMs: {readonly min: number; readonly max: number}): void {
		this.#latencyMs = latencyMs;
	}

	/** Ends all links between two hosts, or all of one host: ECONNRESET on both sides. New ones can be made. */
	cut(host: string, other?: string): void {
		for (const link of [...this.#links]) {
			if (link.host !== host || (other !== undefined && link.peerHost !== other)) continue;
			const message = `connection between ${link.host} and ${link.peerHost} was cut`;
			link.break({code: 'ECONNRESET', message});
			link.other.break({code: 'ECONNRESET', message});
		}
	}

	/** Holds back all that `from` sends to `to`, ends of links included, until `heal`. */
	partition(from: string, to: string): void {
		this.#partitions.add(`${from} ${to}`);
	}

	/** Ends a partition, in both directions; without arguments all of them. */
	heal(host?: string, other?: string): void {
		if (host === undefined) this.#partitions.clear();
		this.#partitions.delete(`${host} ${other}`);
		this.#partitions.delete(`${other} ${host}`);
		this.#wakeAll();
	}

	/** The host takes nothing in: what it should receive waits. */
	stall(host: string): void {
		this.#stalled.add(host);
	}

	unstall(host: string): void {
		this.#stalled.delete(host);
		for (const {link, listening} of this.#takeBacklog(host)) listening.onLink(link);
		this.#wakeAll();
	}

	/**
	 * The host's process dies: its own callbacks never run again, its listeners are gone, its links end for the others
	 * after what it had sent. The host can be used again at once, by its next process.
	 */
	kill(host: string): void {
		this.#forget(host, link => link.die());
	}

	/**
	 * The host loses power: as `kill`, but nobody is told. `powerOn` lets its next process be reached, and ends what
	 * others still took for links to it.
	 */
	powerOff(host: string): void {
		for (const [address, listening] of this.#listeners) {
			if (listening.host === host) this.#silent.set(address, host);
		}
		this.#forget(host, link => link.vanish());
	}

	powerOn(host: string): void {
		for (const [address, one] of this.#silent) if (one === host) this.#silent.delete(address);
		for (const link of [...this.#links]) {
			if (link.peerHost !== host || !link.other.isVanished) continue;
			link.break({code: 'ECONNRESET', message: `${link.peer}: the host does not know the connection`});
		}
	}

	#forget(host: string, end: (link: SimLink) => void): void {
		this.#lives.set(host, (this.#lives.get(host) ?? 0) + 1);
		for (const [address, listening] of this.#listeners) {
			if (listening.host === host) this.#listeners.delete(address);
		}
		this.#stalled.delete(host);
		this.#takeBacklog(host);
		for (const link of [...this.#links]) if (link.host === host) end(link);
	}

	#listen(address: string, listening: Listening): Listener {
		socketPathOf(address);
		if (this.#listeners.has(address)) {
			throw new SystemError('EADDRINUSE', `${this.#listeners.get(address)!.host} serves ${address}`);
		}
		this.#listeners.set(address, listening);
		return {
			address,
			close: async () => {
				if (this.#listeners.get(address) === listening) this.#listeners.delete(address);
			},
		};
	}

	#connect(address: string, {host, timeoutMs, isAlive}: Dialling): Promise<Link> {
		socketPathOf(address);
		const startMs = this.#clock.monotonicMs();
		return new Promise((resolve, reject) => {
			const attempt = () => {
				if (!isAlive()) return;
				const listening = this.#listeners.get(address);
				const leftMs = timeoutMs - (this.#clock.monotonicMs() - startMs);
				const isSilent = this.#silent.has(address);
				// Less than this can be lost when it is added to the time, which would then stand still.
				if (leftMs < TICK_MS) {
					const message = `connecting to ${address}: no answer within ${timeoutMs} ms`;
					reject(new SystemError('ETIMEDOUT', message));
				} else if (listening === undefined && !isSilent) {
					reject(new SystemError('ECONNREFUSED', `connecting to ${address}: nobody listens`));
				} else if (listening === undefined || !this.#isReachable(host, listening.host)) {
					// A connection request is repeated until it gets through.
					this.#clock.setTimer(Math.min(leftMs, CONNECT_RETRY_MS), attempt);
				} else {
					resolve(this.#join(host, {address, listening}));
				}
			};
			this.#clock.setTimer(this.#latency(), attempt);
		});
	}

	#takeBacklog(host: string): readonly Accepting[] {
		const taken = this.#backlog.filter(({listening}) => listening.host === host);
		this.#backlog = this.#backlog.filter(({listening}) => listening.host !== host);
		return taken;
	}

	#isReachable(host: string, other: string): boolean {
		return this.#passes(host, other) && this.#passes(other, host);
	}

	#join(host: string, {address, listening}: {readonly address: string; readonly listening: Listening}): Link {
		this.#connections += 1;
		const options = {
			clock: this.#clock,
			latencyMs: () => this.#latency(),
			passes: (from: string, to: string) => this.#passes(from, to),
			isStalled: (one: string) => this.#stalled.has(one),
			onGone: (link: SimLink) => this.#links.delete(link),
		};
		const near = new SimLink({...options, host, peerHost: listening.host, peer: address, isDialling: true});
		const peer = `client ${this.#connections} of ${address}`;
		const far = new SimLink({...options, host: listening.host, peerHost: host, peer, isDialling: false});
		near.join(far);
		far.join(near);
		this.#links.add(near);
		this.#links.add(far);
		// A stopped process accepts nothing, but its kernel completes the connection.
		if (this.#stalled.has(listening.host)) this.#backlog.push({link: far, listening});
		else listening.onLink(far);
		return near;
	}

	#passes(from: string, to: string): boolean {
		return !this.#partitions.has(`${from} ${to}`);
	}

	#latency(): number {
		const {min, max} = this.#latencyMs;
		return min + this.#random.float() * (max - min);
	}

	#wakeAll(): void {
		// Of both ends: one that has ended may still have something on its way.
		for (const link of [...this.#links]) {
			link.wake();
			link.other.wake();
		}
	}
}
