/**
 * Many calls with a bounded number in flight. Invariant: results come in the order of their items, and at most
 * `window` calls are in flight and BEHIND_WINDOWS_MAX windows of results wait for a slower one in front of them.
 */

/** How many windows of calls may be done or in flight beyond the oldest one that is not. */
export const BEHIND_WINDOWS_MAX = 4;

export interface CallAllOptions<I, R> {
	/** The most calls in flight. Default 64: what keeps a local link busy. */
	readonly window?: number;
	readonly call: (item: I, index: number) => Promise<R>;
}

/**
 * Calls `call` for each item and yields what became of each, in order; a rejection is a result like any other. Leaving
 * the loop starts no further calls and forgets those in flight.
 */
export async function* callAll<I, R>(
	items: Iterable<I>,
	{window = 64, call}: CallAllOptions<I, R>,
): AsyncGenerator<PromiseSettledResult<R>, void, void> {
	if (!Number.isInteger(window) || window < 1) throw new Error(`window is ${window}, not a positive integer`);
	const iterator = items[Symbol.iterator]();
	const results: Promise<PromiseSettledResult<R>>[] = [];
	let inFlight = 0;
	let started = 0;
	let isExhausted = false;
	const fill = () => {
		while (!isExhausted && inFlight < window && results.length < window * BEHIND_WINDOWS_MAX) {
			const next = iterator.next();
			if (next.done === true) {
				isExhausted = true;
				return;
			}
			inFlight += 1;
			results.push(settled(call, {item: next.value, index: started++}, done));
		}
	};
	const done = () => {
		inFlight -= 1;
		fill();
	};
	try {
		for (fill(); results.length > 0; fill()) {
			const result = await results[0]!;
			void results.shift();
			yield result;
		}
	} finally {
		isExhausted = true;
		iterator.return?.();
	}
}

async function settled<I, R>(
	call: (item: I, index: number) => Promise<R>,
	{item, index}: {readonly item: I; readonly index: number},
	done: () => void,
): Promise<PromiseSettledResult<R>> {
	try {
		// In a function of its own: `done` must not run before this call's result has its place in the order.
		return {status: 'fulfilled', value: await (async () => call(item, index))()};
	} catch (reason) {
		return {status: 'rejected', reason};
	} finally {
		done();
	}
}
