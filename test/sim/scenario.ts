/** What the simulated tests share: a client that does not give up, and the checks at the end of a run. */
import {SystemError} from '../../src/formats/errno.ts';
import {jobspecFromCommand, type CommandOptions} from '../../src/formats/jobspec-from-command.ts';
import {stringifyJson} from '../../src/formats/json.ts';
import {wrapSigned} from '../../src/formats/sign-none.ts';
import {RpcClient} from '../../src/net/rpc-client.ts';
import {replayLog} from '../../src/broker/log-view.ts';
import {SIM_URI, type SimWorld} from '../../src/sim/world.ts';

const USERID = 1000;
const RETRY_MS = 20;

/** A client that connects again whenever its connection is lost, and asks again. */
export class StubbornClient {
	readonly #world: Pick<SimWorld, 'clock' | 'network'>;
	readonly #uri: string;
	#client: RpcClient | null = null;

	constructor(world: Pick<SimWorld, 'clock' | 'network'>, uri = SIM_URI) {
		this.#world = world;
		this.#uri = uri;
	}

	/** Rejects only with an answer of the broker. */
	async call(topic: string, payload: object): Promise<Record<string, unknown>> {
		for (;;) {
			const client = await this.#connected().catch(() => null);
			try {
				if (client !== null) {
					return (await client.call(topic, payload, {timeoutMs: 5000})) as Record<string, unknown>;
				}
			} catch (error) {
				const isOutage =
					error instanceof SystemError &&
					['ECONNRESET', 'ETIMEDOUT', 'ENOTCONN', 'EHOSTUNREACH'].includes(error.code);
				if (!isOutage) throw error;
				if (error.code !== 'EHOSTUNREACH') this.#client = null;
			}
			await new Promise<void>(resolve => void this.#world.clock.setTimer(RETRY_MS, resolve));
		}
	}

	async submit(
		argv: string[],
		{requestId, ...options}: {requestId: string} & Partial<CommandOptions>,
	): Promise<bigint> {
		const jobspec = jobspecFromCommand({argv, cwd: '/', environment: {}, ...options});
		const J = wrapSigned(USERID, stringifyJson(jobspec));
		const {id} = await this.call('job-ingest.submit', {J, urgency: 16, flags: 0, request_id: requestId});
		return BigInt(id as bigint);
	}

	/** The job when it is inactive. */
	async ended(id: bigint): Promise<Record<string, unknown>> {
		for (;;) {
			const {job} = (await this.call('job-list.list-id', {id, attrs: ['all']})) as {
				job: Record<string, unknown>;
			};
			if (job.state === 64) return job;
			await new Promise<void>(resolve => void this.#world.clock.setTimer(RETRY_MS, resolve));
		}
	}

	async #connected(): Promise<RpcClient> {
		if (this.#client !== null) return this.#client;
		const {clock, network} = this.#world;
		const link = await network.transport('client').connect(this.#uri, {timeoutMs: 1000});
		const client = RpcClient.over(link, {clock, userid: USERID});
		client.onEnd = () => (this.#client = null);
		this.#client = client;
		return client;
	}
}

/** Runs `play` in virtual time until it ends. */
export async function playOut<T>(world: SimWorld, play: () => Promise<T>): Promise<T> {
	let result: {value: T} | {error: unknown} | null = null;
	play().then(
		value => (result = {value}),
		(error: unknown) => (result = {error}),
	);
	await world.clock.run(() => result !== null, {withinMs: 60_000, what: `the play ends; ${describe(world)}`});
	const ended = result as unknown as {value: T} | {error: unknown};
	if ('error' in ended) throw ended.error;
	return ended.value;
}

function describe(world: SimWorld): string {
	return `boots ${world.bootCount}, ends ${JSON.stringify(world.ends)}, steps ${world.steps.length}`;
}

/** Lets what still has to happen happen: 2 s, with a broker that is up at the end of them. */
export async function comeToRest(world: SimWorld): Promise<void> {
	await world.clock.pass(2000);
	await world.clock.run(() => world.broker !== null, {withinMs: 60_000, what: 'the broker is up'});
	await world.clock.pass(2000);
}

/** Nothing is left on the node, the log proves itself, and its replay is the state in memory. */
export async function checkQuiet(world: SimWorld): Promise<readonly string[]> {
	const problems: string[] = [];
	world.disarm();
	const {broker, node} = world;
	if (broker === null) return ['the broker is not up'];
	const {state} = broker.runtime;
	if (state.jobs.size > 0)
		problems.push(`active jobs: ${[...state.jobs.values()].map(({value}) => value).join()}`);
	if (state.parts.size > 0) problems.push(`parts left: ${[...state.parts.keys()].join()}`);
	if (state.lost.size > 0) problems.push('jobs in lost+found');
	if (node.parts.size > 0) problems.push(`directories left: ${[...node.parts.keys()].join()}`);
	if (node.aliveTasks > 0) problems.push('tasks alive');
	const digest = state.digest();
	let replayed: Awaited<ReturnType<typeof replayLog>> | null = null;
	void broker.log.flush(1000).then(async () => (replayed = await replayLog(broker.log, null)));
	await world.clock.run(() => replayed !== null, {withinMs: 5000, what: 'the log is replayed'});
	const replay = replayed as unknown as Awaited<ReturnType<typeof replayLog>>;
	problems.push(...replay.problems);
	if (replay.state.digest() !== digest) problems.push('the replay is not the state in memory');
	return problems;
}

/** How often each task was started, by `id.attempt/task`. */
export function startCounts(world: SimWorld): Map<string, number> {
	const counts = new Map<string, number>();
	for (const start of world.node.starts) counts.set(start, (counts.get(start) ?? 0) + 1);
	return counts;
}
