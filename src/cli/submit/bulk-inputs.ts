/**
 * The inputs of `bulksubmit`: lists on the command line (`:::`), from files (`::::`, `-` is standard input), or, without any,
 * the lines of standard input. Lists are combined, the last one fastest; a linked one (`:::+`, `::::+`) goes along with
 * the combinations and is begun again when it is shorter.
 */
import {UsageError} from '../command-error.ts';
import {BULK_JOBS_MAX} from './bulk-jobs.ts';

export interface BulkInputs {
	/** What stands before the first separator. */
	readonly command: readonly string[];
	/** The inputs of each job; at least one each. */
	readonly combinations: readonly (readonly string[])[];
}

export interface InputReaders {
	/** Text of a file. */
	readonly readFile: (path: string) => Promise<string>;
	readonly readInput: () => Promise<string>;
	/** What separates the inputs of a file; default: line feeds. */
	readonly separator?: string;
}

/** @throws {UsageError} a separator without anything to its left, too many combinations; SystemError for a file. */
export async function readBulkInputs(
	operands: readonly string[],
	readers: InputReaders,
): Promise<BulkInputs> {
	const first = operands.findIndex(isSeparator);
	if (first === -1) {
		const inputs = splitInputs(await readers.readInput(), readers.separator);
		return {command: operands, combinations: inputs.map(input => [input])};
	}
	const sources = await sourcesOf(operands.slice(first), readers);
	return {command: operands.slice(0, first), combinations: combine(sources)};
}

/** An input file's entries: empty lines are none. */
export function splitInputs(text: string, separator?: string): string[] {
	if (separator === undefined)
		return text
			.split('\n')
			.map(line => line.replace(/\r$/, ''))
			.filter(line => line !== '');
	return text
		.replace(/\n$/, '')
		.split(separator)
		.filter(input => input !== '');
}

interface Source {
	readonly isLinked: boolean;
	readonly inputs: readonly string[];
}

function isSeparator(text: string): boolean {
	return /^::::?\+?$/.test(text);
}

async function sourcesOf(operands: readonly string[], readers: InputReaders): Promise<Source[]> {
	const sources: Source[] = [];
	for (let at = 0; at < operands.length;) {
		const separator = operands[at]!;
		let end = at + 1;
		while (end < operands.length && !isSeparator(operands[end]!)) end += 1;
		const items = operands.slice(at + 1, end);
		const isLinked = separator.endsWith('+');
		if (isLinked && sources.length === 0)
			throw new UsageError(`${separator}: there are no inputs before it to be linked with`);
		const isFile = separator.startsWith('::::');
		if (isFile && items.length === 0) throw new UsageError(`${separator}: a file is missing`);
		const lists = isFile ? await Promise.all(items.map(path => readList(path, readers))) : [items];
		for (const inputs of lists) sources.push({isLinked, inputs});
		at = end;
	}
	return sources;
}

async function readList(path: string, {readFile, readInput, separator}: InputReaders): Promise<string[]> {
	return splitInputs(path === '-' ? await readInput() : await readFile(path), separator);
}

function combine(sources: readonly Source[]): string[][] {
	// A linked list goes along with the one before it.
	const groups: (readonly string[])[][] = [];
	for (const {isLinked, inputs} of sources) {
		if (isLinked) groups.at(-1)!.push(inputs);
		else groups.push([inputs]);
	}
	const rows = groups.map(lists => linkedRows(lists));
	const count = rows.reduce((product, {length}) => product * length, 1);
	if (count > BULK_JOBS_MAX)
		throw new UsageError(`${count} combinations of inputs, more than ${BULK_JOBS_MAX}`);
	return rows.reduce<string[][]>(
		(before, group) => before.flatMap(left => group.map(right => [...left, ...right])),
		[[]],
	);
}

/** As many rows as the first list has; shorter ones are begun again, longer ones are cut. */
function linkedRows(lists: readonly (readonly string[])[]): string[][] {
	if (lists.some(({length}) => length === 0)) return [];
	return lists[0]!.map((_, row) => lists.map(list => list[row % list.length]!));
}
