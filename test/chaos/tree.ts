/**
 * A real instance of many brokers. What its ranks say is asked over their own sockets, since as many commands as there are
 * ranks would cost more than what they are to measure. Invariant: nothing is ended that is not of the instance.
 */
import {RpcClient, type CallOptions} from '../../src/net/rpc-client.ts';
import {UnixTransport} from '../../src/net/real/unix-transport.ts';
import {SystemClock} from '../../src/ports/real/system-clock.ts';
import {Topology} from '../../src/net/overlay/topology.ts';
import {Instance, type InstanceOptions} from './instance.ts';
import {isAlive, type ProcessName} from './processes.ts';
import {until} from './until.ts';

export interface TreeOptions extends InstanceOptions {
	readonly size: number;
	/** Of `kary:K`. Default 2. */
	readonly fanout?: number;
}

/** A rank that is reached from the root. */
export interface RankBoot {
	readonly boots: number;
	readonly pid: number;
}

/** What matters of a job after a failure. */
export interface JobLook {
	readonly id: string;
	readonly state: number;
	/** One more for each of its ranks that was found again. */
	readonly reattached: number;
	readonly ranks: string;
	readonly hasException: boolean;
}

export const STATE_SCHED = 8;
export const STATE_RUN = 16;
export const STATE_INACTIVE = 64;

const CONNECT_TIMEOUT_MS = 1000;
const ASK_TIMEOUT_MS = 3000;
/** From a failure to a whole tree: much more than it takes, since tests run beside others. */
export const WHOLE_TIMEOUT_MS = 60_000;
const LOOK_MS = 30;
const READY_MS = 500;

export class Tree extends Instance {
	readonly topology: Topology;
	readonly #clients = new Map<number, RpcClient>();

	constructor({fanout = 2, ...options}: TreeOptions) {
		super({topo: `kary:${fanout}`, ...options});
		this.topology = Topology.kary(options.size, fanout);
	}

	get ranks(): number[] {
		return Array.from({length: this.size}, (_, rank) => rank);
	}

	/** A request to the broker of `rank` over its own socket; `nodeid` sends it on from there. */
	async call(topic: string, payload: object, {rank = 0, ...options}: CallOptions & {rank?: number} = {}) {
		const client = await this.client(rank);
		return client.call(topic, payload, {timeoutMs: ASK_TIMEOUT_MS, ...options});
	}

	/** The connection to a rank; another one when the last has ended. */
	async client(rank: number): Promise<RpcClient> {
		const known = this.#clients.get(rank);
		if (known?.end === null) return known;
		const uri = `local://${this.rundirOf(rank)}/local-${rank}`;
		const link = await new UnixTransport().connect(uri, {timeoutMs: CONNECT_TIMEOUT_MS});
		const client = RpcClient.over(link, {clock: new SystemClock()});
		this.#clients.set(rank, client);
		return client;
	}

