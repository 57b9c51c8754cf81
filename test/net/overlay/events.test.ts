/**
 * Goal: each broker passes on each event once and in order, or names those that it could not get.
 * Method: a root and two brokers below it in a row, whose links lose, repeat and reorder what they are told to.
 */
import test from 'ava';
import fc from 'fast-check';
import {SystemError} from '../../../src/formats/errno.ts';
import type {Event} from '../../../src/net/message.ts';
import {Events, EVENTS_KEPT_MAX} from '../../../src/net/overlay/events.ts';

interface Fetch {
	readonly sequence: number;
	readonly resolve: (events: readonly Event[]) => void;
	readonly reject: (error: Error) => void;
}

interface Stage {
	readonly events: Events;
	readonly passed: number[];
	readonly gaps: {readonly after: number; readonly before: number; readonly error: string | null}[];
	/** On its way to this broker. */
	link: Event[];
	fetches: Fetch[];
}

const BODY = {topic: 'a.b', userid: 1, rolemask: 1, payload: new Uint8Array(0)};

/** The root first. */
function chain(length: number): readonly Stage[] {
	const stages: Stage[] = [];
	for (let index = 0; index < length; index += 1) {
		const stage: Stage = {
			events: new Events({
				sendDown: event => {
					stage.passed.push(event.sequence);
					stages[index + 1]?.link.push(event);
				},
				fetch: sequence => new Promise((resolve, reject) => stage.fetches.push({sequence, resolve, reject})),
				onGap: ({after, before}, error) => stage.gaps.push({after, before, error: error?.code ?? null}),
			}),
			passed: [],
			gaps: [],
			link: [],
			fetches: [],
		};
		stages.push(stage);
	}
	return stages;
}

const settled = () => new Promise(resolve => setImmediate(resolve));

/** Everything arrives from now on. */
async function calm(stages: readonly Stage[]): Promise<void> {
	for (let round = 0; round < 200; round += 1) {
		for (const [index, stage] of stages.entries()) {
			for (const event of stage.link.splice(0)) stage.events.receive(event);
			const parent = stages[index - 1]?.events;
			for (const {sequence, resolve} of stage.fetches.splice(0)) resolve(parent?.after(sequence) ?? []);
		}
		await settled();
		if (stages.every(({link, fetches}) => link.length === 0 && fetches.length === 0)) return;
	}
	throw new Error('it never comes to rest');
}

/** What a broker passed on, with what it named as lost, is everything up to `last`, in order. */
function isWhole({passed, gaps}: Stage, last: number): boolean {
	const named = gaps.flatMap(({after, before}) =>
		Array.from({length: before - after - 1}, (_, index) => after + 1 + index),
	);
	const all = [...passed, ...named].sort((a, b) => a - b);
	const isAscending = passed.every((one, index) => index === 0 || one > (passed[index - 1] ?? 0));
	return isAscending && all.length === last && all.every((one, index) => one === index + 1);
}

const step = fc.oneof(
	{weight: 6, arbitrary: fc.record({kind: fc.constant('publish' as const)})},
	{
		weight: 10,
		arbitrary: fc.record({
			kind: fc.constantFrom('deliver' as const, 'deliver' as const, 'drop' as const, 'repeat' as const),
			stage: fc.integer({min: 1, max: 2}),
			which: fc.nat(),
		}),
	},
	{
		weight: 4,
		arbitrary: fc.record({
			kind: fc.constantFrom('answer' as const, 'answer' as const, 'fail' as const),
			stage: fc.integer({min: 1, max: 2}),
		}),
	},
);

test('loss, repetition and any order on the way: each event once and in order, or named', async t => {
	let gaps = 0;
	let losses = 0;
	await fc.assert(
		fc.asyncProperty(fc.array(step, {maxLength: 120, size: 'max'}), async steps => {
			const stages = chain(3);
			const [root] = stages as [Stage];
			for (const one of steps) {
				if (one.kind === 'publish') {
					root.events.publish(BODY);
					continue;
				}
				const stage = stages[one.stage] as Stage;
				if (!('which' in one)) {
					const fetch = stage.fetches.shift();
					if (one.kind === 'fail') fetch?.reject(new SystemError('ETIMEDOUT', 'no answer'));
					else fetch?.resolve((stages[one.stage - 1] as Stage).events.after(fetch.sequence));
					await settled();
				} else if (stage.link.length > 0) {
					const index = one.which % stage.link.length;
					const event = stage.link[index] as Event;
					if (one.kind !== 'repeat') stage.link.splice(index, 1);
					if (one.kind === 'drop') losses += 1;
					else stage.events.receive(event);
				}
			}
			await calm(stages);
			root.events.publish(BODY); // Who lost the last one learns of it by the next.
			await calm(stages);
			const last = root.events.sequence;
			for (const stage of stages) {
				t.is(stage.events.sequence, last);
				t.true(isWhole(stage, last), JSON.stringify([stage.passed, stage.gaps, last]));
				gaps += stage.gaps.length;
			}
		}),
		{numRuns: 300},
	);
	t.true(gaps > 20 && losses > 200, `${gaps} gaps, ${losses} losses: not vacuous`);
});

