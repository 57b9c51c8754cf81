/** Goal: log compact drops the past, and nothing that is still true: also not for a broker that is killed after it. */
import test from 'ava';
import {startedInstance} from '../chaos/instance.ts';
import {until} from '../chaos/until.ts';

test('log compact drops the past, and jobs that run or ran are there after a SIGKILL', async t => {
	const instance = await startedInstance(t);
	const ended = await instance.ok('submit', '--wait', 'true');
	const running = await instance.ok('submit', 'sleep', '1000');
	await until('it runs', async () => (await instance.job(running)).state === 'RUN');
	const {base} = JSON.parse(await instance.ok('log', 'compact', '--json')) as {base: number};
	const stat = JSON.parse(await instance.ok('log', 'stat', '--json')) as {base: number; head: number};
	t.true(base > 10);
	t.is(stat.base, base);
	await instance.kill([await instance.process('broker')]);
	await until('it is found again', async () => (await instance.job(running)).reattached >= 1);
	t.like(await instance.job(running), {state: 'RUN', attempt: 1});
	t.like(await instance.job(ended), {result: 'COMPLETED', returncode: 0});
	t.is((await instance.run(['log', 'verify'])).status, 0);
	const {match} = JSON.parse(await instance.ok('log', 'replay', '--json')) as {match: boolean};
	t.true(match);
});
