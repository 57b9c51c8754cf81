/** Values that are still on their way, of which members can be named already: `at(9).jobs[0].state`. Pure. */

/**
 * A promise of a value whose members and calls are promises of the same kind. Whoever awaits one gets the value, or its
 * failure; one that nobody awaits fails without a word.
 */
export function deferred<T>(promise: Promise<T>): Promise<T> {
	promise.catch(() => undefined);
	return new Proxy(CALLABLE, {
		get: (_, name) => {
			if (name === 'then' || name === 'catch' || name === 'finally')
				return promise[name].bind(promise) as unknown;
			return typeof name === 'symbol' ? undefined : deferred(promise.then(value => memberOf(value, name)));
		},
		apply: (_, _this, args: unknown[]) =>
			deferred(promise.then(value => (value as (...args: unknown[]) => unknown)(...args))),
	}) as unknown as Promise<T>;
}

/** The target of a proxy that can be called. */
const CALLABLE = (): undefined => undefined;

function memberOf(value: unknown, name: string): unknown {
	const member = (value as Readonly<Record<string, unknown>>)[name];
	return typeof member === 'function' ? (member.bind(value) as unknown) : member;
}
