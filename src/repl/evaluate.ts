/**
 * The REPL: one JavaScript expression over a broker's state and log, live or dead. It runs in the client, on a copy, so
 * nothing that is typed can touch the broker.
 */
import {createContext, runInContext} from 'node:vm';
import {SystemError} from '../formats/errno.ts';
import {brokerMachine} from '../machines/broker.ts';
import type {DurableState} from '../machines/durable-state.ts';
import {jobMachine, type JobContext} from '../machines/job.ts';
import {nodeMachine} from '../machines/node.ts';
import {partMachine} from '../machines/part.ts';
import {peerMachine} from '../machines/peer.ts';
import {queueMachine} from '../machines/queue.ts';
import {rpcMachine} from '../machines/rpc.ts';
import {
	brokerView,
	differences,
	idOf,
	jobsView,
	jobView,
	nodesView,
	partsView,
	peersView,
	queuesView,
	rpcsView,
} from './view.ts';
import {whyOf} from './why.ts';

/** Where the REPL reads. */
export interface ReplSource {
	/** The state after fact `seq`; null: now. */
	state(seq: number | null): Promise<{readonly seq: number; readonly state: DurableState}>;
	/** Facts as plain JSON, both ends included. */
	facts(range: {
		readonly from: number;
		readonly to: number;
	}): AsyncIterable<Readonly<Record<string, unknown>>>;
	/** A finished job, or null. */
	archived(id: bigint): Promise<JobContext | null>;
}

/** An expression may compute so long without a pause. */
const TIMEOUT_MS = 5000;
const LOG_FACTS_DEFAULT = 20;

export const REPL_NAMES = [
	'broker',
	'peers',
	'rpcs',
	'jobs',
	'parts',
	'nodes',
	'queues',
	'lost',
	'job(id)',
	'log(n)',
	'at(seq)',
	'diff(a, b)',
	'why(job)',
	'timeline(job)',
	'find(text)',
	'machine(name)',
] as const;

/**
 * The value of `expression`, awaited.
 * @throws {SystemError} EINVAL with what is wrong with it.
 */
export async function evaluate(expression: string, source: ReplSource): Promise<unknown> {
	const {seq, state} = await source.state(null);
	const scope = createContext({...viewOf(state), ...functionsOf(source, {seq, state})});
	try {
		const value: unknown = runInContext(`(async () => (${expression}\n))()`, scope, {timeout: TIMEOUT_MS});
		return await value;
	} catch (error) {
		if (error instanceof SystemError) throw error;
		const text =
			error instanceof Error || isErrorLike(error) ? `${error.name}: ${error.message}` : String(error);
		throw new SystemError('EINVAL', `${expression}: ${text} (names: ${REPL_NAMES.join(' ')})`);
	}
}

function viewOf(state: DurableState) {
	return {
		broker: brokerView(state),
		peers: peersView(state),
		rpcs: rpcsView(state),
		jobs: jobsView(state),
		parts: partsView(state),
		nodes: nodesView(state),
		queues: queuesView(state),
		lost: [...state.lost.values()].map(({id, reason, seq}) => ({id: String(id), reason, seq})),
	};
}

function functionsOf(source: ReplSource, {seq, state}: {readonly seq: number; readonly state: DurableState}) {
	const at = async (moment: number) => {
		const then = await source.state(Number(moment));
		return {seq: then.seq, ...viewOf(then.state)};
	};
	const factsOf = async (matches: (fact: Readonly<Record<string, unknown>>) => boolean) => {
		const found: object[] = [];
		for await (const fact of source.facts({from: 1, to: seq})) if (matches(fact)) found.push(fact);
		return found;
	};
	return {
		at,
		diff: async (a: number, b: number) => differences(await at(a), await at(b)),
		job: async (id: unknown) => {
			const job = state.jobs.get(idOf(id));
			if (job !== undefined) return jobView(job);
			const ended = await source.archived(idOf(id));
			return ended === null ? null : jobView({value: 'inactive', context: ended});
		},
		why: async (job: unknown) => whyOf(state, idOf(job), await source.archived(idOf(job))),
		timeline: (job: unknown) => {
			const id = String(idOf(job));
			return factsOf(fact => fact.id === id);
		},
		log: async (count: number = LOG_FACTS_DEFAULT) => {
			const facts: object[] = [];
			for await (const fact of source.facts({from: Math.max(1, seq - count + 1), to: seq})) facts.push(fact);
			return facts;
		},
		find: (text: unknown) => factsOf(fact => JSON.stringify(fact).includes(String(text))),
		machine: (name: string) => describeMachine(name),
	};
}

function describeMachine(name: string): object {
	const machines = [
		brokerMachine,
		jobMachine,
		nodeMachine,
		partMachine,
		peerMachine,
		queueMachine,
		rpcMachine,
	];
	const machine = machines.find(one => one.name === name);
	if (machine === undefined) {
		throw new SystemError(
			'EINVAL',
			`no machine '${name}'; there are ${machines.map(one => one.name).join(' ')}`,
		);
	}
	const table: Record<string, object> = {};
	for (const [state, row] of machine.table) {
		table[state] = Object.fromEntries(
			[...row].map(([fact, transitions]) => [
				fact,
				transitions.map(({guardName, target}) => ({guard: guardName, to: target ?? state})),
			]),
		);
	}
	return {name, states: machine.states, table};
}

function isErrorLike(error: unknown): error is Error {
	return typeof error === 'object' && error !== null && 'message' in error && 'name' in error;
}
