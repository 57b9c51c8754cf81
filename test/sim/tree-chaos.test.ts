/**
 * Goal: whatever happens to brokers, shells and links of a tree, every job ends once, as its tasks did; nothing runs twice and
 * nothing is left over, on any rank.
 * Method: random faults by seed over a simulated cluster with jobs on one and on several ranks; then everything is healed, and
 * what the nodes did is compared with what the root says.
 */
import test from 'ava';
import {Topology} from '../../src/net/overlay/topology.ts';
import {SimCluster, simUri} from '../../src/sim/cluster.ts';
import {SimRandom} from '../../src/sim/random.ts';
import {replayLog} from '../../src/broker/log-view.ts';
import {StubbornClient} from './scenario.ts';

const SIZE = 7;
const JOBS = 12;
const FAULTS = 12;
const SEEDS = Number(process.env.COPPICE_TREE_SEEDS ?? 2);
const FIRST_SEED = Number(process.env.COPPICE_TREE_SEED ?? 1);

interface Outcome {
	readonly nnodes: number;
	readonly status: number;
	readonly job: Record<string, unknown>;
}

for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed += 1) {
	test(`after random faults every job has ended as its tasks did (seed ${seed})`, async t => {
		const cluster = new SimCluster({
			seed,
			topology: Topology.kary(SIZE, 2),
			cores: 2,
			latencyMs: {min: 0.1, max: 1},
		});
		const random = new SimRandom(seed + 1000);
		const faults: string[] = [];
		const what = () => `seed ${seed}; ${faults.join(', ')}`;
		cluster.start();
		const outcomes: Outcome[] = [];
		for (let index = 0; index < JOBS; index += 1) {
			void follow(cluster, random, {index, seed}).then(outcome => outcomes.push(outcome));
		}
		for (let index = 0; index < FAULTS; index += 1) {
			await cluster.clock.pass(random.float() * 3000);
			faults.push(hurt(cluster, random));
		}
		for (const {rank} of cluster.ranks) cluster.release(rank);
		cluster.network.heal();
		const healed = async () => {
			await cluster.clock.run(() => outcomes.length === JOBS, {withinMs: 300_000, what: 'all jobs end'});
			await cluster.clock.run(() => cluster.isWhole && leftOver(cluster).length === 0, {
				withinMs: 60_000,
				what: 'nothing is left over',
			});
		};
		await healed().catch((error: unknown) => {
			throw new Error(`${String(error)}; ${what()}; ${outcomes.length} ended; ${stateOf(cluster)}`);
		});
		for (const {job, status} of outcomes) {
			t.is(job.outcome, 'exited', `${what()}: ${JSON.stringify(job, asText)}`);
			t.is(job.waitstatus, status << 8, what());
		}
		t.deepEqual(startedTwice(cluster), [], what());
		t.is(
			startsOf(cluster),
			outcomes.reduce((sum, {nnodes}) => sum + nnodes, 0),
			what(),
		);
		t.deepEqual(await replays(cluster), [], what());
	});
}

async function follow(
	cluster: SimCluster,
	random: SimRandom,
	{index, seed}: {readonly index: number; readonly seed: number},
): Promise<Outcome> {
	const client = new StubbornClient(cluster, simUri(0));
	const nnodes = 1 + Math.floor(random.float() * 3);
	const status = Math.floor(random.float() * 3);
	const seconds = (random.float() * 20).toFixed(2);
	const id = await client.submit(['sh', '-c', `sleep ${seconds}; exit ${status}`], {
		requestId: `${seed}-${index}`,
		ntasks: nnodes,
		nnodes,
	});
	return {nnodes, status, job: await client.ended(id)};
}

/** One random fault. */
function hurt(cluster: SimCluster, random: SimRandom): string {
	const rank = Math.floor(random.float() * SIZE);
	const parent = Math.floor((rank - 1) / 2);
	const kind = Math.floor(random.float() * 7);
	switch (kind) {
		case 0:
		case 1:
			cluster.kill(rank);
			return `kill ${rank}`;
		case 2:
			if (rank === 0) cluster.kill(0);
			else cluster.kill(rank, {hold: true});
			return `hold ${rank}`;
		case 3:
			for (const {rank: held} of cluster.ranks) cluster.release(held);
			cluster.network.heal();
			return 'heal';
		case 4:
			cluster.get(rank).node.loseShell();
			return `shell ${rank}`;
		case 5:
			if (rank > 0) cluster.network.partition(`n${parent}`, `n${rank}`);
			return `partition ${parent}>${rank}`;
		default:
			if (rank > 0) cluster.network.partition(`n${rank}`, `n${parent}`);
			return `partition ${rank}>${parent}`;
	}
}

function leftOver(cluster: SimCluster): string[] {
	return cluster.ranks.flatMap(({rank, broker, node}) => {
		if (broker === null) return [`rank ${rank} is down`];
		const {jobs, parts, rpcs, lost} = broker.runtime.state;
		return [
			...(jobs.size > 0 ? [`rank ${rank}: ${jobs.size} jobs`] : []),
			...(parts.size > 0 ? [`rank ${rank}: parts ${[...parts.keys()].join()}`] : []),
			...(rpcs.size > 0 ? [`rank ${rank}: RPCs ${[...rpcs.keys()].join()}`] : []),
			...(lost.size > 0 ? [`rank ${rank}: lost+found`] : []),
			...(node.parts.size > 0 ? [`rank ${rank}: directories ${[...node.parts.keys()].join()}`] : []),
			...(node.aliveTasks > 0 ? [`rank ${rank}: tasks alive`] : []),
		];
	});
}

function stateOf(cluster: SimCluster): string {
	const jobs = [...(cluster.get(0).broker?.runtime.state.jobs.values() ?? [])];
	const lines = cluster.ranks.map(({rank, lines: said}) => `${rank}: ${said.slice(-4).join('\n   ')}`);
	return `${leftOver(cluster).join('; ')}; whole ${cluster.isWhole}\n${lines.join('\n')}\n${jobs.map(({value, context}) => `${context.id} ${value} ${JSON.stringify(context.ranks)}`).join('; ')}`;
}

function startsOf({ranks}: SimCluster): number {
	return ranks.reduce((sum, {node}) => sum + node.starts.length, 0);
}

function startedTwice({ranks}: SimCluster): string[] {
	const seen = new Set<string>();
	const twice: string[] = [];
	for (const start of ranks.flatMap(({node}) => node.starts)) {
		if (seen.has(start)) twice.push(start);
		seen.add(start);
	}
	return twice;
}

/** Each log replays to the state in memory. */
async function replays(cluster: SimCluster): Promise<string[]> {
	const problems: string[] = [];
	for (const {rank, broker} of cluster.ranks) {
		if (broker === null) continue;
		let replayed: Awaited<ReturnType<typeof replayLog>> | null = null;
		let digest = '';
		void broker.log.flush(1000).then(async () => {
			digest = broker.runtime.state.digest();
			replayed = await replayLog(broker.log, null);
		});
		await cluster.clock.run(() => replayed !== null, {withinMs: 5000, what: 'a log is replayed'});
		const replay = replayed as unknown as Awaited<ReturnType<typeof replayLog>>;
		problems.push(...replay.problems.map(problem => `rank ${rank}: ${problem}`));
		if (replay.state.digest() !== digest)
			problems.push(`rank ${rank}: the replay is not the state in memory`);
	}
	return problems;
}

function asText(_: string, value: unknown): unknown {
	return typeof value === 'bigint' ? String(value) : value;
}
