/**
 * Goal: whatever a log has been through, the broker on it comes up: as far as it can work, and otherwise in safe mode.
 * Method: the simulated world; what is done to the disk is done between two lives of the broker.
 */
import test, {type ExecutionContext} from 'ava';
import {verifyLog} from '../../src/broker/log-view.ts';
import {SystemError} from '../../src/formats/errno.ts';
import {RpcClient} from '../../src/net/rpc-client.ts';
import {SIM_URI, SimWorld} from '../../src/sim/world.ts';
import {KEYSPACE, keyspaceRange, recordKey, seqOfKey} from '../../src/store/keyspaces.ts';
import {playOut, StubbornClient} from '../sim/scenario.ts';

const client = async (world: SimWorld) => {
	const link = await world.network.transport('client').connect(SIM_URI, {timeoutMs: 1000});
	return RpcClient.over(link, {clock: world.clock, userid: 1000});
};

/** Submits a job that runs for long and opens a stream on it. */
async function watchLongJob(world: SimWorld): Promise<bigint> {
	const id = await new StubbornClient(world).submit(['sleep', '1000'], {requestId: 'long'});
	const watcher = await client(world);
	void drain(watcher.stream('job-info.eventlog-watch', {id, path: 'eventlog', flags: 0}));
	await world.clock.pass(200);
	return id;
}

async function drain(values: AsyncIterable<unknown>): Promise<void> {
	try {
		for await (const _ of values);
	} catch {
		// The broker dies under it: that is what the test is about.
	}
}

async function restart(world: SimWorld): Promise<void> {
	const before = world.bootCount;
	world.kill();
	await world.clock.run(() => world.bootCount > before && world.broker !== null, {
		withinMs: 5000,
		what: `the broker comes up: ${world.ends.join('; ')}`,
	});
}

function begin(t: ExecutionContext): SimWorld {
	const world = new SimWorld({seed: 1});
	world.start();
	t.teardown(() => world.kill());
	return world;
}

test('an RPC that was opened before a snapshot and ended after it does not hinder the next start', async t => {
	const world = begin(t);
	const id = await playOut(world, async () => {
		const long = await watchLongJob(world);
		const other = new StubbornClient(world);
		for (let n = 0; n < 5; n += 1) await other.ended(await other.submit(['true'], {requestId: `short ${n}`}));
		await other.call('job-manager.raise', {id: long, type: 'cancel', severity: 0, note: ''});
		await other.ended(long);
		await world.clock.pass(200);
		return long;
	});
	await restart(world);
	t.not(world.broker?.log.snapshot ?? null, null, 'the replay began at a snapshot');
	t.is(world.broker?.runtime.state.jobs.has(id), false);
});

test('a damaged record leads to a broker in safe mode, which tells what it can read and begins nothing', async t => {
	const world = begin(t);
	const id = await playOut(world, () => watchLongJob(world));
	const records = world.disk.database!.range(keyspaceRange(KEYSPACE.record)).map(([key]) => seqOfKey(key)!);
	world.kill();
	t.true(world.disk.flipBit(recordKey(records.at(-1)!), 600));
	await world.clock.run(() => world.broker !== null, {withinMs: 5000, what: world.ends.join('; ')});
	const {state, error} = await playOut(world, async () => {
		const asking = await client(world);
		const known = (await asking.call('job-list.list-id', {id, attrs: ['all']})) as {job: object};
		t.is(known.job !== undefined, true);
		const refused = await new StubbornClient(world)
			.submit(['true'], {requestId: 'new'})
			.catch((one: unknown) => one);
		return {state: (await asking.call('state-machine.get', {})) as {state: string}, error: refused};
	});
	t.is(state.state, 'safe');
	t.true(error instanceof SystemError && error.code === 'EROFS', String(error));
	t.is(world.node.aliveTasks, 1, 'the job is left as it is');
});

test('a salvage is answered, and the broker comes back in order', async t => {
	const world = begin(t);
	await playOut(world, () => watchLongJob(world));
	const records = world.disk.database!.range(keyspaceRange(KEYSPACE.record)).map(([key]) => seqOfKey(key)!);
	world.kill();
	world.disk.flipBit(recordKey(records.at(-1)!), 600);
	await world.clock.run(() => world.broker !== null, {withinMs: 5000, what: 'the broker is up'});
	const answer = await playOut(world, async () => {
		const asking = await client(world);
		return (await asking.call('event-log.salvage', {yes: true})) as {done: boolean};
	});
	t.true(answer.done);
	await world.clock.run(() => world.broker?.log.mode === 'normal', {withinMs: 5000, what: 'it is mended'});
	t.is(world.broker?.runtime.refusal, null);
});

test('when the log refuses a fact, what waits for facts before it still waits', async t => {
	const world = begin(t);
	const id = await playOut(world, () => watchLongJob(world));
	const {runtime, log} = world.broker!;
	runtime.post({type: 'broker.jobid-floor', id: id + 1n});
	t.true(log.durableSeq < log.lastDurableAppendedSeq, 'a commit is under way');
	const note = 'x'.repeat(5 * 1024 * 1024);
	t.throws(() => runtime.post({type: 'job.exception', id, exception: 'big', severity: 7, note, userid: 0}), {
		message: /exceed one record/,
	});
	let hasLeft = false;
	runtime.leave(() => (hasLeft = true));
	t.false(hasLeft);
	t.not(runtime.refusal, null);
	await world.clock.run(() => world.bootCount > 1 && world.broker !== null, {
		withinMs: 5000,
		what: 'a restart',
	});
	t.is(world.broker?.runtime.state.jobs.size, 1);
});

test('an RPC that was open when older facts were dropped is no illegal fact', async t => {
	const world = begin(t);
	const verified = await playOut(world, async () => {
		const id = await watchLongJob(world);
		const {log, runtime} = world.broker!;
		const seq = await log.checkpoint(runtime.state.encode(), {keepFromSeq: log.appendedSeq + 1});
		t.is(log.base, seq);
		const other = new StubbornClient(world);
		await other.call('job-manager.raise', {id, type: 'cancel', severity: 0, note: ''});
		await other.ended(id);
		await world.clock.pass(200);
		return verifyLog(log);
	});
	t.deepEqual([verified.ok, verified.illegal, verified.problems], [true, 0, []]);
});

test('an id that was only seen is in HEAD at once, so that it outlives the log', async t => {
	const world = begin(t);
	await world.clock.run(() => world.broker !== null, {withinMs: 5000, what: 'the broker is up'});
	world.broker!.runtime.post({type: 'broker.jobid-floor', id: 12_345_678n});
	await world.clock.pass(200);
	await restart(world);
	t.is(world.broker?.log.headMark, 12_345_678n);
});
