/**
 * Goal: a silent peer is torpid and then lost, in time and once; and whoever did not listen blames nobody.
 * Method: one watch on an event loop that can stand still, and a peer that lives outside of it.
 */
import test from 'ava';
import fc from 'fast-check';
import {Liveness} from '../../../src/net/overlay/liveness.ts';
import {LoopClock} from './loop-clock.ts';

const KEEPALIVE_MS = 10;
const TORPID_MS = 50;
const LOST_MS = 300;

function watch(clock: LoopClock) {
	const events: string[] = [];
	const startMs = clock.monotonicMs();
	const note = (what: string) => events.push(`${what} ${clock.monotonicMs() - startMs}`);
	const pings: number[] = [];
	const liveness = new Liveness({
		clock,
		keepaliveMs: KEEPALIVE_MS,
		torpidMs: TORPID_MS,
		lostMs: LOST_MS,
		ping: () => pings.push(clock.monotonicMs() - startMs),
		onTorpid: () => note('torpid'),
		onResponsive: () => note('responsive'),
		onLost: () => note('lost'),
	});
	return {liveness, events, pings};
}

/** What the peer sends, each interval from now on, as long as it lives. */
function beats(
	clock: LoopClock,
	liveness: Liveness,
	{fromMs = 0, untilMs}: {fromMs?: number; untilMs: number},
): void {
	for (let atMs = fromMs; atMs < untilMs; atMs += KEEPALIVE_MS) clock.arrive(atMs, () => liveness.heard());
}

test('a peer that falls silent is torpid and then lost, once each, and nothing follows', t => {
	const clock = new LoopClock();
	const {liveness, events} = watch(clock);
	beats(clock, liveness, {untilMs: 100});
	clock.run(2000);
	t.deepEqual(
		events.map(event => event.split(' ')[0]),
		['torpid', 'lost'],
	);
	const [torpidMs = 0, lostMs = 0] = events.map(event => Number(event.split(' ')[1]));
	t.true(
		torpidMs >= 90 + TORPID_MS && torpidMs <= 90 + TORPID_MS + 2 * KEEPALIVE_MS,
		`torpid after ${torpidMs}`,
	);
	t.true(lostMs >= 90 + LOST_MS && lostMs <= 90 + LOST_MS + 2 * KEEPALIVE_MS, `lost after ${lostMs}`);
});

test('a torpid peer that is heard is responsive at once', t => {
	const clock = new LoopClock();
	const {liveness, events} = watch(clock);
	beats(clock, liveness, {fromMs: 120, untilMs: 400});
	clock.run(400);
	t.deepEqual(
		events.map(event => event.split(' ')[0]),
		['torpid', 'responsive'],
	);
	t.is(events[1], 'responsive 120');
	t.false(liveness.isTorpid);
});

test('a sign of life goes out in each interval in which nothing else was sent', t => {
	const clock = new LoopClock();
	const {liveness, pings} = watch(clock);
	beats(clock, liveness, {untilMs: 100});
	clock.arrive(25, () => liveness.sent());
	clock.run(60);
	t.deepEqual(pings, [10, 20, 40, 50, 60]);
});

test('a stopped watch is silent for ever', t => {
	const clock = new LoopClock();
	const {liveness, events, pings} = watch(clock);
	clock.run(45);
	liveness.stop();
	clock.run(2000);
	t.deepEqual(events, []);
	t.is(pings.length, 4);
});

test('a watch that is stopped by what it tells ends there', t => {
	const clock = new LoopClock();
	let pings = 0;
	const liveness = new Liveness({
		clock,
		keepaliveMs: 10,
		torpidMs: 10,
		lostMs: 10,
		ping: () => {
			pings += 1;
			liveness.stop();
		},
		onTorpid: () => t.fail('torpid'),
		onResponsive: () => t.fail('responsive'),
		onLost: () => t.fail('lost'),
	});
	clock.run(100);
	t.is(pings, 1);
});

test('who stood still reads what is waiting before judging anyone, however close to the end the silence was', t => {
	const clock = new LoopClock();
	const {liveness, events} = watch(clock);
	clock.run(LOST_MS - 5); // Silent almost to the end …
	clock.arrive(3, () => liveness.heard()); // … and then heard while nobody listens.
	clock.standStill(100_000);
	clock.run(KEEPALIVE_MS);
	t.deepEqual(
		events.map(event => event.split(' ')[0]),
		['torpid', 'responsive'],
	);
});

test('a process that stands still again and again blames no living peer, and finds a dead one all the same', t => {
	const steps = fc.array(fc.record({run: fc.nat(80), still: fc.oneof(fc.nat(40), fc.nat(5000))}), {
		maxLength: 30,
	});
	fc.assert(
		fc.property(steps, fc.integer({min: 0, max: KEEPALIVE_MS - 1}), (walk, phase) => {
			const clock = new LoopClock();
			const {liveness, events} = watch(clock);
			const totalMs = walk.reduce((sum, {run, still}) => sum + run + still, 0);
			beats(clock, liveness, {fromMs: phase, untilMs: totalMs + 1});
			for (const {run, still} of walk) {
				clock.run(run);
				clock.standStill(still);
			}
			t.deepEqual(events, []);
			// From here on the peer is dead, and the process goes on as before.
			let ranMs = 0;
			for (const {run} of walk) {
				clock.run(run + 1);
				clock.standStill(4 * KEEPALIVE_MS);
				ranMs += run + 1;
			}
			if (ranMs < LOST_MS) clock.run(LOST_MS + 3 * KEEPALIVE_MS);
			t.is(events.filter(event => event.startsWith('lost')).length, 1, events.join());
		}),
		{numRuns: 200},
	);
});
