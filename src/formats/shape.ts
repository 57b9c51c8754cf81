/**
 * Reading values of unknown shape (jobspec, R, events): each function returns its value typed, or throws a
 * `SystemError` EINVAL that names the path of the fault, as in `jobspec.version: must be 1, is 2`.
 */
import {SystemError} from './errno.ts';
import {stringifyJson} from './json.ts';

/** A JSON object whose members are not known yet. */
export type Members = Readonly<Record<string, unknown>>;

/** The error for a value that is there but is not what it must be. */
export function fault(path: string, must: string, value: unknown): SystemError {
	const is = value === undefined ? 'is missing' : `is ${describe(value)}`;
	return new SystemError('EINVAL', `${path}: must be ${must}, ${is}`);
}

export function asObject(value: unknown, path: string): Members {
	if (!isObject(value)) throw fault(path, 'an object', value);
	return value;
}

export function asArray(value: unknown, path: string): readonly unknown[] {
	if (!Array.isArray(value)) throw fault(path, 'an array', value);
	return value;
}

export function asString(value: unknown, path: string): string {
	if (typeof value !== 'string') throw fault(path, 'a string', value);
	return value;
}

export function asStrings(value: unknown, path: string): readonly string[] {
	return asArray(value, path).map((item, i) => asString(item, `${path}[${i}]`));
}

export function asBoolean(value: unknown, path: string): boolean {
	if (typeof value !== 'boolean') throw fault(path, 'true or false', value);
	return value;
}

/** A safe integer of at least `min`. */
export function asInteger(value: unknown, path: string, min: number): number {
	if (!Number.isSafeInteger(value) || (value as number) < min) {
		throw fault(path, `an integer >= ${min}`, value);
	}
	return value as number;
}

/** A finite number of at least `min`. */
export function asNumber(value: unknown, path: string, min: number): number {
	if (typeof value !== 'number' || !Number.isFinite(value) || value < min) {
		throw fault(path, `a number >= ${min}`, value);
	}
	return value;
}

/** Refuses members that are not in `known`: a misspelt one would change the meaning without a word. */
export function onlyMembers(object: Members, path: string, known: readonly string[]): void {
	for (const name of Object.keys(object)) {
		if (!known.includes(name)) {
			throw new SystemError('EINVAL', `${path}.${name}: unknown member, must be one of ${known.join(', ')}`);
		}
	}
}

/** What `parse` returns; puts `path` before the message of its `SystemError`, unless it is there already. */
export function atPath<T>(path: string, parse: () => T): T {
	try {
		return parse();
	} catch (error) {
		if (!(error instanceof SystemError) || error.message.startsWith(path)) throw error;
		const joint = error.message.startsWith('[') ? '' : ': ';
		throw new SystemError('EINVAL', `${path}${joint}${error.message}`, {cause: error});
	}
}

export function isObject(value: unknown): value is Members {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value itself when it is short, else its type: an error must not repeat a megabyte. */
function describe(value: unknown): string {
	if (typeof value === 'number') return String(value);
	const text = stringifyJson(value);
	if (text.length <= 60) return text;
	if (typeof value === 'string') return `a string of ${value.length} characters`;
	return Array.isArray(value) ? `an array of ${value.length}` : 'an object';
}
