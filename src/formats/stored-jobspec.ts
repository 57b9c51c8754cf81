/**
 * A jobspec as facts, rows and messages carry it: one JSON text, which is encoded, kept and passed on many times and read
 * rarely. Logs of before that have the object itself, and keep it: a replay must reach the same state.
 */
import type {Jobspec} from './jobspec.ts';
import {parseJson, stringifyJson} from './json.ts';

export type StoredJobspec = string | Jobspec;

/** Of all texts that are remembered as read: some hundred ordinary ones, more than are under way at once. */
const READ_CHARS_MAX = 1024 * 1024;

/** By text, the one read first at the front. */
const read = new Map<string, Jobspec>();
let readChars = 0;

export function storeJobspec(jobspec: Jobspec): string {
	const text = stringifyJson(jobspec);
	remember(text, jobspec);
	return text;
}

/**
 * What was stored. It had passed `parseJobspec`, unless another machine says so.
 * @throws {SystemError} EINVAL when the text is no JSON.
 */
export function readJobspec(stored: StoredJobspec): Jobspec {
	if (typeof stored !== 'string') return stored;
	const known = read.get(stored);
	if (known !== undefined) return known;
	const jobspec = parseJson(stored) as unknown as Jobspec;
	remember(stored, jobspec);
	return jobspec;
}

function remember(text: string, jobspec: Jobspec): void {
	if (read.has(text)) return;
	read.set(text, jobspec);
	readChars += text.length;
	for (const [oldest] of read) {
		if (readChars <= READ_CHARS_MAX) break;
		read.delete(oldest);
		readChars -= oldest.length;
	}
}
