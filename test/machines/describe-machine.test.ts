/** Goal: docs/machines.md says what the code does. Method: it is written again and compared; effects are those of walks. */
import {readFileSync} from 'node:fs';
import test from 'ava';
import fc from 'fast-check';
import {describeMachine, describeMachines} from '../../src/machines/describe-machine.ts';
import {effectsOfJob, effectsOfPart, type Effect} from '../../src/machines/effects.ts';
import {jobMachine} from '../../src/machines/job.ts';
import type {Snapshot} from '../../src/machines/machine.ts';
import {partMachine} from '../../src/machines/part.ts';
import {jobWords, partWords, type MachineWords} from '../../src/machines/words.ts';
import {jobWalks} from './job-facts.ts';
import {partWalks} from './other-facts.ts';
import {perilogWalks} from './perilog-facts.ts';
import {SEED, type Walk} from './walk.ts';

test('the page is what npm run docs writes', t => {
	t.is(readFileSync('docs/machines.md', 'utf8'), describeMachines());
});

function effectsByState<C, F>(
	walks: fc.Arbitrary<Walk<C, F>>,
	effectsOf: (snapshot: Snapshot<C>) => readonly Effect[],
): Record<string, string[]> {
	const seen = new Map<string, Set<string>>();
	for (const {snapshots} of fc.sample(walks, {numRuns: 400, seed: SEED})) {
		for (const snapshot of snapshots) {
			for (const {kind} of effectsOf(snapshot)) {
				seen.set(snapshot.value, (seen.get(snapshot.value) ?? new Set()).add(kind));
			}
		}
	}
	return Object.fromEntries([...seen].map(([state, kinds]) => [state, [...kinds].sort()]));
}

const written = ({effects}: MachineWords) =>
	Object.fromEntries(Object.entries(effects).map(([state, kinds]) => [state, Object.keys(kinds).sort()]));

test('the effects on the page are those that walks come across', t => {
	t.deepEqual(effectsByState(fc.oneof(jobWalks, perilogWalks), effectsOfJob), written(jobWords));
	t.deepEqual(effectsByState(partWalks, effectsOfPart), written(partWords));
});

test('a state, fact, guard or action without words, and words about nothing, are refused', t => {
	for (const kind of ['states', 'facts', 'guards', 'actions'] as const) {
		const [[first = ''] = []] = [Object.keys(partWords[kind])];
		const {[first]: _, ...rest} = partWords[kind];
		t.throws(() => describeMachine(partMachine, {...partWords, [kind]: rest}), {
			message: `part: ${kind} without words: ${first}`,
		});
		t.throws(() => describeMachine(partMachine, {...partWords, [kind]: {...partWords[kind], extra: ''}}), {
			message: `part: words for ${kind} that are not: extra`,
		});
	}
	t.notThrows(() => describeMachine(jobMachine, jobWords));
});
