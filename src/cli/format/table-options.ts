/** The options that every table has, and the printing that follows from them. */
import type {Argv} from 'yargs';
import type {ParsedArguments} from '../command.ts';
import type {CliContext} from '../context.ts';
import {flagOption, textOption} from '../option-value.ts';
import {showsUnicode} from '../jobid-text.ts';
import {printJson} from '../print-json.ts';
import {renderTable, type Field} from './table.ts';

export interface Table<R> {
	readonly rows: readonly R[];
	readonly fields: Readonly<Record<string, Field<R>>>;
	readonly namedFormats: Readonly<Record<string, string>>;
	/** The document of `--json`. */
	readonly json: () => unknown;
}

/** Declares `-n`, `-o` and `--json`. */
export function withTableOptions(yargs: Argv): Argv {
	return yargs
		.option('no-header', {alias: 'n', type: 'boolean', describe: 'no line of headings'})
		.option('format', {
			alias: 'o',
			type: 'string',
			default: 'default',
			describe: 'a format, or the name of one; help: those that there are',
		})
		.option('json', {type: 'boolean', describe: 'one document'});
}

export async function printTable<R>(
	argv: ParsedArguments,
	context: CliContext,
	table: Table<R>,
): Promise<void> {
	if (flagOption(argv, 'json')) {
		await printJson(context, table.json());
		return;
	}
	const {rows, fields, namedFormats} = table;
	const text = renderTable({
		rows,
		fields,
		namedFormats,
		format: textOption(argv, 'format')!,
		hasHeader: !flagOption(argv, 'no-header'),
		utcOffsetMinutes: epochS => context.world.utcOffsetMinutes(epochS),
	});
	await context.print(text);
}

/** A tick or a cross, or letters where the locale has no such signs. */
export function markOf(isSo: boolean, env: CliContext['env']): string {
	if (showsUnicode(env)) return isSo ? '✔' : '✗';
	return isSo ? 'y' : 'n';
}
