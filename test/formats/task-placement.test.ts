/** Goal: whatever the placement, every task of the job runs on one node, and a manual map is checked against the job. */
import test from 'ava';
import fc from 'fast-check';
import {checkPlacement, placeTasks} from '../../src/formats/task-placement.ts';
import {encodeRawTaskmap, parseTaskmap, taskCount, tasksByNode} from '../../src/formats/taskmap.ts';

const mapOf = (scheme: string, value: string, tasksPerNode: readonly number[]) =>
	encodeRawTaskmap(placeTasks(checkPlacement({scheme, value}), tasksPerNode));

test('block, cyclic and manual place tasks as Flux does', t => {
	t.is(mapOf('block', '', [2, 2]), '0-1;2-3');
	t.is(encodeRawTaskmap(placeTasks(undefined, [2, 1])), '0-1;2');
	t.is(mapOf('cyclic', '', [2, 2]), '0,2;1,3');
	t.is(mapOf('cyclic', '2', [4, 4]), '0-1,4-5;2-3,6-7');
	t.is(mapOf('cyclic', '2', [3, 1]), '0-1,3;2');
	t.is(mapOf('manual', '1,3;0,2', [2, 2]), '1,3;0,2');
	t.is(mapOf('manual', '[[1,1,2,1],[0,1,2,1]]', [2, 2]), '2-3;0-1');
	t.is(mapOf('manual', '{"version":1,"map":[[0,2,2,1]]}', [3, 1]), '0-1;2-3');
});

test('a placement that makes no sense is refused with the reason', t => {
	t.throws(() => checkPlacement({scheme: 'spiral'}), {message: /"spiral" is none of block, cyclic, manual/});
	t.throws(() => checkPlacement({scheme: 'cyclic', value: '0'}), {message: /integer >= 1/});
	t.throws(() => checkPlacement({scheme: 'manual', value: ''}), {message: /must not be empty/});
	t.throws(() => checkPlacement({scheme: 'manual', value: '0;0'}));
	t.throws(() => mapOf('manual', '0-2', [2]), {message: /it has 3 tasks, and the job has 2/});
	t.throws(() => mapOf('manual', '0;1', [2]), {message: /it has 2 nodes, and the job has 1/});
});

test('every task of a job runs on one node, with as many on each as its resources mean', t => {
	fc.assert(
		fc.property(
			fc.array(fc.integer({min: 1, max: 9}), {minLength: 1, maxLength: 12}),
			fc.integer({min: 1, max: 5}),
			(tasksPerNode, stride) => {
				const map = placeTasks({scheme: 'cyclic', value: String(stride)}, tasksPerNode);
				t.deepEqual(
					tasksByNode(map).map(ids => ids.count),
					tasksPerNode,
				);
				t.is(
					taskCount(map),
					tasksPerNode.reduce((sum, count) => sum + count),
				);
				t.deepEqual(parseTaskmap(encodeRawTaskmap(map)), map);
			},
		),
	);
});
