/** Goal: a task map is told in each of Flux's forms. */
import test from 'ava';
import {jobspecFromCommand} from '../../src/formats/jobspec-from-command.ts';
import {FakeWorld} from './fake-world.ts';

const R = {
	version: 1,
	execution: {
		R_lite: [{rank: '2-3', children: {core: '0-1'}}],
		starttime: 0,
		expiration: 0,
		nodelist: ['n[2-3]'],
	},
};

function worldOf(shellOptions = {}): FakeWorld {
	const world = new FakeWorld();
	const jobspec = jobspecFromCommand({argv: ['true'], ntasks: 4, nnodes: 2, shellOptions});
	world.broker.answer('job-info.lookup', {id: 57n, jobspec: JSON.stringify(jobspec), R: JSON.stringify(R)});
	return world;
}

const CYCLIC = {taskmap: {scheme: 'cyclic', value: ''}};

const CASES: readonly (readonly [args: readonly string[], stdout: string])[] = [
	[['57'], '[[0,2,1,2]]\n'],
	[['--to=raw', '57'], '0,2;1,3\n'],
	[['--to=pmi', '57'], '(vector,(0,2,1),(0,2,1))\n'],
	[['--to=multiline', '57'], '0: 0,2\n1: 1,3\n'],
	[['--to=hosts', '57'], 'n2: 0,2\nn3: 1,3\n'],
	[['--taskids=1', '57'], '1,3\n'],
	[['--ntasks=1', '57'], '2\n'],
	[['--nodeid=3', '57'], '1\n'],
	[['--hostname=2', '57'], 'n2\n'],
	[['--to=raw', '[[0,4,4,1]]'], '0-3;4-7;8-11;12-15\n'],
	[['1;0'], '[[1,1,1,1],[0,1,1,1]]\n'],
];

for (const [args, stdout] of CASES) {
	test(`job taskmap ${args.join(' ')}`, async t => {
		t.like(await worldOf(CYCLIC).run(['job', 'taskmap', ...args]), {exitCode: 0, stdout, stderr: ''});
	});
}

test('a node or task that is not there, and a form that is none, are named', async t => {
	const run = async (...args: string[]) => worldOf().run(['job', 'taskmap', ...args, '57']);
	t.like(await run('--taskids=2'), {
		exitCode: 1,
		stderr: 'coppice job taskmap: ENOENT: there is no node 2 in the task map\n',
	});
	t.like(await run('--nodeid=4'), {
		exitCode: 1,
		stderr: 'coppice job taskmap: ENOENT: there is no task 4 in the task map\n',
	});
	t.is((await run('--to=xml')).exitCode, 2);
	t.is((await run('--to=raw', '--ntasks=0')).exitCode, 2);
});
