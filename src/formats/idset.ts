/**
 * Sets of non-negative integers (RFC 22): ranks, cores, task ids. Immutable; kept as ascending, disjoint,
 * non-adjacent ranges, so that the cost follows the ranges and not the ids.
 */
import {SystemError} from './errno.ts';
import {quote} from './quote.ts';

/** The largest id; one less than Flux's IDSET_INVALID_ID, 2^32-1. */
export const IDSET_ID_MAX = 2 ** 32 - 2;
/** The most comma-separated elements that a text may hold. */
export const IDSET_RANGES_MAX = 10_240;

export interface IdRange {
	readonly first: number;
	/** Inclusive. */
	readonly last: number;
}

export interface IdsetFormat {
	/** Write runs of ids as `first-last`. Default true. */
	readonly range?: boolean;
	/** Put brackets around two ids or more. Default false. */
	readonly brackets?: boolean;
}

export class Idset implements Iterable<number> {
	static readonly empty = new Idset([]);

	/** Ascending, disjoint, and not adjacent to each other. */
	readonly ranges: readonly IdRange[];
	/** How many ids there are. */
	readonly count: number;

	private constructor(ranges: readonly IdRange[]) {
		this.ranges = ranges;
		this.count = ranges.reduce((sum, {first, last}) => sum + last - first + 1, 0);
	}

	/**
	 * Reads RFC 22 text such as `1-3,7`, `[1-3,7]`, or nothing. Strict: ascending, no id twice, no leading zeros, no
	 * white space.
	 *
	 * @throws {SystemError} EINVAL for bad text, ERANGE for an id above `IDSET_ID_MAX`, E2BIG for too many elements.
	 */
	static parse(text: string): Idset {
		const inner = /^\[.*\]$/s.test(text) ? text.slice(1, -1) : text;
		if (inner === '') return Idset.empty;
		const elements = inner.split(',', IDSET_RANGES_MAX + 1);
		if (elements.length > IDSET_RANGES_MAX) {
			throw new SystemError('E2BIG', `idset of more than ${IDSET_RANGES_MAX} elements: ${quote(text)}`);
		}
		const ranges: IdRange[] = [];
		let previous = -1;
		for (const element of elements) {
			const range = parseElement(element, text);
			if (range.first <= previous) {
				throw invalid(text, `${quote(element)} does not ascend: ids must be sorted, and none twice`);
			}
			previous = range.last;
			ranges.push(range);
		}
		return new Idset(mergeSorted(ranges));
	}

	/** The set of `ids`, in any order; an id may come twice. Anything that is no id is a broken invariant. */
	static from(ids: Iterable<number>): Idset {
		const sorted = [...ids].sort((a, b) => a - b);
		for (const id of sorted) assertId(id);
		return new Idset(mergeSorted(sorted.map(id => ({first: id, last: id}))));
	}

	/** All ids from `first` to `last`, both included; none when `last < first`. */
	static range(first: number, last: number): Idset {
		if (last < first) return Idset.empty;
		assertId(first);
		assertId(last);
		return new Idset([{first, last}]);
	}

	get isEmpty(): boolean {
		return this.ranges.length === 0;
	}

	/** The smallest id, or undefined in an empty set. */
	get first(): number | undefined {
		return this.ranges[0]?.first;
	}

	/** The largest id, or undefined in an empty set. */
	get last(): number | undefined {
		return this.ranges.at(-1)?.last;
	}

