/** Which log a `log` command opens: a live broker's, through it, or that of a directory. */
import type {Argv} from 'yargs';
import type {ParsedArguments} from './command.ts';
import {UsageError} from './command-error.ts';
import type {CliContext} from './context.ts';
import {inspectLog, type InspectLog} from './inspect-log.ts';
import {RANK_OPTION, rankOption} from './rank-option.ts';

/** Opening a large log takes its time; each response still has a deadline. */
export const LOG_TIMEOUT_MS = 600_000;

export function withLogSource(yargs: Argv): Argv {
	return yargs.option('rank', RANK_OPTION);
}

/** The directory that was named, or undefined for a live log. @throws {UsageError} both, or too much. */
export function logDirectory(argv: ParsedArguments): string | undefined {
	const [dir, ...others] = argv._;
	if (others.length > 0) throw new UsageError(`unexpected argument '${others[0]}'`);
	if (dir !== undefined && argv['rank'] !== undefined) throw new UsageError('either DIR or --rank');
	return dir;
}

export interface LogQuestion {
	readonly topic: string;
	readonly payload?: object;
	/** The same question to a directory. */
	readonly inspect: (inspect: InspectLog, dir: string) => Promise<unknown>;
}

/** Asks the broker, or the directory. */
export async function askLog(
	argv: ParsedArguments,
	context: CliContext,
	{topic, payload = {}, inspect}: LogQuestion,
): Promise<unknown> {
	const dir = logDirectory(argv);
	if (dir !== undefined) return inspect(await inspectLog(), dir);
	return context.session().call(topic, payload, {...rankOption(argv), timeoutMs: LOG_TIMEOUT_MS});
}

/** `name: value` lines for people; lists below their name, indented. */
export function describeFields(value: unknown): string {
	const lines: string[] = [];
	for (const [name, field] of Object.entries(value as Record<string, unknown>)) {
		if (!Array.isArray(field)) {
			lines.push(`${name}: ${textOf(field)}`);
			continue;
		}
		lines.push(`${name}:${field.length === 0 ? ' none' : ''}`);
		for (const item of field) lines.push(`  ${textOf(item)}`);
	}
	return lines.map(line => `${line}\n`).join('');
}

function textOf(value: unknown): string {
	if (typeof value !== 'object' || value === null) return String(value);
	return Object.entries(value)
		.map(([name, field]) => `${name}=${Array.isArray(field) ? field.length : String(field)}`)
		.join(' ');
}
