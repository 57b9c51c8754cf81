/** Lines that a person types, with editing, completion and a history that outlives the session; or lines of a pipe. */
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {dirname} from 'node:path';
import {createInterface} from 'node:readline';
import type {ReadLinesOptions} from '../context.ts';

/** So many lines are kept, the newest ones. */
const HISTORY_LINES_MAX = 1000;

export async function* readTypedLines(options: ReadLinesOptions): AsyncGenerator<string> {
	const {prompt, complete, onInterrupt} = options;
	const isTerminal = process.stdin.isTTY === true;
	const historyPath = isTerminal ? options.historyPath : null;
	const input = createInterface({
		input: process.stdin,
		output: process.stdout,
		terminal: isTerminal,
		prompt,
		history: readHistory(historyPath),
		historySize: HISTORY_LINES_MAX,
		removeHistoryDuplicates: true,
		completer: (line: string, done: (error: Error | null, result: [string[], string]) => void) => {
			complete(line).then(
				([matches, fragment]) => done(null, [matches, fragment]),
				() => done(null, [[], line]), // Without contact there is nothing to complete with.
			);
		},
	});
	input.on('history', lines => writeHistory(historyPath, lines));
	input.on('SIGINT', () => {
		if (onInterrupt()) return;
		process.stdout.write('^C\n');
		input.write(null, {ctrl: true, name: 'e'});
		input.write(null, {ctrl: true, name: 'u'});
	});
	try {
		if (isTerminal) input.prompt();
		for await (const line of input) {
			yield line;
			if (isTerminal) input.prompt();
		}
	} finally {
		input.close();
	}
}

/** Newest first, as readline keeps them. */
function readHistory(path: string | null): string[] {
	if (path === null) return [];
	try {
		return readFileSync(path, 'utf8')
			.split('\n')
			.filter(line => line !== '')
			.toReversed();
	} catch {
		return []; // There is none so far.
	}
}

/** A convenience: where it can't be written, the session goes on without. */
function writeHistory(path: string | null, lines: readonly string[]): void {
	if (path === null) return;
	try {
		mkdirSync(dirname(path), {recursive: true, mode: 0o700});
		writeFileSync(path, lines.toReversed().join('\n'), {mode: 0o600});
	} catch {
		return;
	}
}
