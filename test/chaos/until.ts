/** Waiting in tests: always for a condition, never without a deadline. */

/** Polls until `probe` gives something, and returns it. @throws naming `what` after the deadline. */
export async function until<T>(
	what: string,
	probe: () => Promise<T | null | undefined | false> | T | null | undefined | false,
	{timeoutMs = 30_000, pollMs = 25}: {timeoutMs?: number; pollMs?: number} = {},
): Promise<T> {
	const endMs = performance.now() + timeoutMs;
	for (;;) {
		const value = await probe();
		if (value !== null && value !== undefined && value !== false) return value;
		if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
		await pause(pollMs);
	}
}

/** For the moments of chaos only: no test waits with it for something to happen. */
export async function pause(ms: number): Promise<void> {
	await new Promise(resolve => setTimeout(resolve, ms));
}
