/**
 * Host lists (RFC 29): ordered lists of host names, duplicates kept, written as `foo[1-3,5],bar`. Immutable. The names
 * are held expanded; the text is compressed only where it reads back as the same names in the same order.
 */
import {SystemError} from './errno.ts';
import {quote} from './quote.ts';
import {atPath} from './shape.ts';

/** The most hosts of one list, and so of one range. */
export const HOSTLIST_HOSTS_MAX = 2 ** 20;
/** The most ranges within one pair of brackets. */
export const HOSTLIST_RANGES_MAX = 10_240;

export class Hostlist implements Iterable<string> {
	static readonly empty = new Hostlist([]);

	readonly hosts: readonly string[];

	private constructor(hosts: readonly string[]) {
		this.hosts = hosts;
	}

	/**
	 * Reads RFC 29 text. Elements are separated by commas; empty ones are skipped; each has at most one pair of
	 * brackets.
	 *
	 * @throws {SystemError} EINVAL for bad text, ERANGE beyond the limits above.
	 */
	static parse(text: string): Hostlist {
		const hosts: string[] = [];
		for (const element of splitElements(text)) {
			if (element !== '') expandElement(element, hosts, text);
		}
		return new Hostlist(hosts);
	}

	/** Reads several texts as one list. @throws {SystemError} EINVAL for a bad one, as `[1]: …`, ERANGE for too many hosts. */
	static parseAll(texts: readonly string[]): Hostlist {
		const hosts: string[] = [];
		for (const [i, text] of texts.entries()) {
			// Checked for each text: many short ones can stand for far more hosts than fit into memory.
			const list = atPath(`[${i}]`, () => Hostlist.parse(text));
			if (hosts.length + list.count > HOSTLIST_HOSTS_MAX) throw tooMany(`[${i}]: the list`);
			for (const host of list) hosts.push(host);
		}
		return new Hostlist(hosts);
	}

	/** The list of `names`, each taken as it is. @throws {SystemError} EINVAL, ERANGE */
	static from(names: Iterable<string>): Hostlist {
		const hosts = [...names];
		for (const host of hosts) {
			if (host === '' || BAD_CHARACTER.test(host)) throw invalid(host, 'not a host name');
		}
		if (hosts.length > HOSTLIST_HOSTS_MAX) throw tooMany(`${hosts.length} hosts`);
		return new Hostlist(hosts);
	}

	get count(): number {
		return this.hosts.length;
	}

	get isEmpty(): boolean {
		return this.hosts.length === 0;
	}

	/** @throws {SystemError} EINVAL for a negative index, ENOENT beyond the end. */
	nth(index: number): string {
		if (!Number.isInteger(index) || index < 0) {
			throw new SystemError('EINVAL', `invalid index ${index} of a hostlist: must be an integer >= 0`);
		}
		const host = this.hosts[index];
		if (host === undefined) {
			throw new SystemError('ENOENT', `no host at index ${index} of a hostlist of ${this.count}`);
		}
		return host;
	}

	/** The index of the first `host`, or -1. Names are compared as text: `n1` is not `n01`. */
	find(host: string): number {
		return this.hosts.indexOf(host);
	}

	has(host: string): boolean {
		return this.hosts.includes(host);
	}

	append(other: Hostlist): Hostlist {
		if (this.count + other.count > HOSTLIST_HOSTS_MAX) throw tooMany(`${this.count + other.count} hosts`);
		return new Hostlist([...this.hosts, ...other.hosts]);
	}

	/** Without every occurrence of the hosts of `other`. */
	delete(other: Hostlist): Hostlist {
		const names = new Set(other.hosts);
		return new Hostlist(this.hosts.filter(host => !names.has(host)));
	}

	/** Sorted by prefix, then by number, then by width. Duplicates stay. */
	sort(): Hostlist {
		const parts = this.hosts.map(host => ({host, ...splitHost(host)}));
		parts.sort((a, b) => compareText(a.prefix, b.prefix) || a.id - b.id || a.width - b.width);
		return new Hostlist(parts.map(({host}) => host));
	}

	/** Sorted, each host once. */
	uniq(): Hostlist {
		return new Hostlist([...new Set(this.sort().hosts)]);
	}

	/** The text, compressed: runs of one prefix and ascending numbers share brackets. Suffixes are never compressed. */
	toString(): string {
		const groups: {prefix: string; runs: Run[]}[] = [];
		for (const host of this.hosts) {
			const {prefix, id, digits} = splitHost(host);
			const group = groups.at(-1);
			if (group === undefined || group.prefix !== prefix || digits === '' || group.runs.length === 0) {
				groups.push({prefix, runs: digits === '' ? [] : [startRun(digits, id)]});
			} else if (!extendRun(group.runs.at(-1)!, digits, id)) {
				// Texts of our own must stay within the limit of their reader.
				if (group.runs.length < HOSTLIST_RANGES_MAX) group.runs.push(startRun(digits, id));
				else groups.push({prefix, runs: [startRun(digits, id)]});
			}
		}
		return groups.map(formatGroup).join(',');
	}

