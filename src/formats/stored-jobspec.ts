/**
 * A jobspec as facts, rows and messages carry it: one JSON text, which is encoded, kept and passed on many times and read
 * rarely. Logs of before that have the object itself, and keep it: a replay must reach the same state.
 */
import type {Jobspec} from './jobspec.ts';
import {parseJson, stringifyJson} from './json.ts';

export type StoredJobspec = string | Jobspec;

/** So many texts are remembered as read: those of the jobs that are under way. */
const READ_MAX = 256;

/** By text, the one read first at the front. */
const read = new Map<string, Jobspec>();

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
	for (const [oldest] of read) {
		if (read.size < READ_MAX) break;
		read.delete(oldest);
	}
	read.set(text, jobspec);
}
