/** Goal: what a person writes to find facts means what they think. */
import {inspect} from 'node:util';
import test from 'ava';
import {matcherOf} from '../../src/repl/fact-filter.ts';

const FACT = {seq: 3, type: 'job.alloc', id: '6731191091817518', note: 'disk full'};

test('a text, a job in any form, an expression and a function each find the fact that is meant', t => {
	for (const what of [
		'alloc',
		'disk',
		'fuZZybuNNy',
		'ƒuZZybuNNy',
		'0x17e9fb8df16c2e',
		6731191091817518n,
		{id: FACT.id},
	])
		t.true(matcherOf(what)(FACT), inspect(what));
	t.true(matcherOf(/FULL/i)(FACT));
	t.true(matcherOf((fact: {seq: number}) => fact.seq === 3)(FACT));
	for (const what of ['free', 'f12', {id: '1'}, /^full/, () => 0])
		t.false(matcherOf(what)(FACT), inspect(what));
});
