/** Readers for values of the configuration: each returns its value typed, or throws a `ConfigFault` that knows where. */
import {SystemError} from '../formats/errno.ts';
import {parseFsd} from '../formats/fsd.ts';
import {Hostlist} from '../formats/hostlist.ts';
import {Idset} from '../formats/idset.ts';
import {stringifyJson} from '../formats/json.ts';
import type {ConfigPath} from './config-source.ts';

/** A value and the way to it. */
export interface At {
	readonly value: unknown;
	readonly path: ConfigPath;
}

export type Reader<T> = (at: At) => T;

/** What is wrong with the value at `path`; the caller adds the file and the line. */
export class ConfigFault extends Error {
	override readonly name = 'ConfigFault';
	readonly path: ConfigPath;

	constructor(path: ConfigPath, message: string) {
		super(`${path.join('.')}: ${message}`);
		this.path = path;
	}
}

/** The members of a table. */
export function tableAt({value, path}: At): readonly (readonly [name: string, member: At])[] {
	if (!isTable(value)) throw mustBe({value, path}, 'a table');
	return Object.entries(value).map(([name, member]) => [name, {value: member, path: [...path, name]}]);
}

export function unknownKey(path: ConfigPath, known: readonly string[]): ConfigFault {
	return new ConfigFault(path, `unknown key, must be one of ${known.join(', ')}`);
}

export function mustBe({value, path}: At, must: string): ConfigFault {
	return new ConfigFault(path, `must be ${must}, is ${describe(value)}`);
}

export const boolean: Reader<boolean> = at => {
	if (typeof at.value !== 'boolean') throw mustBe(at, 'true or false');
	return at.value;
};

export const string: Reader<string> = at => {
	if (typeof at.value !== 'string' || at.value === '') throw mustBe(at, 'a string that is not empty');
	return at.value;
};

export const strings: Reader<readonly string[]> = at => {
	if (!Array.isArray(at.value)) throw mustBe(at, 'an array of strings');
	return at.value.map((value: unknown, index) => string({value, path: [...at.path, index]}));
};

/** An integer from `min` to `max`. */
export function integer(min: number, max: number): Reader<number> {
	return at => {
		const {value} = at;
		if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
			throw mustBe(at, `an integer from ${min} to ${max}`);
		}
		return value as number;
	};
}

/** A duration in FSD, or a number of seconds, as milliseconds; above 0, and finite unless `allowsInf` (then Infinity). */
export function durationMs({allowsInf = false, allowsZero = false} = {}): Reader<number> {
	return at => {
		const must = `a duration such as 5s or 1.5m${allowsInf ? ', or inf' : ''}`;
		const seconds = typeof at.value === 'string' ? fsdOrNull(at.value) : at.value;
		const isDuration = typeof seconds === 'number' && (seconds > 0 || (allowsZero && seconds === 0));
		if (!isDuration || (seconds === Infinity && !allowsInf)) throw mustBe(at, must);
		const ms = seconds * 1000;
		if (ms !== Infinity && ms > DURATION_MS_MAX) throw mustBe(at, `${must}, of at most 100000d`);
		return ms;
	};
}

/** Bytes: an integer, or a number with k, M or G (powers of 1024) behind it. */
export const sizeBytes: Reader<number> = at => {
	const match = /^([0-9]+)([kMG]?)$/.exec(String(at.value));
	if (match === null) throw mustBe(at, 'a number of bytes such as 65536, 64k or 10M');
	const bytes = Number(match[1]) * SIZE_UNITS[match[2] as keyof typeof SIZE_UNITS];
	if (!Number.isSafeInteger(bytes)) throw mustBe(at, 'a number of bytes below 2^53');
	return bytes;
};

/** Ranks as an idset in its text form; a single rank may be an integer. */
export const ranks: Reader<string> = at => {
	try {
		if (typeof at.value !== 'string' && !Number.isInteger(at.value)) throw mustBe(at, 'an idset such as 0-3');
		return Idset.parse(String(at.value)).toString();
	} catch (error) {
		throw asFault(error, at);
	}
};

/** Host names: a hostlist, or an array of hostlists. */
export const hostnames: Reader<readonly string[]> = at => {
	const texts = typeof at.value === 'string' ? [at.value] : strings(at);
	try {
		return texts.flatMap(text => Hostlist.parse(text).hosts);
	} catch (error) {
		throw asFault(error, at);
	}
};

/** A program and its arguments: a path, or an array of strings. */
export const command: Reader<readonly string[]> = at => {
	const argv = typeof at.value === 'string' ? [string(at)] : strings(at);
	if (argv.length === 0) throw mustBe(at, 'a program, or an array of a program and its arguments');
	return argv;
};

/** `kary:N` with N from 1, or `custom`. */
export const topology: Reader<string> = at => {
	if (typeof at.value === 'string' && /^(kary:[1-9][0-9]{0,5}|custom)$/.test(at.value)) return at.value;
	throw mustBe(at, 'kary:N (N at least 1) or custom');
};

const DURATION_MS_MAX = 100_000 * 86_400_000;
const SIZE_UNITS = {'': 1, k: 1024, M: 1024 ** 2, G: 1024 ** 3} as const;

function fsdOrNull(text: string): number | null {
	try {
		return parseFsd(text);
	} catch (error) {
		if (error instanceof SystemError) return null;
		throw error;
	}
}

function asFault(error: unknown, at: At): unknown {
	return error instanceof SystemError ? new ConfigFault(at.path, error.message) : error;
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
	if (typeof value !== 'object' || value === null) return false;
	const prototype: unknown = Object.getPrototypeOf(value);
	return prototype === null || prototype === Object.prototype;
}

/** The value itself when it is short, else its type: an error must not repeat a megabyte. */
function describe(value: unknown): string {
	if (typeof value === 'number') return String(value);
	const text = stringifyJson(value);
	if (text.length <= 60) return text;
	return Array.isArray(value) ? 'an array' : `a ${typeof value}`;
}
