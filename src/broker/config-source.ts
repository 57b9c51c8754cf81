/**
 * Where configuration comes from: TOML files and `--conf key=value` arguments, read into trees of values that still
 * know their place. Invariant: every fault that a person has to mend names the file and the line, or the argument.
 */
import {parse, TomlError} from 'smol-toml';
import {SystemError} from '../formats/errno.ts';

export type ConfigInput =
	| {readonly kind: 'file'; readonly path: string; readonly text: string}
	/** `key=value`, the key with its section: `tbon.torpid=2s`. */
	| {readonly kind: 'argument'; readonly text: string};

/** The way to a value from the top of its document: names of keys, and indices of arrays. */
export type ConfigPath = readonly (string | number)[];

/** A parsed input. */
export interface ConfigDocument {
	readonly values: Readonly<Record<string, unknown>>;
	/** The place of a value for a message: `/etc/coppice.toml:3`, or `--conf tbon.torpid=x`. */
	placeOf(path: ConfigPath): string;
}

/** A longer file is refused: it can't be a configuration. */
export const CONFIG_BYTES_MAX = 4 * 1024 * 1024;

/** @throws {SystemError} EINVAL when it is not TOML, or not `key=value`. */
export function parseConfigInput(input: ConfigInput): ConfigDocument {
	return input.kind === 'file' ? parseFile(input.path, input.text) : parseArgument(input.text);
}

/** Whether a value of `--conf` is `key=value`; otherwise it names a file. */
export function isConfigArgument(text: string): boolean {
	return ARGUMENT.test(text);
}

const NAME = String.raw`(?:[A-Za-z0-9_-]+|"[^"\\]*")`;
const ARGUMENT = new RegExp(String.raw`^(${NAME}(?:\.${NAME})*)=(.*)$`, 's');

function parseFile(path: string, text: string): ConfigDocument {
	if (text.length > CONFIG_BYTES_MAX) {
		throw new SystemError('EFBIG', `${path}: ${text.length} bytes, the limit is ${CONFIG_BYTES_MAX}`);
	}
	const values = parseToml(text, (error, line) => new SystemError('EINVAL', `${path}:${line}: ${error}`));
	return {values, placeOf: valuePath => `${path}:${lineOf(text, valuePath)}`};
}

function parseArgument(text: string): ConfigDocument {
	const match = ARGUMENT.exec(text);
	const place = `--conf ${text}`;
	if (match === null) throw new SystemError('EINVAL', `${place}: must be key=value or a file`);
	const [, key, value] = match as unknown as [string, string, string];
	const asValue = tryParse(`${key} = ${value}`);
	const values =
		asValue ??
		parseToml(`${key} = ${JSON.stringify(value)}`, error => new SystemError('EINVAL', `${place}: ${error}`));
	return {values, placeOf: () => place};
}

function parseToml(
	text: string,
	fail: (error: string, line: number) => SystemError,
): Record<string, unknown> {
	try {
		return parse(text, {unsafeKeyBehaviour: 'throw'});
	} catch (error) {
		if (!(error instanceof TomlError)) throw error;
		throw fail(firstLine(error.message), error.line);
	}
}

function tryParse(text: string): Record<string, unknown> | null {
	try {
		return parse(text, {unsafeKeyBehaviour: 'throw'});
	} catch {
		return null;
	}
}

function firstLine(message: string): string {
	return message.split('\n', 1)[0]!.replace(/^Invalid TOML document: /, 'not TOML: ');
}

/**
 * The line, from 1, on which the statement begins that gives `path` its value. The parser tells no places, but it can
 * be asked: the shortest prefix of whole lines that parses and holds the path ends with that statement, and the next
 * shorter one that parses ends just before it.
 */
function lineOf(text: string, path: ConfigPath): number {
	const lines = text.split('\n');
	let lineBefore = 0;
	for (let count = 1; count <= lines.length; count += 1) {
		const values = tryParse(lines.slice(0, count).join('\n'));
		if (values === null) continue;
		if (holds(values, path)) return lineBefore + 1;
		lineBefore = count;
	}
	// The value appears where its parent does when it is missing.
	return path.length > 1 ? lineOf(text, path.slice(0, -1)) : 1;
}

function holds(values: unknown, path: ConfigPath): boolean {
	let value = values;
	for (const name of path) {
		if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return false;
		value = (value as Record<string | number, unknown>)[name];
	}
	return true;
}
