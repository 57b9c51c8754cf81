/**
 * Goal: the REPL answers about a live broker what is so, and nothing that is typed can change it.
 * Method: a simulated broker behind its real services; the REPL reads through a session as the command does.
 */
import test, {type ExecutionContext} from 'ava';
import {BrokerSession} from '../../src/cli/broker-session.ts';
import {liveSource} from '../../src/cli/repl-source.ts';
import {encodeJobid} from '../../src/formats/jobid.ts';
import {Repl} from '../../src/repl/repl.ts';
import {SIM_URI, SimWorld} from '../../src/sim/world.ts';
import {playOut, StubbornClient} from '../sim/scenario.ts';

interface Site {
	readonly world: SimWorld;
	readonly client: StubbornClient;
	readonly repl: Repl;
}

function begin(t: ExecutionContext): Site {
	const world = new SimWorld({seed: 7, cores: 2});
	world.start();
	const session = new BrokerSession({
		uri: SIM_URI,
		transport: world.network.transport('client'),
		clock: world.clock,
		random: world.random,
		exists: async () => true,
	});
	t.teardown(() => {
		session.close();
		world.kill();
	});
	return {world, client: new StubbornClient(world), repl: new Repl(liveSource(session, {}))};
}

const JOBS = (n: number) => ({requestId: `r${n}`});

