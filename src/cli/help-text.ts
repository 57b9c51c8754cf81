/** `--help` of a command, laid out for a terminal. */
import type {CommandPage, PageOption} from './command-page.ts';

/** Wider lines are hard to read. */
const COLUMNS_MAX = 100;
const COLUMNS_MIN = 40;
/** Descriptions begin here at the latest; longer names have a line of their own. */
const NAMES_WIDTH_MAX = 34;

export function helpText(page: CommandPage, columns: number): string {
	const width = Math.max(COLUMNS_MIN, Math.min(columns, COLUMNS_MAX));
	const rows = page.options.map(option => [namesOf(option), describeOption(option)] as const);
	const all = [...rows, ['-h, --help'.padStart(10), 'print this text'] as const];
	const namesWidth = Math.min(NAMES_WIDTH_MAX, Math.max(...all.map(([names]) => names.length)));
	return [
		`Usage: coppice ${page.name} [OPTIONS]${page.operands}`,
		'',
		...wrapText(page.describe, width),
		'',
		'Options:',
		...all.flatMap(([names, text]) => optionLines({names, text, namesWidth, width})),
		'',
		page.examples.length > 1 ? 'Examples:' : 'Example:',
		...page.examples.map(line => `  ${line}`),
		'',
	].join('\n');
}

/** Lines of at most `width` characters; words are never cut. */
export function wrapText(text: string, width: number): string[] {
	const lines: string[] = [];
	let line = '';
	for (const word of text.split(/\s+/)) {
		if (line !== '' && line.length + 1 + word.length > width) {
			lines.push(line);
			line = word;
		} else {
			line = line === '' ? word : `${line} ${word}`;
		}
	}
	return [...lines, line];
}

/** The description, with the choices where they are not in it. */
export function describeOption({describe, choices}: PageOption): string {
	return choices === undefined ? describe : `${describe}: ${choices.join(', ')}`;
}

function namesOf({flags, value}: PageOption): string {
	const [first = ''] = flags;
	const isLongOnly = first.startsWith('--');
	const names = `${isLongOnly ? '    ' : ''}${flags.join(', ')}`;
	if (value === null) return names;
	return `${names}${flags.at(-1)!.startsWith('--') ? '=' : ' '}${value}`;
}

interface OptionLines {
	readonly names: string;
	readonly text: string;
	readonly namesWidth: number;
	readonly width: number;
}

function optionLines({names, text, namesWidth, width}: OptionLines): string[] {
	const indent = ' '.repeat(namesWidth + 4);
	const wrapped = wrapText(text, Math.max(20, width - indent.length));
	if (names.length > namesWidth) return [`  ${names}`, ...wrapped.map(line => indent + line)];
	return wrapped.map((line, index) =>
		index === 0 ? `  ${names.padEnd(namesWidth)}  ${line}` : indent + line,
	);
}
