/** Goal: the table agrees with a dumb model: the lowest number that is not in use. */
import test from 'ava';
import fc from 'fast-check';
import {Matchtags} from '../../src/net/matchtags.ts';
import {RPC_PENDING_MAX} from '../../src/net/message.ts';

test('the lowest free tag is taken, in every order of taking and freeing', t => {
	fc.assert(
		fc.property(fc.array(fc.oneof(fc.constant(null), fc.nat({max: 20}))), steps => {
			const tags = new Matchtags<string>();
			const model = new Map<number, string>();
			for (const step of steps) {
				if (step === null) {
					let lowest = 1;
					while (model.has(lowest)) lowest += 1;
					model.set(lowest, `held ${lowest}`);
					t.is(tags.take(`held ${lowest}`), lowest);
				} else if (model.delete(step)) tags.free(step);
				else t.throws(() => tags.free(step));
				t.is(tags.count, model.size);
				for (let tag = 0; tag <= 21; tag++) t.is(tags.get(tag), model.get(tag));
			}
			t.deepEqual(
				tags.clear(),
				[...model].sort(([a], [b]) => a - b).map(([, held]) => held),
			);
			t.is(tags.take('first'), 1);
		}),
	);
});

test('tags are bounded', t => {
	const tags = new Matchtags<number>();
	for (let count = 1; count <= RPC_PENDING_MAX; count++) tags.take(count);
	t.throws(() => tags.take(0), {message: /all matchtags are in use/});
});
