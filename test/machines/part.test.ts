/** Goal: a rank forgets no report before it was acknowledged, and takes none twice. Method: legal walks. */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import {effectsOfPart} from '../../src/machines/effects.ts';
import {lastSeqOf, partMachine, type PartFact, type PartSnapshot} from '../../src/machines/part.ts';
import {PART, partPool, partWalks} from './other-facts.ts';
import {SEED} from './walk.ts';

const STATES = ['exited', 'forgotten', 'none', 'requested', 'running'];

function eachStep(
	t: import('ava').ExecutionContext,
	claim: (part: PartSnapshot, index: number, all: readonly PartSnapshot[]) => void,
): void {
	const reached = new Set<string>();
	fc.assert(
		fc.property(partWalks, ({snapshots}) => {
			for (const [index, part] of snapshots.entries()) {
				reached.add(part.value);
				claim(part, index, snapshots);
			}
		}),
		{numRuns: 200, seed: SEED},
	);
	t.deepEqual([...reached].sort(), STATES);
}

test('replaying any prefix of a walk gives the live part and the same effects', t => {
	fc.assert(
		fc.property(partWalks, ({facts, snapshots}) => {
			let part = partMachine.initial();
			for (const [index, live] of snapshots.entries()) {
				assert.deepEqual(part, live);
				assert.deepEqual(effectsOfPart(part), effectsOfPart(live));
				const fact = facts[index];
				if (fact !== undefined) part = partMachine.apply(part, fact);
			}
		}),
		{numRuns: 200, seed: SEED},
	);
	t.pass();
});

test('reports ascend, none is lost, and what is acknowledged was reported', t => {
	let rewinds = 0;
	eachStep(t, ({context}, index, all) => {
		const seqs = context.reports.map(({seq}) => seq);
		assert.deepEqual(
			seqs,
			[...new Set(seqs)].sort((a, b) => a - b),
		);
		assert.ok(context.acked <= lastSeqOf(context));
		const before = all[index - 1]?.context;
		if (before === undefined) return;
		assert.deepEqual(context.reports.slice(0, before.reports.length), before.reports);
		// Only a root that has lost what it acknowledged makes it less.
		if (context.acked < before.acked) rewinds += 1;
	});
	t.true(rewinds > 0);
});

test('a part that has exited takes no report and no signal, only what ends it', t => {
	eachStep(t, part => {
		const accepted = new Set(
			partPool(part)
				.filter(fact => partMachine.accepts(part, fact))
				.map(({type}) => type),
		);
		const expected: Record<string, readonly PartFact['type'][]> = {
			none: ['part.request'],
			requested: ['part.report', 'part.terminate', 'part.ack', 'part.rewind', 'part.forget'],
			running: ['part.report', 'part.terminate', 'part.ack', 'part.rewind', 'part.forget'],
			exited: ['part.ack', 'part.rewind', 'part.forget'],
			forgotten: [],
		};
		for (const type of accepted) assert.ok(expected[part.value]!.includes(type), `${type} in ${part.value}`);
		for (const type of expected[part.value]!) {
			if (type === 'part.rewind') assert.equal(accepted.has(type), part.context.acked > 0);
			else if (type === 'part.ack')
				assert.equal(accepted.has(type), part.context.acked < lastSeqOf(part.context));
			else assert.ok(accepted.has(type), `${type} in ${part.value}`);
		}
	});
});

test('its state is what its last start or end said', t => {
	eachStep(t, ({value, context}) => {
		const kinds = context.reports.map(({body}) => body.kind);
		const begun = kinds.some(kind => kind !== 'exception');
		if (value === 'running') assert.ok(begun && !kinds.includes('exited'));
		if (value === 'exited') assert.equal(kinds.at(-1), 'exited');
		if (value === 'requested') assert.ok(kinds.every(kind => kind === 'exception'));
		assert.ok(!kinds.includes('lost'), 'only the root concludes that');
		if (value !== 'none') assert.deepEqual({id: context.id, attempt: context.attempt}, PART);
	});
});

test('a part is final when it is forgotten, and takes nothing then', t => {
	eachStep(t, part => {
		assert.equal(partMachine.isFinal(part), part.value === 'forgotten');
		if (part.value !== 'forgotten') return;
		for (const fact of partPool(part)) assert.ok(!partMachine.accepts(part, fact));
	});
});
