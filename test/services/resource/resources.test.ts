/**
 * Goal: what nodes have and why they get no work is known and kept, targets are read as an admin writes them, and what is held
 * for jobs that are no more can be released. Method: the services over a core that posts at once, and their topics.
 */
import test from 'ava';
import {SystemError} from '../../../src/formats/errno.ts';
import {Idset} from '../../../src/formats/idset.ts';
import {ServiceRegistry} from '../../../src/net/service-registry.ts';
import type {RpcRequest} from '../../../src/net/rpc-request.ts';
import {DurableState} from '../../../src/machines/durable-state.ts';
import {Scheduling} from '../../../src/services/scheduling.ts';
import {FakeCore} from '../fake-core.ts';
import {jobspecOf, resourcesOf} from '../job-fixture.ts';
import {FakeMembership} from './fake-membership.ts';

function clusterOf(size = 3, {exclude = '', state = new DurableState()} = {}) {
	const core = new FakeCore(state);
	const membership = new FakeMembership(size);
	const registry = new ServiceRegistry();
	const policy = {exclude: Idset.parse(exclude), queues: {}};
	const scheduling = new Scheduling({core, membership, registry, policy});
	scheduling.begin();
	const {resources} = scheduling;
	const all = resourcesOf(size, 4);
	const join = (rank: number) => {
		resources.report(rank, all.pick(Idset.from([rank])).encode());
		core.reconciled(rank);
		scheduling.wake();
	};
	/** What a topic answers. */
	const ask = (topic: string, payload: object = {}): Record<string, unknown> => {
		let answer: unknown;
		const request = {topic, payload, userid: 1000, respond: (value: unknown) => (answer = value)};
		void registry.find(topic)!.handler(request as unknown as RpcRequest);
		return answer as Record<string, unknown>;
	};
	const refused = (topic: string, payload: object) => {
		try {
			ask(topic, payload);
		} catch (error) {
			if (error instanceof SystemError) return `${error.code}: ${error.message}`;
			throw error;
		}
		return null;
	};
	return {core, membership, scheduling, resources, join, ask, refused};
}

const joined = (options?: {exclude?: string; state?: DurableState}) => {
	const cluster = clusterOf(3, options);
	for (const rank of [0, 1, 2]) cluster.join(rank);
	return cluster;
};

function boot(core: FakeCore): void {
	core.post({type: 'broker.instance', instance: 'i', epochMs: 1, rank: 0, hostname: 'n0'});
	core.post({type: 'broker.boot', epoch: 1, bootId: 'b', uuid: 'u', pid: 1, version: '0'});
}

test('an inventory is a fact only when it says something new', t => {
	const {core, resources} = clusterOf();
	const seen: string[] = [];
	core.onChange(({kind}) => void seen.push(kind));
	const R = resourcesOf(1, 4);
	resources.report(0, R.encode());
	resources.report(0, R.encode());
	t.deepEqual(seen, ['node']);
	resources.report(0, R.withInfo({properties: new Map([['big', Idset.parse('0')]])}).encode());
	resources.report(0, resourcesOf(1, 8).encode());
	t.deepEqual(seen, ['node', 'node', 'node']);
	t.throws(() => resources.report(1, R.encode()), {code: 'EINVAL'});
});

test('nodes that are away are known from the log, with their drains', t => {
	const {core, ask} = joined();
	ask('resource.drain', {targets: 'n[1-2]', reason: 'disk'});
	const later = clusterOf(3, {state: DurableState.decode(core.state.encode())});
	const status = later.ask('resource.status');
	t.is(Object.keys(status['drain'] as object).join(), '1-2');
	t.like(Object.values(status['drain'] as object)[0], {reason: 'disk'});
	t.is(later.resources.pool.total.nodeCount, 3);
	t.deepEqual(
		[0, 1].map(rank => later.resources.isReady(rank)),
		[false, false],
	);
	later.join(0);
	later.join(1);
	t.deepEqual(
		[0, 1].map(rank => later.resources.isReady(rank)),
		[true, false],
	);
});

test('a node whose definition changes keeps held what a job holds', t => {
	const {core, resources} = joined();
	const id = core.submit({jobspec: jobspecOf({ntasks: 3})});
	core.settle();
	resources.report(0, resourcesOf(1, 8).encode());
	t.is(resources.pool.free().coreCount, 8 + 8 - 3);
	resources.report(0, resourcesOf(1, 2).encode());
	t.is(resources.pool.free().coreCount, 8);
	t.is(resources.pool.allocated().coreCount, 2);
	core.end(id);
	t.is(resources.pool.free().coreCount, 10);
});

test('targets are an idset or a hostlist, and all of them must be there', t => {
	const {ask, refused} = joined();
	t.is(
		refused('resource.drain', {targets: '1,3-9'}),
		'EINVAL: idset is out of range: no rank(s) 3-9 in an instance of 3',
	);
	t.is(refused('resource.drain', {targets: 'n[0,7-8]'}), 'EINVAL: unknown host(s): n[7-8]');
	t.is(refused('resource.drain', {targets: ''}), 'EINVAL: no targets were given');
	t.deepEqual(ask('resource.status')['drain'], {});
});

