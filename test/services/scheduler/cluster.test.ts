/**
 * Goal: over many nodes, jobs get what their options, constraints and queues say, from ranks that may have new work only, and
 * wait without holding up those that can run. Method: a scheduler over real machines, and a membership that is moved.
 */
import test from 'ava';
import {Idset} from '../../../src/formats/idset.ts';
import {parseConstraintQuery} from '../../../src/formats/constraint-query.ts';
import type {CommandOptions} from '../../../src/formats/jobspec-from-command.ts';
import {ResourceSet} from '../../../src/formats/resource-set.ts';
import {ServiceRegistry} from '../../../src/net/service-registry.ts';
import {Scheduling, type SchedulingPolicy} from '../../../src/services/scheduling.ts';
import {FakeCore} from '../fake-core.ts';
import {jobspecOf, resourcesOf} from '../job-fixture.ts';
import {FakeMembership} from '../resource/fake-membership.ts';

const SIZE = 4;
const CORES = 4;

function clusterOf({
	queues = {},
	exclude = '',
}: {queues?: SchedulingPolicy['queues']; exclude?: string} = {}) {
	const core = new FakeCore();
	const membership = new FakeMembership(SIZE);
	const policy = {exclude: Idset.parse(exclude), queues};
	const scheduling = new Scheduling({core, membership, registry: new ServiceRegistry(), policy});
	scheduling.begin();
	const properties = new Map([['big', Idset.parse('2-3')]]);
	const all = resourcesOf(SIZE, CORES).withInfo({properties});
	const join = (rank: number) => {
		scheduling.resources.report(rank, all.pick(Idset.from([rank])).encode());
		core.reconciled(rank);
		scheduling.wake();
	};
	const submit = (options: Partial<CommandOptions> = {}) => {
		const id = core.submit({jobspec: jobspecOf(options)});
		core.settle();
		return id;
	};
	const ranksOf = (id: bigint) =>
		core.valueOf(id) === 'sched' ? null : ResourceSet.parse(core.lastOf(id).R).rankset.toString();
	return {core, membership, scheduling, join, submit, ranksOf};
}

function joined(options?: Parameters<typeof clusterOf>[0]) {
	const cluster = clusterOf(options);
	for (let rank = 0; rank < SIZE; rank += 1) cluster.join(rank);
	return cluster;
}

test('nodes, tasks, cores and whole nodes are as asked', t => {
	const {submit, ranksOf, core} = joined();
	const spread = submit({nnodes: 3, ntasks: 6});
	t.is(ranksOf(spread), '0-2');
	t.is(ResourceSet.parse(core.lastOf(spread).R).coreCount, 6);
	t.is(ranksOf(submit({nnodes: 1, ntasks: 1, exclusive: true})), '3');
	t.is(ranksOf(submit({ntasks: 2, coresPerTask: 2})), '0-1');
	t.is(ranksOf(submit({nnodes: 1, ntasks: 1, exclusive: true})), null);
});

test('constraints name hosts, ranks and properties', t => {
	const {submit, ranksOf} = joined();
	const run = (query: string) => ranksOf(submit({constraints: parseConstraintQuery(query)}));
	t.is(run('big'), '2');
	t.is(run('not big'), '0');
	t.is(run('host:n[1,3]'), '1');
	t.is(run('rank:3 or host:n9'), '3');
	t.is(run('big and -rank:2'), '3');
});

test('a rank gets no new work while it is away, torpid, drained or excluded', t => {
	const {submit, ranksOf, membership, core, scheduling} = joined({exclude: '0'});
	t.is(ranksOf(submit()), '1');
	core.post({type: 'node.drain', rank: 1, reason: 'disk', userid: 0, sinceMs: 1});
	t.is(ranksOf(submit()), '2');
	membership.set(2, {isTorpid: true});
	t.is(ranksOf(submit()), '3');
	membership.set(3, {isOnline: false});
	const waiting = submit();
	t.is(ranksOf(waiting), null);
	t.is(
		scheduling.whyPending(waiting),
		'needs 1 core(s); rank 1 (n1) drained: disk; rank 2 (n2) torpid; rank 3 (n3) offline',
	);
	core.unreconciled(2);
	membership.set(2, {isTorpid: false});
	core.settle();
	t.is(ranksOf(waiting), null, 'not before it is reconciled');
	core.reconciled(2);
	scheduling.wake();
	core.settle();
	t.is(ranksOf(waiting), '2');
});

