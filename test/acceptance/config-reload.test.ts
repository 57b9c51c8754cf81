/** Goal: a changed configuration is taken up without hurting a job, and a wrong one changes nothing. */
import {rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {startedInstance} from '../chaos/instance.ts';
import {until} from '../chaos/until.ts';

test('config reload restarts the broker with what is new, and refuses what is wrong or makes the tree', async t => {
	const path = join('/tmp', `coppice-reload-${process.pid}.toml`);
	t.teardown(() => rmSync(path, {force: true}));
	writeFileSync(path, '[exec]\nkill-timeout = "4s"\n');
	const instance = await startedInstance(t, {confs: [path]});
	const id = await instance.ok('submit', 'sleep', '1000');
	await until('it runs', async () => (await instance.job(id)).state === 'RUN');
	const before = await instance.ok('getattr', 'broker.boot-count');
	t.is(await instance.ok('config', 'reload'), '');

	writeFileSync(path, '[exec]\nkill-timeout = 4 5\n');
	const wrong = await instance.run(['config', 'reload']);
	t.is(wrong.status, 1);
	t.regex(wrong.stderr, /EINVAL: .*coppice-reload-\d+\.toml:2: /);
	t.is((await instance.run(['config', 'check', path])).status, 1);

	writeFileSync(path, '[tbon]\ntopo = "kary:7"\n');
	t.regex((await instance.run(['config', 'reload'])).stderr, /EINVAL: tbon\.topo can't change/);
	t.is(await instance.ok('getattr', 'broker.boot-count'), before);

	writeFileSync(path, '[exec]\nkill-timeout = "3s"\n');
	t.is((await instance.run(['config', 'check', path])).status, 0);
	t.is(await instance.ok('config', 'reload'), 'exec.kill-timeout');
	await until('it has begun anew', async () => {
		const {stdout} = await instance.run(['getattr', 'broker.boot-count']);
		return Number(stdout) === Number(before) + 1;
	});
	t.is(await instance.ok('config', 'get', 'exec.kill-timeout'), '3s');
	t.like(await instance.job(id), {state: 'RUN', attempt: 1});
});
