/** Goal: a constraint selects what it says, combines as logic does, and is refused by name when it makes no sense. */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import {compileConstraint} from '../../../src/services/job-list/constraint.ts';
import type {JobView} from '../../../src/services/job-list/job-view.ts';

const JOB: JobView = {
	id: 7n,
	state: 16,
	result: 2,
	userid: 1000,
	name: 'sleep',
	queue: 'batch',
	t_submit: 100,
	t_run: 150.5,
};

function holds(constraint: unknown, expected: boolean, job: JobView = JOB): void {
	test(`${JSON.stringify(constraint, (_, one: unknown) => (typeof one === 'bigint' ? `${one}n` : one)) ?? 'no constraint'} is ${expected}`, t => {
		t.is(compileConstraint(constraint)(job), expected);
	});
}

holds(undefined, true);
holds(null, true);
holds({}, true);
holds({states: [16]}, true);
holds({states: [48]}, true);
holds({states: [8, 64]}, false);
holds({states: []}, false);
holds({results: [2]}, true);
holds({results: [1]}, false);
holds({userid: [1000]}, true);
holds({userid: [-1]}, true);
holds({userid: [0]}, false);
holds({name: ['sleep', 'x']}, true);
holds({name: ['x']}, false);
holds({queue: ['batch']}, true);
holds({id: [7n]}, true);
holds({id: [7]}, true);
holds({id: [8n]}, false);
holds({t_submit: ['>=100']}, true);
holds({t_submit: ['>100']}, false);
holds({t_run: ['<150.6']}, true);
holds({t_run: ['<=150.5']}, true);
holds({t_inactive: ['>=0']}, false);
holds({states: [16], name: ['x']}, false);
holds({and: []}, true);
holds({or: []}, true);
holds({not: []}, false);
holds({not: [{states: [16]}, {name: ['x']}]}, true);

for (const [constraint, message] of [
	[{colour: ['red']}, /unknown operator 'colour'/],
	[{states: 16}, /values of 'states' must be an array/],
	[[], /must be an object/],
	['running', /must be an object/],
	[{t_run: ['150']}, /'150' is no comparison/],
	[{t_run: ['>=x']}, /'>=x' is no comparison/],
	[{t_run: ['>=1.2.3']}, /'>=1.2.3' is no comparison/],
	[{and: ['x']}, /must be an object/],
	[{id: ['x']}, /'x' is no job id/],
	[{states: ['run']}, /'run' is no state mask/],
	[{userid: ['me']}, /'me' is no user id/],
] as const) {
	test(`${JSON.stringify(constraint)} is refused`, t => {
		t.throws(() => compileConstraint(constraint), {code: 'EINVAL', message});
	});
}

const {constraint} = fc.letrec<{constraint: object}>(tie => ({
	constraint: fc.oneof(
		{maxDepth: 3},
		fc.record({states: fc.array(fc.integer({min: 1, max: 127}), {maxLength: 2})}),
		fc.record({name: fc.array(fc.constantFrom('sleep', 'x'), {maxLength: 2})}),
		fc.record({and: fc.array(tie('constraint'), {maxLength: 3})}),
		fc.record({not: fc.array(tie('constraint'), {minLength: 1, maxLength: 2})}),
		fc.record({or: fc.array(tie('constraint'), {minLength: 1, maxLength: 3})}),
	),
}));

test('not is not, and or is what De Morgan says', t => {
	fc.assert(
		fc.property(
			fc.array(constraint, {minLength: 1, maxLength: 3}),
			fc.constantFrom(1, 8, 16, 64),
			(all, state) => {
				const job = {...JOB, state};
				const value = (one: object) => compileConstraint(one)(job);
				assert.equal(value({and: all}), all.every(value));
				assert.equal(value({or: all}), all.some(value));
				assert.equal(value({not: [{and: all}]}), !value({and: all}));
				assert.equal(value({or: all}), value({not: [{and: all.map(one => ({not: [one]}))}]}));
			},
		),
	);
	t.pass();
});
