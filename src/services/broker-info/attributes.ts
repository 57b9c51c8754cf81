/** The attributes of this broker: names and values as strings; some are asked for each time. */
import {SystemError} from '../../formats/errno.ts';

export type AttributeValue = string | number | null | (() => string | number | null);

export class Attributes {
	readonly #values = new Map<string, AttributeValue>();

	/** @param values a null, given or returned, means that there is no such attribute now. */
	add(values: Readonly<Record<string, AttributeValue>>): void {
		for (const [name, value] of Object.entries(values)) this.#values.set(name, value);
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
