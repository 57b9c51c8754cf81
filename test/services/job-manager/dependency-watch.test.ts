/**
 * Goal: what jobs wait for is noticed when it comes about, once, at a cost that does not grow with the jobs that wait for
 * something else. Method: the watch over real job machines in a core that posts at once, and simulated time.
 */
import test from 'ava';
import {BeginTimes, WALL_LOOK_MS} from '../../../src/services/job-manager/begin-times.ts';
import {DependencyWatch} from '../../../src/services/job-manager/dependency-watch.ts';
import {resolveDependencies} from '../../../src/services/job-manager/resolve-dependencies.ts';
import {Archive} from '../../../src/services/archive.ts';
import type {JobDependency} from '../../../src/machines/job-dependencies.ts';
import type {Jobspec} from '../../../src/formats/jobspec.ts';
import {SystemError} from '../../../src/formats/errno.ts';
import {SimClock} from '../../../src/sim/clock.ts';
import {FakeCore} from '../fake-core.ts';
import {jobspecOf} from '../job-fixture.ts';

const USERID = 1000;
const NO_ROWS = new Archive({get: () => undefined, rows: async function* () {}});

function instance() {
	const core = new FakeCore();
	const rows = new Map<string, Uint8Array>();
	core.onChange(change => {
		if (change.kind !== 'job') return;
		for (const {key, value} of change.rows) rows.set(Buffer.from(key).toString('hex'), value);
	});
	const archive = new Archive({
		get: key => rows.get(Buffer.from(key).toString('hex')),
		rows: async function* () {},
	});
	const watch = new DependencyWatch(core, archive);
	let last = 0n;
	const submit = (dependencies: readonly JobDependency[] = []) => {
		last += 1n;
		const job = {id: last, userid: USERID, urgency: 16, flags: 0, jobspec: jobspecOf(), requestId: null};
		core.post({type: 'job.submit', ...job, ...(dependencies.length === 0 ? {} : {dependencies})});
		return last;
	};
	const cancel = (id: bigint) => {
		core.post({type: 'job.exception', id, exception: 'cancel', severity: 0, note: '', userid: USERID});
	};
	return {core, watch, submit, cancel, archive};
}

const after = (kind: 'after-success' | 'after-finish' | 'after-start', id: bigint): JobDependency => ({
	description: `${kind}=${id}`,
	kind,
	id,
});

test('ten thousand jobs that wait for one are released by its end, each once', t => {
	const {core, watch, submit, cancel} = instance();
	const first = submit();
	const ids = Array.from({length: 10_000}, () => submit([after('after-finish', first)]));
	core.settle();
	t.true(ids.every(id => core.valueOf(id) === 'depend'));
	t.true(watch.isAwaited(first));
	cancel(first);
	core.settle();
	t.true(ids.every(id => core.valueOf(id) === 'sched'));
	const removals = core.lastOf(ids[0]!).events.filter(({name}) => name === 'dependency-remove');
	t.is(removals.length, 1);
	t.false(watch.isAwaited(first));
});

test('a chain falls with its first link, and each note names the job that was waited for', t => {
	const {core, submit, cancel} = instance();
	const ids = [submit()];
	for (let link = 1; link < 50; link += 1) ids.push(submit([after('after-success', ids.at(-1)!)]));
	cancel(ids[0]!);
	core.settle();
	t.true(ids.every(id => core.valueOf(id) === 'inactive'));
	t.is(core.lastOf(ids[1]!).exception?.note, 'dependency can never be satisfied: job f2 was canceled');
	t.is(core.lastOf(ids[2]!).exception?.note, 'dependency can never be satisfied: job f3 failed');
	t.is(core.lastOf(ids[49]!).exception?.type, 'dependency');
});

test('a job that was over when the other one came is judged at once', t => {
	const {core, submit, cancel} = instance();
	const first = submit();
	cancel(first);
	core.settle();
	const any = submit([after('after-finish', first)]);
	const ok = submit([after('after-success', first)]);
	const start = submit([after('after-start', first)]);
	core.settle();
	t.is(core.valueOf(any), 'sched');
	t.is(core.valueOf(ok), 'inactive');
	t.is(
		core.lastOf(start).exception?.note,
		'dependency can never be satisfied: job f2 ended without having started',
	);
});

