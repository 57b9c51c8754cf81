/** Goal: shell options are read as Flux writes them, and a bad one is named. */
import test from 'ava';
import {jobspecFromCommand} from '../../src/formats/jobspec-from-command.ts';
import type {Members} from '../../src/formats/shape.ts';
import {outputPaths, parseLimit, shellOptionsOf} from '../../src/formats/shell-options.ts';

const optionsOf = (shellOptions: Members) =>
	shellOptionsOf(jobspecFromCommand({argv: ['true'], shellOptions}));

test('stderr follows stdout unless it has a file of its own', t => {
	t.deepEqual(outputPaths(optionsOf({})), {stdout: null, stderr: null});
	t.deepEqual(outputPaths(optionsOf({output: {stdout: {path: 'a'}}})), {stdout: 'a', stderr: 'a'});
	t.deepEqual(outputPaths(optionsOf({output: {stderr: {path: 'b'}}})), {stdout: null, stderr: 'b'});
});

test('sizes are read with their units; 0 is no limit', t => {
	const cases: readonly (readonly [unknown, number])[] = [
		[1000, 1000],
		['10k', 10_000],
		['10K', 10_240],
		['1.5M', 1_572_864],
		['1G', 1_073_741_824],
		['0', Infinity],
	];
	for (const [text, bytes] of cases) t.is(parseLimit(text), bytes);
	for (const bad of ['', '-1', '1T', 'x', '1e3', null]) t.throws(() => parseLimit(bad), {code: 'EINVAL'});
});

test('a signal has a default and is checked', t => {
	t.deepEqual(optionsOf({signal: 1}).signal, {signum: 10, timeLeftMs: 60_000});
	t.deepEqual(optionsOf({signal: {signum: 2, timeleft: 0.5}}).signal, {signum: 2, timeLeftMs: 500});
	t.throws(() => optionsOf({signal: {signum: 99}}), {message: /shell option signal/});
	t.throws(() => optionsOf({signal: {timeleft: -1}}), {message: /shell option signal/});
});

test('output.mode is truncate or append', t => {
	t.false(optionsOf({output: {mode: 'truncate'}}).appends);
	t.true(optionsOf({output: {mode: 'append'}}).appends);
	t.throws(() => optionsOf({output: {mode: 'prepend'}}), {message: /output.mode: "prepend"/});
});
