/**
 * Goal: what is promised about a job over several ranks when a node reboots, stays away, is declared dead, or can't start
 * its part; each as one scenario on simulated nodes.
 */
import test from 'ava';
import {JobList} from '../../../src/services/job-list/job-list.ts';
import {jobspecOf} from '../job-fixture.ts';
import {
	LONG,
	worldOf,
	whole,
	submit,
	jobOf,
	namesOf,
	started,
	ended,
	nothingIsLeft,
	reboot,
} from './rank-jobs.ts';

test('a node that rebooted ends its job, naming the node, and the parts on other ranks are ended', async t => {
	const world = await worldOf();
	const id = submit(world, LONG);
	await started(world, id);
	await reboot(world, 2);
	const {result, outcome, exception} = await ended(world, id);
	t.deepEqual([result, outcome, exception?.type], ['FAILED', 'unknown', 'node-failure']);
	t.regex(exception?.note ?? '', /node of rank 2 was rebooted/);
	await nothingIsLeft(t, world);
});

test('a job that asks for it runs again when its node rebooted, and its first attempt can finish nothing', async t => {
	const world = await worldOf();
	const id = submit(world, LONG, {requeue: true});
	await started(world, id);
	await reboot(world, 2);
	await started(world, id, 2);
	t.is(jobOf(world, id)?.context.exception, null);
	t.deepEqual(
		world.ranks.map(({node}) => node.starts.map(start => start.split('.')[1])),
		[0, 1, 2].map(rank => [`1/${rank}`, `2/${rank}`]),
	);
	world.root!.manager.raise(id, {type: 'cancel', severity: 0, note: '', userid: 1000});
	const row = await ended(world, id);
	t.deepEqual([row.result, row.attempt], ['CANCELED', 2]);
	t.true(namesOf(row).includes('requeue'));
	t.is(row.events.find(({name}) => name === 'exception')?.context?.severity, 1);
	await nothingIsLeft(t, world);
});

test('a rank that reboots before the root heard of its start does not hang the job', async t => {
	for (const attributes of [{}, {requeue: true}]) {
		const world = await worldOf();
		const id = submit(world, LONG, attributes);
		await world.clock.run(() => world.get(2).node.starts.length === 1, {withinMs: 5000, what: 'it starts'});
		world.kill(2, {hold: true});
		t.is(jobOf(world, id)?.context.ranks[2]?.state, 'requested');
		world.get(2).node.reboot('boot-2');
		world.get(2).release();
		if ('requeue' in attributes) {
			await started(world, id, 2);
			world.root!.manager.raise(id, {type: 'cancel', severity: 0, note: '', userid: 1000});
		}
		const {exception} = await ended(world, id);
		t.is(exception?.type, 'requeue' in attributes ? 'cancel' : 'node-failure');
		await nothingIsLeft(t, world);
	}
});

test('a job whose rank stays away runs on, and ends with the true status when the rank is back', async t => {
	const world = await worldOf();
	const id = submit(world, ['sh', '-c', 'sleep 5; exit 7']);
	await started(world, id);
	world.kill(2, {hold: true});
	await world.clock.pass(60_000);
	t.is(jobOf(world, id)?.value, 'run');
	const shown = () =>
		new JobList(world.get(0).life!.core!, world.root!.archive, () => null).one(id).out_of_contact;
	t.is(shown(), '2');
	world.kill(1);
	await world.clock.run(() => world.get(0).life!.core!.isReconciled(1), {
		withinMs: 5000,
		what: 'rank 1 is back',
	});
	t.is(shown(), '2');
	world.get(2).release();
	const {result, waitStatus, events, exception} = await ended(world, id);
	t.deepEqual([result, waitStatus, exception], ['FAILED', 7 << 8, null]);
	const [start, finish] = ['start', 'finish'].map(name => events.find(event => event.name === name)!.atMs);
	t.true(Math.abs(finish! - start! - 5000) < 100, 'it finished when its tasks did');
	await nothingIsLeft(t, world);
});