	/** By rank, as the root reaches them now; null: not at all. */
	async boots(): Promise<(RankBoot | null)[]> {
		return Promise.all(this.ranks.map(async nodeid => this.#boot(nodeid, {rank: 0})));
	}

	/** As `boots`, of one rank, asked over its own socket: also while the root does not reach it. */
	async bootHere(rank: number): Promise<RankBoot | null> {
		return this.#boot(rank, {rank});
	}

	/** Waits until the root reaches all ranks, and returns their boots. `isDone` may want more of them. */
	async whole(
		isDone: (boots: readonly RankBoot[]) => boolean = () => true,
		{timeoutMs = WHOLE_TIMEOUT_MS} = {},
	): Promise<RankBoot[]> {
		let last: (RankBoot | null)[] = [];
		try {
			return await until(
				'all ranks are reached from the root',
				async () => {
					last = await this.boots();
					const here = last.filter(boot => boot !== null);
					return here.length === this.size && isDone(here) ? here : null;
				},
				{timeoutMs, pollMs: LOOK_MS},
			);
		} catch (error) {
			throw new Error(`${(error as Error).message}: ${JSON.stringify(last)}`, {cause: error});
		}
	}

	/** How many ranks the root reaches. */
	async onlineCount(): Promise<number> {
		const {members} = (await this.call('groups.get', {name: 'broker.online'})) as {members: string};
		return ranksOf({ranks: members}).length;
	}

	/** Whether all ranks are reached, and what is on their nodes was compared with the root's log. */
	async isReady(): Promise<boolean> {
		try {
			await this.call('overlay.ready', {}, {timeoutMs: READY_MS});
			return true;
		} catch {
			return false;
		}
	}

	/** All jobs, as the root has them now. */
	async look(): Promise<JobLook[]> {
		const client = await this.client(0);
		const attrs = ['state', 'reattached', 'ranks', 'exception_occurred'];
		const jobs: JobLook[] = [];
		const request = {max_entries: 0, attrs, constraint: {}, since: 0};
		for await (const value of client.stream('job-list.list', request, {timeoutMs: ASK_TIMEOUT_MS})) {
			for (const job of (value as {jobs: Record<string, unknown>[]}).jobs) {
				jobs.push({
					id: String(job['id']),
					state: Number(job['state']),
					reattached: Number(job['reattached'] ?? 0),
					ranks: (job['ranks'] as string | undefined) ?? '',
					hasException: job['exception_occurred'] === true,
				});
			}
		}
		return jobs;
	}

	/** Waits until every job that runs was found again on all of its ranks in `restarted`, since `before`. */
	async allReattached(
		before: readonly JobLook[],
		{restarted, timeoutMs = WHOLE_TIMEOUT_MS}: {restarted: readonly number[]; timeoutMs?: number},
	): Promise<JobLook[]> {
		const wanted = new Map(
			before
				.filter(({state}) => state === STATE_RUN)
				.map(job => [job.id, job.reattached + ranksOf(job).filter(rank => restarted.includes(rank)).length]),
		);
		let last: JobLook[] = [];
		try {
			return await until(
				'every job that runs is found again on each of its ranks',
				async () => {
					last = await this.look().catch(() => []);
					const found = new Map(last.map(job => [job.id, job]));
					const isFound = ([id, count]: [string, number]) => (found.get(id)?.reattached ?? -1) >= count;
					return [...wanted].every(isFound) ? last : null;
				},
				{timeoutMs, pollMs: LOOK_MS},
			);
		} catch (error) {
			const late = last.filter(({id, reattached}) => reattached < (wanted.get(id) ?? 0));
			const text = late.map(job => `${JSON.stringify(job)} of ${wanted.get(job.id)}`).join('; ');
			throw new Error(`${(error as Error).message}: ${text}`, {cause: error});
		}
	}

	/** Kills the brokers of these ranks at one moment. */
	async killBrokers(ranks: readonly number[], more: readonly ProcessName[] = []): Promise<void> {
		const brokers = this.brokers();
		const names = ranks.map(rank => {
			const name = brokers.get(rank);
			if (name === undefined) throw new Error(`rank ${rank} has no broker at present`);
			return name;
		});
		await this.kill([...names, ...more]);
	}

	/** The shells that are there. */
	shells(): ProcessName[] {
		return this.ranks.map(rank => this.find('shell', rank)).filter(name => name !== null);
	}

	/** `nodeid` as the broker of `rank` reaches it. */
	async #boot(nodeid: number, {rank}: {readonly rank: number}): Promise<RankBoot | null> {
		const attribute = async (name: string) => {
			const {value} = (await this.call('attr.get', {name}, {rank, nodeid})) as {value: string};
			return Number(value);
		};
		try {
			const [boots, pid] = await Promise.all([attribute('broker.boot-count'), attribute('broker.pid')]);
			return {boots, pid};
		} catch {
			return null; // It is away, or whom we ask.
		}
	}

	override async destroy(): Promise<void> {
		for (const client of this.#clients.values()) client.close();
		await super.destroy();
	}
}

/** The ranks of an idset of plain numbers and ranges. */
export function ranksOf({ranks}: Pick<JobLook, 'ranks'>): number[] {
	return ranks
		.replace(/[[\]]/g, '')
		.split(',')
		.filter(Boolean)
		.flatMap(range => {
			const [first, last = first] = range.split('-').map(Number);
			return Array.from({length: last! - first! + 1}, (_, index) => first! + index);
		});
}

/** Those that are still the same process. */
export function survivors(tasks: readonly ProcessName[]): ProcessName[] {
	return tasks.filter(isAlive);
}
