/** Goal: `exec` names exactly the ranks that were asked for, and labels their output by rank. */
import test from 'ava';
import {unwrapSigned} from '../../src/formats/sign-none.ts';
import {jobEvents, serveJob} from './fake-job.ts';
import {FakeWorld} from './fake-world.ts';

function worldOf(): {readonly world: FakeWorld; readonly specs: string[]} {
	const world = new FakeWorld();
	const specs: string[] = [];
	const output = ['0', '1'].map(task => ({
		task: Number(task),
		stream: 'stdout' as const,
		bytes: Buffer.from(`${task}\n`),
	}));
	serveJob(world.broker, {events: jobEvents({status: 3 << 8}), output, tasks: 2});
	world.broker.on('attr.get', request => request.respond({value: 'n[0-3]'}));
	world.broker.on('job-ingest.submit', request => {
		const {J} = request.payload as {J: string};
		specs.push(unwrapSigned(J).payload);
		request.respond({id: 77n});
	});
	return {world, specs};
}

test('the ranks asked for are in R, with their hosts, and label the lines', async t => {
	const {world, specs} = worldOf();
	const result = await world.run(['exec', '-r', '1,3', '-l', 'hostname']);
	t.is(result.exitCode, 3);
	t.deepEqual(result.stdout.split('\n').filter(Boolean).sort(), ['1: 0', '3: 1']);
	const spec = JSON.parse(specs[0] ?? '{}') as {
		attributes: {system: {'alloc-bypass': {R: {execution: {R_lite: object[]; nodelist: string[]}}}}};
	};
	const {execution} = spec.attributes.system['alloc-bypass'].R;
	t.deepEqual(execution.R_lite, [{rank: '1,3', children: {core: '0'}}]);
	t.deepEqual(execution.nodelist, ['n[1,3]']);
});

test('without ranks all are meant, and a rank that is not there is named', async t => {
	const {world, specs} = worldOf();
	await world.run(['exec', '-x', '0', 'true']);
	t.true(specs[0]?.includes('"rank":"1-3"'));
	const refused = await world.run(['exec', '-r', '2-4', 'true']);
	t.is(refused.exitCode, 1);
	t.regex(refused.stderr, /EHOSTUNREACH: rank 4 is not in this instance/);
	t.is((await world.run(['exec', '-r', '1', '-x', '1', 'true'])).exitCode, 2);
	t.is((await world.run(['exec'])).exitCode, 2);
});
