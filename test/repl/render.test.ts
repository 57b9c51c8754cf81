/** Goal: what the REPL prints can be read by a person: facts and changes a line each, lists as tables, and nothing endless. */
import test from 'ava';
import {renderValue} from '../../src/repl/render.ts';

const render = (value: unknown, columns = 80) =>
	renderValue(value, {columns, isColored: false, utcOffsetMinutes: () => 60});

test('a fact is one line with the time of the place, cut at the width', t => {
	const fact = {
		seq: 12,
		type: 'job.submit',
		atMs: Date.UTC(2026, 10, 22, 9, 8, 7, 6),
		id: '5',
		note: 'a b',
		n: 1,
	};
	t.is(render(fact), '    12 10:08:07.006 job.submit id=5 note="a b" n=1\n');
	const [line = ''] = render([{...fact, note: 'x'.repeat(200)}, fact], 40).split('\n');
	t.is(line.length, 40);
	t.true(line.endsWith('…'));
});

test('a list of objects is a table of its plain members, the telling ones first, as many as fit', t => {
	const rows = [
		{state: 'run', id: '1', f58: 'fA', deep: {x: 1}, priority: 16, extra: 'y'.repeat(30)},
		{state: 'sched', id: '2', f58: 'fBB', deep: {x: 2}, priority: 0, extra: null},
	];
	t.is(render(rows, 30), 'F58  STATE  PRIORITY\nfA   run    16\nfBB  sched  0\n');
	t.is(render([]), 'none\n');
	t.is(render(null), 'nothing\n');
});

test('sentences, changes and machines have forms of their own', t => {
	t.is(render(['One.', 'Two.']), 'One.\nTwo.\n');
	t.is(render([{path: 'a.b', before: null, after: 'x y'}]), 'a.b: null → "x y"\n');
	const table = {
		open: {
			'door.shut': [
				{guard: 'isCold', to: 'shut'},
				{guard: null, to: 'open'},
			],
		},
	};
	t.is(
		render({name: 'door', states: ['open', 'shut'], table}),
		'door: open shut\nopen\n  door.shut if isCold → shut, else → open\n',
	);
});
