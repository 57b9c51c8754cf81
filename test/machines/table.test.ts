/**
 * Goal: the compiled tables are XState's own machines. Method: every state × contexts that walks reached (also
 * those of other states) × every fact of the pool, judged by both; then walks, step by step. A transition that is never taken,
 * and a guard that never said both yes and no, fails the test.
 */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import {initialTransition, transition, type AnyMachineSnapshot} from 'xstate';
import {brokerMachine} from '../../src/machines/broker.ts';
import {jobMachine} from '../../src/machines/job.ts';
import type {Fact, Machine, Snapshot} from '../../src/machines/machine.ts';
import {nodeMachine} from '../../src/machines/node.ts';
import {partMachine} from '../../src/machines/part.ts';
import {peerMachine} from '../../src/machines/peer.ts';
import {queueMachine} from '../../src/machines/queue.ts';
import {rpcMachine} from '../../src/machines/rpc.ts';
import {jobRules} from './job-facts.ts';
import {brokerRules, nodeRules, partRules, peerRules, queueRules, rpcRules} from './other-facts.ts';
import {perilogRules} from './perilog-facts.ts';
import {SEED, walksOf, type WalkRules} from './walk.ts';

const WALKS = 120;
/** Contexts that are tried in every state. */
const CONTEXTS_MAX = 240;

function byXState<C, F extends Fact>(
	{chart}: Machine<C, F>,
	{value, context}: Snapshot<C>,
	fact: F,
): Snapshot<C> | null {
	const snapshot = chart.resolveState({value, context: context}) as AnyMachineSnapshot;
	if (snapshot.status !== 'active' || !snapshot.can(fact)) return null;
	const next = transition(chart, snapshot, fact)[0] as AnyMachineSnapshot;
	return {value: next.value as string, context: next.context as C};
}

function byTable<C, F extends Fact>(
	machine: Machine<C, F>,
	snapshot: Snapshot<C>,
	fact: F,
): Snapshot<C> | null {
	return machine.accepts(snapshot, fact) ? machine.apply(snapshot, fact) : null;
}

/** Contexts of many walks, evenly drawn, each with the pool that belongs to it. */
function contextsOf<C, F extends Fact>(
	rules: readonly WalkRules<C, F>[],
): {context: C; pool: readonly F[]}[] {
	return rules.flatMap(({machine, poolOf}) => {
		const all = fc
			.sample(walksOf({machine, poolOf}), {numRuns: WALKS, seed: SEED})
			.flatMap(({snapshots}) => snapshots);
		const stride = Math.max(1, Math.floor(all.length / CONTEXTS_MAX));
		return all
			.filter((_, index) => index % stride === 0)
			.map(snapshot => ({context: snapshot.context, pool: poolOf(snapshot)}));
	});
}

function proveEqual<C, F extends Fact>(
	name: string,
	rules: WalkRules<C, F>,
	...others: readonly WalkRules<C, F>[]
): void {
	test(`the table of the ${name} machine is XState's machine, over every state and fact`, t => {
		const {machine} = rules;
		const said = new Map<string, Set<boolean>>();
		for (const {context, pool} of contextsOf([rules, ...others])) {
			for (const value of machine.states) {
				const snapshot = {value, context};
				for (const fact of pool) {
					const where = `${value} ${fact.type}`;
					const next = byTable(machine, snapshot, fact);
					assert.deepEqual(next, byXState(machine, snapshot, fact), where);
					for (const {guardName, guard} of machine.table.get(value)?.get(fact.type) ?? []) {
						const guardAt = `${where} ${guardName}`;
						const seen = said.get(guardAt) ?? new Set();
						said.set(guardAt, seen.add(guard === null || guard({context, event: fact})));
					}
				}
			}
		}
		for (const [value, row] of machine.table) {
			for (const [type, transitions] of row) {
				for (const {guardName} of transitions) {
					const at = `${value} ${type} ${guardName}`;
					t.deepEqual([...(said.get(at) ?? [])].sort(), guardName === null ? [true] : [false, true], at);
				}
			}
		}
	});
}

proveEqual('job', jobRules, perilogRules);
proveEqual('part', partRules);
proveEqual('RPC', rpcRules);
proveEqual('broker', brokerRules);
proveEqual('peer', peerRules);
proveEqual('node', nodeRules);
proveEqual('queue', queueRules);

function proveLockstep<C, F extends Fact>(name: string, rules: WalkRules<C, F>): void {
	test(`a ${name} that XState carries from its initial state goes the table's way`, t => {
		const {machine} = rules;
		const reached = new Set<string>();
		fc.assert(
			fc.property(walksOf(rules), ({facts, snapshots}) => {
				let theirs = initialTransition(machine.chart)[0] as AnyMachineSnapshot;
				for (const [index, {value, context}] of snapshots.entries()) {
					assert.equal(theirs.value, value);
					assert.deepEqual(theirs.context as C, context);
					assert.equal(theirs.status === 'done', machine.isFinal({value, context}));
					reached.add(value);
					const fact = facts[index];
					if (fact !== undefined) theirs = transition(machine.chart, theirs, fact)[0] as AnyMachineSnapshot;
				}
			}),
			{numRuns: WALKS, seed: SEED},
		);
		t.deepEqual([...reached].sort(), [...machine.states].sort());
	});
}

proveLockstep('job', jobRules);
proveLockstep('part', partRules);
proveLockstep('RPC', rpcRules);
proveLockstep('broker', brokerRules);
proveLockstep('peer', peerRules);
proveLockstep('node', nodeRules);
proveLockstep('queue', queueRules);

test('every state of every machine is in its chart and the other way round', t => {
	for (const machine of [
		jobMachine,
		partMachine,
		rpcMachine,
		peerMachine,
		nodeMachine,
		queueMachine,
		brokerMachine,
	]) {
		t.deepEqual([...machine.states].sort(), Object.keys(machine.chart.states).sort());
	}
});