test('a job that needs nodes that are away holds up nobody, and is the first when they are back', t => {
	const {submit, ranksOf, membership, core} = joined();
	membership.set(3, {isOnline: false});
	const wide = submit({nnodes: 4, ntasks: 4, coresPerTask: CORES});
	const small = submit();
	t.deepEqual([ranksOf(wide), ranksOf(small)], [null, '0']);
	membership.set(3, {isOnline: true});
	core.settle();
	const late = submit();
	t.deepEqual([ranksOf(wide), ranksOf(late)], [null, null], 'it waits for what others hold, and they for it');
	core.end(small);
	core.settle();
	t.is(ranksOf(wide), '0-3');
	core.end(wide);
	core.settle();
	t.is(ranksOf(late), '0');
});

test('a request is refused only when all nodes are known, drained ones included', t => {
	const {submit, ranksOf, core, join} = clusterOf();
	const any = submit({ntasks: 100});
	const tooMany = submit({nnodes: 5, ntasks: 5});
	t.is(core.valueOf(tooMany), 'inactive', 'more nodes than there ever can be');
	for (let rank = 0; rank < SIZE; rank += 1) join(rank);
	core.settle();
	t.is(core.valueOf(any), 'inactive');
	t.is(
		core.lastOf(any).exception?.note,
		'unsatisfiable request: the instance has 4 node(s), 16 core(s), 0 gpu(s); the job needs 100 core(s)',
	);
	core.post({type: 'node.drain', rank: 3, reason: '', userid: 0, sinceMs: 1});
	const all = submit({nnodes: 4, ntasks: 4});
	t.is(ranksOf(all), null);
	const none = submit({constraints: parseConstraintQuery('gpu')});
	t.regex(core.lastOf(none).exception?.note ?? '', /of which 0 node\(s\).* fit its constraints/);
});

test('queues hold up each other in nothing, and each has its nodes and its switch', t => {
	const queues = {
		batch: {requires: ['big'], durationMsMax: null, policy: {durationMsMax: null, sizeMax: {ncores: 12}}},
		debug: {requires: [], durationMsMax: 3_600_000},
	};
	const {submit, ranksOf, core, scheduling} = joined({queues});
	const first = submit({queue: 'batch', ntasks: 8});
	t.is(ranksOf(first), '2-3');
	const second = submit({queue: 'batch', ntasks: 2});
	const third = submit({queue: 'batch'});
	t.is(scheduling.whyPending(second), 'needs 2 core(s), which others hold');
	t.is(scheduling.whyPending(third), '1 job(s) ahead in queue batch');
	t.is(ranksOf(submit({queue: 'debug'})), '0');
	scheduling.queues.turn('start', {name: 'batch', isOn: false, reason: 'tea'});
	core.end(first);
	core.settle();
	t.is(ranksOf(second), null);
	t.is(scheduling.whyPending(second), 'queue batch is stopped: tea');
	scheduling.queues.turn('start', {name: null, isOn: true, reason: ''});
	core.settle();
	t.deepEqual([ranksOf(second), ranksOf(third)], ['2', '2']);
	const refusal = (options: Partial<CommandOptions>) =>
		t.throws(() => scheduling.queues.admit(jobspecOf(options))).message;
	t.is(refusal({}), 'a queue must be named: batch, debug');
	t.is(refusal({queue: 'no'}), "no queue 'no', there are batch, debug");
	t.is(refusal({queue: 'debug'}), 'requested duration (unlimited) exceeds the limit of queue debug (1h)');
	scheduling.queues.turn('enable', {name: 'batch', isOn: false, reason: 'moved'});
	t.is(refusal({queue: 'batch'}), 'job submission to batch is disabled: moved');
	t.notThrows(() => scheduling.queues.admit(jobspecOf({queue: 'debug', durationS: 3600})));
});

test('when the first job of a queue is cancelled, those behind it have their turn', t => {
	const {submit, ranksOf, core} = joined();
	submit({ntasks: 14});
	const wide = submit({nnodes: 4, ntasks: 4});
	const small = submit();
	t.deepEqual([ranksOf(wide), ranksOf(small)], [null, null]);
	core.post({type: 'job.exception', id: wide, exception: 'cancel', severity: 0, note: '', userid: 0});
	core.settle();
	t.is(ranksOf(small), '3');
});
