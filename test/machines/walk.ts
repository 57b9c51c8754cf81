/**
 * Legal walks: facts chosen by arbitrary numbers among those that the entity accepts where it stands. Uniformly random facts
 * die in the first states; chosen ones reach every state, which each test asserts.
 */
import fc from 'fast-check';
import type {Fact, Machine, Snapshot} from '../../src/machines/machine.ts';

export interface Walk<C, F> {
	/** One fact for each step. */
	readonly facts: readonly F[];
	/** Where the entity stood: one more than there are facts, the first is the initial one. */
	readonly snapshots: readonly Snapshot<C>[];
}

export interface WalkRules<C, F extends Fact> {
	readonly machine: Machine<C, F>;
	/** Facts to choose from where the entity stands, legal and illegal ones. */
	readonly poolOf: (snapshot: Snapshot<C>) => readonly F[];
	/** Facts that follow by rule come before any choice. */
	readonly ruled?: (snapshot: Snapshot<C>) => F | null;
}

/** Two numbers a step: the first chooses the fact's type, so that types with many payloads do not drown the others. */
export function walkAlong<C, F extends Fact>(
	{machine, poolOf, ruled}: WalkRules<C, F>,
	choices: readonly (readonly [number, number])[],
): Walk<C, F> {
	let snapshot = machine.initial();
	const facts: F[] = [];
	const snapshots = [snapshot];
	const step = (fact: F) => {
		snapshot = machine.apply(snapshot, fact);
		facts.push(fact);
		snapshots.push(snapshot);
	};
	const settle = () => {
		for (let fact = ruled?.(snapshot) ?? null; fact !== null; fact = ruled?.(snapshot) ?? null) {
			if (facts.length > STEPS_MAX) throw new Error(`rules do not end: ${fact.type} in ${snapshot.value}`);
			step(fact);
		}
	};
	settle();
	for (const [typeChoice, choice] of choices) {
		const legal = poolOf(snapshot).filter(fact => machine.accepts(snapshot, fact));
		const types = [...new Set(legal.map(({type}) => type))];
		if (types.length === 0) break;
		const ofType = legal.filter(({type}) => type === types[typeChoice % types.length]);
		step(ofType[choice % ofType.length] as F);
		settle();
	}
	return {facts, snapshots};
}

export function walksOf<C, F extends Fact>(rules: WalkRules<C, F>): fc.Arbitrary<Walk<C, F>> {
	return fc
		.array(fc.tuple(fc.nat(), fc.nat()), {minLength: 1, maxLength: 40, size: 'max'})
		.map(choices => walkAlong(rules, choices));
}

const STEPS_MAX = 400;

/** Runs are the same each time, unless COPPICE_SEED names another seed. */
export const SEED = Number(process.env.COPPICE_SEED ?? 11);