	has(id: number): boolean {
		const range = this.ranges[this.#indexOfRangeEndingAtOrAfter(id)];
		return range !== undefined && range.first <= id && Number.isInteger(id);
	}

	/** The smallest id greater than `id`, or undefined. */
	next(id: number): number | undefined {
		const range = this.ranges[this.#indexOfRangeEndingAtOrAfter(id + 1)];
		return range === undefined ? undefined : Math.max(range.first, id + 1);
	}

	/** The largest id smaller than `id`, or undefined. */
	prev(id: number): number | undefined {
		const index = this.#indexOfRangeEndingAtOrAfter(id);
		const range = this.ranges[index];
		if (range !== undefined && range.first < id) return id - 1;
		return this.ranges[index - 1]?.last;
	}

	/** The first `count` ids, or all when there are fewer. */
	take(count: number): Idset {
		const ranges: IdRange[] = [];
		let missing = count;
		for (const {first, last} of this.ranges) {
			if (missing <= 0) break;
			const taken = Math.min(missing, last - first + 1);
			ranges.push({first, last: first + taken - 1});
			missing -= taken;
		}
		return new Idset(ranges);
	}

	union(other: Idset): Idset {
		if (other.isEmpty) return this;
		if (this.isEmpty) return other;
		return new Idset(mergeSorted(interleave(this.ranges, other.ranges)));
	}

	/** The ids of this set that are not in `other`. */
	difference(other: Idset): Idset {
		if (other.isEmpty || this.isEmpty) return this;
		const ranges: IdRange[] = [];
		let index = 0;
		for (const {first, last} of this.ranges) {
			let from = first;
			// A range of `other` may reach into the next range of ours: it is looked at again there.
			while (index < other.ranges.length && other.ranges[index]!.last < from) index += 1;
			for (let i = index; i < other.ranges.length && other.ranges[i]!.first <= last; i += 1) {
				const hole = other.ranges[i]!;
				if (hole.first > from) ranges.push({first: from, last: hole.first - 1});
				from = hole.last + 1;
			}
			if (from <= last) ranges.push({first: from, last});
		}
		return new Idset(ranges);
	}

	intersect(other: Idset): Idset {
		const ranges: IdRange[] = [];
		let i = 0;
		let j = 0;
		while (i < this.ranges.length && j < other.ranges.length) {
			const a = this.ranges[i]!;
			const b = other.ranges[j]!;
			const first = Math.max(a.first, b.first);
			const last = Math.min(a.last, b.last);
			if (first <= last) ranges.push({first, last});
			if (a.last < b.last) i += 1;
			else j += 1;
		}
		return new Idset(ranges);
	}

	/** This set and `id`. */
	with(id: number): Idset {
		return this.has(id) ? this : this.union(Idset.from([id]));
	}

	/** This set less `id`. */
	without(id: number): Idset {
		return this.has(id) ? this.difference(Idset.from([id])) : this;
	}

	equals(other: Idset): boolean {
		return (
			this.ranges.length === other.ranges.length &&
			this.ranges.every(({first, last}, i) => {
				const range = other.ranges[i]!;
				return first === range.first && last === range.last;
			})
		);
	}

	isSubsetOf(other: Idset): boolean {
		return this.difference(other).isEmpty;
	}

	format({range = true, brackets = false}: IdsetFormat = {}): string {
		const elements = range
			? this.ranges.map(({first, last}) => (first === last ? `${first}` : `${first}-${last}`))
			: Array.from(this, String);
		const text = elements.join(',');
		return brackets && this.count > 1 ? `[${text}]` : text;
	}

	/** `1-3,7`. */
	toString(): string {
		return this.format();
	}

	/** In JSON an idset is its text. */
	toJSON(): string {
		return this.format();
	}

	*[Symbol.iterator](): Generator<number, void, undefined> {
		for (const {first, last} of this.ranges) {
			for (let id = first; id <= last; id += 1) yield id;
		}
	}

	/** By bisection; the number of ranges when there is none. */
	#indexOfRangeEndingAtOrAfter(id: number): number {
		let low = 0;
		let high = this.ranges.length;
		while (low < high) {
			const middle = (low + high) >>> 1;
			if (this.ranges[middle]!.last < id) low = middle + 1;
			else high = middle;
		}
		return low;
	}
}

function parseElement(element: string, text: string): IdRange {
	const match = /^(0|[1-9][0-9]*)(?:-(0|[1-9][0-9]*))?$/.exec(element);
	if (match === null) throw invalid(text, `${quote(element)} is neither an id nor a range of ids`);
	const first = Number(match[1]);
	const last = match[2] === undefined ? first : Number(match[2]);
	if (first > last) throw invalid(text, `the range ${element} runs backwards`);
	if (last > IDSET_ID_MAX) {
		throw new SystemError('ERANGE', `invalid idset ${quote(text)}: ${element} exceeds ${IDSET_ID_MAX}`);
	}
	return {first, last};
}

/** The ranges of both, ascending by `first`. */
function interleave(a: readonly IdRange[], b: readonly IdRange[]): readonly IdRange[] {
	const sorted: IdRange[] = [];
	let i = 0;
	for (const range of a) {
		for (; i < b.length && b[i]!.first < range.first; i += 1) sorted.push(b[i]!);
		sorted.push(range);
	}
	for (; i < b.length; i += 1) sorted.push(b[i]!);
	return sorted;
}

/** Joins ranges that overlap or touch; `sorted` ascends by `first`. */
function mergeSorted(sorted: readonly IdRange[]): readonly IdRange[] {
	const merged: IdRange[] = [];
	for (const range of sorted) {
		const previous = merged.at(-1);
		if (previous !== undefined && range.first <= previous.last + 1) {
			if (range.last > previous.last) merged[merged.length - 1] = {first: previous.first, last: range.last};
		} else {
			merged.push(range);
		}
	}
	return merged;
}

function assertId(id: number): void {
	if (!Number.isInteger(id) || id < 0 || id > IDSET_ID_MAX) {
		throw new Error(`${id} is no id of an idset: not an integer within 0..${IDSET_ID_MAX}`);
	}
}

function invalid(text: string, why: string): SystemError {
	return new SystemError('EINVAL', `invalid idset ${quote(text)}: ${why}`);
}
