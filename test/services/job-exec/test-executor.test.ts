/**
 * Goal: a part of the test executor ends once, at its time, also in the next life of its broker. Method: the executor over a host that
 * records, with a clock that is moved by hand, and the part machine's state as a restart finds it.
 */
import test from 'ava';
import type {Core} from '../../../src/services/core.ts';
import {withTestExecutor} from '../../../src/services/job-exec/test-executor.ts';
import type {HostAttributes, LaunchSpec, PartReport, ProcessHost} from '../../../src/ports/process-host.ts';

const key = {id: 7n, attempt: 1};
const spec = {
	...key,
	tasks: [0, 1],
	record: '{}',
	test: {runMs: 1000, waitStatus: 256},
} as unknown as LaunchSpec;

function life(parts = new Map<string, unknown>(), startMs = 0) {
	const due: {atMs: number; fire: () => void}[] = [];
	let nowMs = startMs;
	const clock = {
		bootId: 'boot',
		epochMs: () => 1_700_000_000_000 + nowMs,
		monotonicMs: () => nowMs,
		defer: (fire: () => void) => due.push({atMs: nowMs, fire}),
		setTimer(delayMs: number, fire: () => void) {
			const timer = {atMs: nowMs + delayMs, fire};
			due.push(timer);
			return {cancel: () => void due.splice(due.indexOf(timer), due.includes(timer) ? 1 : 0)};
		},
	};
	const reports: PartReport[] = [];
	const calls: string[] = [];
	const real = {
		onReport: () => {},
		inventory: async () => ({bootId: 'boot', parts: [], highestJobId: 0n}),
		launch: () => calls.push('launch'),
		terminate: () => calls.push('terminate'),
		forget: () => calls.push('forget'),
		attributes: () => ({jobCgroup: '/cg'}),
	};
	const host: ProcessHost = withTestExecutor(
		real as unknown as ProcessHost,
		{clock, state: {parts}} as unknown as Core,
	);
	host.onReport = report => void reports.push(report);
	return {
		host,
		reports,
		calls,
		to: (atMs: number) => {
			nowMs = atMs;
			for (let next = due.findIndex(each => each.atMs <= atMs); next !== -1;) {
				due.splice(next, 1)[0]!.fire();
				next = due.findIndex(each => each.atMs <= atMs);
			}
		},
	};
}

/** The part machine's snapshot after `report`. */
function runningAfter(report: PartReport) {
	const {seq, atMs} = report;
	if (report.kind !== 'started') throw new Error(`${report.kind} is no start`);
	const body = {kind: 'started', tasks: report.tasks, test: report.test};
	return {
		value: 'running',
		context: {...key, reports: [{seq, bootId: 'boot', atMs, body}], acked: 1, signum: null},
	};
}

test('a part starts without the real host, and ends at its time with its wait status', t => {
	const {host, reports, calls, to} = life();
	host.launch(spec);
	host.launch(spec);
	to(999);
	t.deepEqual(
		reports.map(({kind}) => kind),
		['started'],
	);
	to(1000);
	t.deepEqual(
		reports.map(({kind, seq}) => [kind, seq]),
		[
			['started', 1],
			['exited', 2],
		],
	);
	t.like(reports[1], {
		tasks: [
			{task: 0, waitStatus: 256},
			{task: 1, waitStatus: 256},
		],
	});
	host.forget(key);
	to(5000);
	t.is(reports.length, 2);
	t.deepEqual(calls, []);
	t.deepEqual(host.attributes(), {jobCgroup: '/cg'} as HostAttributes, "all else is the real host's");
});

test('the next life of a broker ends a part at the time that the first one reported', async t => {
	const first = life();
	first.host.launch(spec);
	first.to(10);
	const parts = new Map<string, unknown>([['7.1', runningAfter(first.reports[0]!)]]);
	const second = life(parts, 400);
	t.like((await second.host.inventory()).parts, {length: 1, 0: {...key, state: 'running'}});
	second.to(999);
	t.deepEqual(second.reports, []);
	second.to(1000);
	t.like(second.reports, {length: 1, 0: {kind: 'exited', seq: 2}});

	const late = life(parts, 60_000);
	await late.host.inventory();
	late.to(60_000);
	t.like(late.reports, {length: 1, 0: {kind: 'exited', seq: 2}});
});

test('a signal ends a part at once, and once', async t => {
	const {host, reports, to} = life();
	host.launch(spec);
	to(1);
	host.terminate(key, 15);
	host.terminate(key, 9);
	to(2);
	t.like(reports[1], {kind: 'exited', tasks: [{waitStatus: 15}, {waitStatus: 15}]});
	to(9000);
	t.is(reports.length, 2);
	await t.throwsAsync(host.signal(key, 15), {message: /takes no signal/});
});

test('parts with processes go to the real host', t => {
	const {host, calls} = life();
	const {test: _, ...plain} = spec;
	host.launch(plain);
	host.terminate(key, 15);
	host.forget(key);
	t.deepEqual(calls, ['launch', 'terminate', 'forget']);
});
