/**
 * Goal: an effect is there when and only when the state wants it. Method: the effects of every step of legal walks
 * against a plain statement of what each state wants, written without a look at the code.
 */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import {effectsOfJob, effectsOfPart, priorityOf, type Effect} from '../../src/machines/effects.ts';
import type {JobSnapshot} from '../../src/machines/job.ts';
import type {PartSnapshot} from '../../src/machines/part.ts';
import {jobWalks, ruledJobWalks} from './job-facts.ts';
import {partWalks} from './other-facts.ts';
import {SEED} from './walk.ts';

/** What a job at rest wants, as `kind rank`. */
function wantedBy({value, context}: JobSnapshot): string[] {
	const ranksIn = (...states: string[]) =>
		Object.entries(context.ranks)
			.filter(([, part]) => states.includes(part.state))
			.map(([rank]) => rank);
	// Attempts that were given up were on ranks 0 and 1: those of the pool's R.
	const past = (context.past ?? []).flatMap(() => ['forget 0', 'forget 1']);
	const released = Object.entries(context.ranks).some(
		([, part]) => part.state === 'exited' && !part.released,
	);
	const release = released ? ['release'] : [];
	switch (value) {
		case 'depend':
			return (context.dependencies ?? []).map(() => 'await');
		case 'sched':
			return [...(context.priority > 0 ? ['alloc'] : []), ...past];
		case 'run':
			return [...ranksIn('requested').map(rank => `start ${rank}`), ...release, ...past];
		case 'cleanup':
			return [...ranksIn('requested', 'started').map(rank => `kill ${rank}`), ...release, ...past];
		case 'inactive':
			return [...Object.keys(context.ranks).map(rank => `forget ${rank}`), ...past];
		default:
			return [];
	}
}

const nameOf = (effect: Effect) => ('rank' in effect ? `${effect.kind} ${effect.rank}` : effect.kind);

for (const [title, walks] of [
	['free', jobWalks],
	['ruled', ruledJobWalks],
] as const) {
	test(`a job wants what its state says, and while a rule waits nothing else (${title} walks)`, t => {
		const kinds = new Set<string>();
		fc.assert(
			fc.property(walks, ({snapshots}) => {
				for (const job of snapshots) {
					const effects = effectsOfJob(job);
					for (const {kind} of effects) kinds.add(kind);
					const keys = effects.map(({key}) => key);
					assert.equal(new Set(keys).size, keys.length, 'keys are unique');
					if (effects[0]?.kind === 'advance') assert.equal(effects.length, 1);
					else assert.deepEqual(effects.map(nameOf).sort(), wantedBy(job).sort());
					for (const effect of effects) {
						if (!('attempt' in effect)) continue;
						if (effect.kind === 'forget') assert.ok(effect.attempt <= job.context.attempt);
						else assert.equal(effect.attempt, job.context.attempt);
						assert.ok(effect.key.includes(`${job.context.id}.${effect.attempt}`), effect.key);
					}
				}
			}),
			{numRuns: 100, seed: SEED},
		);
		t.deepEqual([...kinds].sort(), ['advance', 'alloc', 'await', 'forget', 'kill', 'release', 'start']);
	});
}

test('a key stands for one effect: whatever else differs is in it', t => {
	const meaning = new Map<string, Effect>();
	const check = (effects: readonly Effect[], where: string) => {
		for (const effect of effects) {
			if (effect.kind === 'advance') continue; // Its time differs from walk to walk.
			const known = meaning.get(effect.key);
			if (known !== undefined) assert.deepEqual(effect, known, where);
			meaning.set(effect.key, effect);
		}
	};
	fc.assert(
		fc.property(jobWalks, partWalks, (job, part) => {
			meaning.clear();
			for (const snapshot of job.snapshots) check(effectsOfJob(snapshot), snapshot.value);
			meaning.clear();
			for (const snapshot of part.snapshots) check(effectsOfPart(snapshot), snapshot.value);
		}),
		{numRuns: 100, seed: SEED},
	);
	t.pass();
});

test('SIGALRM ends a job that ran out of time, SIGTERM any other', t => {
	const seen = new Set<number>();
	fc.assert(
		fc.property(ruledJobWalks, ({snapshots}) => {
			for (const job of snapshots) {
				for (const effect of effectsOfJob(job)) {
					if (effect.kind !== 'kill') continue;
					const isTimeout = job.context.exception?.type === 'timeout' && !job.context.evicted;
					assert.equal(effect.signum, isTimeout ? 14 : 15);
					seen.add(effect.signum);
				}
			}
		}),
		{numRuns: 100, seed: SEED},
	);
	t.deepEqual([...seen].sort(), [14, 15]);
});

test('a part wants its unacknowledged reports heard, and its end while it has not ended', t => {
	const seen = new Set<string>();
	fc.assert(
		fc.property(partWalks, ({snapshots}) => {
			for (const part of snapshots) {
				const names = effectsOfPart(part).map(effect => {
					seen.add(effect.kind);
					return effect.kind === 'report' ? `report ${effect.seq}` : effect.kind;
				});
				assert.deepEqual(names.sort(), partWants(part).sort());
			}
		}),
		{numRuns: 100, seed: SEED},
	);
	t.deepEqual([...seen].sort(), ['report', 'terminate']);
});

function partWants({value, context}: PartSnapshot): string[] {
	if (value === 'forgotten') return [];
	const reports = context.reports.filter(({seq}) => seq > context.acked).map(({seq}) => `report ${seq}`);
	return context.signum !== null && value !== 'exited' ? ['terminate', ...reports] : reports;
}

test('urgency 0 holds, 31 goes before all others, and the rest are priorities as they are', t => {
	t.is(priorityOf(0), 0);
	t.is(priorityOf(31), 2 ** 32 - 1);
	for (let urgency = 0; urgency < 31; urgency += 1) t.is(priorityOf(urgency), urgency);
});
