/** Goal: every command can be found, read about and completed. Method: over the whole table of commands. */
import {execFileSync, spawnSync} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';
import test from 'ava';
import {COMMANDS, findCommand, GROUP_NAMES} from '../../src/cli/command-table.ts';
import {commandPage} from '../../src/cli/command-page.ts';
import {makeManPages} from '../../src/cli/make-man-pages.ts';
import {normalizeArgv} from '../../src/cli/normalize-argv.ts';
import {nearest} from '../../src/cli/suggest.ts';
import {FakeWorld} from './fake-world.ts';

for (const entry of COMMANDS) {
	test(`coppice ${entry.name} --help describes every option and shows examples that parse`, async t => {
		const module = await entry.load();
		t.is(module.name, entry.name);
		const page = await commandPage(module);
		for (const {flags, describe} of page.options) t.true(describe.length > 2, flags.join());
		const world = new FakeWorld();
		const {stdout, exitCode} = await world.run([...entry.name.split(' '), '--help']);
		t.is(exitCode, 0);
		t.true(stdout.startsWith(`Usage: coppice ${entry.name} [OPTIONS]`));
		for (const {flags} of page.options) for (const flag of flags) t.true(stdout.includes(flag), flag);
		t.true(
			stdout.split('\n').every(line => line.length <= 80 || line.startsWith('  coppice')),
			stdout,
		);
		for (const example of page.examples) {
			t.true(stdout.includes(`  ${example}\n`));
			await assertParses(t.log.bind(t), entry.name, example);
		}
	});
}

/** An example is one shell line that calls the command, with options that it has. */
async function assertParses(log: (text: string) => void, name: string, example: string): Promise<void> {
	const checked = spawnSync('bash', ['-n', '-c', example], {encoding: 'utf8'});
	if (checked.status !== 0) throw new Error(`${example}: ${checked.stderr}`);
	const start = example.indexOf(`coppice ${name}`);
	if (start === -1) throw new Error(`${name}: its example does not call it: ${example}`);
	log(example);
	for (const call of example.split(/\bcoppice /).slice(1)) {
		const words =
			call
				.replace(/\$\(/g, '')
				.replace(/[);&|].*/s, '')
				.match(/"[^"]*"|'[^']*'|\S+/g) ?? [];
		const isGroup = GROUP_NAMES.has(words[0]!);
		const called = words.slice(0, isGroup ? 2 : 1).join(' ');
		const module = await findCommand(called)?.load();
		if (module === undefined) throw new Error(`${example}: no command ${called}`);
		const {options} = await commandPage(module);
		const find = (flag: string) => {
			const option = options.find(({flags}) => flags.includes(flag.length > 1 ? `--${flag}` : `-${flag}`));
			return option && {name: option.flags.at(-1)!.slice(2), takesValue: option.value !== null, isList: true};
		};
		normalizeArgv(words.slice(isGroup ? 2 : 1), {find, rewrites: module.rewrites ?? {}});
	}
}

test('docs/man is what npm run docs writes', async t => {
	const pages = await makeManPages();
	t.deepEqual(readdirSync('docs/man').sort(), [...pages.keys()].sort());
	for (const [name, text] of pages) t.is(readFileSync(`docs/man/${name}`, 'utf8'), text, name);
});

const hasMan = spawnSync('groff', ['--version']).status === 0;
(hasMan ? test : test.skip)('groff has nothing to say against the man pages', async t => {
	const input = [...(await makeManPages()).values()].join('');
	const {stderr, stdout} = spawnSync('groff', ['-man', '-Tascii', '-P-c', '-ww'], {input, encoding: 'utf8'});
	t.is(stderr, '');
	t.regex(stdout, /coppice/);
});
test('help says what --help says, and no command shows the list', async t => {
	const world = new FakeWorld();
	const [help, dashed] = [
		await world.run(['help', 'job', 'attach']),
		await world.run(['job', 'attach', '--help']),
	];
	t.is(help.stdout, dashed.stdout);
	const none = await world.run([]);
	t.deepEqual([none.exitCode, none.stdout], [2, '']);
	t.is(none.stderr, (await world.run(['help'])).stdout);
	for (const entry of COMMANDS) t.true(none.stderr.includes(`  ${entry.name} `), entry.name);
	t.is((await world.run(['version'])).stdout, 'coppice 1.2.3\n');
});