test('singletons of one name have their turn in the order of their ids', t => {
	const {core, submit, cancel} = instance();
	const single: JobDependency = {description: 'singleton', kind: 'singleton', name: 'true'};
	const plain = submit();
	const ids = Array.from({length: 5}, () => submit([single]));
	core.settle();
	const free = () => ids.filter(id => core.valueOf(id) === 'sched');
	t.deepEqual(free(), []);
	cancel(ids[2]!);
	core.settle();
	t.deepEqual(free(), []);
	cancel(plain);
	core.settle();
	t.deepEqual(free(), ids.slice(0, 1));
	cancel(ids[0]!);
	cancel(ids[1]!);
	core.settle();
	t.deepEqual(free(), [ids[3]!]);
});

test('a job that is cancelled while it waits is watched no more', t => {
	const {core, watch, submit, cancel} = instance();
	const first = submit();
	const second = submit([after('after-success', first), after('after-start', first)]);
	core.settle();
	cancel(second);
	core.settle();
	t.false(watch.isAwaited(first));
	cancel(first);
	core.settle();
	t.is(core.lastOf(second).exception?.type, 'cancel');
});

test('begin times fire in order, at their time, also after the wall clock was set forward', t => {
	const clock = new SimClock();
	const fired: string[] = [];
	const times = new BeginTimes<string>(clock, what => fired.push(what));
	const now = clock.epochMs();
	times.add(now + 3_600_000, 'in an hour');
	times.add(now + 50, 'soon');
	times.add(now + 60, 'never');
	times.add(now - 1000, 'past');
	times.remove(now + 60, 'never');
	return clock
		.pass(100)
		.then(() => {
			t.deepEqual(fired, ['past', 'soon']);
			clock.stepWall(3_600_000);
			return clock.pass(WALL_LOOK_MS);
		})
		.then(() => t.deepEqual(fired, ['past', 'soon', 'in an hour']));
});

test('what a jobspec asks for is read once each, and what can not be is refused by name', t => {
	const {core, submit} = instance();
	submit();
	const withDependencies = (dependencies: readonly object[]) => {
		const jobspec = jobspecOf();
		const system = {...jobspec.attributes.system, dependencies};
		return {...jobspec, attributes: {...jobspec.attributes, system}} as unknown as Jobspec;
	};
	const read = (...dependencies: readonly object[]) =>
		resolveDependencies(withDependencies(dependencies), {state: core.state, archive: NO_ROWS});
	t.deepEqual(
		read(
			{scheme: 'after', value: 'f2'},
			{scheme: 'afterstart', value: 'f2'},
			{scheme: 'afterok', value: '1'},
		),
		[
			{description: 'after-start=f2', kind: 'after-start', id: 1n},
			{description: 'after-success=1', kind: 'after-success', id: 1n},
		],
	);
	t.deepEqual(read({scheme: 'begin-time', value: '12.5'}), [
		{description: 'begin-time=12.5', kind: 'begin-time', epochMs: 12_500},
	]);
	for (const [scheme, value, why] of [
		['afterok', '1234', /job not found/],
		['afterok', 'bar', /"bar" is not a valid jobid/],
		['afterok', '-1', /"-1" is not a valid jobid/],
		['before', '1', /scheme must be one of after,/],
		['constructor', '1', /scheme must be one of after,/],
		['begin-time', 'soon', /"soon" is not a valid time/],
		['begin-time', '-1.0', /"-1.0" is not a valid time/],
	] as const) {
		const error = t.throws(() => read({scheme, value}), {instanceOf: SystemError});
		t.is(error?.code, 'EINVAL');
		t.regex(error?.message ?? '', why);
	}
	const many = Array.from({length: 1001}, (_, index) => ({scheme: 'afterok', value: String(index)}));
	t.throws(() => read(...many), {message: /may have 1000 dependencies, not 1001/});
});