test('ranks that finish before the others give their resources back, in one event', async t => {
	const world = await worldOf({cores: 1, node: {script: (_, task) => script(task === 2 ? 3000 : 50)}});
	const id = submit(world, ['work']);
	await started(world, id);
	await world.clock.pass(1000);
	const job = jobOf(world, id)!;
	t.is(job.value, 'run');
	t.deepEqual(
		job.context.events.filter(({name}) => name === 'release').map(({context}) => context),
		[{ranks: '0-1', final: false}],
	);
	const row = await ended(world, id);
	t.deepEqual(
		row.events.filter(({name}) => name === 'release').map(({context}) => context),
		[
			{ranks: '0-1', final: false},
			{ranks: '2', final: true},
		],
	);
	t.is(row.result, 'COMPLETED');
	await nothingIsLeft(t, world);
});

const script = (durationMs: number) => ({durationMs, waitStatus: 0});

test('a rank that cannot start its part fails the job, named with host and reason, and the others are ended', async t => {
	const world = await worldOf();
	world.get(1).node.refuseLaunches('no space left on device');
	const id = submit(world, LONG);
	const {result, exception} = await ended(world, id);
	t.is(result, 'FAILED');
	t.is(exception?.type, 'exec');
	t.is(exception?.note, 'rank 1 (n1): no space left on device');
	await nothingIsLeft(t, world);
});

test('a time limit on three ranks is one exception', async t => {
	const world = await worldOf();
	const jobspec = jobspecOf({argv: LONG, ntasks: 3, nnodes: 3, durationS: 1});
	const id = world.root!.manager.submit({jobspec, urgency: 16, flags: 0, userid: 1, requestId: null});
	const {result, events} = await ended(world, id);
	t.is(result, 'TIMEOUT');
	t.is(events.filter(({name}) => name === 'exception').length, 1);
	await nothingIsLeft(t, world);
});

test("an admin's word that a node is dead ends its parts; when it comes back they are killed there", async t => {
	for (const requeue of [false, true]) {
		const world = await worldOf();
		const id = submit(world, LONG, requeue ? {requeue} : {});
		await started(world, id);
		t.deepEqual(world.root!.manager.ranksOf('n[1-2]'), [1, 2]);
		t.deepEqual(world.root!.manager.ranksOf('0,2'), [0, 2]);
		t.throws(() => world.root!.manager.ranksOf('n7'), {code: 'ENOENT', message: /host n7/});
		t.throws(() => world.root!.manager.ranksOf('3'), {code: 'ENOENT', message: /rank 3/});
		t.throws(() => world.root!.manager.declareDead(2, 'smoke'), {
			code: 'EBUSY',
			message: /rank 2 \(n2\) is online/,
		});
		world.kill(2, {hold: true});
		await world.clock.pass(100);
		t.is(world.root!.manager.declareDead(2, 'smoke'), 1);
		t.is(world.root!.manager.declareDead(2, 'smoke'), 0, 'nothing is left to end');
		if (requeue) {
			await world.clock.pass(2000);
			t.is(jobOf(world, id)?.value, 'sched', 'it waits for three nodes');
		} else {
			const {exception, outcome} = await ended(world, id);
			t.deepEqual(exception, {
				type: 'node-failure',
				severity: 0,
				note: 'rank 2 (n2) was declared dead: smoke',
			});
			t.is(outcome, 'unknown');
		}
		t.is(world.get(2).node.aliveTasks, 1, 'its task does not know');
		world.get(2).release();
		await whole(world);
		if (requeue) {
			await started(world, id, 2);
			world.root!.manager.raise(id, {type: 'cancel', severity: 0, note: '', userid: 1000});
			await ended(world, id);
		}
		await nothingIsLeft(t, world);
	}
});