test('what is misspelled is guessed, what is far off is not', async t => {
	const world = new FakeWorld();
	const rows: readonly [string, RegExp][] = [
		['sumbit', /^coppice: unknown command 'sumbit'; did you mean submit\?/],
		['attach', /did you mean job attach\?/],
		['job atach', /did you mean job attach\?/],
		['qeue', /did you mean queue\?/],
		['help cancle', /did you mean cancel\?/],
		['submit --watc true', /unknown option --watc; did you mean --watch\?/],
		['--ur=x jobs', /unknown option --ur; did you mean --uri\?/],
		['frobnicate', /unknown command 'frobnicate'; see coppice --help\n$/],
	];
	for (const [line, expected] of rows) {
		const {exitCode, stderr, stdout} = await world.run(line.split(' '));
		t.deepEqual([exitCode, stdout], [2, ''], line);
		t.regex(stderr, expected, line);
	}
	t.is(nearest('ab', ['xy']), undefined);
});

test('completion finds commands, options, fixed values, job ids and queues', async t => {
	const world = new FakeWorld(0.1); // No answer is too late.
	world.broker.answer('job-manager.queue-list', {queues: ['batch', 'debug']});
	world.broker.on('job-manager.queue-status', request => request.respond({}));
	world.broker.stream('job-list.list', [{jobs: [{id: 1234, userid: 1000, state: 16, name: 'sim'}]}]);
	const complete = async (...words: readonly string[]) => {
		const {stdout, exitCode} = await world.run(['completion', 'complete', ...words]);
		t.is(exitCode, 0);
		return stdout
			.split('\n')
			.filter(Boolean)
			.map(line => line.split('\t')[0]!);
	};
	t.deepEqual(await complete('upt'), ['uptime']);
	t.deepEqual(await complete('queue', 'sta'), ['status', 'start']);
	t.deepEqual(await complete('submit', '--env-f'), ['--env-file=']);
	t.deepEqual(await complete('submit', '-q', ''), ['batch', 'debug']);
	t.deepEqual(await complete('submit', '--queue=b'), ['--queue=batch']);
	t.deepEqual(await complete('submit', '--queue', '=', 'd'), ['debug']);
	t.deepEqual(await complete('submit', '--queue', '='), ['batch', 'debug']);
	t.deepEqual(await complete('job', 'kill', '--signal=US'), ['--signal=USR1', '--signal=USR2']);
	t.deepEqual(await complete('job', 'attach', ''), ['fNH']);
	t.deepEqual(await complete('--uri', 'local:///x', 'cancel', 'f'), ['fNH']);
	const constraints = world.broker
		.payloadsOf('job-list.list')
		.map(payload => (payload as {constraint: unknown}).constraint);
	const ACTIVE = 2 | 4 | 8 | 16 | 32;
	t.deepEqual(constraints, [
		{and: [{userid: [1000]}]},
		{and: [{userid: [1000]}, {states: [ACTIVE]}]}, // One that has ended can't be canceled.
	]);
	const unicode = {env: {LANG: 'C.UTF-8'}};
	for (const typed of ['f', 'ƒ', '']) {
		const {stdout} = await world.run(['completion', 'complete', 'cancel', typed], unicode);
		t.is(stdout.split('\t')[0], typed === 'f' ? 'fNH' : 'ƒNH');
	}
	t.deepEqual(await complete('submit', '-n', '2', ''), [':commands']);
	t.deepEqual(await complete('submit', '-n', '2', 'cat', ''), [':files']);
	t.deepEqual(await complete('run', '--cwd', ''), [':directories']);
	t.deepEqual(await complete('nonsense', ''), []);
	const without = new FakeWorld();
	without.socketExists = false;
	t.is((await without.run(['completion', 'complete', 'job', 'attach', ''])).stdout, '');
});

test('bash loads the completion, and completes with it', t => {
	const script = `
		source <(node bin/coppice completion bash)
		coppice() { node bin/coppice "$@"; }
		COMP_WORDS=(coppice jobs --filter = pe); COMP_CWORD=4
		_coppice; echo "\${COMPREPLY[@]}"
		COMP_WORDS=(coppice submit --env-f); COMP_CWORD=2
		_coppice; echo "\${COMPREPLY[@]}"`;
	const env = {...process.env, COPPICE_UNBUNDLED: '1'};
	t.is(execFileSync('bash', ['-c', script], {encoding: 'utf8', env}), 'pending\n--env-file=\n');
});
