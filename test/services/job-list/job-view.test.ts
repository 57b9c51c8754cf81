/** Goal: a job is shown as it is in every state: attributes by Flux's names, absent where there is no value. */
import test from 'ava';
import {jobMachine} from '../../../src/machines/job.ts';
import {jobViewOf, STATE_BITS, type JobView} from '../../../src/services/job-list/job-view.ts';
import {JobLine, jobspecOf, resourcesOf, SUBMIT_MS} from '../job-fixture.ts';

const spec = {jobspec: jobspecOf({argv: ['/usr/bin/sleep', '5'], ntasks: 2, nnodes: 2, durationS: 60})};
const submitted = () => new JobLine(7n).submit(spec);
const running = () => submitted().alloc(resourcesOf(2, 1)).started(0).started(1);
const ended = (first: number | null, second: number | null) => running().exited(0, first).exited(1, second);
const viewOf = ({job}: JobLine, outOfContact?: string) => jobViewOf(job.value, job.context, outOfContact);

/** Attributes that every job has. */
const ALWAYS = [
	'annotations',
	'command',
	'cwd',
	'dependencies',
	'duration',
	'exception_occurred',
	'id',
	'name',
	'ncores',
	'nnodes',
	'ntasks',
	'outcome',
	'priority',
	'reattached',
	'state',
	'urgency',
	'userid',
];
const PLACED = ['attempt', 'nodelist', 'ranks', 't_run'];
const BLAMED = ['exception_note', 'exception_severity', 'exception_type'];

function shows(
	title: string,
	line: () => JobLine,
	{attributes, values}: {attributes: string[]; values: object},
): void {
	test(`${title} is shown with what it has, and nothing else`, t => {
		const view = viewOf(line());
		t.deepEqual(Object.keys(view).sort(), [...ALWAYS, ...attributes].sort());
		t.like(view, values);
	});
}

shows('a pending job', submitted, {
	attributes: ['t_submit', 't_depend'],
	values: {
		id: 7n,
		state: 8,
		name: 'sleep',
		command: ['/usr/bin/sleep', '5'],
		ntasks: 2,
		nnodes: 2,
		ncores: 2,
		duration: 60,
		priority: 16,
		t_submit: SUBMIT_MS / 1000,
		exception_occurred: false,
		outcome: 'none',
	},
});
shows('a running job', running, {
	attributes: ['t_submit', 't_depend', ...PLACED],
	values: {state: 16, ranks: '0-1', nodelist: 'n[0-1]', attempt: 1, ncores: 2, t_run: SUBMIT_MS / 1000 + 1},
});
shows('a job that waits for its last rank', () => running().exception('timeout').exited(0, 14), {
	attributes: ['t_submit', 't_depend', 't_cleanup', ...PLACED, ...BLAMED],
	values: {state: 32, exception_type: 'timeout', exception_severity: 0, exception_note: 'a note'},
});
shows('a job that ended well', () => ended(0, 0), {
	attributes: [
		't_submit',
		't_depend',
		't_cleanup',
		't_inactive',
		'waitstatus',
		'returncode',
		'result',
		'success',
		...PLACED,
	],
	values: {state: 64, waitstatus: 0, returncode: 0, result: 1, success: true, outcome: 'exited'},
});
shows('a job cancelled while pending', () => submitted().exception('cancel'), {
	attributes: ['t_submit', 't_depend', 't_cleanup', 't_inactive', 'result', 'success', ...BLAMED],
	values: {state: 64, result: 4, success: false, exception_type: 'cancel'},
});
shows('a job with an unknown end', () => ended(0, null), {
	attributes: ['t_submit', 't_depend', 't_cleanup', 't_inactive', 'result', 'success', ...PLACED],
	values: {state: 64, result: 2, success: false, outcome: 'unknown'},
});

for (const [title, line, expected] of [
	['exit 3', () => ended(0, 3 << 8), {result: 2, returncode: 3, waitstatus: 3 << 8, outcome: 'exited'}],
	['SIGKILL', () => ended(9, 0), {result: 2, returncode: 137, waitstatus: 9, outcome: 'signaled'}],
	['a core dump', () => ended(0, 139), {result: 2, returncode: 139, waitstatus: 139}],
	[
		'its time limit',
		() => running().exception('timeout').exited(0, 14).exited(1, 14),
		{result: 8, returncode: 142},
	],
	['cancel', () => running().exception('cancel').exited(0, 15).exited(1, 0), {result: 4, returncode: 143}],
	[
		'a node failure',
		() => running().exception('node-failure').exited(0, 0).exited(1, 0),
		{result: 2, returncode: 0},
	],
] as const) {
	test(`a job that ended by ${title} says so`, t => {
		t.like(viewOf(line()), expected);
	});
}

test('a job before its first rule is shown too', t => {
	const first = new JobLine(7n).submit(spec).job;
	for (const value of jobMachine.states.filter(state => state !== 'none')) {
		t.is(jobViewOf(value, first.context).state, STATE_BITS[value]!, value);
	}
	t.deepEqual(Object.values(STATE_BITS), [1, 2, 4, 8, 16, 32, 64]);
});

test('ranks out of contact are named', t => {
	t.is(viewOf(running(), '1').out_of_contact, '1');
});

test('an exception that is not fatal leaves no mark on the result', t => {
	const view: JobView = viewOf(running().exception('exec', 3).exited(0, 0).exited(1, 0));
	t.like(view, {exception_occurred: false, result: 1, success: true});
});
