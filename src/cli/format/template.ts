/**
 * Formats of tables, `{field!conversion:spec}` with text between them: Python's format strings as Flux uses them, with
 * its prefixes `?:` (leave the column out when all its values are empty), `+:` (as wide as the widest value), `?+:`,
 * and the suffixes `h` (a dash for an empty value) and `+` (mark what was cut off).
 */
import {UsageError} from '../command-error.ts';

export interface Column {
	/** Text before the field; braces are doubled in the source. */
	readonly before: string;
	readonly field: string;
	/** `d` date with strftime spec, `D` ISO date, `F` duration, `H` h:mm:ss, `P` percentage, or none. */
	readonly conversion: string;
	readonly spec: Spec;
	readonly isLeftOutWhenEmpty: boolean;
	readonly isGrown: boolean;
}

export interface Spec {
	readonly fill: string;
	/** Default: by the value, numbers to the right. */
	readonly align: '<' | '>' | '^' | '';
	readonly width: number;
	/** Characters that a text may have, or digits behind the point; null: any. */
	readonly precision: number | null;
	/** `d`, `f`, `s` or none. */
	readonly type: string;
	/** Of `!d`. */
	readonly strftime: string;
	readonly hasDash: boolean;
	readonly marksCut: boolean;
}

export interface Template {
	readonly columns: readonly Column[];
	/** Text behind the last field. */
	readonly after: string;
}

export const FORMAT_LENGTH_MAX = 4096;
export const COLUMN_WIDTH_MAX = 1024;

const COLUMN = /(\?\+:|\+\?:|\?:|\+:)?\{([a-zA-Z_][\w.]*)(?:!([a-zA-Z]))?(?::([^{}]*))?\}/y;

/** @throws {UsageError} that shows where the format stops making sense. */
export function parseTemplate(format: string): Template {
	if (format.length > FORMAT_LENGTH_MAX) {
		throw new UsageError(`option --format: longer than ${FORMAT_LENGTH_MAX} characters`);
	}
	const columns: Column[] = [];
	let before = '';
	for (let at = 0; at < format.length;) {
		COLUMN.lastIndex = at;
		const match = format.startsWith('{{', at) ? null : COLUMN.exec(format);
		if (match !== null) {
			const [whole, prefix = '', field = '', conversion = '', spec = ''] = match;
			columns.push({
				before,
				field,
				conversion: checkedConversion(conversion, whole),
				spec: parseSpec(spec, {conversion, whole}),
				isLeftOutWhenEmpty: prefix.includes('?'),
				isGrown: prefix.includes('+'),
			});
			before = '';
			at += whole.length;
		} else if (format.startsWith('{{', at) || format.startsWith('}}', at)) {
			before += format[at]!;
			at += 2;
		} else if (format[at] === '{' || format[at] === '}') {
			throw new UsageError(`option --format: no field at '${format.slice(at, at + 20)}'`);
		} else {
			before += format[at]!;
			at += 1;
		}
	}
	return {columns, after: before};
}

function checkedConversion(conversion: string, whole: string): string {
	if (conversion === '' || 'dDFHPsr'.includes(conversion)) return conversion;
	throw new UsageError(`option --format: ${whole}: unknown conversion !${conversion}`);
}

/** `!d` has strftime's format in front of the rest: `{t_submit!d:%b%d %R::>12}`. */
function parseSpec(text: string, {conversion, whole}: {conversion: string; whole: string}): Spec {
	let strftime = '';
	let rest = text;
	if (conversion === 'd') {
		const [date = '', ...others] = text.split('::');
		strftime = date;
		rest = others.join('::');
	}
	const match = /^(?:(.)?([<>^]))?(0)?([0-9]+)?(?:\.([0-9]+))?([a-zA-Z%]?)(\+?)(h?)$/.exec(rest);
	const isDash = match?.[6] === 'h';
	if (match === null || !(isDash || ['', 'd', 'f', 's'].includes(match[6]!))) {
		throw new UsageError(`option --format: ${whole}: bad specification '${rest}'`);
	}
	const width = Number(match[4] ?? 0);
	if (width > COLUMN_WIDTH_MAX)
		throw new UsageError(`option --format: ${whole}: wider than ${COLUMN_WIDTH_MAX}`);
	return {
		fill: match[1] ?? (match[3] === undefined ? ' ' : '0'),
		align: (match[2] ?? (match[3] === undefined ? '' : '>')) as Spec['align'],
		width,
		precision: match[5] === undefined ? null : Number(match[5]),
		type: isDash ? '' : match[6]!,
		strftime,
		hasDash: isDash || match[8] === 'h',
		marksCut: match[7] === '+',
	};
}
