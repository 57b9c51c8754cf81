/** Goal: the shell options for stdin and terminals mean what they mean in Flux, and mistakes in them are named. */
import test from 'ava';
import {among, inputOption, ptyOption} from '../../src/formats/input-options.ts';
import type {Jobspec} from '../../src/formats/jobspec.ts';

function withOptions(options: object): Jobspec {
	return {attributes: {system: {duration: 0, shell: {options}}}} as unknown as Jobspec;
}

test('stdin comes from nowhere, a file, or clients', t => {
	t.is(inputOption(withOptions({})), null);
	t.deepEqual(inputOption(withOptions({input: {stdin: {type: 'file', path: 'x'}}})), {path: 'x'});
	t.deepEqual(inputOption(withOptions({input: {stdin: {path: 'x'}}})), {path: 'x'});
	t.deepEqual(inputOption(withOptions({input: {stdin: {type: 'service'}}})), {ranks: null});
	const some = inputOption(withOptions({input: {stdin: {type: 'service', ranks: '0,2-3'}}}));
	t.deepEqual(some !== null && 'ranks' in some ? among([0, 1, 2, 3, 4], some.ranks) : null, [0, 2, 3]);
});

test('a terminal is for all tasks, for those that are named, or for task 0 where somebody is to use it', t => {
	t.is(ptyOption(withOptions({})), null);
	for (const off of [0, false, null]) t.is(ptyOption(withOptions({pty: off})), null);
	t.like(ptyOption(withOptions({pty: 1})), {ranks: null, isInteractive: false, rows: 24, columns: 80});
	const interactive = ptyOption(withOptions({pty: {interactive: 1, rows: 10, columns: 20}}));
	t.like(interactive, {isInteractive: true, rows: 10, columns: 20});
	t.deepEqual(among([0, 1], interactive!.ranks), [0]);
	t.deepEqual(among([0, 1], ptyOption(withOptions({pty: {ranks: 1}}))!.ranks), [1]);
	t.deepEqual(among([0, 1], ptyOption(withOptions({pty: {ranks: 'all', interactive: 1}}))!.ranks), [0, 1]);
});

for (const [options, name] of [
	[{input: {stdin: {type: 'foobar'}}}, 'input.stdin.type'],
	[{input: {stdin: {type: 'file'}}}, 'input.stdin.path'],
	[{input: {stdin: 'x'}}, 'input.stdin'],
	[{input: {stdin: {type: 'service', ranks: 'x'}}}, 'input.stdin.ranks'],
	[{pty: {ranks: '3-1'}}, 'pty.ranks'],
	[{pty: {ranks: [1]}}, 'pty.ranks'],
	[{pty: {rows: 0}}, 'pty.rows'],
	[{pty: {columns: 70_000}}, 'pty.columns'],
] as const) {
	test(`${JSON.stringify(options)} is refused, and ${name} named`, t => {
		const read = () => [inputOption(withOptions(options)), ptyOption(withOptions(options))];
		t.throws(read, {code: 'EINVAL', message: new RegExp(`^shell option ${name}: `)});
	});
}
