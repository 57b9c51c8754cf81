/** One job as JSON: the shape that scripts rely on (the command line's contract). A field without a value is absent. */
import {encodeJobid} from '../../formats/jobid.ts';
import {statusOf, type JobRecord} from './job-record.ts';

/** Fields that are passed on as they are, in the order of the contract. */
const BEFORE_EXCEPTION = [
	'outcome',
	'returncode',
	'waitstatus',
	'ntasks',
	'nnodes',
	'ncores',
	'ranks',
	'nodelist',
	'urgency',
	'priority',
	'duration',
	'expiration',
	't_submit',
	't_run',
	't_cleanup',
	't_inactive',
] as const;
const AFTER_EXCEPTION = ['annotations', 'attempt', 'reattached', 'out_of_contact'] as const;

export function jobJson(job: JobRecord): Record<string, unknown> {
	const {id, userid, state, result, exception, values} = job;
	const {name} = values;
	const some = (names: readonly string[]) =>
		Object.fromEntries(names.filter(each => values[each] !== undefined).map(each => [each, values[each]]));
	return {
		id: id.toString(),
		f58: encodeJobid(id, 'f58plain'),
		userid,
		...(name === undefined ? {} : {name}),
		state,
		...(result === undefined ? {} : {result}),
		status: statusOf(job),
		...some(BEFORE_EXCEPTION),
		...(exception === undefined ? {} : {exception}),
		...some(AFTER_EXCEPTION),
	};
}
