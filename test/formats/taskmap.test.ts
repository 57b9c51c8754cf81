/** Goal: task maps read, print and compress as RFC 34 says. */
import test from 'ava';
import fc from 'fast-check';
import type {Taskmap} from '../../src/formats/taskmap.ts';
import {
	blockTaskmap,
	cyclicTaskmap,
	encodePmiTaskmap,
	encodeRawTaskmap,
	encodeTaskmap,
	nodeCount,
	parseTaskmap,
	taskCount,
	TASKMAP_TASKS_MAX,
	tasksByNode,
} from '../../src/formats/taskmap.ts';

/** Maps that are also what the raw text compresses to. */
const vectors: readonly (readonly [string, Taskmap])[] = [
	['', []],
	['0;1', [[0, 2, 1, 1]]],
	['0-1', [[0, 1, 2, 1]]],
	['0,2;1,3', [[0, 2, 1, 2]]],
	[
		'1;0',
		[
			[1, 1, 1, 1],
			[0, 1, 1, 1],
		],
	],
	['0,4,8,12;1,5,9,13;2,6,10,14;3,7,11,15', [[0, 4, 1, 4]]],
	['0-1,8-9;2-3,10-11;4-5,12-13;6-7,14-15', [[0, 4, 2, 2]]],
	[
		'0,6;1,7;2,8;3,9;4,10,12,14;5,11,13,15',
		[
			[0, 6, 1, 2],
			[4, 2, 1, 2],
		],
	],
	[
		'0-1;2-3;4-5;6-7;8-11;12-15',
		[
			[0, 4, 2, 1],
			[4, 2, 4, 1],
		],
	],
	['14-15;12-13;10-11;8-9;4-7;0-3', [5, 4, 3, 2, 1, 0].map(node => [node, 1, node > 3 ? 4 : 2, 1] as const)],
	['12-15;8-11;4-7;0-3', [3, 2, 1, 0].map(node => [node, 1, 4, 1] as const)],
];

for (const [raw, map] of vectors) {
	test(`${raw === '' ? 'the unknown map' : raw} is ${JSON.stringify(map)}`, t => {
		t.is(encodeRawTaskmap(map), raw);
		t.deepEqual(parseTaskmap(raw), map);
		t.deepEqual(parseTaskmap(map), map);
		t.deepEqual(parseTaskmap(JSON.parse(JSON.stringify(encodeTaskmap(map)))), map);
	});
}

test('block fills node after node, cyclic deals tasks out', t => {
	t.deepEqual(blockTaskmap([4, 4, 4, 4]), [[0, 4, 4, 1]]);
	t.is(encodeRawTaskmap(blockTaskmap([2, 2, 1])), '0-1;2-3;4');
	t.is(encodeRawTaskmap(blockTaskmap([1, 0, 2])), '0;;1-2');
	t.deepEqual(cyclicTaskmap([4, 4, 4, 4]), [[0, 4, 1, 4]]);
	t.is(encodeRawTaskmap(cyclicTaskmap([2, 1, 2])), '0,3;1;2,4');
	t.deepEqual(blockTaskmap([]), []);
	t.deepEqual(blockTaskmap([0, 1, 0]), [[1, 1, 1, 1]]);
});

test('the PMI form repeats its blocks', t => {
	t.is(encodePmiTaskmap([[0, 4, 4, 1]]), '(vector,(0,4,4))');
	t.is(encodePmiTaskmap([[0, 2, 1, 2]]), '(vector,(0,2,1),(0,2,1))');
	t.is(encodePmiTaskmap([]), '(vector)');
});

test('every map survives its raw text with the same tasks on the same nodes', t => {
	const block = fc.tuple(
		fc.nat(5),
		fc.integer({min: 1, max: 4}),
		fc.integer({min: 1, max: 4}),
		fc.integer({min: 1, max: 3}),
	);
	fc.assert(
		fc.property(fc.array(block, {maxLength: 5}), map => {
			const raw = encodeRawTaskmap(map);
			const back = parseTaskmap(raw);
			t.is(encodeRawTaskmap(back), raw);
			t.is(taskCount(back), taskCount(map));
			t.is(nodeCount(back), nodeCount(map));
			const tasks = tasksByNode(map).flatMap(ids => [...ids]);
			t.deepEqual(
				tasks.sort((a, b) => a - b),
				Array.from({length: taskCount(map)}, (_, task) => task),
			);
			t.deepEqual(parseTaskmap(encodeRawTaskmap(back)), back);
		}),
	);
});

test('bad maps are refused with the reason', t => {
	const cases: readonly (readonly [unknown, RegExp])[] = [
		[{version: 2, map: []}, /^taskmap\.version: must be 1, is 2/],
		[{version: 1}, /^taskmap\.map: must be an array, is missing/],
		[null, /^taskmap: must be an array, is null/],
		[[[0, 1, 1]], /^taskmap\[0\]: must be of the form/],
		[[[0, 1, 1, 0]], /^taskmap\[0\]\[3\]: must be an integer >= 1, is 0/],
		[[[-1, 1, 1, 1]], /^taskmap\[0\]\[0\]: must be an integer >= 0/],
		['0;2', /there are 2 tasks, but task 2/],
		['0;0', /task 0 is on two nodes/],
		['x', /^invalid idset/],
	];
	for (const [value, message] of cases) t.throws(() => parseTaskmap(value), {code: 'EINVAL', message});
	t.throws(() => parseTaskmap([[0, 1, TASKMAP_TASKS_MAX + 1, 1]]), {code: 'ERANGE'});
	t.throws(() => parseTaskmap([[2 ** 40, 1, 1, 1]]), {code: 'ERANGE'});
	t.throws(() => parseTaskmap('0-4294967294'), {code: 'ERANGE'});
});
