/**
 * Goal: tasks that exchange what they put by PMI get all of it, and pass each barrier once, whoever is killed meanwhile.
 * Method: tasks that check every answer and note every barrier; brokers, shells, launchers and the root are killed while they
 * are on their way to a barrier or wait at it.
 */
import {mkdirSync, readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {startedInstance, type Instance, type Role} from '../chaos/instance.ts';
import {proveLog} from '../chaos/prove-log.ts';
import {Tree} from '../chaos/tree.ts';
import {until} from '../chaos/until.ts';
import {writePmiClient} from '../exec/pmi-client.ts';

const ROUNDS = 10;
const PAUSE_S = 1;

interface Run {
	readonly argv: readonly string[];
	readonly rounds: string;
}

function clientOf(instance: Instance, options: readonly string[]): Run {
	const rounds = join(instance.root, `rounds-${options.join('')}`);
	mkdirSync(rounds);
	const client = join(instance.root, 'pmi-client');
	writePmiClient(client);
	return {argv: ['run', ...options, client, rounds, String(ROUNDS), String(PAUSE_S)], rounds};
}

/** Barriers that every task has passed. */
function passed(rounds: string, ntasks: number): number {
	const files = readdirSync(rounds);
	if (files.length < ntasks) return 0;
	const counts = files.map(name => readFileSync(join(rounds, name), 'utf8').split('\nout ').length - 1);
	return Math.min(...counts);
}

function checkRounds(t: ExecutionContext, rounds: string, ntasks: number): void {
	const expected = Array.from({length: ROUNDS}, (_, i) => [`in ${i + 1}`, `out ${i + 1}`]).flat();
	for (let task = 0; task < ntasks; task += 1) {
		const [map, ...lines] = readFileSync(join(rounds, `rounds.${task}`), 'utf8')
			.trimEnd()
			.split('\n');
		t.regex(map!, /^map \(vector,/);
		t.deepEqual(lines, expected, `task ${task}`);
	}
}

type Kill = readonly (readonly [role: Role, rank: number])[];

/** A kill after each of the first barriers, each while the tasks are on their way to the next one. */
async function killBetween(
	instance: Instance,
	run: Run,
	{ntasks, kills}: {ntasks: number; kills: readonly Kill[]},
) {
	const command = instance.spawn(run.argv, {timeoutMs: 150_000});
	for (const [index, kill] of kills.entries()) {
		await until(`barrier ${index + 1}`, () => passed(run.rounds, ntasks) > index, {timeoutMs: 60_000});
		const names = kill.map(([role, rank]) => instance.find(role, rank)).filter(name => name !== null);
		await instance.kill(names);
		if (kill.some(([role]) => role === 'daemon')) await instance.start();
	}
	return command.finished;
}

test.serial(
	'eight tasks on one broker, while broker, shell, launcher and all at once are killed',
	async t => {
		const instance = await startedInstance(t, {cores: 8});
		const run = clientOf(instance, ['-n8']);
		const kills: readonly Kill[] = [
			[['shell', 0]],
			[['broker', 0]],
			[['launcher', 0]],
			[
				['broker', 0],
				['shell', 0],
			],
			[['shell', 0]],
			[
				['broker', 0],
				['shell', 0],
				['launcher', 0],
				['daemon', 0],
			],
		];
		const finished = await killBetween(instance, run, {ntasks: 8, kills});
		t.like(finished, {status: 0, stderr: ''});
		t.is(finished.stdout.trimEnd().split('\n').length, 8);
		checkRounds(t, run.rounds, 8);
		await proveLog(t, instance);
	},
);

test.serial('ten tasks over a tree, while its root, routers, leaves and shells are killed', async t => {
	const tree = new Tree({size: 5, cores: 4});
	t.teardown(async () => {
		if (!t.passed) t.log(tree.logs());
		await tree.destroy();
	});
	await tree.start();
	await until('the tree is ready', async () => tree.isReady(), {timeoutMs: 60_000});
	const run = clientOf(tree, ['-N5', '-n10']);
	const kills: readonly Kill[] = [
		[['broker', 0]],
		[['shell', 1]],
		[['broker', 3]],
		[
			['broker', 1],
			['shell', 2],
		],
		[
			['broker', 0],
			['shell', 0],
			['shell', 3],
		],
		[
			['broker', 0],
			['broker', 1],
			['broker', 2],
			['broker', 3],
			['broker', 4],
		],
	];
	const finished = await killBetween(tree, run, {ntasks: 10, kills});
	t.like(finished, {status: 0, stderr: ''});
	checkRounds(t, run.rounds, 10);
	await proveLog(t, tree);
});
