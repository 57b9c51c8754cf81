/** What a misspelled word was probably meant to be. */

/** The candidate nearest to `word`, if it is near: so many letters changed, left out, added or swapped. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
	let best: string | undefined;
	let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
	for (const candidate of candidates) {
		const isBeginning = word.length >= 3 && candidate.startsWith(word);
		const distance = isBeginning ? Math.min(1, bestDistance - 1) : distanceOf(word, candidate);
		if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
	}
	return best;
}

/** `; did you mean WORD?`, or nothing. */
export function suggestion(word: string, candidates: Iterable<string>, prefix = ''): string {
	const found = nearest(word, candidates);
	return found === undefined ? '' : `; did you mean ${prefix}${found}?`;
}

/** Of Damerau and Levenshtein, with swaps of neighbors only. */
function distanceOf(a: string, b: string): number {
	let before: number[] = [];
	let row = Array.from({length: b.length + 1}, (_, column) => column);
	for (let i = 1; i <= a.length; i += 1) {
		const next = [i];
		for (let j = 1; j <= b.length; j += 1) {
			const cost = a[i - 1] === b[j - 1] ? 0 : 1;
			let distance = Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + cost);
			if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
				distance = Math.min(distance, before[j - 2]! + 1);
			next.push(distance);
		}
		before = row;
		row = next;
	}
	return row[b.length]!;
}