test('a drain keeps its time and reason as its mode says', t => {
	const {ask, refused, core} = joined();
	const drainOf = (rank: number) => core.state.nodes.get(rank)!.context.drain!;
	ask('resource.drain', {targets: '1'});
	const {sinceMs} = drainOf(1);
	ask('resource.drain', {targets: '1', reason: 'disk'});
	t.deepEqual(
		drainOf(1),
		{reason: 'disk', userid: 1000, sinceMs},
		'a reason that was not given may come later',
	);
	t.is(refused('resource.drain', {targets: '0-1', reason: 'x'}), 'EINVAL: rank(s) 1 already drained');
	t.false(core.state.nodes.get(0)?.value === 'drained', 'all or none');
	ask('resource.drain', {targets: '0-1', reason: 'x', mode: 'update'});
	t.deepEqual([drainOf(0).reason, drainOf(1).reason], ['x', 'disk']);
	ask('resource.drain', {targets: '1', reason: 'y', mode: 'overwrite'});
	t.deepEqual(drainOf(1), {reason: 'y', userid: 1000, sinceMs});
	ask('resource.drain', {targets: '1', reason: 'z', mode: 'force-overwrite'});
	t.true(drainOf(1).sinceMs > sinceMs);
	t.is(refused('resource.drain', {targets: '1', mode: 'frob'}), "EINVAL: resource.drain: 'frob' is no mode");
	t.is(refused('resource.undrain', {targets: '0-2'}), 'EINVAL: rank 2 not drained');
	ask('resource.undrain', {targets: '0-2', mode: 'force'});
	t.deepEqual(ask('resource.status')['drain'], {});
});

test('status tells who is here, and sched-status what can be used', t => {
	const {membership, ask, core} = joined({exclude: '0'});
	core.submit({});
	core.settle();
	membership.set(2, {isOnline: false});
	const status = ask('resource.status');
	t.like(status, {online: '0-1', offline: '2', exclude: '0', torpid: '', allocated: '1', hosts: 'n[0-2]'});
	const ranksIn = (R: unknown) =>
		(R as {execution: {R_lite: {rank: string}[]}}).execution.R_lite.map(({rank}) => rank);
	const {all, down, allocated} = ask('resource.sched-status');
	t.deepEqual([all, down, allocated].map(ranksIn), [['1-2'], ['2'], ['1']]);
	t.deepEqual(ask('sched.resource-status'), ask('resource.sched-status'));
});

test('what is held for a job that is no more is listed, and free when an admin says so', t => {
	const {core, resources, ask, refused} = joined();
	boot(core);
	const R = resourcesOf(2, 2).encode() as never;
	resources.ghosts.hold({id: 50n, attempt: 1, rank: 1}, R);
	resources.ghosts.hold({id: 51n, attempt: 1, rank: 2}, null);
	resources.ghosts.hold({id: 51n, attempt: 2, rank: 0}, {version: 7});
	t.is(resources.pool.free().coreCount, 2);
	const held = ask('resource.held')['held'] as {id: bigint; reason: string}[];
	t.deepEqual(
		held.map(({id}) => id),
		[50n, 51n, 51n],
	);
	t.regex(held[1]!.reason, /attempt 1 .* on rank 2; what it has is not known/);
	ask('resource.release', {id: 51n});
	t.is(resources.pool.free().coreCount, 10);
	resources.ghosts.hold({id: 51n, attempt: 1, rank: 2}, null);
	t.is(resources.pool.free().coreCount, 10, 'the word of an admin outlasts inventories');
	resources.ghosts.restart(1);
	t.is(resources.pool.free().coreCount, 12);
	t.is(refused('resource.release', {id: 51n}), 'ENOENT: nothing is held for job ft');
	const active = core.submit({});
	t.regex(refused('resource.release', {id: active}) ?? '', /EINVAL: job f2 is active/);
});

test('a job in lost+found holds what it held until an admin releases it', t => {
	const {core} = joined();
	const id = core.submit({jobspec: jobspecOf({ntasks: 3})});
	core.settle();
	core.state.setAside({type: 'job.clean', id, atMs: 1}, {seq: 1, reason: 'test'});
	boot(core);
	const after = clusterOf(3, {state: core.state});
	t.is(after.resources.pool.free().coreCount, 9);
	t.like((after.ask('resource.held')['held'] as object[])[0], {id, kind: 'lost+found', reason: 'test'});
	after.ask('resource.release', {id});
	t.is(after.resources.pool.free().coreCount, 12);
	t.is(clusterOf(3, {state: core.state}).resources.pool.free().coreCount, 12);
});

test('what a job holds on ranks that were released is free before its end', t => {
	const {core, resources} = joined();
	const id = core.submit({jobspec: jobspecOf({ntasks: 6, nnodes: 3})});
	core.settle();
	t.is(resources.pool.free().coreCount, 6);
	const at = {type: 'job.report' as const, id, bootId: 'b'};
	for (const rank of [0, 1, 2]) {
		const tasks = [{task: rank, pid: 1, startTicks: 1, startMs: 5}];
		core.post({...at, rank, seq: 1, body: {kind: 'started', tasks}});
	}
	core.post({...at, rank: 1, seq: 2, body: {kind: 'exited', tasks: [{task: 1, waitStatus: 0, endMs: 9}]}});
	core.post({type: 'job.release', id, ranks: '1', final: false});
	t.is(resources.pool.free().coreCount, 8);
	t.deepEqual([...resources.pool.held.get(id)!.ranks.keys()], [0, 2]);
	t.is(clusterOf(3, {state: core.state}).resources.pool.free().coreCount, 8, 'also after a restart');
});
