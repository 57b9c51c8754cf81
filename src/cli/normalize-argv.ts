/**
 * Brings a command line into the one form that yargs reads as getopt(3) would: `--name=value` and `--flag`, then `--`,
 * then the operands. Invariant: options end at the first argument that is none, or at `--`, and no value is taken for
 * an option, whatever it begins with.
 */
import {UsageError} from './command-error.ts';
import type {FindOption} from './declared-options.ts';
import {suggestion} from './suggest.ts';

export interface NormalArgv {
	/** `--name`, `--name=value`; of an option that is no list only the last one. */
	readonly options: readonly string[];
	readonly operands: readonly string[];
	/** `--help` or `-h` is among the options. */
	readonly isHelp: boolean;
}

export interface NormalizeOptions {
	readonly find: FindOption;
	readonly rewrites?: Rewrites;
	/** Long names, to suggest one for a name that is misspelled. */
	readonly names?: readonly string[];
}

export type Rewrites = Readonly<Record<string, (value: string) => string>>;

/**
 * Reads `-n2`, `-n 2`, `-vv`, `-xn2`, `--name value`, `--name=value`.
 *
 * @throws {UsageError} an unknown option, a value that is missing, or one for an option that takes none.
 */
export function normalizeArgv(
	argv: readonly string[],
	{find, rewrites = {}, names = []}: NormalizeOptions,
): NormalArgv {
	const given: Given[] = [];
	let isHelp = false;
	let index = 0;
	for (; index < argv.length; index += 1) {
		const argument = argv[index]!;
		if (argument === '--') {
			index += 1;
			break;
		}
		if (!argument.startsWith('-') || argument === '-') break;
		const read = argument.startsWith('--')
			? readLong(argument, {find, rewrites, names, next: argv[index + 1]})
			: readShort(argument, {find, rewrites, names, next: argv[index + 1]});
		given.push(...read.given);
		isHelp ||= read.isHelp;
		if (read.tookNext) index += 1;
	}
	return {options: render(given), operands: argv.slice(index), isHelp};
}

interface Given {
	readonly name: string;
	readonly text: string;
	readonly isList: boolean;
}

interface Reading {
	readonly find: FindOption;
	readonly rewrites: Rewrites;
	readonly names: readonly string[];
	readonly next: string | undefined;
}

interface Read {
	readonly given: readonly Given[];
	readonly isHelp: boolean;
	readonly tookNext: boolean;
}

const HELP: Read = {given: [], isHelp: true, tookNext: false};

function readLong(argument: string, {find, rewrites, names, next}: Reading): Read {
	const equals = argument.indexOf('=');
	const name = argument.slice(2, equals === -1 ? undefined : equals);
	const value = equals === -1 ? undefined : argument.slice(equals + 1);
	// One letter is a short option only: `--n` is a mistake.
	const option = name.length > 1 ? find(name) : undefined;
	const rewrite = Object.hasOwn(rewrites, name) ? rewrites[name] : undefined;
	if (name === 'help' && value === undefined) return HELP;
	if (option === undefined && rewrite === undefined)
		throw new UsageError(`unknown option --${name}${suggestion(name, [...names, 'help'], '--')}`);
	if (option?.takesValue === false) {
		if (value !== undefined) throw new UsageError(`option --${name} takes no value, but has '${value}'`);
		return {given: [flag(option)], isHelp: false, tookNext: false};
	}
	if (value === undefined && next === undefined) throw new UsageError(`option --${name} needs a value`);
	return {
		given: [valued(name, value ?? next!, {find, rewrites})],
		isHelp: false,
		tookNext: value === undefined,
	};
}

/** A cluster of short options: flags, and at most one with a value, which takes the rest. */
function readShort(argument: string, {find, rewrites, next}: Reading): Read {
	const given: Given[] = [];
	for (let at = 1; at < argument.length; at += 1) {
		const letter = argument[at]!;
		const option = find(letter);
		if (option === undefined) {
			if (letter === 'h') return {...HELP, given};
			throw new UsageError(`unknown option -${letter}${argument.length > 2 ? ` (in '${argument}')` : ''}`);
		}
		if (!option.takesValue) {
			given.push(flag(option));
			continue;
		}
		const rest = argument.slice(at + 1);
		if (rest === '' && next === undefined) throw new UsageError(`option -${letter} needs a value`);
		given.push(valued(letter, rest === '' ? next! : rest, {find, rewrites}));
		return {given, isHelp: false, tookNext: rest === ''};
	}
	return {given, isHelp: false, tookNext: false};
}

function flag({name, isList}: {readonly name: string; readonly isList: boolean}): Given {
	return {name, text: dashed(name), isList};
}

function valued(name: string, value: string, {find, rewrites}: Pick<Reading, 'find' | 'rewrites'>): Given {
	const rewrite = Object.hasOwn(rewrites, name) ? rewrites[name] : undefined;
	if (rewrite !== undefined) {
		const argument = rewrite(value); // `--env=-X`: one whole option.
		const target = argument.slice(2, argument.indexOf('='));
		return {name: target, text: argument, isList: find(target)?.isList ?? true};
	}
	const option = find(name)!;
	return {name: option.name, text: `${dashed(option.name)}=${value}`, isList: option.isList};
}

function dashed(name: string): string {
	return name.length === 1 ? `-${name}` : `--${name}`;
}

function render(given: readonly Given[]): string[] {
	const lastIndex = new Map(given.map(({name}, index) => [name, index]));
	return given
		.filter(({name, isList}, index) => isList || lastIndex.get(name) === index)
		.map(({text}) => text);
}
