/** Which facts are meant by what a person writes: a text, a RegExp, a function, a job. Pure. */
import {decodeJobid} from '../formats/jobid.ts';

/** A fact as plain JSON: ids as decimal strings, bytes in hex. */
export type LogFact = Readonly<Record<string, unknown>>;

/**
 * A function is asked; a RegExp must match the fact's JSON; a job (or an object that was printed) stands for its id;
 * any other text must be in the JSON, or be the id of the fact's job in any RFC 19 form.
 */
export function matcherOf(what: unknown): (fact: LogFact) => boolean {
	if (typeof what === 'function') return fact => Boolean((what as (fact: LogFact) => unknown)(fact));
	if (isRegExp(what)) return fact => what.test(JSON.stringify(fact));
	if (typeof what === 'object' && what !== null && 'id' in what)
		return fact => fact['id'] === String(what.id);
	const text = String(what);
	const id = jobidOf(text);
	return fact => (id !== null && fact['id'] === id) || JSON.stringify(fact).includes(text);
}

/** One of another realm is no instance of this one's. */
function isRegExp(value: unknown): value is RegExp {
	return Object.prototype.toString.call(value) === '[object RegExp]';
}

function jobidOf(text: string): string | null {
	try {
		return String(decodeJobid(text));
	} catch {
		return null; // Then it is a text and no more.
	}
}
