/** The attributes of this broker: names and values as strings; some are asked for each time. */
import {SystemError} from '../../formats/errno.ts';

export type AttributeValue = string | number | null | (() => string | number | null);

export class Attributes {
	readonly #values = new Map<string, AttributeValue>();
	readonly #setters = new Map<string, (value: string) => void>();

	/** @param values a null, given or returned, means that there is no such attribute now. */
	add(values: Readonly<Record<string, AttributeValue>>): void {
		for (const [name, value] of Object.entries(values)) this.#values.set(name, value);
	}

	/** An attribute that clients may set; `set` throws a `SystemError` for what it can't be. */
	addSettable(
		name: string,
		{get, set}: {readonly get: () => string; readonly set: (value: string) => void},
	): void {
		this.#values.set(name, get);
		this.#setters.set(name, set);
	}

	/** @throws {SystemError} ENOENT, EPERM: it may not be set; what its owner says. */
	set(name: string, value: string): void {
		this.get(name);
		const setter = this.#setters.get(name);
		if (setter === undefined) throw new SystemError('EPERM', `attribute '${name}' may not be set`);
		setter(value);
	}

	/** @throws {SystemError} ENOENT. */
	get(name: string): {readonly value: string; readonly flags: number} {
		const entry = this.#values.get(name);
		const value = typeof entry === 'function' ? entry() : (entry ?? null);
		if (value === null) throw new SystemError('ENOENT', `no attribute '${name}'`);
		return {value: String(value), flags: typeof entry === 'function' ? 0 : 1};
	}

	get names(): readonly string[] {
		return [...this.#values.keys()].filter(name => this.#has(name)).sort();
	}

	#has(name: string): boolean {
		const entry = this.#values.get(name);
		return (typeof entry === 'function' ? entry() : (entry ?? null)) !== null;
	}
}
