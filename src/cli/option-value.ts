/** Typed views of parsed options. What does not fit is a `UsageError` that names the option. */
import {parseFsd} from '../formats/fsd.ts';
import {SystemError} from '../formats/errno.ts';
import type {ParsedArguments} from './command.ts';
import {UsageError} from './command-error.ts';

/** The value of a string option, or undefined when it was not given. */
export function textOption(argv: ParsedArguments, name: string): string | undefined {
	const value = argv[name];
	return typeof value === 'string' ? value : undefined;
}

/** All values of a list option, in order. */
export function textOptions(argv: ParsedArguments, name: string): readonly string[] {
	const value = argv[name];
	return Array.isArray(value) ? value.map(String) : [];
}

export function flagOption(argv: ParsedArguments, name: string): boolean {
	return argv[name] === true;
}

export interface IntegerRange {
	readonly min: number;
	readonly max?: number;
}

/** A decimal integer within `range`. */
export function integerOption(argv: ParsedArguments, name: string, range: IntegerRange): number | undefined {
	const text = textOption(argv, name);
	return text === undefined ? undefined : parseInteger(text, {...range, what: `option --${name}`});
}

/** @param range its `what` names the value in messages. */
export function parseInteger(text: string, {min, max, what}: IntegerRange & {readonly what: string}): number {
	const value = Number(text);
	const isInRange = Number.isSafeInteger(value) && value >= min && (max === undefined || value <= max);
	if (/^-?[0-9]+$/.test(text) && isInRange) return value;
	const bounds = max === undefined ? `>= ${min}` : `within ${min}..${max}`;
	throw new UsageError(`${what}: '${text}' is not an integer ${bounds}`);
}

/** Seconds of a duration in FSD; a bare number is seconds. */
export function durationOption(argv: ParsedArguments, name: string): number | undefined {
	const text = textOption(argv, name);
	return text === undefined ? undefined : parseDuration(text, `option --${name}`);
}

export function parseDuration(text: string, what: string): number {
	try {
		return parseFsd(text);
	} catch (error) {
		if (!(error instanceof SystemError)) throw error;
		throw new UsageError(`${what}: ${error.message}`);
	}
}

/** Exactly the operands that are named; `names` ending in `…` takes one or more. */
export function operands(argv: ParsedArguments, names: readonly string[]): readonly string[] {
	const isOpen = names.at(-1)?.endsWith('…') ?? false;
	const given = argv._;
	const missing = names[given.length];
	if (missing !== undefined) throw new UsageError(`${missing.replace('…', '')} is missing`);
	if (!isOpen && given.length > names.length) {
		throw new UsageError(`unexpected argument '${given[names.length]}'`);
	}
	return given;
}
