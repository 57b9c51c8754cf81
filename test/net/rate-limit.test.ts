/** Goal: a limit lets through what it says and no more, whatever the pattern; and sources don't hinder one another. */
import test from 'ava';
import fc from 'fast-check';
import {RateLimit, SourceLimits, SOURCES_MAX} from '../../src/net/rate-limit.ts';

test('within any span at most burst and the rate times the span are let through', t => {
	const gaps = fc.array(fc.oneof(fc.constant(0), fc.double({min: 0, max: 300, noNaN: true})), {
		maxLength: 200,
	});
	fc.assert(
		fc.property(gaps, fc.integer({min: 1, max: 10}), fc.integer({min: 1, max: 50}), (gapsMs, burst, perS) => {
			const limit = new RateLimit({burst, perS});
			let nowMs = 5000;
			const passedMs: number[] = [];
			for (const gapMs of gapsMs) {
				nowMs += gapMs;
				if (limit.take(nowMs)) passedMs.push(nowMs);
			}
			for (const [from, startMs] of passedMs.entries()) {
				for (const [to, endMs] of passedMs.entries()) {
					const allowed = burst + ((endMs - startMs) / 1000) * perS + 1e-6;
					if (to >= from && to - from + 1 > allowed) t.fail(`${to - from + 1} of ${allowed}`);
				}
			}
			t.true(gapsMs.length === 0 || passedMs.length >= 1);
		}),
	);
});

test('after a quiet time the whole burst is there again', t => {
	const limit = new RateLimit({burst: 3, perS: 1});
	const passed = (nowMs: number) => [1, 2, 3, 4].filter(() => limit.take(nowMs)).length;
	t.deepEqual([passed(0), passed(0), passed(1000), passed(10_000)], [3, 0, 1, 3]);
	t.is(passed(9000), 0, 'a clock that goes back gives nothing');
});

test('one source can use up its own share only', t => {
	const limits = new SourceLimits({burst: 2, perS: 1});
	for (let count = 0; count < 100; count += 1) limits.take('10.0.0.1', 0);
	t.false(limits.take('10.0.0.1', 0));
	t.true(limits.take('10.0.0.2', 0));
});

test('of too many sources the one that was quiet for longest is forgotten', t => {
	const limits = new SourceLimits({burst: 1, perS: 0});
	t.true(limits.take('a', 0));
	t.true(limits.take('b', 0));
	t.false(limits.take('a', 0));
	for (let count = 0; count < SOURCES_MAX - 1; count += 1) limits.take(`other ${count}`, 0);
	t.false(limits.take('a', 0), 'heard since b');
	t.true(limits.take('b', 0), 'forgotten');
});
