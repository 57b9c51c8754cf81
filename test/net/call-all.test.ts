/** Goal: results in order, a bounded number in flight, and one slow call does not stop the others. */
import test from 'ava';
import {BEHIND_WINDOWS_MAX, callAll} from '../../src/net/call-all.ts';

interface Pending {
	readonly item: number;
	readonly resolve: (value: string) => void;
	readonly reject: (error: Error) => void;
}

function calls() {
	const pending: Pending[] = [];
	const call = (item: number) =>
		new Promise<string>((resolve, reject) => pending.push({item, resolve, reject}));
	return {pending, call};
}

const turn = () => new Promise(resolve => setImmediate(resolve));

test('results come in the order of their items, whatever the order of the answers', async t => {
	const {pending, call} = calls();
	const all = collect(callAll([0, 1, 2, 3, 4], {window: 5, call}));
	await turn();
	for (const index of [3, 1, 4, 0, 2]) pending[index]!.resolve(`value ${index}`);
	t.deepEqual(await all, ['value 0', 'value 1', 'value 2', 'value 3', 'value 4']);
});

async function collect(results: AsyncIterable<PromiseSettledResult<string>>): Promise<string[]> {
	const texts: string[] = [];
	for await (const result of results) {
		texts.push(result.status === 'fulfilled' ? result.value : String(result.reason));
	}
	return texts;
}

test('at most `window` calls are in flight, and a slow one lets the others go on', async t => {
	const {pending, call} = calls();
	const all = collect(callAll(Array(100).keys(), {window: 4, call}));
	await turn();
	t.is(pending.length, 4);
	// The first one stays; the others are answered as they come.
	for (let index = 1; index < pending.length; index++) {
		pending[index]!.resolve('');
		await turn();
		t.true(pending.length - 1 - index <= 3);
	}
	t.is(pending.length, 4 * BEHIND_WINDOWS_MAX);
	pending[0]!.resolve('');
	for (let index = 16; index < 100; index++) {
		await turn();
		pending[index]!.resolve('');
	}
	t.is((await all).length, 100);
});

test('a rejection is a result like any other', async t => {
	const results = callAll([1, 2, 3], {
		window: 1,
		call: async item => {
			if (item === 2) throw new Error('no');
			return String(item);
		},
	});
	t.deepEqual(await collect(results), ['1', 'Error: no', '3']);
});

test('a call that throws at once changes no order, also for very many', async t => {
	const items = 100_000;
	const results = callAll(Array(items).keys(), {
		window: 3,
		call: item => {
			throw new Error(String(item));
		},
	});
	let next = 0;
	for await (const result of results) {
		if (result.status !== 'rejected' || (result.reason as Error).message !== String(next)) t.fail();
		next += 1;
	}
	t.is(next, items);
});

test('leaving the loop starts no further calls', async t => {
	const {pending, call} = calls();
	for await (const _ of callAll(Array(10).keys(), {
		window: 2,
		call: item => (item === 0 ? Promise.resolve('') : call(item)),
	})) {
		break;
	}
	const started = pending.length;
	for (const {reject} of pending) reject(new Error('late'));
	await turn();
	t.is(pending.length, started);
});

test('no items give no results, and a window must be positive', async t => {
	t.deepEqual(await collect(callAll([], {call: async () => ''})), []);
	await t.throwsAsync(collect(callAll([1], {window: 0, call: async () => ''})), {message: /window is 0/});
});