test('with a lease, a rank that is away ends its parts, and the root goes on without it after that', async t => {
	for (const requeue of [false, true]) {
		const world = await worldOf({leaseMs: 5000});
		const id = submit(world, LONG, requeue ? {requeue} : {});
		await started(world, id);
		await world.clock.pass(20_000);
		t.is(jobOf(world, id)?.value, 'run', 'in contact, no time counts');
		world.kill(2, {hold: true});
		await world.clock.pass(4000);
		t.is(world.get(2).node.aliveTasks, 1);
		await world.clock.pass(2000);
		t.is(world.get(2).node.aliveTasks, 0, 'its shell has ended it');
		t.is(jobOf(world, id)?.value, 'run', 'the root waits for longer');
		await world.clock.pass(20_000);
		if (requeue) {
			t.is(jobOf(world, id)?.value, 'sched');
			t.is(jobOf(world, id)?.context.past?.length, 1);
		} else {
			const {exception} = await ended(world, id);
			t.is(exception?.note, 'rank 2 (n2) was out of contact for longer than exec.lease');
		}
		world.get(2).release();
		await whole(world);
		if (requeue) {
			await started(world, id, 2);
			world.root!.manager.raise(id, {type: 'cancel', severity: 0, note: '', userid: 1000});
			await ended(world, id);
		}
		await nothingIsLeft(t, world);
	}
});

test('a rank that was away for longer than its lease and comes back before the root gave it up says so', async t => {
	for (const requeue of [false, true]) {
		const world = await worldOf({leaseMs: 5000});
		const id = submit(world, LONG, requeue ? {requeue} : {});
		await started(world, id);
		world.kill(2, {hold: true});
		await world.clock.pass(7000);
		world.get(2).release();
		await whole(world);
		if (requeue) {
			await started(world, id, 2);
			world.root!.manager.raise(id, {type: 'cancel', severity: 0, note: '', userid: 1000});
		}
		const {exception, events} = await ended(world, id);
		const said = events.find(({name, context}) => name === 'exception' && context?.type === 'node-failure');
		t.regex(String(said?.context?.note), /^rank 2 \(n2\): out of contact with the root/);
		t.is(exception?.type, requeue ? 'cancel' : 'node-failure');
		await nothingIsLeft(t, world);
	}
});

test('whichever message is lost, the job comes to its end', async t => {
	const argv = ['sh', '-c', 'sleep 0.2; exit 3'];
	const calm = await worldOf();
	const before = calm.messages.length;
	const calmId = submit(calm, argv);
	await ended(calm, calmId);
	await calm.clock.pass(1000);
	const count = calm.messages.length;
	t.true(count - before > 15);
	for (let lost = before + 1; lost <= count; lost += 1) {
		const world = await worldOf({isLost: number => number === lost});
		const id = submit(world, argv);
		const {result, waitStatus} = await ended(world, id);
		t.deepEqual([result, waitStatus], ['FAILED', 768], `message ${lost}: ${calm.messages[lost - 1]}`);
		await world.clock.pass(120_000);
		await nothingIsLeft(t, world);
	}
});

test('nothing of a job starts anywhere before all its ranks are ready', async t => {
	const world = await worldOf({size: 3});
	world.get(2).node.loseShell({hold: true});
	const id = submit(world, LONG);
	await world.clock.pass(25_000);
	t.deepEqual(
		world.ranks.map(({node}) => node.starts),
		[[], [], []],
	);
	t.is(jobOf(world, id)?.value, 'run');
	world.get(2).node.releaseShell();
	await started(world, id);
	t.deepEqual(
		world.ranks.map(({node}) => node.starts.length),
		[1, 1, 1],
	);
});

test('a rank that comes back again and again while a start waits makes it no more urgent', async t => {
	const world = await worldOf({size: 3, fanout: 2});
	world.get(2).node.loseShell({hold: true});
	const id = submit(world, LONG);
	const asked = () => world.splits.filter(split => split === '0>2 job-exec.prepare').length;
	for (let time = 0; time < 4; time += 1) {
		await world.clock.pass(3000);
		world.kill(1);
		await whole(world);
	}
	const before = asked();
	await world.clock.pass(22_000);
	const perTry = asked() - before;
	t.true(perTry >= 1 && perTry <= 3, `${perTry} questions in two tries`);
	world.get(2).node.releaseShell();
	await started(world, id);
});

test('a rank that was away for long while a start waits has all its tries when it is back', async t => {
	const world = await worldOf({size: 3, fanout: 2});
	world.get(2).node.loseShell({hold: true});
	const id = submit(world, LONG);
	await world.clock.pass(500);
	world.kill(2, {hold: true});
	await world.clock.pass(30_000);
	world.get(2).release();
	await whole(world);
	await world.clock.pass(25_000);
	t.is(jobOf(world, id)?.value, 'run');
	world.get(2).node.releaseShell();
	await started(world, id);
});