test('what is lost on one link only is fetched, and no gap is named', async t => {
	const stages = chain(3);
	const [root, , leaf] = stages as [Stage, Stage, Stage];
	for (let count = 0; count < 50; count += 1) root.events.publish(BODY);
	(stages[1] as Stage).link = (stages[1] as Stage).link.filter(
		({sequence}) => sequence % 3 === 0 || sequence > 48,
	);
	await calm(stages);
	leaf.link = [];
	root.events.publish(BODY);
	await calm(stages);
	for (const stage of stages) t.true(isWhole(stage, 51));
	t.deepEqual(leaf.gaps, []);
});

test('events that a parent does not have itself are named, and those that it has are fetched', async t => {
	const stages = chain(3);
	const [root, middle, leaf] = stages as [Stage, Stage, Stage];
	for (let count = 0; count < 10; count += 1) root.events.publish(BODY);
	middle.link = middle.link.filter(({sequence}) => sequence < 3 || sequence > 6);
	for (const event of middle.link.splice(0)) middle.events.receive(event);
	middle.fetches.shift()?.reject(new SystemError('ETIMEDOUT', 'no answer'));
	await settled();
	t.deepEqual(middle.gaps, [{after: 2, before: 7, error: 'ETIMEDOUT'}]);
	leaf.link = leaf.link.filter(({sequence}) => sequence === 10);
	await calm(stages);
	t.deepEqual(leaf.passed, [1, 2, 7, 8, 9, 10]);
	t.deepEqual(leaf.gaps, [{after: 2, before: 7, error: null}]);
});

test('a broker keeps so many events and no more, and one that is farther behind names the rest', async t => {
	const stages = chain(2);
	const [root, child] = stages as [Stage, Stage];
	const total = 3 * EVENTS_KEPT_MAX;
	for (let count = 0; count < total; count += 1) root.events.publish(BODY);
	child.link = child.link.slice(-1);
	await calm(stages);
	t.is(root.events.after(0).length, EVENTS_KEPT_MAX);
	t.deepEqual(child.gaps, [{after: 0, before: total - EVENTS_KEPT_MAX + 1, error: null}]);
	t.is(child.passed.length, EVENTS_KEPT_MAX);
	t.true(isWhole(child, total));
});

test('what comes while a broker waits for its parent is held back within bounds, and nothing of it is lost', async t => {
	const stages = chain(2);
	const [root, child] = stages as [Stage, Stage];
	const total = EVENTS_KEPT_MAX + 500;
	for (let count = 0; count < total; count += 1) root.events.publish(BODY);
	child.link.splice(500, 1); // One is lost, and more than can be held back follow.
	for (const event of child.link.splice(0)) child.events.receive(event);
	t.is(child.fetches.length, 1);
	await calm(stages);
	t.deepEqual(child.gaps, []);
	t.true(isWhole(child, total));
});

test('who joins begins after what was published before, and hears nothing older', t => {
	const [root, child] = chain(2) as [Stage, Stage];
	for (let count = 0; count < 5; count += 1) root.events.publish(BODY);
	const old = child.link.splice(0);
	child.events.begin(root.events.sequence);
	for (const event of old) child.events.receive(event);
	root.events.publish(BODY);
	for (const event of child.link.splice(0)) child.events.receive(event);
	t.deepEqual(child.passed, [6]);
	t.deepEqual(child.fetches, []);
});

test('subscribers hear each event in order, until they stop', t => {
	const [root] = chain(1) as [Stage];
	const heard: number[] = [];
	const stop = root.events.subscribe(({sequence}) => heard.push(sequence));
	root.events.publish(BODY);
	root.events.publish(BODY);
	stop();
	root.events.publish(BODY);
	t.deepEqual(heard, [1, 2]);
});
