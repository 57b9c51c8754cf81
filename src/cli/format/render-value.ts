/** One value by its column: converted, cut, marked and padded. Widths count characters. */
import {formatFsd} from '../../formats/fsd.ts';
import {scalarText} from '../fields.ts';
import type {Column, Spec} from './template.ts';
import {strftime} from './strftime.ts';

export interface RenderOptions {
	/** Minutes that local time is ahead of UTC. */
	readonly utcOffsetMinutes: (epochS: number) => number;
	/** Replaces the column's own width. */
	readonly width?: number;
}

/** Texts that say nothing: no value, a time that is not set, a duration of zero. As Flux has them. */
const EMPTY_TEXTS = new Set(['', '0s', '0.0', '0:00:00', '1970-01-01T00:00:00']);

/** The value as text, not yet padded. */
export function convertValue(value: unknown, column: Column, options: RenderOptions): string {
	const text = value === undefined || value === null ? '' : textOf(value, {...column, options});
	return column.spec.hasDash && EMPTY_TEXTS.has(text) ? '-' : text;
}

/** Whether a column may leave it out (`?:`). */
export function isEmptyValue(value: unknown, column: Column, options: RenderOptions): boolean {
	return [...EMPTY_TEXTS, '-'].includes(convertValue(value, column, options));
}

/** The value as it stands in its column. */
export function renderValue(value: unknown, column: Column, options: RenderOptions): string {
	const text = cut(convertValue(value, column, options), column);
	const isNumber = typeof value === 'number' && column.conversion === '';
	return pad(text, column.spec, {width: options.width ?? column.spec.width, align: isNumber ? '>' : '<'});
}

/** The heading over a column: padded as its values are, never cut by their precision below its own width. */
export function renderHeading(heading: string, {spec}: Column, width = spec.width): string {
	const shown = spec.precision !== null && spec.type !== 'f' ? heading.slice(0, spec.precision) : heading;
	return pad(shown, {...spec, fill: ' '}, {width, align: '<'});
}

interface Conversion {
	readonly conversion: string;
	readonly spec: Spec;
	readonly options: RenderOptions;
}

function textOf(value: unknown, {conversion, spec, options}: Conversion): string {
	const number = typeof value === 'number' ? value : NaN;
	if (Number.isNaN(number)) return typeof value === 'object' ? JSON.stringify(value) : scalarText(value);
	const offset = options.utcOffsetMinutes(number);
	switch (conversion) {
		case 'd':
			return strftime(spec.strftime === '' ? '%FT%T' : spec.strftime, number, offset);
		case 'D':
			return strftime('%FT%T', number, offset);
		case 'F':
			return formatFsd(number, 4);
		case 'H':
			return hours(number);
		case 'P':
			return `${Number((number * 100).toPrecision(3))}%`;
		default:
			if (spec.type === 'f') return number.toFixed(spec.precision ?? 6);
			return spec.type === 'd' ? String(Math.trunc(number)) : String(number);
	}
}

function hours(seconds: number): string {
	const whole = Math.round(seconds);
	const two = (part: number) => String(part).padStart(2, '0');
	return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

function cut(text: string, {spec}: Column): string {
	if (spec.precision === null || spec.type === 'f') return text;
	const characters = [...text];
	if (characters.length <= spec.precision) return text;
	const kept = spec.marksCut ? spec.precision - 1 : spec.precision;
	return characters.slice(0, kept).join('') + (spec.marksCut ? '+' : '');
}

function pad(
	text: string,
	spec: Spec,
	{width, align}: {readonly width: number; readonly align: '<' | '>'},
): string {
	const missing = width - [...text].length;
	if (missing <= 0) return text;
	switch (spec.align || align) {
		case '>':
			return spec.fill.repeat(missing) + text;
		case '^': {
			const left = Math.floor(missing / 2);
			return spec.fill.repeat(left) + text + spec.fill.repeat(missing - left);
		}
		default:
			return text + spec.fill.repeat(missing);
	}
}
