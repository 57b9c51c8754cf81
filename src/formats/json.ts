/**
 * JSON whose integers keep all their bits: job ids have 64, numbers of JavaScript 53. Integers that a number can't
 * hold exactly are read as BigInt, and a BigInt is written as a plain integer.
 */
import {SystemError} from './errno.ts';

/** A value of JSON as `parseJson` returns it. */
export type Json =
	null | boolean | number | bigint | string | readonly Json[] | {readonly [key: string]: Json};

/** A number that is written with a fraction even when it is whole (`5.0`): C clients refuse an integer there. */
export class Real {
	readonly value: number;

	constructor(value: number) {
		this.value = value;
	}

	toJSON(): number {
		return this.value;
	}
}

/**
 * Reads JSON text. Integers that no number holds exactly become BigInt; all else is as with `JSON.parse`.
 *
 * @throws {SystemError} EINVAL with the parser's words.
 */
export function parseJson(text: string): Json {
	try {
		const value = JSON.parse(text) as Json;
		// Up to 15 digits are always exact, and most texts hold no longer run: they are parsed once.
		if (!/[0-9]{16}/.test(text)) return value;
		// The text is known to be valid from here on, so that a scan for whole tokens is enough.
		return JSON.parse(text.replace(TOKEN, markToken), unmark) as Json;
	} catch (error) {
		if (error instanceof SyntaxError || error instanceof RangeError) {
			throw new SystemError('EINVAL', `invalid JSON: ${error.message}`, {cause: error});
		}
		throw error;
	}
}

/**
 * Compact JSON text of `value`, as `JSON.stringify` writes it (`toJSON` is asked, members without a value are left
 * out, Infinity and NaN become null), with BigInt as a plain integer and `Real` as a real.
 */
export function stringifyJson(value: unknown): string {
	const text = isOfLanguage(value) ? JSON.stringify(value) : write(value, '');
	return text ?? 'null';
}

/** Whether `JSON.stringify`, which is several times as fast, writes the same. */
function isOfLanguage(value: unknown): boolean {
	if (typeof value !== 'object' || value === null) return typeof value !== 'bigint';
	if (value instanceof Real || 'toJSON' in value) return false;
	for (const key in value) if (!isOfLanguage((value as Readonly<Record<string, unknown>>)[key])) return false;
	return true;
}

/** A string (and whether it is a key), or a number. */
const TOKEN = /"(?:[^"\\]|\\.)*"(\s*:)?|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/g;
/** Marks values on their way through `JSON.parse`: NUL and `n` for an integer, NUL and `s` before a string's own NUL. */
const MARK = '\\u0000';

function markToken(token: string, colon: string | undefined): string {
	if (token.startsWith('"')) {
		if (colon !== undefined || !token.startsWith(MARK, 1)) return token;
		return `"${MARK}s${token.slice(1)}`;
	}
	if (token.length < 16 || !/^-?[0-9]+$/.test(token) || Number.isSafeInteger(Number(token))) return token;
	return `"${MARK}n${token}"`;
}

function unmark(_key: string, value: unknown): unknown {
	if (typeof value !== 'string' || !value.startsWith('\0')) return value;
	return value[1] === 'n' ? BigInt(value.slice(2)) : value.slice(2);
}

/** Undefined for what JSON.stringify leaves out. */
function write(value: unknown, key: string): string | undefined {
	switch (typeof value) {
		case 'bigint':
			return value.toString();
		case 'string':
		case 'number':
		case 'boolean':
			return JSON.stringify(value);
		case 'object':
			return value === null ? 'null' : writeObject(value, key);
		default:
			return undefined;
	}
}

function writeObject(value: object, key: string): string | undefined {
	if (value instanceof Real) return writeReal(value.value);
	const {toJSON} = value as {toJSON?: unknown};
	if (typeof toJSON === 'function') return write(toJSON.call(value, key), key);
	if (Array.isArray(value)) return `[${value.map((item, i) => write(item, String(i)) ?? 'null').join(',')}]`;
	let members = '';
	for (const [name, member] of Object.entries(value)) {
		const text = write(member, name);
		if (text === undefined) continue;
		members += `${members === '' ? '' : ','}${JSON.stringify(name)}:${text}`;
	}
	return `{${members}}`;
}

function writeReal(value: number): string {
	const text = JSON.stringify(value);
	return /^-?[0-9]+$/.test(text) ? `${text}.0` : text;
}
