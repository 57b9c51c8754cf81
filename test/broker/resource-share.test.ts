/** Goal: the brokers of a host share its cores: all of them are given, none twice as long as there is one for each. */
import test from 'ava';
import fc from 'fast-check';
import {shareOfCores} from '../../src/broker/resource-share.ts';

const shares = (size: number, count: number) =>
	Array.from({length: size}, (_, rank) => shareOfCores({rank, size, count}));

test('cores are given out in rank order, the first ranks one more', t => {
	t.deepEqual(shares(3, 8).map(String), ['0-2', '3-5', '6-7']);
	t.deepEqual(shares(1, 4).map(String), ['0-3']);
});

test('more brokers than cores share them in turn', t => {
	t.deepEqual(shares(5, 2).map(String), ['0', '1', '0', '1', '0']);
});

test('every core is given once, and every broker has at least one', t => {
	fc.assert(
		fc.property(fc.integer({min: 1, max: 70}), fc.integer({min: 1, max: 70}), (size, count) => {
			const ids = shares(size, count).map(share => [...share]);
			const all = ids.flat();
			const isFair = ids.every(({length}) => length >= 1) && new Set(all).size === count;
			return isFair && all.length === Math.max(size, count);
		}),
	);
	t.pass();
});
