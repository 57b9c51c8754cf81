/** Goal: the queue is in order of priority, then of submission, whatever came and went. Method: against a sorted list. */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import {JobQueue, type QueueEntry} from '../../../src/services/scheduler/queue.ts';

const entry: fc.Arbitrary<QueueEntry> = fc.record(
	{id: fc.bigInt({min: 1n, max: 12n}), priority: fc.integer({min: 1, max: 4})},
	{noNullPrototype: true},
);
const steps = fc.array(fc.record({entry, isAdd: fc.boolean()}), {maxLength: 60});

test('the queue is a sorted list without doubles', t => {
	fc.assert(
		fc.property(steps, todo => {
			const queue = new JobQueue();
			let model: QueueEntry[] = [];
			for (const {entry, isAdd} of todo) {
				const others = model.filter(({id, priority}) => id !== entry.id || priority !== entry.priority);
				model = isAdd ? [...others, entry] : others;
				if (isAdd) queue.add(entry);
				else queue.remove(entry);
				model.sort((a, b) => b.priority - a.priority || (a.id < b.id ? -1 : 1));
				assert.deepEqual([...queue.entries], model);
				assert.deepEqual(queue.first, model[0]);
				assert.equal(queue.length, model.length);
			}
		}),
		{numRuns: 200, seed: 4},
	);
	t.pass();
});

test('equal priorities leave in the order of their ids, and a higher one goes first', t => {
	const queue = new JobQueue();
	for (const id of [5n, 2n, 9n]) queue.add({id, priority: 16});
	queue.add({id: 11n, priority: 17});
	t.deepEqual(
		queue.entries.map(({id}) => id),
		[11n, 2n, 5n, 9n],
	);
});
