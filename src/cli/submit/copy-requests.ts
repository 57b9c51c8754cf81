/**
 * Requests for many copies of one submission. Where copies differ in nothing but COPPICE_JOB_CC, the jobspec is made and checked once,
 * and each copy's text is cut from it. Invariant: what comes out is what `submitRequest` makes.
 */
import {stringifyJson} from '../../formats/json.ts';
import {wrapSigned} from '../../formats/sign-none.ts';
import {jobspecOf, submitRequest, type Copy, type Submission, type SubmitRequest} from './submission.ts';
import type {RequestOptions} from './submission.ts';

/** Stands for the id of a copy in a jobspec that is a pattern for all of them. */
const SAMPLE_CC = Number.MAX_SAFE_INTEGER;
const SAMPLE_TEXT = JSON.stringify(String(SAMPLE_CC));

/** Makes requests, as `submitRequest` does. Keeps a pattern for each submission that has several copies. */
export class CopyRequests {
	readonly #patterns = new WeakMap<Submission, Map<boolean, readonly string[] | null>>();

	/** @throws {SystemError} EINVAL when the jobspec makes no sense. */
	make(submission: Submission, {userid, requestId, copy = null}: RequestOptions): SubmitRequest {
		const pattern = copy === null ? null : this.#patternOf(submission, copy);
		if (copy === null || pattern === null) return submitRequest(submission, {userid, requestId, copy});
		const {urgency, flags} = submission.options;
		const J = wrapSigned(userid, pattern.join(JSON.stringify(String(copy.cc))));
		return {J, urgency, flags, request_id: requestId};
	}

	#patternOf(submission: Submission, {isVisible}: Copy): readonly string[] | null {
		const known = this.#patterns.get(submission) ?? new Map<boolean, readonly string[] | null>();
		this.#patterns.set(submission, known);
		const pattern = known.get(isVisible);
		if (pattern !== undefined) return pattern;
		const made = makePattern(submission, isVisible);
		known.set(isVisible, made);
		return made;
	}
}

/** The text of the jobspec without the ids; null: the copies differ in more. */
function makePattern(submission: Submission, isVisible: boolean): readonly string[] | null {
	if (stringifyJson(jobspecOf(submission)).includes('{cc}')) return null;
	const parts = stringifyJson(jobspecOf(submission, {cc: SAMPLE_CC, isVisible})).split(SAMPLE_TEXT);
	return parts.length === (isVisible ? 2 : 1) ? parts : null;
}
