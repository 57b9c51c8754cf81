/** Goal: what a jobspec says of the test executor is read as meant, and a mistake names its path. */
import test from 'ava';
import {testExecutionOf} from '../../src/formats/test-execution.ts';

test('a duration is a number of seconds or a duration of RFC 23', t => {
	t.deepEqual(testExecutionOf({exec: {test: {run_duration: '250ms'}}}), {runMs: 250, waitStatus: 0});
	t.deepEqual(testExecutionOf({exec: {test: {run_duration: 1.5, wait_status: 9}}}), {
		runMs: 1500,
		waitStatus: 9,
	});
	t.deepEqual(testExecutionOf({exec: {test: {}}}), {runMs: 0, waitStatus: 0});
	t.is(testExecutionOf({}), null);
	t.is(testExecutionOf({exec: {}}), null);
});

test('what is wrong is named by its path', t => {
	const faults: readonly [unknown, string][] = [
		[{run_duration: 'inf'}, 'exec.test.run_duration: must be finite'],
		[{run_duration: -1}, 'exec.test.run_duration'],
		[{wait_status: 70_000}, 'exec.test.wait_status: must be a wait status'],
		[{run_time: 1}, 'exec.test.run_time: unknown member'],
	];
	for (const [value, path] of faults) {
		const error = t.throws(() => testExecutionOf({exec: {test: value}}));
		t.true(error.message.includes(path), error.message);
	}
});