test('why tells what a pending job waits for and why an ended one ended, with the facts behind it', async t => {
	const {world, client, repl} = begin(t);
	await playOut(world, async () => {
		const failed = await client.submit(['sh', '-c', 'exit 3'], JOBS(0));
		await client.ended(failed);
		const running = await client.submit(['sleep', '100'], {...JOBS(1), ntasks: 2});
		const waiting = await client.submit(['true'], JOBS(2));
		await client.call('resource.drain', {targets: '0', reason: 'fan is broken', mode: ''});
		await world.clock.pass(200);
		const why = async (id: bigint) => ((await repl.evaluate(`why(${id}n)`)) as string[]).join('\n');
		t.regex(
			await why(failed),
			/^It ended as FAILED \(fact \d+ job\.clean, .*\)\.\nThe task that decided exited with 3 \(fact \d+ job\.finish/,
		);
		t.regex(await why(running), /^It runs as process\(es\) \d+, \d+ \(fact \d+ job\.start/);
		const text = await why(waiting);
		t.regex(text, /^It waits for 1 core\(s\) \(fact \d+ job\.priority/);
		t.true(text.includes(`1 hold resources (${encodeJobid(running, 'f58plain')})`), text);
		t.regex(text, /Rank 0 \(\S+\) is drained: fan is broken \(fact \d+ node\.drain/);
		const [, seq] = /fact (\d+) node\.drain/.exec(text)!;
		const [fact] = (await repl.evaluate(`find(f => f.seq === ${seq})`)) as {reason: string}[];
		t.is(fact?.reason, 'fan is broken');
		t.deepEqual(
			await repl.evaluate(
				`(await at(${Number(seq) - 1})).why("${waiting}").then(w => w.some(s => s.includes('drained')))`,
			),
			false,
		);
	});
});

test('why names what a job depends on, and how far that is', async t => {
	const {world, client, repl} = begin(t);
	await playOut(world, async () => {
		const first = await client.submit(['sleep', '100'], JOBS(0));
		const held = await client.submit(['sleep', '100'], {...JOBS(1), ntasks: 2}); // More than is free.
		await client.call('job-manager.urgency', {id: held, urgency: 0});
		const [firstName, heldName] = [encodeJobid(first, 'f58'), encodeJobid(held, 'f58')];
		for (const [index, [scheme, value, expected]] of [
			['afterok', firstName, `after-success=${firstName}, which is in state run`],
			['afterany', heldName, `after-finish=${heldName}, which is in state sched and held: its urgency is 0`],
			['begin-time', '4102444800', 'begin-time=4102444800, which is 2100-01-01T00:00:00.000Z'],
			[
				'singleton',
				'',
				`singleton: the end of job(s) of this name before it (${encodeJobid(first, 'f58plain')}, ${encodeJobid(held, 'f58plain')})`,
			],
		].entries()) {
			const dependencies = [{scheme: scheme!, value: value!}];
			const id = await client.submit(['sleep', '1'], {...JOBS(index + 2), dependencies});
			await world.clock.pass(200);
			const [why] = (await repl.evaluate(`why(${id}n)`)) as string[];
			t.is(why!.replace(/ \(fact .*$/, ''), `It waits for ${expected}`);
			await client.call('job-manager.raise', {id, type: 'cancel', severity: 0, note: ''});
			await world.clock.pass(2000);
		}
	});
});

test('a moment of the past is asked as the present is, and one that never was is refused', async t => {
	const {world, client, repl} = begin(t);
	await playOut(world, async () => {
		const id = await client.submit(['sleep', '100'], JOBS(0));
		await world.clock.pass(200);
		const [submit] = (await repl.evaluate(`timeline(${id}n)`)) as {seq: number}[];
		const {seq} = submit!;
		t.is(await repl.evaluate(`at(${seq - 1}).jobs.length`), 0);
		t.is(await repl.evaluate(`at(${seq}).jobs[0].state`), 'new');
		t.is(await repl.evaluate('jobs[0].state'), 'run');
		t.deepEqual(await repl.evaluate(`at(${seq - 1}).why(${id}n)`), [
			`There is no job ${encodeJobid(id, 'f58plain')} in this log.`,
		]);
		t.deepEqual(await repl.evaluate(`timeline(${id}n).map(fact => fact.seq)[0]`), seq);
		for (const never of ['99999999', '-1', '1.5', '"x"'])
			await t.throwsAsync(repl.evaluate(`at(${never}).jobs`), {code: 'EINVAL', message: /there is no fact/});
	});
});

test('watch gives each fact once as it comes, also over the death of the broker', async t => {
	const {world, client, repl} = begin(t);
	await playOut(world, async () => {
		await client.submit(['true'], JOBS(0));
		const facts = (await repl.evaluate('watch(f => f.type === "job.submit", 3)')) as AsyncIterable<{
			id: string;
			seq: number;
		}>;
		const seen: {id: string; seq: number}[] = [];
		const watched = (async () => {
			for await (const fact of facts) seen.push(fact);
		})();
		const ids: bigint[] = [];
		for (const n of [1, 2, 3]) {
			ids.push(await client.submit(['true'], JOBS(n)));
			if (n === 2) world.kill();
			await world.clock.pass(500);
		}
		await watched;
		t.deepEqual(
			seen.map(({id}) => id),
			ids.map(String),
		);
	});
});

test('what is typed changes a copy, a slip is explained, and what was assigned stays', async t => {
	const {world, client, repl} = begin(t);
	await playOut(world, async () => {
		const id = await client.submit(['sleep', '100'], JOBS(0));
		await world.clock.pass(200);
		await repl.evaluate('jobs[0].state = "lost"');
		t.is(await repl.evaluate('jobs[0].state'), 'run');
		t.is(await repl.evaluate('_'), 'run');
		await repl.evaluate('mine = jobs[0].f58');
		t.is(await repl.evaluate('(await job(mine)).id'), String(id));
		t.is(await repl.evaluate('job(mine).jobspec.tasks[0].command[1]'), '100');
		await t.throwsAsync(repl.evaluate('job("f1")'), {code: 'ENOENT', message: 'there is no job f1 here'});
		await t.throwsAsync(repl.evaluate('jbos'), {
			code: 'EINVAL',
			message: /jbos is not defined.*timeline\(job\)/,
		});
		await t.throwsAsync(repl.evaluate('1 +'), {code: 'EINVAL'});
		await t.throwsAsync(repl.evaluate('while (true);'), {code: 'EINVAL'});
		await t.throwsAsync(repl.evaluate('machine("cow")'), {
			code: 'EINVAL',
			message: /no machine 'cow'; there are .*\bjob\b/,
		});
		await t.throwsAsync(repl.evaluate('process.exit(1)'), {
			code: 'EINVAL',
			message: /process is not defined/,
		});
	});
});

test('timeline has every fact of a job and no other, and diff what changed between two of them', async t => {
	const {world, client, repl} = begin(t);
	await playOut(world, async () => {
		const id = await client.submit(['true'], JOBS(0));
		await client.submit(['sleep', '100'], JOBS(1));
		await client.ended(id);
		const facts = (await repl.evaluate(`timeline("${id}")`)) as {seq: number; type: string; id: string}[];
		t.true(facts.every(fact => fact.id === String(id)));
		for (const type of ['job.submit', 'job.alloc', 'job.start', 'job.finish', 'job.clean'])
			t.is(facts.filter(fact => fact.type === type).length, 1, type);
		const seqs = facts.map(({seq}) => seq);
		t.deepEqual(
			seqs,
			[...new Set(seqs)].toSorted((a, b) => a - b),
			'a report, which has a number of its own, keeps its place',
		);
		const alloc = facts.find(fact => fact.type === 'job.alloc')!;
		const changes = (await repl.evaluate(`diff(${alloc.seq - 1}, ${alloc.seq})`)) as {
			path: string;
			after: unknown;
		}[];
		t.is(changes.find(({path}) => path === 'jobs.0.state')?.after, 'run');
		t.true(changes.every(({path}) => path.startsWith('jobs.0.')));
	});
});

test('tab completes names, members, job ids and machines', async t => {
	const {world, client, repl} = begin(t);
	await playOut(world, async () => {
		const id = encodeJobid(await client.submit(['sleep', '100'], JOBS(0)), 'f58plain');
		await repl.evaluate('mine = 1');
		t.deepEqual(await repl.complete('ti'), [['timeline('], 'ti']);
		t.deepEqual(await repl.complete('x = pee'), [['peers'], 'pee']);
		t.deepEqual(await repl.complete('min'), [['mine'], 'min']);
		t.deepEqual(await repl.complete('broker.insta'), [['broker.instance'], 'broker.insta']);
		t.deepEqual(await repl.complete('jobs[0].f5'), [['jobs[0].f58'], 'jobs[0].f5']);
		t.deepEqual(await repl.complete('why('), [[`"${id}"`], '']);
		t.deepEqual(await repl.complete(`job('${id.slice(0, 2)}`), [[`'${id}'`], `'${id.slice(0, 2)}`]);
		t.deepEqual(await repl.complete('machine(j'), [['"job"'], 'j']);
		t.deepEqual(await repl.complete('nothing.like.this'), [[], 'nothing.like.this']);
	});
});
