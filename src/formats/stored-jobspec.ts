/**
 * A jobspec as facts, rows and messages carry it: one JSON text, which is encoded, kept and passed on many times and read
 * rarely. Logs of before that have the object itself, and keep it: a replay must reach the same state.
 */
import {SystemError} from './errno.ts';
import type {Jobspec} from './jobspec.ts';
import {parseJson, stringifyJson} from './json.ts';

export interface JobspecText {
	readonly json: string;
}

export type StoredJobspec = JobspecText | Jobspec;

/** Of texts that were outlined. */
const outlines = new WeakMap<JobspecText, Jobspec>();
/** The texts of what was read. */
const texts = new WeakMap<Jobspec, JobspecText>();

/** What was read from a text, and is as it was, is stored as that text. */
export function storeJobspec(jobspec: Jobspec): JobspecText {
	const stored = texts.get(jobspec) ?? {json: stringifyJson(jobspec)};
	outlines.set(stored, outlined(jobspec));
	return stored;
}

/**
 * All of what was stored, read anew, and never to be changed in place. It had passed `parseJobspec`, unless another machine says so.
 * @throws {SystemError} EINVAL when the text is no JSON.
 */
export function readJobspec(stored: StoredJobspec): Jobspec {
	if (!isText(stored)) return stored;
	try {
		const jobspec = parseJson(stored.json) as unknown as Jobspec;
		if (typeof jobspec === 'object' && jobspec !== null) texts.set(jobspec, stored);
		return jobspec;
	} catch (error) {
		if (!(error instanceof SystemError)) throw error;
		throw new SystemError(error.code, `jobspec: ${error.message}`, {cause: error});
	}
}

/**
 * What was stored without what only its launch needs, environment and files. It is kept as long as `stored` itself, so that
 * whoever goes through all jobs reads none of them again.
 * @throws {SystemError} EINVAL when the text is no JSON.
 */
export function outlineOf(stored: StoredJobspec): Jobspec {
	if (!isText(stored)) return stored;
	const known = knownOutlineOf(stored);
	if (known !== undefined) return known;
	const outline = outlined(readJobspec(stored));
	outlines.set(stored, outline);
	return outline;
}

/** The outline of what was outlined before; undefined: who wants to know had better read all of it. */
export function knownOutlineOf(stored: StoredJobspec): Jobspec | undefined {
	return isText(stored) ? outlines.get(stored) : undefined;
}

function isText(stored: StoredJobspec): stored is JobspecText {
	return typeof (stored as JobspecText | undefined)?.json === 'string';
}

function outlined({attributes, ...rest}: Jobspec): Jobspec {
	const {environment: _environment, files: _files, ...system} = attributes.system;
	return {...rest, attributes: {...attributes, system}};
}
