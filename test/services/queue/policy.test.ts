/** Goal: a job gets what the policy gives by default, and is refused where it asks for more. Method: queues over a core without jobs. */
import test from 'ava';
import {SystemError} from '../../../src/formats/errno.ts';
import type {CommandOptions} from '../../../src/formats/jobspec-from-command.ts';
import {Queues} from '../../../src/services/queue/queues.ts';
import {FakeCore} from '../fake-core.ts';
import {jobspecOf} from '../job-fixture.ts';

const HOUR_MS = 3_600_000;
const MIXED = {
	instance: {
		durationMsMax: 8 * HOUR_MS,
		durationMsDefault: HOUR_MS / 2,
		queueDefault: 'batch',
		sizeMax: {nnodes: 4, ncores: 8},
	},
	queues: {
		batch: {requires: [], durationMsMax: null},
		debug: {
			requires: [],
			durationMsMax: HOUR_MS,
			policy: {sizeMax: {nnodes: 1}, sizeMin: {ncores: 2}, durationMsDefault: HOUR_MS / 4},
		},
		long: {requires: [], durationMsMax: null, policy: {durationMsMax: null, durationMsDefault: null}},
	},
};

const queues = new Queues(new FakeCore(), MIXED.queues, MIXED.instance);
const system = (options: Partial<CommandOptions>) => queues.admit(jobspecOf(options)).attributes.system;
const refusal = (t: import('ava').ExecutionContext, options: Partial<CommandOptions>) => {
	const error = t.throws(() => queues.admit(jobspecOf(options)), {instanceOf: SystemError});
	t.is(error?.code, 'EINVAL');
	return error?.message;
};

test('a job without queue and duration gets the defaults, its own queue before the instance', t => {
	t.like(system({}), {queue: 'batch', duration: 1800});
	t.like(system({queue: 'debug', ntasks: 2}), {queue: 'debug', duration: 900});
	t.like(system({queue: 'long'}), {queue: 'long', duration: 0});
	t.like(system({durationS: 5}), {queue: 'batch', duration: 5});
});

test('what is over a limit or below one is refused, with what was asked and what may be', t => {
	t.is(refusal(t, {durationS: 9 * 3600}), 'requested duration (9h) exceeds the limit of queue batch (8h)');
	t.is(
		refusal(t, {queue: 'debug', ntasks: 2, durationS: 7200}),
		'requested duration (2h) exceeds the limit of queue debug (1h)',
	);
	t.is(refusal(t, {nnodes: 5, ntasks: 5}), 'requested nnodes (5) exceeds the limit of queue batch (4)');
	t.is(refusal(t, {ntasks: 9}), 'requested ncores (9) exceeds the limit of queue batch (8)');
	t.is(
		refusal(t, {queue: 'debug', nnodes: 2, ntasks: 2}),
		'requested nnodes (2) exceeds the limit of queue debug (1)',
	);
	t.is(refusal(t, {queue: 'debug'}), 'requested ncores (1) is below the limit of queue debug (2)');
	t.like(system({queue: 'long', durationS: 100 * 3600}), {duration: 360_000});
});
