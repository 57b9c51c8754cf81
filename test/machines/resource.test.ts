/** Goal: drains and switches are remembered as they were set, whatever else comes. Method: legal walks against a plain model. */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import {DurableState} from '../../src/machines/durable-state.ts';
import {isEnabled, isStarted} from '../../src/machines/queue.ts';
import {nodeWalks, queueWalks} from './other-facts.ts';
import {SEED} from './walk.ts';

const RUNS = {numRuns: 100, seed: SEED};

test('a node is what it last said, and drained from a drain to the next undrain', t => {
	const reached = new Set<string>();
	fc.assert(
		fc.property(nodeWalks, ({facts, snapshots}) => {
			let host = '';
			let drain: object | null = null;
			for (const [index, fact] of facts.entries()) {
				if (fact.type === 'node.define') ({host} = fact);
				else if (fact.type === 'node.undrain') drain = null;
				else drain = {reason: fact.reason, userid: fact.userid, sinceMs: fact.sinceMs};
				const {value, context} = snapshots[index + 1]!;
				assert.equal(context.host, host);
				assert.deepEqual(context.drain, drain);
				assert.equal(value === 'drained', drain !== null);
				assert.equal(value === 'unknown', drain === null && host === '');
				reached.add(value);
			}
		}),
		RUNS,
	);
	t.deepEqual([...reached].sort(), ['available', 'drained', 'unknown']);
});

test('the two switches of a queue are independent, each with its own reason', t => {
	const reached = new Set<string>();
	fc.assert(
		fc.property(queueWalks, ({facts, snapshots}) => {
			const model = {enabled: true, started: true, disableReason: '', stopReason: ''};
			for (const [index, fact] of facts.entries()) {
				if (fact.type === 'queue.enable') Object.assign(model, {enabled: true, disableReason: ''});
				else if (fact.type === 'queue.start') Object.assign(model, {started: true, stopReason: ''});
				else if (fact.type === 'queue.disable')
					Object.assign(model, {enabled: false, disableReason: fact.reason});
				else Object.assign(model, {started: false, stopReason: fact.reason});
				const snapshot = snapshots[index + 1]!;
				const {disableReason, stopReason} = snapshot.context;
				assert.deepEqual(
					{enabled: isEnabled(snapshot), started: isStarted(snapshot), disableReason, stopReason},
					model,
				);
				reached.add(snapshot.value);
			}
		}),
		RUNS,
	);
	t.deepEqual([...reached].sort(), ['closed', 'disabled', 'open', 'stopped']);
});

test('a state in which every queue is open again is the state of one that was never touched', t => {
	const fresh = new DurableState().digest();
	const state = new DurableState();
	state.applyFact({type: 'queue.stop', queue: '', reason: 'x', atMs: 1});
	t.not(state.digest(), fresh);
	state.applyFact({type: 'queue.start', queue: '', atMs: 2});
	t.is(state.digest(), fresh);
});
