/** Goal: command lines are read as getopt(3) reads them. Method: a table, and the property that no operand is touched. */
import test from 'ava';
import fc from 'fast-check';
import {UsageError} from '../../src/cli/command-error.ts';
import type {OptionShape} from '../../src/cli/declared-options.ts';
import {normalizeArgv} from '../../src/cli/normalize-argv.ts';

const OPTIONS: readonly (OptionShape & {readonly short?: string})[] = [
	{name: 'ntasks', short: 'n', takesValue: true, isList: false},
	{name: 'env', takesValue: true, isList: true},
	{name: 'exclusive', short: 'x', takesValue: false, isList: false},
	{name: 'time-limit', short: 't', takesValue: true, isList: false},
];
const find = (name: string) => OPTIONS.find(option => option.name === name || option.short === name);
const rewrites = {'env-remove': (value: string) => `--env=-${value}`};
const read = (...argv: string[]) => normalizeArgv(argv, {find, rewrites});

test('options end at the first argument that is none', t => {
	t.deepEqual(read('-n2', 'sh', '-c', 'x'), {
		options: ['--ntasks=2'],
		operands: ['sh', '-c', 'x'],
		isHelp: false,
	});
	t.deepEqual(read('-x', '--', '-n', '2').operands, ['-n', '2']);
	t.deepEqual(read('-', '-n2').operands, ['-', '-n2']);
	t.deepEqual(read('ls', '--help'), {options: [], operands: ['ls', '--help'], isHelp: false});
});

test('short options have their value behind them, or next to them, and flags go together', t => {
	const expected = ['--exclusive', '--time-limit=1m'];
	for (const argv of [['-xt1m'], ['-x', '-t', '1m'], ['-x', '-t1m'], ['-x', '--time-limit', '1m']]) {
		t.deepEqual(read(...argv).options, expected, argv.join(' '));
	}
});

test('a value is never taken for an option', t => {
	t.deepEqual(read('--env', '-*', '--env=--x', '-n', '-1').options, ['--env=-*', '--env=--x', '--ntasks=-1']);
	t.deepEqual(read('--env=', '--env', '').options, ['--env=', '--env=']);
});

test('the last one counts, but of a list all do, in the order given, rewritten ones too', t => {
	t.deepEqual(read('-n1', '--env=A', '-n2', '--env-remove=B*', '--env=C').options, [
		'--env=A',
		'--ntasks=2',
		'--env=-B*',
		'--env=C',
	]);
});

test('unknown options, missing and superfluous values are usage errors', t => {
	for (const argv of [
		['--frob'],
		['-f'],
		['-xf'],
		['--ntasks'],
		['-n'],
		['--exclusive=1'],
		['--n', '1'],
		['--x'],
	]) {
		t.throws(() => read(...argv), {instanceOf: UsageError}, argv.join(' '));
	}
});

test('--help and -h are found among the options', t => {
	t.true(read('-n2', '--help', 'ls').isHelp);
	t.true(read('-h').isHelp);
});

test('operands come out as they went in, whatever they are', t => {
	fc.assert(
		fc.property(fc.array(fc.string()), fc.constantFrom([], ['-x'], ['-n', '2']), (operands, options) => {
			t.deepEqual(read(...options, '--', ...operands).operands, operands);
			t.deepEqual(read(...options, 'cmd', ...operands).operands, ['cmd', ...operands]);
		}),
	);
});
