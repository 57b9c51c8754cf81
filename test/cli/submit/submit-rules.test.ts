/** Goal: what a job gets of its submitter's limits, mask, signal and task map is what a user of Flux expects. */
import test from 'ava';
import {UsageError} from '../../../src/cli/command-error.ts';
import {propagatedLimits} from '../../../src/cli/submit/rlimit-rules.ts';
import {parseSignalOption} from '../../../src/cli/submit/signal-option.ts';
import {parseTaskmapOption} from '../../../src/cli/submit/taskmap-option.ts';
import {FakeWorld} from '../fake-world.ts';

const CURRENT = {cpu: -1, core: 0, stack: 8_388_608, nofile: 1024, memlock: 65_536, nice: 0};

test('limits that are meant for one login are left out, unless a rule asks for them', t => {
	t.deepEqual(propagatedLimits([], CURRENT), {cpu: -1, core: 0, stack: 8_388_608, nofile: 1024});
	t.deepEqual(propagatedLimits(['memlock'], CURRENT), {
		cpu: -1,
		core: 0,
		stack: 8_388_608,
		nofile: 1024,
		memlock: 65_536,
	});
	t.deepEqual(propagatedLimits(['-*', 'n*'], CURRENT), {nofile: 1024, nice: 0});
	t.deepEqual(propagatedLimits(['-*'], CURRENT), {});
	t.deepEqual(propagatedLimits(['-*', 'core=unlimited', 'NOFILE=77'], CURRENT), {core: -1, nofile: 77});
	t.deepEqual(propagatedLimits(['-[cs]*'], CURRENT), {nofile: 1024});
	t.deepEqual(propagatedLimits(['*'], CURRENT), CURRENT);
});

test('a rule that fits no limit, or sets no number, is refused', t => {
	for (const rule of ['speed', '-speed', 'core=', 'core=1k', 'core=-1', ''])
		t.throws(() => propagatedLimits([rule], CURRENT), {instanceOf: UsageError});
});

test('--signal has a default for both halves', t => {
	t.deepEqual(parseSignalOption(''), {signum: 10, timeleft: 60});
	t.deepEqual(parseSignalOption('INT'), {signum: 2, timeleft: 60});
	t.deepEqual(parseSignalOption('@5m'), {signum: 10, timeleft: 300});
	t.deepEqual(parseSignalOption('SIGUSR2@1.5'), {signum: 12, timeleft: 1.5});
	for (const bad of ['SIGNOTHING', '@0', '@x', '99@1']) {
		t.throws(() => parseSignalOption(bad), {instanceOf: UsageError, message: /option --signal/});
	}
});

test('--taskmap is checked before anything is sent', t => {
	t.deepEqual(parseTaskmapOption('cyclic:2'), {scheme: 'cyclic', value: '2'});
	t.throws(() => parseTaskmapOption('spiral'), {instanceOf: UsageError, message: /option --taskmap/});
});

test('--dry-run shows all of it in the jobspec', async t => {
	const {stdout} = await new FakeWorld().run([
		'submit',
		'--dry-run',
		'--rlimit=core=0',
		'--signal=INT@10s',
		'--taskmap=cyclic',
		'--output=none',
		'true',
	]);
	const {attributes} = JSON.parse(stdout) as {attributes: {system: {shell: {options: unknown}}}};
	t.deepEqual(attributes.system.shell.options, {
		rlimit: {core: 0},
		signal: {signum: 2, timeleft: 10},
		taskmap: {scheme: 'cyclic', value: ''},
	});
});
