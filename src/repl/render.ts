/** Values as people read them at the REPL: facts a line each, tables, sentences, machines. Pure. */
import {inspect} from 'node:util';
import type {LogFact} from './fact-filter.ts';
import type {MachineView} from './machines.ts';

export interface RenderOptions {
	readonly columns: number;
	readonly isColored: boolean;
	/** Minutes that local time is ahead of UTC at a moment (epoch seconds). */
	readonly utcOffsetMinutes: (epochS: number) => number;
}

type Row = Readonly<Record<string, unknown>>;

const CELL_CHARS_MAX = 40;
/** Shown in this order, before all others. */
const COLUMNS_FIRST = [
	...['f58', 'seq', 'rank', 'peer', 'name', 'state', 'host', 'hostname', 'queue', 'topic'],
	...['urgency', 'priority', 'attempt', 'reattached', 'outcome', 'waitStatus'],
];
/** Said by others, or of no use to a reader of a table. */
const COLUMNS_HIDDEN = new Set([
	...['id', 'requestId', 'uuid', 'logId', 'bootId', 'record', 'key'],
	...['flags', 'finished', 'hasResources', 'started', 'userid'],
]);

/** Ends with a line feed. */
export function renderValue(value: unknown, options: RenderOptions): string {
	if (value === undefined || value === null) return 'nothing\n';
	if (typeof value === 'string') return `${value}\n`;
	if (Array.isArray(value)) return renderList(value as unknown[], options);
	if (isFact(value)) return `${factLine(value, options)}\n`;
	if (isMachine(value)) return renderMachine(value);
	return `${inspected(value, options)}\n`;
}

function renderList(list: readonly unknown[], options: RenderOptions): string {
	if (list.length === 0) return 'none\n';
	if (list.every(item => typeof item === 'string')) return list.map(item => `${item}\n`).join('');
	if (list.every(isFact)) return list.map(fact => `${factLine(fact, options)}\n`).join('');
	if (list.every(isDifference))
		return list.map(({path, before, after}) => `${path}: ${brief(before)} → ${brief(after)}\n`).join('');
	if (list.every(isRow)) return renderTable(list, options.columns);
	return `${inspected(list, options)}\n`;
}

/** `SEQ TIME TYPE name=value …` */
function factLine(fact: LogFact, options: RenderOptions): string {
	const {seq, type, atMs, bootId: _, ...fields} = fact; // Long, and nearly always the same.
	const time = typeof atMs === 'number' ? clockTime(atMs, options) : '';
	const texts = Object.entries(fields).map(([name, field]) => `${name}=${brief(field)}`);
	const line = [String(seq).padStart(6), time, type, ...texts].filter(text => text !== '').join(' ');
	return line.length > options.columns ? `${line.slice(0, Math.max(20, options.columns - 1))}…` : line;
}

function clockTime(atMs: number, {utcOffsetMinutes}: RenderOptions): string {
	const local = new Date(atMs + utcOffsetMinutes(atMs / 1000) * 60_000);
	return local.toISOString().slice(11, 23);
}

function renderTable(rows: readonly Row[], columnsMax: number): string {
	const names = [...new Set(rows.flatMap(row => Object.keys(row)))].filter(
		name => !COLUMNS_HIDDEN.has(name) && rows.some(row => isScalar(row[name])),
	);
	names.sort((a, b) => placeOf(a) - placeOf(b));
	const columns: string[][] = [];
	let width = 0;
	for (const name of names) {
		const cells = rows.map(row => (isScalar(row[name]) ? cellOf(row[name]) : ''));
		if (cells.every(cell => cell === '')) continue;
		const broadest = Math.max(name.length, ...cells.map(cell => cell.length));
		if (width + broadest > columnsMax && columns.length > 0) continue;
		width += broadest + 2;
		columns.push([name.toUpperCase(), ...cells].map(cell => cell.padEnd(broadest)));
	}
	const lines = Array.from({length: rows.length + 1}, (_, index) =>
		columns
			.map(column => column[index])
			.join('  ')
			.trimEnd(),
	);
	return lines.map(line => `${line}\n`).join('');
}

function placeOf(name: string): number {
	const place = COLUMNS_FIRST.indexOf(name);
	return place === -1 ? COLUMNS_FIRST.length : place;
}

/** A line for each state and fact; the conditions that are tried, in their order. */
function renderMachine({name, states, table}: MachineView): string {
	const lines = [`${name}: ${states.join(' ')}`];
	for (const [state, facts] of Object.entries(table)) {
		lines.push(state);
		for (const [fact, transitions] of Object.entries(facts)) {
			const ways = transitions.map(({guard, to}) => `${guard === null ? '' : `if ${guard} `}→ ${to}`);
			lines.push(`  ${fact} ${ways.join(', else ')}`);
		}
	}
	return lines.map(line => `${line}\n`).join('');
}

/** In a table: nothing is an empty cell. */
function cellOf(value: unknown): string {
	return value === null || value === undefined
		? ''
		: cut(typeof value === 'string' ? value : JSON.stringify(value));
}

/** Within a line: blanks make quotes. */
function brief(value: unknown): string {
	const text = typeof value === 'string' ? value : JSON.stringify(value ?? null);
	return cut(text === '' || /\s/.test(text) ? JSON.stringify(text) : text);
}

function cut(text: string): string {
	return text.length > CELL_CHARS_MAX ? `${text.slice(0, CELL_CHARS_MAX - 1)}…` : text;
}

function inspected(value: unknown, {columns, isColored}: RenderOptions): string {
	return inspect(value, {depth: 8, breakLength: columns, colors: isColored, maxArrayLength: null});
}

function isScalar(value: unknown): boolean {
	return value !== undefined && (typeof value !== 'object' || value === null);
}

function isRow(value: unknown): value is Row {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isFact(value: unknown): value is LogFact {
	return isRow(value) && typeof value['seq'] === 'number' && typeof value['type'] === 'string';
}

function isDifference(value: unknown): value is {path: string; before: unknown; after: unknown} {
	return isRow(value) && 'path' in value && 'before' in value && 'after' in value;
}

function isMachine(value: unknown): value is MachineView {
	return isRow(value) && 'states' in value && 'table' in value;
}
