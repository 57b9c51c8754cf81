/** `a.b=1` as members of an object: how shell options and attributes are given on a command line. */
import {SystemError} from '../../formats/errno.ts';
import {parseJson} from '../../formats/json.ts';
import {isObject} from '../../formats/shape.ts';
import {UsageError} from '../command-error.ts';

export type MutableMembers = Record<string, unknown>;

/**
 * Sets what `assignment` says, `KEY[.KEY…][=VALUE]`: VALUE is JSON when it parses as such, else a text; without one it is 1.
 *
 * @param what the option, for messages
 * @throws {UsageError} an empty key, or one below a value that is no object.
 */
export function assignDotted(target: MutableMembers, assignment: string, what: string): void {
	const equals = assignment.indexOf('=');
	const key = equals === -1 ? assignment : assignment.slice(0, equals);
	const value = equals === -1 ? 1 : valueOf(assignment.slice(equals + 1));
	setDotted(target, {path: key.split('.'), value, what: `${what}=${assignment}`});
}

export interface DottedValue {
	readonly path: readonly string[];
	readonly value: unknown;
	readonly what: string;
}

export function setDotted(target: MutableMembers, {path, value, what}: DottedValue): void {
	if (path.some(key => key === '' || key === '__proto__'))
		throw new UsageError(`${what}: a key is empty or reserved`);
	let members = target;
	for (const key of path.slice(0, -1)) {
		members[key] ??= {};
		const next = members[key];
		if (!isObject(next)) throw new UsageError(`${what}: ${key} has a value already, and can't have members`);
		members = next;
	}
	members[path.at(-1)!] = value;
}

function valueOf(text: string): unknown {
	try {
		return parseJson(text);
	} catch (error) {
		if (error instanceof SystemError) return text;
		throw error;
	}
}
