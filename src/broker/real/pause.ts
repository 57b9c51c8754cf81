/** Waiting in processes that have no simulated twin. */

export function pause(ms: number): Promise<void> {
	return new Promise(resolve => setTimeout(resolve, ms));
}

/** Whether `promise` settles within `timeoutMs`. Its rejection is passed on. */
export async function settlesWithin(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
	let timer: NodeJS.Timeout | undefined;
	const late = new Promise<false>(resolve => (timer = setTimeout(() => resolve(false), timeoutMs)));
	try {
		return await Promise.race([promise.then(() => true as const), late]);
	} finally {
		clearTimeout(timer);
	}
}
