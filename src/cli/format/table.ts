/** Rows as a table: by a format, or by a named one. */
import {UsageError} from '../command-error.ts';
import {convertValue, isEmptyValue, renderHeading, renderValue, type RenderOptions} from './render-value.ts';
import {parseTemplate, type Column} from './template.ts';

const FORMAT_NAME_CHARS = 10;

export interface Field<R> {
	readonly heading: string;
	/** Text or number; '' is empty. */
	readonly value: (row: R) => unknown;
}

export interface TableOptions<R> {
	readonly rows: readonly R[];
	readonly fields: Readonly<Record<string, Field<R>>>;
	/** A format, or the name of one. */
	readonly format: string;
	readonly namedFormats: Readonly<Record<string, string>>;
	/** Fields to sort by, with a comma between them, `-` before one for the other order; before those of the format. */
	readonly sort?: string;
	readonly hasHeader: boolean;
	readonly utcOffsetMinutes: RenderOptions['utcOffsetMinutes'];
}

/** The table's lines, each with its newline. @throws {UsageError} a field that is not known, a bad format. */
export function renderTable<R>(options: TableOptions<R>): string {
	const {fields, namedFormats, hasHeader, utcOffsetMinutes} = options;
	if (options.format === 'help') return listOf(namedFormats);
	const named = Object.hasOwn(namedFormats, options.format) ? namedFormats[options.format]! : options.format;
	const [, ownSort = '', source = named] = /^sort:(\S+)\s+(.*)$/s.exec(named) ?? [];
	const rows = sorted(options.rows, options.sort || ownSort, fields);
	const {columns, after} = parseTemplate(source);
	if (columns.length === 0) {
		const names = Object.keys(namedFormats);
		throw new UsageError(
			`option --format: no format '${options.format}', and no field in it; the formats are ${names.join(', ')}`,
		);
	}
	const known = columns.map(column => ({column, field: fieldOf(column, fields)}));
	const shown = known.filter(
		({column, field}) =>
			!column.isLeftOutWhenEmpty ||
			rows.some(row => !isEmptyValue(field.value(row), column, {utcOffsetMinutes})),
	);
	const widths = shown.map(({column, field}) => {
		if (!column.isGrown) return column.spec.width;
		const lengths = rows.map(row => [...convertValue(field.value(row), column, {utcOffsetMinutes})].length);
		return Math.max(column.spec.width, hasHeader ? field.heading.length : 0, ...lengths);
	});
	const line = (cell: (index: number) => string) =>
		`${shown.map(({column}, index) => column.before + cell(index)).join('')}${after}`.trimEnd() + '\n';
	const header = hasHeader
		? line(index => renderHeading(shown[index]!.field.heading, shown[index]!.column, widths[index]))
		: '';
	const body = rows.map(row =>
		line(index => {
			const {column, field} = shown[index]!;
			const value = field.value(row);
			// A column that grew is never cut.
			const whole = column.isGrown ? {...column, spec: {...column.spec, precision: null}} : column;
			return renderValue(value, whole, {utcOffsetMinutes, width: widths[index]!});
		}),
	);
	return header + body.join('');
}

/** `help`: the formats that have names. */
function listOf(namedFormats: Readonly<Record<string, string>>): string {
	return Object.entries(namedFormats)
		.map(([name, format]) => `${name.padEnd(FORMAT_NAME_CHARS)} ${format}\n`)
		.join('');
}

/** Stable, numbers by their value, texts by their characters. */
function sorted<R>(
	rows: readonly R[],
	sort: string,
	fields: Readonly<Record<string, Field<R>>>,
): readonly R[] {
	if (sort === '') return rows;
	const keys = sort.split(',').map(key => {
		const name = key.replace(/^[-+]/, '');
		const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
		if (field === undefined) throw new UsageError(`option --sort: unknown field '${name}'`);
		return {field, sign: key.startsWith('-') ? -1 : 1};
	});
	return [...rows].sort((a, b) => {
		for (const {field, sign} of keys) {
			const order = compare(field.value(a), field.value(b));
			if (order !== 0) return sign * order;
		}
		return 0;
	});
}

function compare(a: unknown, b: unknown): number {
	if (typeof a === 'number' && typeof b === 'number') return a - b;
	const [left, right] = [String(a), String(b)];
	return left < right ? -1 : left > right ? 1 : 0;
}

function fieldOf<R>(column: Column, fields: Readonly<Record<string, Field<R>>>): Field<R> {
	const field = Object.hasOwn(fields, column.field) ? fields[column.field] : undefined;
	if (field === undefined) throw new UsageError(`option --format: unknown field '${column.field}'`);
	return field;
}
