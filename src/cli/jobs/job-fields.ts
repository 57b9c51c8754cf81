/** What a format may say about a job: each field's heading and value, as Flux names them. */
import {encodeJobid} from '../../formats/jobid.ts';
import {isObject} from '../../formats/shape.ts';
import {formatFsd} from '../../formats/fsd.ts';
import {scalarText} from '../fields.ts';
import type {Field} from '../format/table.ts';
import type {World} from '../context.ts';
import {jobidText} from '../jobid-text.ts';
import {
	remainingOf,
	resultAbbreviation,
	runtimeOf,
	stateLetter,
	statusAbbreviation,
	statusEmoji,
	statusOf,
	timeOf,
	type JobRecord,
} from './job-record.ts';

/** What fields may need beside the job. */
export interface FieldWorld {
	readonly env: World['env'];
	/** Epoch seconds. */
	readonly nowS: number;
	readonly usernameOf: World['usernameOf'];
}

export const JOB_FORMATS: Readonly<Record<string, string>> = {
	default:
		'{id.f58:>12} ?:{queue:<8.8} +:{username:<8} {name:<10.10+} {status_abbrev:>2.2} {ntasks:>6} {nnodes:>6h} {contextual_time!F:>8h} {contextual_info}',
	long: '{id.f58:>12} ?:{queue:<8.8} +:{username:<8} {name:<10.10+} {status:>9.9} {ntasks:>6} {nnodes:>6h} {t_submit!d:%b%d %R::>12} {t_remaining!F:>12h} {contextual_time!F:>8h} {contextual_info}',
	cute: '{id.f58:>12} ?:{queue:<8.8} +:{username:<8} {name:<10.10+} {status_emoji:>5.5} {ntasks:>6} {nnodes:>6h} {contextual_time!F:>8h} {contextual_info}',
	deps: '{id.f58:>12} ?:{queue:<8.8} {name:<10.10+} {urgency:<3} {priority:<12} {state:<8.8} {dependencies}',
	endreason:
		'{id.f58:>12} ?:{queue:<8.8} +:{username:<8} {name:<10.10+} {status_abbrev:>2.2} {t_inactive!d:%b%d %R::>12h} {inactive_reason}',
};

/** The fields by name. */
export function jobFields(world: FieldWorld): Readonly<Record<string, Field<JobRecord>>> {
	const {env, nowS, usernameOf} = world;
	const value = (heading: string, name: string): Field<JobRecord> => ({
		heading,
		value: job => job.values[name] ?? '',
	});
	const time = (heading: string, name: string): Field<JobRecord> => ({
		heading,
		value: job => timeOf(job, name) ?? '',
	});
	return {
		id: {heading: 'JOBID', value: job => jobidText(job.id, env)},
		'id.f58': {heading: 'JOBID', value: job => jobidText(job.id, env)},
		'id.f58plain': {heading: 'JOBID', value: job => encodeJobid(job.id, 'f58plain')},
		'id.dec': {heading: 'JOBID', value: job => encodeJobid(job.id, 'dec')},
		'id.hex': {heading: 'JOBID', value: job => encodeJobid(job.id, 'hex')},
		'id.dothex': {heading: 'JOBID', value: job => encodeJobid(job.id, 'dothex')},
		'id.kvs': {heading: 'JOBID', value: job => encodeJobid(job.id, 'kvs')},
		userid: {heading: 'UID', value: job => job.userid},
		username: {heading: 'USER', value: job => usernameOf(job.userid)},
		urgency: value('URG', 'urgency'),
		priority: value('PRI', 'priority'),
		state: {heading: 'STATE', value: job => job.state},
		state_single: {heading: 'S', value: stateLetter},
		status: {heading: 'STATUS', value: statusOf},
		status_abbrev: {heading: 'ST', value: statusAbbreviation},
		status_emoji: {heading: 'STATUS', value: statusEmoji},
		name: value('NAME', 'name'),
		cwd: value('CWD', 'cwd'),
		queue: value('QUEUE', 'queue'),
		ntasks: value('NTASKS', 'ntasks'),
		nnodes: value('NNODES', 'nnodes'),
		ncores: value('NCORES', 'ncores'),
		duration: value('DURATION', 'duration'),
		ranks: value('RANKS', 'ranks'),
		nodelist: value('NODELIST', 'nodelist'),
		success: value('SUCCESS', 'success'),
		result: {heading: 'RESULT', value: job => job.result ?? ''},
		result_abbrev: {heading: 'RS', value: resultAbbreviation},
		expiration: time('EXPIRATION', 'expiration'),
		t_submit: time('T_SUBMIT', 't_submit'),
		t_depend: time('T_DEPEND', 't_depend'),
		t_run: time('T_RUN', 't_run'),
		t_cleanup: time('T_CLEANUP', 't_cleanup'),
		t_inactive: time('T_INACTIVE', 't_inactive'),
		runtime: {heading: 'RUNTIME', value: job => runtimeOf(job, nowS)},
		t_remaining: {heading: 'T_REMAINING', value: job => remainingOf(job, nowS) ?? ''},
		outcome: value('OUTCOME', 'outcome'),
		waitstatus: value('WSTATUS', 'waitstatus'),
		returncode: value('RC', 'returncode'),
		attempt: value('ATTEMPT', 'attempt'),
		reattached: value('REATTACHED', 'reattached'),
		out_of_contact: value('OUT-OF-CONTACT', 'out_of_contact'),
		'exception.occurred': {
			heading: 'EXCEPTION-OCCURRED',
			value: job => (job.exception === undefined ? 'False' : 'True'),
		},
		'exception.severity': {heading: 'EXCEPTION-SEVERITY', value: job => job.exception?.severity ?? ''},
		'exception.type': {heading: 'EXCEPTION-TYPE', value: job => job.exception?.type ?? ''},
		'exception.note': {heading: 'EXCEPTION-NOTE', value: job => job.exception?.note ?? ''},
		dependencies: {heading: 'DEPENDENCIES', value: dependenciesOf},
		contextual_time: {heading: 'TIME', value: job => contextualTime(job, nowS)},
		contextual_info: {heading: 'INFO', value: contextualInfo},
		inactive_reason: {heading: 'INACTIVE-REASON', value: inactiveReason},
	};
}