test('a rank that never gets ready fails the job, and no task of it has run', async t => {
	const world = await worldOf({size: 3});
	world.get(1).node.loseShell({hold: true});
	const id = submit(world, LONG);
	await world.clock.run(() => jobOf(world, id)?.value === 'cleanup', {
		withinMs: 120_000,
		what: 'the job has failed',
	});
	const {exception} = jobOf(world, id)!.context;
	t.is(exception?.type, 'exec');
	t.regex(exception?.note ?? '', /rank 1 .*did not answer/);
	t.deepEqual(
		world.ranks.flatMap(({node}) => node.starts),
		[],
	);
	world.get(1).node.releaseShell();
	world.kill(1); // Its next life gives the order to end the part again.
	t.is((await ended(world, id)).result, 'FAILED');
	await nothingIsLeft(t, world);
});

test('a job of 512 ranks costs the root messages in proportion to its fan-out', async t => {
	const fanout = 8;
	const world = await worldOf({size: 512, fanout, node: {script: () => script(500)}});
	const before = world.messages.length;
	const id = submit(world, ['work'], {}, 512);
	const {result, ranks, events} = await ended(world, id);
	await world.clock.pass(2000);
	t.is(result, 'COMPLETED');
	t.is(Object.keys(ranks).length, 512);
	t.deepEqual(
		events.map(({name}) => name),
		['submit', 'validate', 'depend', 'priority', 'alloc', 'start', 'finish', 'release', 'free', 'clean'],
	);
	// Orders are split on their way: one message a child and kind. Reports come up in batches.
	t.is(world.splits.filter(split => split.startsWith('0>')).length, 3 * fanout);
	const batches = world.messages.slice(before).filter(message => / job-exec.relay$/.test(message));
	const toRoot = batches.filter(message => /^\d+>0 /.test(message));
	t.true(toRoot.length <= 16 * fanout, `${toRoot.length} batches came to the root`);
	t.true(batches.filter(message => message.startsWith('0>')).length <= 16 * fanout);
});

/** The task of rank 0 ends at once, the others go on. */
const UNEVEN = {
	node: {
		script: (_: unknown, task: number) => ({durationMs: task === 0 ? 100 : Infinity, waitStatus: 0}),
	},
};

test('ranks whose tasks go on 30 s after those of another are ended with the reason, also by a new root', async t => {
	const world = await worldOf(UNEVEN);
	const id = submit(world, LONG);
	await started(world, id);
	await world.clock.pass(20_000);
	world.kill(0);
	await whole(world);
	await world.clock.pass(20_000);
	t.is(jobOf(world, id)?.value, 'run', 'a new root counts from its own start');
	const {exception, waitStatus} = await ended(world, id);
	t.is(exception?.type, 'exec');
	t.regex(exception?.note ?? '', /^the tasks of a rank have ended, and others go on 30 s later/);
	t.is(waitStatus, 15);
	await nothingIsLeft(t, world);
});

test('a rank that is away when the others have ended is waited for', async t => {
	const script = (_: unknown, task: number) => ({durationMs: task === 2 ? 5000 : 100, waitStatus: 0});
	const world = await worldOf({node: {script}});
	const id = submit(world, LONG);
	await started(world, id);
	world.kill(2, {hold: true}); // Its task ends while it is away.
	await world.clock.pass(200_000);
	t.is(jobOf(world, id)?.value, 'run');
	world.get(2).release();
	const {result, exception} = await ended(world, id);
	t.deepEqual([result, exception], ['COMPLETED', null]);
	await nothingIsLeft(t, world);
});

test('without exit-timeout ranks go on as long as they like', async t => {
	const world = await worldOf(UNEVEN);
	const id = submit(world, LONG, {shell: {options: {'exit-timeout': 'none'}}});
	await started(world, id);
	await world.clock.pass(90_000);
	t.is(jobOf(world, id)?.value, 'run');
	world.root!.manager.raise(id, {type: 'cancel', severity: 0, note: '', userid: 1000});
	await ended(world, id);
	await nothingIsLeft(t, world);
});
