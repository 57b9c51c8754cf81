import test from 'ava';
import {EffectRunner} from '../../src/broker/effect-runner.ts';
import type {Effect} from '../../src/machines/effects.ts';

const RANK = 3;
const FORGET: Effect = {kind: 'forget', key: 'forget:7.1:3', id: 7n, attempt: 1, rank: RANK};

function runner() {
	const performed: Effect[] = [];
	const effects = new EffectRunner({leave: run => run(), advance: () => undefined});
	effects.register('forget', {perform: effect => performed.push(effect)});
	effects.goLive();
	return {effects, performed};
}

test('the last order of a job that ends between the inventory of a rank and its join is given when it has joined', t => {
	const {effects, performed} = runner();
	effects.unreconciled(RANK); // The inventory was judged while the job was there: nobody asks again.
	effects.last([FORGET]);
	t.deepEqual(performed, []);
	effects.reconciled(RANK);
	t.deepEqual(performed, [FORGET]);
	effects.reconciled(RANK);
	t.is(performed.length, 1, 'once');
});

test('the last order of a job is left to the next inventory of a rank', t => {
	const {effects, performed} = runner();
	effects.last([FORGET]);
	effects.unreconciled(RANK);
	effects.reconciled(RANK);
	t.deepEqual(performed, []);
});

test('the last order of a job is given at once to a rank that is reconciled', t => {
	const {effects, performed} = runner();
	effects.reconciled(RANK);
	effects.last([FORGET]);
	t.deepEqual(performed, [FORGET]);
});
