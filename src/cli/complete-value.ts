/** Values of options and operands for completion: some are fixed, some are asked for. */
import type {Candidate} from './complete-words.ts';
import type {PageOption} from './command-page.ts';
import type {CliContext} from './context.ts';
import {scalarText} from './fields.ts';
import {jobidText} from './jobid-text.ts';
import {fetchJobs} from './jobs/fetch-jobs.ts';
import {stateMask, type JobConstraint} from './jobs/job-filter.ts';
import {RESULT_BITS, STATE_BITS} from './jobs/job-record.ts';
import {fetchQueues} from './queues/fetch-queues.ts';

/** A person is waiting: nothing is asked for longer. */
export const ANSWER_TIMEOUT_MS = 3000;
const JOBS_MAX = 100;

const FIXED: Readonly<Record<string, readonly string[]>> = {
	'--urgency': ['hold', 'default', 'expedite'],
	'--flags': ['debug', 'waitable', 'novalidate'],
	'--signal': ['TERM', 'INT', 'KILL', 'HUP', 'USR1', 'USR2', 'STOP', 'CONT'],
	'--filter': names(['pending', 'running', 'active'], STATE_BITS, RESULT_BITS),
	'--states': names(['pending', 'running', 'active'], STATE_BITS),
	'--wait-event': [
		'submit',
		'validate',
		'depend',
		'priority',
		'alloc',
		'start',
		'finish',
		'release',
		'free',
		'clean',
	],
	'--topo': ['kary:', 'custom'],
};

/** By what stands for the value in the help text, or by the option's name. */
export async function completeValue(
	{flags, value, choices}: PageOption,
	context: CliContext,
): Promise<readonly Candidate[]> {
	if (choices !== undefined) return choices.map(word => ({word}));
	const fixed = flags.map(flag => FIXED[flag]).find(each => each !== undefined);
	if (fixed !== undefined) return fixed.map(word => ({word}));
	switch (value) {
		case 'FILE':
		case 'FILE|KEY=VALUE':
			return [{word: ':files'}];
		case 'DIR':
			return [{word: ':directories'}];
		case 'QUEUE':
			return soon(queueNames(context), context);
		case 'JOBID':
			return soon(jobids(context), context);
		case 'ACTIVE-JOBID':
			return soon(jobids(context, [{states: [stateMask('active', 'active')]}]), context);
		default:
			return [];
	}
}

async function queueNames(context: CliContext): Promise<Candidate[]> {
	const queues = await fetchQueues(context.session());
	return queues.filter(({name}) => name !== '').map(({name}) => ({word: name}));
}

async function jobids(context: CliContext, constraints: readonly JobConstraint[] = []): Promise<Candidate[]> {
	const jobs = await fetchJobs(context.session(), {
		entriesMax: JOBS_MAX,
		constraint: {and: [{userid: [context.world.userid]}, ...constraints]},
	});
	return jobs.map(job => ({
		word: jobidText(job.id, context.env),
		describe: `${scalarText(job.values['name'])} ${(job.result ?? job.state).toLowerCase()}`,
	}));
}

/** Nothing when it fails, or takes long. */
async function soon(asked: Promise<Candidate[]>, {clock}: CliContext): Promise<readonly Candidate[]> {
	const tooLate = new Promise<Candidate[]>(resolve => {
		clock.setTimer(ANSWER_TIMEOUT_MS, () => resolve([]));
	});
	return Promise.race([asked.catch(() => []), tooLate]);
}

function names(groups: readonly string[], ...bits: readonly Readonly<Record<string, number>>[]): string[] {
	return [...groups, ...bits.flatMap(each => Object.keys(each)).map(name => name.toLowerCase())];
}
