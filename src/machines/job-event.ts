/** How the user's eventlog (RFC 18, RFC 21) shows the facts of a job. Pure. */
import {perilogEventOf} from './job-perilog.ts';
import type {Json, JobEvent, JobFact} from './job.ts';

/** A fact as an entry of the user's eventlog. */
export function jobEventOf(fact: JobFact): JobEvent {
	const name = fact.type.slice('job.'.length);
	const entry = (context: Json | null): JobEvent => ({name, atMs: fact.atMs, context});
	switch (fact.type) {
		case 'job.submit':
			return entry({userid: fact.userid, urgency: fact.urgency, flags: fact.flags, version: 1});
		case 'job.dependency-remove':
			return entry({description: fact.description});
		case 'job.priority':
			return entry({priority: fact.priority});
		case 'job.urgency':
			return entry({urgency: fact.urgency, userid: fact.userid});
		case 'job.exception':
			return entry({
				type: fact.exception,
				severity: fact.severity,
				note: fact.note,
				userid: fact.userid,
			});
		case 'job.finish':
			return entry(fact.status === null ? {outcome: 'unknown'} : {status: fact.status});
		case 'job.release':
			return entry({ranks: fact.ranks, final: fact.final});
		case 'job.requeue':
			return entry({attempt: fact.attempt});
		case 'job.prolog-finish':
		case 'job.epilog-start':
		case 'job.epilog-finish':
			return perilogEventOf(fact);
		case 'job.validate':
		case 'job.depend':
		case 'job.alloc':
		case 'job.start':
		case 'job.free':
		case 'job.clean':
		case 'job.adopt':
		case 'job.report':
		case 'job.reattach':
		case 'job.output':
		case 'job.chunk':
		case 'job.evict':
			return entry(null);
		default:
			return fact satisfies never;
	}
}
