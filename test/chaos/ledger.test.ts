/** Goal: the oracle of the chaos tests finds each kind of lie, so that its silence means something. */
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {disagreements, readLedgers, type Expectation, type JobRow} from './ledger.ts';

/** A process that nobody is. */
const START = 'start 4194304 1 1000.000000000';
const JOB: JobRow = {
	...{
		id: '1',
		f58: 'fA',
		name: 'task',
		state: 'INACTIVE',
		status: 'FAILED',
		result: 'FAILED',
		outcome: 'exited',
	},
	...{returncode: 3, waitstatus: 768, ntasks: 1, reattached: 0, t_submit: 999, t_cleanup: 1001.1},
};

function judge(
	t: ExecutionContext,
	{job = {}, ledger, expected}: {job?: Partial<JobRow>; ledger: string[] | null; expected?: Expectation},
): string {
	const directory = mkdtempSync(join(tmpdir(), 'coppice-ledger-'));
	t.teardown(() => rmSync(directory, {recursive: true}));
	if (ledger !== null) writeFileSync(join(directory, 'fA.0'), ledger.map(line => `${line}\n`).join(''));
	const row = {...JOB, ...job};
	return disagreements(row, readLedgers(directory, row), expected).join('; ');
}

test('a job that is as its ledger says has no disagreement', t => {
	t.is(judge(t, {ledger: [START, 'end 3 1001.0']}), '');
	const signaled = {outcome: 'signaled', returncode: 137, waitstatus: 9};
	t.is(judge(t, {job: signaled, ledger: [START, 'end sig9 1001.0']}), '');
	t.is(judge(t, {job: {result: 'CANCELED'}, ledger: [START], expected: {ends: 'canceled'}}), '');
});

test('each difference is found', t => {
	const end = 'end 3 1001.0';
	t.regex(judge(t, {ledger: [START, START, end]}), /started 2 times/);
	t.regex(judge(t, {ledger: [START, end, end]}), /ended 2 times/);
	t.regex(judge(t, {ledger: null}), /0 of 1 tasks started/);
	t.regex(judge(t, {ledger: [START]}), /0 of 1 tasks wrote an end/);
	t.regex(judge(t, {ledger: [START, 'end 0 1001.0']}), /result is FAILED, not COMPLETED/);
	t.regex(judge(t, {ledger: [START, 'end 4 1001.0']}), /returncode is 3, not 4/);
	t.regex(judge(t, {ledger: [START, 'end sig3 1001.0']}), /outcome is exited, not signaled/);
	t.regex(judge(t, {ledger: [START, 'end 3 900.0']}), /t_cleanup is 101/);
	t.regex(judge(t, {job: {result: 'CANCELED'}, ledger: [START, end]}), /result CANCELED/);
	t.regex(judge(t, {job: {outcome: 'unknown'}, ledger: [START, end]}), /outcome is unknown, not exited/);
	t.regex(judge(t, {job: {state: 'RUN'}, ledger: [START]}), /its task is gone/);
	const lost = {outcome: 'unknown', result: 'COMPLETED'};
	const expected: Expectation = {ends: 'itself', mayBeUnknown: true};
	t.regex(judge(t, {job: lost, ledger: [START, end], expected}), /an unknown outcome with result COMPLETED/);
});
