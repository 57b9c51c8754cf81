/** Goal: frames that are random, distorted, cut or hostile break, leak and disturb nothing. Method: test/fuzz, with a seed and few frames; `npm run fuzz` has more. */
import test from 'ava';
import {hail} from '../fuzz/hail.ts';

test.serial(
	'twenty thousand frames on the sockets of a tree crash nothing, leak nothing and disturb no other client',
	async t => {
		t.timeout(240_000);
		t.deepEqual(await hail({seed: 20, frames: 20_000, say: line => t.log(line)}), []);
	},
);
