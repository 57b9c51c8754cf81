/**
 * Submission directives in a script (RFC 36): lines such as `# coppice: -n4 --time-limit=1h`. The tag is `coppice:` or
 * `COPPICE:`; a script that has none of these but `flux:` or `FLUX:` is read by them, so that scripts of Flux work.
 */
import {SystemError} from '../../formats/errno.ts';

export interface Directive {
	/** `FILE:LINE`, for messages. */
	readonly where: string;
	readonly words: readonly string[];
}

/** All directives, in order. @throws {SystemError} EINVAL naming the line. */
export function batchDirectives(script: string, name: string): Directive[] {
	const lines = script.split('\n');
	const sentinel = sentinelOf(lines);
	if (sentinel === null) return [];
	const {prefix, text: start} = sentinel;
	const directives: Directive[] = [];
	let isOver = false;
	for (let index = sentinel.line; index < lines.length; index += 1) {
		const line = lines[index]!;
		const isDirective = line.startsWith(start);
		if (!isDirective) {
			isOver ||= line.trim() !== '' && !line.startsWith(prefix);
			continue;
		}
		const fault = (why: string) => new SystemError('EINVAL', `${name}:${index + 1}: ${why}`);
		if (isOver) throw fault(`a directive after other lines: directives must stand together`);
		const first = index;
		const where = `${name}:${first + 1}`;
		let text = line.slice(start.length);
		const quote = openQuote(text);
		if (quote !== null) {
			const body: string[] = [];
			for (index += 1; ; index += 1) {
				const next = lines[index];
				if (next === undefined || !next.startsWith(start))
					throw new SystemError('EINVAL', `${where}: ${quote} is not closed`);
				const rest = next.slice(start.length);
				if (rest.trim() === quote) break;
				body.push(rest);
			}
			text = text.trimEnd().slice(0, -quote.length);
			directives.push({where, words: wordsOf(text, fault, dedent(body))});
		} else {
			directives.push({where, words: wordsOf(text, fault)});
		}
	}
	return directives;
}

const SENTINELS = [/^([^\w]*)(coppice|COPPICE):/, /^([^\w]*)(flux|FLUX):/];

interface Sentinel {
	readonly prefix: string;
	/** With its tag. */
	readonly text: string;
	readonly line: number;
}

function sentinelOf(lines: readonly string[]): Sentinel | null {
	for (const pattern of SENTINELS) {
		const line = lines.findIndex(each => pattern.test(each));
		const match = pattern.exec(lines[line] ?? '');
		if (match !== null) return {prefix: match[1]!, text: match[0], line};
	}
	return null;
}

/** The three quotes that a text of several lines begins with. */
function openQuote(text: string): string | null {
	for (const quote of ['"""', "'''"]) {
		if (text.trimEnd().endsWith(quote) && (text.split(quote).length - 1) % 2 === 1) return quote;
	}
	return null;
}

function dedent(lines: readonly string[]): string {
	const depths = lines.filter(line => line.trim() !== '').map(line => /^\s*/.exec(line)![0].length);
	const depth = Math.min(...depths, Infinity);
	return lines.map(line => `${line.slice(Number.isFinite(depth) ? depth : 0)}\n`).join('');
}

/** POSIX quoting, triple quotes, and `#` for a comment. `tail` belongs to the last word. */
function wordsOf(text: string, fault: (why: string) => Error, tail?: string): string[] {
	const words: string[] = [];
	let word: string | null = null;
	let at = 0;
	const quoted = (quote: string): string => {
		const end = text.indexOf(quote, at + quote.length);
		if (end === -1) throw fault(`${quote} is not closed`);
		const inner = text.slice(at + quote.length, end);
		at = end + quote.length;
		return inner;
	};
	while (at < text.length) {
		const char = text[at]!;
		if (text.startsWith('"""', at) || text.startsWith("'''", at)) {
			word = (word ?? '') + quoted(char.repeat(3));
		} else if (char === "'") {
			word = (word ?? '') + quoted(char);
		} else if (char === '"') {
			const match = /"((?:[^"\\]|\\.)*)"/sy;
			match.lastIndex = at;
			const found = match.exec(text);
			if (found === null) throw fault('" is not closed');
			word = (word ?? '') + found[1]!.replace(/\\([$`"\\])/g, '$1');
			at = match.lastIndex;
		} else if (/\s/.test(char)) {
			if (word !== null) words.push(word);
			word = null;
			at += 1;
		} else if (char === '#' && word === null) {
			break;
		} else {
			const isEscape = char === '\\' && at + 1 < text.length;
			word = (word ?? '') + (isEscape ? text[at + 1]! : char);
			at += isEscape ? 2 : 1;
		}
	}
	if (tail !== undefined) word = (word ?? '') + tail;
	if (word !== null) words.push(word);
	return words;
}
