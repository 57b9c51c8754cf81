/**
 * `npm run chaos [-- --seed S] [--minutes M] [--rounds N] [--brokers N] [--tracking cgroup|delegated|session]`: rounds of chaos with real processes until the time
 * is over; seeds that are even have one broker, the others a tree of 15, unless `--brokers` says otherwise. Exits 1 when a job's outcome, an output or the log was wrong. The same seed makes the same choices; what they meet
 * depends on the moment, so a failing seed is run several times.
 */
import {parseArgs} from 'node:util';
import {destroyAll} from './instance.ts';
import type {UserKind} from './ordinary-user.ts';
import {runRound} from './round.ts';

const ROUND_MS = 20_000;
const TREE_ROUND_MS = 30_000;
const TREE_SIZE = 15;

const {values} = parseArgs({
	options: {
		seed: {type: 'string'},
		minutes: {type: 'string'},
		rounds: {type: 'string'},
		brokers: {type: 'string'},
		tracking: {type: 'string', default: 'cgroup'},
	},
});
const firstSeed = number('seed', values.seed) ?? Math.floor(Math.random() * 1_000_000);
const minutes = number('minutes', values.minutes) ?? 5;
const rounds = number('rounds', values.rounds) ?? Infinity;
const brokers = number('brokers', values.brokers);
const user = userOf(values.tracking);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
	process.once(signal, () => void destroyAll().finally(() => process.exit(130)));
}
const endMs = performance.now() + minutes * 60_000;
let failed = 0;
let jobs = 0;
console.log(`chaos: seed ${firstSeed}, at most ${minutes} minutes and ${rounds} rounds`);
for (let round = 0; round < rounds && performance.now() < endMs; round += 1) {
	const seed = firstSeed + round;
	const startMs = performance.now();
	const size = brokers ?? (seed % 2 === 0 ? 1 : TREE_SIZE);
	const result = await runRound({seed, size, durationMs: size === 1 ? ROUND_MS : TREE_ROUND_MS, ...user});
	jobs += result.jobs;
	const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
	const kills = Object.entries(result.kills).map(([what, count]) => `${what} ${count}`);
	const verdict = result.problems.length === 0 ? 'all as their ledgers say' : 'WRONG';
	console.log(
		`round of seed ${seed}, ${size} broker(s): ${result.jobs} jobs; ${kills.join(', ')}: ${verdict} (${seconds} s)`,
	);
	if (result.problems.length === 0) continue;
	failed += 1;
	console.log(result.problems.join('\n'));
	console.log(
		`again: npm run chaos -- --seed ${seed} --rounds 1 --brokers ${size} --tracking ${values.tracking}`,
	);
}
console.log(failed === 0 ? `${jobs} jobs, no disagreement` : `${failed} rounds with disagreements`);
process.exitCode = failed === 0 ? 0 : 1;

/** `cgroup`: as this user. The others: as an ordinary user, with a delegated cgroup subtree or without any. */
function userOf(tracking: string): {readonly user?: UserKind} {
	if (tracking === 'cgroup') return {};
	if (tracking === 'delegated' || tracking === 'session') return {user: tracking};
	throw new Error(`--tracking ${tracking}: must be cgroup, delegated or session`);
}

function number(name: string, text: string | undefined): number | undefined {
	if (text === undefined) return undefined;
	const value = Number(text);
	if (!Number.isFinite(value) || value < 0) throw new Error(`--${name} ${text}: not a number`);
	return value;
}
