/**
 * Goal: a root that has lost its log finds the jobs of several ranks again, each as one scenario on simulated nodes; what it
 * can't make out is left alone.
 */
import test from 'ava';
import {LONG, worldOf, whole, submit, jobOf, namesOf, started, ended, nothingIsLeft} from './rank-jobs.ts';

test('a root that has lost its log finds a job of three ranks again, and nothing of it runs twice', async t => {
	const world = await worldOf();
	const id = submit(world, ['sh', '-c', 'sleep 20; exit 9']);
	await started(world, id);
	await world.clock.pass(500);
	world.kill(0, {hold: true});
	world.get(0).wipe();
	world.get(0).release();
	await whole(world);
	await started(world, id);
	t.deepEqual(namesOf(jobOf(world, id)?.context).slice(-2), ['debug.adopt', 'start']);
	t.is(world.get(0).life!.core!.state.lastJobId, id);
	const {result, waitStatus, attempt} = await ended(world, id);
	t.deepEqual([result, waitStatus, attempt], ['FAILED', 9 << 8, 1]);
	await nothingIsLeft(t, world);
});

for (const jobspec of [undefined, {json: '{'}, {json: '{"version":1}'}, {version: 1}]) {
	test(`a found job whose jobspec is ${JSON.stringify(jobspec)} is left alone, and holds what its directory says`, async t => {
		const world = await worldOf();
		const id = submit(world, LONG);
		await started(world, id);
		world.kill(0, {hold: true});
		world.get(0).wipe();
		for (const {node} of world.ranks) {
			for (const {spec} of node.parts.values()) {
				const record = JSON.parse(spec.record) as object;
				Object.assign(spec, {record: JSON.stringify({...record, jobspec})});
			}
		}
		world.get(0).release();
		await whole(world);
		t.is(jobOf(world, id), undefined);
		for (const {rank, node, lines} of world.ranks) {
			t.is(node.aliveTasks, 1, `tasks on rank ${rank}`);
			t.regex(lines.join('\n'), /cannot be registered again, and is left as it is: EINVAL.*jobspec/);
		}
		const {ghosts} = world.root!.scheduling.resources;
		t.deepEqual(
			[...ghosts.all].map(ghost => [ghost.id, ghost.rank]).sort(),
			[0, 1, 2].map(rank => [id, rank]),
		);
	});
}

test('a rank of a found job that has nothing of it ends the job instead of starting it again', async t => {
	const world = await worldOf();
	const id = submit(world, LONG);
	await started(world, id);
	for (const rank of [0, 1, 2]) world.kill(rank, {hold: true});
	world.get(0).wipe();
	world.get(2).wipe();
	world.get(2).node.killTask({id, attempt: 1}, 2);
	await world.clock.pass(100);
	world.get(2).node.parts.clear();
	for (const rank of [0, 1, 2]) world.get(rank).release();
	await whole(world);
	const {exception} = await ended(world, id);
	t.deepEqual([exception?.type, exception?.severity], ['exec', 0]);
	t.regex(exception?.note ?? '', /rank 2 has no trace/);
	await nothingIsLeft(t, world);
});
