/** Goal: whoever kills a broker gets it back at once, and only its own faults back off, within bounds. */
import test from 'ava';
import fc from 'fast-check';
import {judgeEnd, type ProcessEnd} from '../../src/broker/restart-policy.ts';

const base = {isStopping: false, panics: 0, aliveMs: 1000, random: 0.5};
const exit = (exitCode: number): ProcessEnd => ({kind: 'exit', exitCode});
const signal = (name: string): ProcessEnd => ({kind: 'signal', signal: name});

test('a signal from outside, or an unknown end, restarts at once and leaves the count of panics', t => {
	for (const end of [signal('SIGKILL'), signal('SIGTERM'), signal('SIGINT'), {kind: 'vanished'} as const]) {
		t.deepEqual(judgeEnd(end, {...base, panics: 3}), {kind: 'restart', delayMs: 0, panics: 3});
	}
});

test('exit status 42 is final, and so is any end after shutdown was asked', t => {
	t.deepEqual(judgeEnd(exit(42), base), {kind: 'refused'});
	for (const end of [exit(0), exit(1), exit(42), signal('SIGKILL'), {kind: 'vanished'} as const]) {
		t.deepEqual(judgeEnd(end, {...base, isStopping: true}), {kind: 'ended'});
	}
});

test('panics back off from 100 ms, doubling to 2 s, and half of it is jitter', t => {
	const delays = (random: number) =>
		[0, 1, 2, 3, 4, 5, 100].map(panics => {
			const verdict = judgeEnd(exit(1), {...base, panics, random});
			return verdict.kind === 'restart' ? verdict.delayMs : -1;
		});
	t.deepEqual(delays(1), [100, 200, 400, 800, 1600, 2000, 2000]);
	t.deepEqual(delays(0), [50, 100, 200, 400, 800, 1000, 1000]);
});

test('an exit with status 0 that nobody asked for, and an abort, are panics', t => {
	for (const end of [exit(0), signal('SIGABRT'), signal('SIGSEGV')]) {
		t.like(judgeEnd(end, {...base, panics: 1}), {kind: 'restart', panics: 2});
	}
});

test('30 s of life forgive the panics before', t => {
	t.like(judgeEnd(exit(1), {...base, panics: 9, aliveMs: 30_000}), {panics: 1, delayMs: 75});
	t.like(judgeEnd(exit(1), {...base, panics: 9, aliveMs: 29_999}), {panics: 10});
});

test('no delay is ever longer than 2 s', t => {
	const end = fc.oneof(fc.nat(255).map(exit), fc.constantFrom('SIGKILL', 'SIGABRT', 'SIGBUS').map(signal));
	const random = fc.double({min: 0, max: 0.999, noNaN: true});
	fc.assert(
		fc.property(end, fc.nat(1e6), fc.nat(1e6), random, (how, panics, aliveMs, jitter) => {
			const verdict = judgeEnd(how, {isStopping: false, panics, aliveMs, random: jitter});
			t.true(verdict.kind !== 'restart' || (verdict.delayMs >= 0 && verdict.delayMs <= 2000));
		}),
	);
});

test('a broker that lost its parent comes back within 50 ms, however often, and it is not held against it', t => {
	for (const panics of [0, 9]) {
		const ends = [0, 0.999].map(random => judgeEnd(exit(43), {...base, panics, aliveMs: 1, random}));
		t.deepEqual(ends, [
			{kind: 'restart', delayMs: 0, panics},
			{kind: 'restart', delayMs: 50, panics},
		]);
	}
	t.deepEqual(judgeEnd(exit(43), {...base, isStopping: true}), {kind: 'ended'});
});