function dependenciesOf({values}: JobRecord): string {
	const {dependencies} = values;
	return Array.isArray(dependencies) ? dependencies.map(String).join(',') : '';
}

/** The time limit of a job that waits, the runtime of one that runs or ran. */
function contextualTime(job: JobRecord, nowS: number): number | string {
	const isPending = ['DEPEND', 'PRIORITY', 'SCHED'].includes(job.state);
	if (!isPending) return runtimeOf(job, nowS);
	return typeof job.values['duration'] === 'number' ? job.values['duration'] : '';
}

/** Where it runs, or why it waits. */
function contextualInfo(job: JobRecord): string {
	switch (job.state) {
		case 'DEPEND': {
			const dependencies = dependenciesOf(job);
			return dependencies === '' ? '' : `depends:${dependencies}`;
		}
		case 'PRIORITY':
			return 'priority-wait';
		case 'SCHED': {
			if (job.values['urgency'] === 0) return 'held';
			const {annotations} = job.values;
			const sched = isObject(annotations) && isObject(annotations['sched']) ? annotations['sched'] : {};
			return typeof sched['reason_pending'] === 'string' ? sched['reason_pending'] : '';
		}
		case 'RUN': {
			const lost = job.values['out_of_contact'];
			const nodes = nodesAndScript(job);
			return lost === undefined || lost === '' ? nodes : `${nodes} (out of contact: ${scalarText(lost)})`;
		}
		default:
			// One that never ran has no nodes to show, but a reason.
			return nodesAndScript(job) || inactiveReason(job);
	}
}

/** Where it runs, and which of the admin's scripts it waits for there. */
function nodesAndScript({values}: JobRecord): string {
	const nodes = scalarText(values['nodelist']);
	return values['script'] === undefined ? nodes : `${nodes} (${scalarText(values['script'])})`;
}

/** Why it is over: an exception with its note, a signal, an exit code. */
function inactiveReason(job: JobRecord): string {
	if (job.state !== 'INACTIVE') return '';
	const {exception, result} = job;
	if (result === 'CANCELED') return exception?.note ? `Canceled: ${exception.note}` : 'Canceled';
	if (result === 'TIMEOUT') {
		const {duration} = job.values;
		return typeof duration === 'number' && duration > 0 ? `Timeout after ${formatFsd(duration)}` : 'Timeout';
	}
	if (job.values['outcome'] === 'unknown') return 'Outcome unknown';
	if (exception !== undefined && exception.severity === 0) {
		return `Exception: type=${exception.type}${exception.note === '' ? '' : ` note=${exception.note}`}`;
	}
	const {returncode} = job.values;
	if (typeof returncode !== 'number') return '';
	return job.values['outcome'] === 'signaled' ? `Signal ${returncode - 128}` : `Exit ${returncode}`;
}