	/** In JSON a hostlist is its text. */
	toJSON(): string {
		return this.toString();
	}

	[Symbol.iterator](): Iterator<string> {
		return this.hosts[Symbol.iterator]();
	}
}

/** Consecutive numbers, zero-padded to the width of the first. */
interface Run {
	readonly first: string;
	readonly width: number;
	last: number;
	lastText: string;
}

/** Digits at the end of a name that count as its number; more of them stay in the prefix, so that numbers are exact. */
const ID_DIGITS_MAX = 15;
const BAD_CHARACTER = /[^\x21-\x7e]|[[\],]/;

/** Splits at the commas outside brackets. */
function splitElements(text: string): readonly string[] {
	const elements: string[] = [];
	let depth = 0;
	let from = 0;
	for (let i = 0; i < text.length; i += 1) {
		const character = text[i];
		if (character === '[') depth += 1;
		else if (character === ']') depth -= 1;
		if (depth < 0 || depth > 1) throw invalid(text, `unexpected '${character}' at position ${i}`);
		if (character === ',' && depth === 0) {
			elements.push(text.slice(from, i));
			from = i + 1;
		}
	}
	if (depth !== 0) throw invalid(text, "a '[' is not closed");
	elements.push(text.slice(from));
	return elements;
}

function expandElement(element: string, hosts: string[], text: string): void {
	const match = /^([^[\]]*)(?:\[([^\]]*)\]([^[\]]*))?$/.exec(element);
	if (match === null) throw invalid(text, `${quote(element)} has more than one pair of brackets`);
	const [, prefix = '', list, suffix = ''] = match;
	if (BAD_CHARACTER.test(prefix) || BAD_CHARACTER.test(suffix)) {
		throw invalid(text, `${quote(element)} holds a character that no host name may have`);
	}
	if (list === undefined) {
		push(hosts, prefix);
		return;
	}
	const ranges = list.split(',', HOSTLIST_RANGES_MAX + 1);
	if (ranges.length > HOSTLIST_RANGES_MAX) throw tooManyRanges(text);
	for (const range of ranges) {
		const ids = /^([0-9]{1,15})(?:-([0-9]{1,15}))?$/.exec(range);
		if (ids === null) throw invalid(text, `${quote(range)} is neither a number nor a range of numbers`);
		const first = Number(ids[1]);
		const last = ids[2] === undefined ? first : Number(ids[2]);
		if (last < first) throw invalid(text, `the range ${range} runs backwards`);
		if (last - first + 1 > HOSTLIST_HOSTS_MAX) throw tooMany(`the range ${range}`);
		const width = ids[1]!.length;
		for (let id = first; id <= last; id += 1) {
			push(hosts, `${prefix}${String(id).padStart(width, '0')}${suffix}`);
		}
	}
}

function push(hosts: string[], host: string): void {
	if (hosts.length >= HOSTLIST_HOSTS_MAX) throw tooMany('the list');
	hosts.push(host);
}

function splitHost(host: string): {prefix: string; digits: string; id: number; width: number} {
	let start = host.length;
	while (start > 0 && host.length - start < ID_DIGITS_MAX && isDigit(host.charCodeAt(start - 1))) start -= 1;
	const digits = host.slice(start);
	// -1 sorts a name without a number before all that have one.
	return {
		prefix: host.slice(0, start),
		digits,
		id: digits === '' ? -1 : Number(digits),
		width: digits.length,
	};
}

function isDigit(code: number): boolean {
	return code >= 0x30 && code <= 0x39;
}

function startRun(digits: string, id: number): Run {
	return {first: digits, width: digits.length, last: id, lastText: digits};
}

/** Adds the number to `run` and returns true, if the run's range will expand to exactly these digits. */
function extendRun(run: Run, digits: string, id: number): boolean {
	if (id !== run.last + 1 || String(id).padStart(run.width, '0') !== digits) return false;
	run.last = id;
	run.lastText = digits;
	return true;
}

function formatGroup({prefix, runs}: {readonly prefix: string; readonly runs: readonly Run[]}): string {
	if (runs.length === 0) return prefix;
	const texts = runs.map(({first, lastText}) => (first === lastText ? first : `${first}-${lastText}`));
	const alone = runs.length === 1 && runs[0]!.first === runs[0]!.lastText;
	return alone ? `${prefix}${texts[0]}` : `${prefix}[${texts.join(',')}]`;
}

function compareText(a: string, b: string): number {
	if (a === b) return 0;
	return a < b ? -1 : 1;
}

function invalid(text: string, why: string): SystemError {
	return new SystemError('EINVAL', `invalid hostlist ${quote(text)}: ${why}`);
}

function tooMany(what: string): SystemError {
	return new SystemError('ERANGE', `invalid hostlist: ${what} exceeds ${HOSTLIST_HOSTS_MAX} hosts`);
}

function tooManyRanges(text: string): SystemError {
	return new SystemError(
		'ERANGE',
		`invalid hostlist ${quote(text)}: more than ${HOSTLIST_RANGES_MAX} ranges within one pair of brackets`,
	);
}
