/**
 * Goal: a task finds the world that POSIX and its submitter promise, whatever the launcher does for itself; and what
 * it leaves behind is ended and recorded, also on a full disk.
 * Method: real tasks that look at themselves and write down what they see.
 */

import {execFileSync} from 'node:child_process';
import {
	chmodSync,
	closeSync,
	existsSync,
	mkdirSync,
	openSync,
	readFileSync,
	statSync,
	writeFileSync,
} from 'node:fs';
import type {LaunchSpec, ProcessHost, TaskEnd} from '../../../src/ports/process-host.ts';
import {partMark} from '../../../src/exec/part-paths.ts';
import {decodeEvents} from '../../../src/exec/journal.ts';
import {isAlive, startTicksOf} from '../../../src/exec/real/proc.ts';
import {exitOf, live, specOf, untilExited, untilStarted, type Life} from '../process-host-contract.ts';
import {createRealSite, eachTracking, type RealSite} from './real-site.ts';

async function textOf(host: ProcessHost, spec: LaunchSpec, stream: 'stdout' | 'stderr' = 'stdout', task = 0) {
	return new TextDecoder().decode((await host.readOutput(spec, task, stream, 0, 10_000_000)).data);
}

async function run(site: RealSite, life: Life, spec: LaunchSpec): Promise<TaskEnd> {
	life.host.launch(spec);
	await untilExited(site, life, spec);
	return exitOf(life, spec)!.tasks[0]!;
}

eachTracking(
	'a task has default signal dispositions, its own session, descriptors 0 to 2, and the right surroundings',
	async t => {
		const site = createRealSite(t);
		const life = await live(site);
		const script =
			"grep -E '^Sig(Ign|Blk|Cgt)' /proc/self/status; ls -m /proc/$$/fd; pwd; umask; " +
			"env | grep -v -E '^(_|SHLVL|PWD|OLDPWD)=' | sort; readlink /proc/$$/fd/0; cut -d' ' -f5,6 /proc/$$/stat; echo $$; grep ^0:: /proc/self/cgroup";
		mkdirSync(`${site.dir}/with space`);
		const spec = specOf(1n, script, {
			cwd: `${site.dir}/with space`,
			env: {
				PATH: '/usr/bin:/bin',
				ODD: 'a=b c\n"d"',
				EMPTY: '',
				// Of a job that submitted this one.
				COPPICE_TASK_RANK: '77',
				COPPICE_PART: 'other.0/1.1',
			},
			tasks: [3, 9],
		});
		await run(site, life, spec);
		const isMarked = site.site.cgroupBase === '';
		const lines = (await textOf(life.host, spec, 'stdout', 9)).trimEnd().split('\n');
		const [ignored, blocked, , fds, cwd, umask, ...rest] = [lines[1], lines[0], ...lines.slice(2)];
		t.regex(ignored!, /^SigIgn:\s+0+$/);
		t.regex(blocked!, /^SigBlk:\s+0+$/);
		t.is(fds!.trim(), '0, 1, 2'); // Without a pipe: a shell has its descriptor open while it forks.
		t.is(cwd, `${site.dir}/with space`);
		t.is(umask, '0022');
		const mark = isMarked ? [`COPPICE_PART=${partMark(site.site, spec)}`] : [];
		const count = 6 + mark.length;
		t.deepEqual(rest.slice(0, count), [
			'"d"',
			...mark,
			'COPPICE_TASK_LOCAL_ID=1',
			'COPPICE_TASK_RANK=9',
			'EMPTY=',
			'ODD=a=b c',
			'PATH=/usr/bin:/bin',
		]);
		const [stdin, session, pid, cgroup] = rest.slice(count);
		t.is(stdin, '/dev/null');
		t.is(session, `${pid} ${pid}`);
		t.is(cgroup!.endsWith('/job-1.1/payload'), !isMarked);
	},
);

eachTracking('soft resource limits are set, and none above the hard one', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = specOf(1n, 'ulimit -S -n; ulimit -S -c; ulimit -S -n unlimited 2>&1; ulimit -H -n', {
		rlimits: {nofile: 77, core: -1},
	});
	await run(site, life, spec);
	const [files, , ...hard] = (await textOf(life.host, spec)).trim().split('\n');
	t.is(files, '77');
	t.true(Number(hard.at(-1)) > 77);
	const above = specOf(2n, 'ulimit -S -n; ulimit -H -n', {rlimits: {nofile: -1}});
	await run(site, life, above);
	const [soft, max] = (await textOf(life.host, above)).trim().split('\n');
	t.is(soft, max);
});

eachTracking('kill 0 in a task reaches nobody else', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const bystander = specOf(1n, 'sleep 60');
	life.host.launch(bystander);
	await untilStarted(site, life, bystander);
	const end = await run(site, life, specOf(2n, 'kill -KILL 0; exit 0'));
	t.is(end.waitStatus, 9);
	t.is(exitOf(life, bystander), undefined);
	t.true(site.shellPid() !== undefined);
});

eachTracking('exit codes and signals are told apart, a core flag included', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	t.is((await run(site, life, specOf(1n, 'exit 137'))).waitStatus, 137 << 8);
	t.is((await run(site, life, specOf(2n, 'kill -KILL $$'))).waitStatus, 9);
	t.is((await run(site, life, specOf(3n, 'kill -SEGV $$'))).waitStatus! & 0x7f, 11);
});

eachTracking('what can not be run ends with 126 or 127 and a reason, on stderr too', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const plain = `${site.dir}/plain`;
	writeFileSync(plain, 'x');
	chmodSync(plain, 0o644);
	const cases: readonly [Partial<LaunchSpec>, number, RegExp][] = [
		[{argv: [plain]}, 126, /plain: Permission denied/],
		[{argv: ['/no/such/command']}, 127, /\/no\/such\/command: No such file or directory/],
		[{argv: ['true'], cwd: '/no/such/dir'}, 126, /cwd \/no\/such\/dir: No such file or directory/],
	];
	for (const [index, [more, code, reason]] of cases.entries()) {
		const spec = specOf(BigInt(index + 1), '', more);
		const end = await run(site, life, spec);
		t.is(end.waitStatus, code << 8);
		t.regex(end.error ?? '', reason);
		t.regex(await textOf(life.host, spec, 'stderr'), reason);
	}
	const unopened = specOf(9n, 'touch $HOME/ran', {stdout: '/no/such/dir/out', env: {HOME: site.dir}});
	const end = await run(site, life, unopened);
	t.is(end.waitStatus, 126 << 8);
	t.is(end.error, 'stdout: /no/such/dir/out: No such file or directory');
	t.false(existsSync(`${site.dir}/ran`));
});

eachTracking(
	'a spec that no shim could run is refused with an exec exception and leaves nothing',
	async t => {
		const site = createRealSite(t);
		const life = await live(site);
		const spec = specOf(1n, '', {argv: ['true', 'a\0b']});
		life.host.launch(spec);
		const reports = await untilExited(site, life, spec);
		t.like(reports[0], {
			kind: 'exception',
			type: 'exec',
			severity: 0,
			note: 'EINVAL: a string contains a NUL byte',
		});
		t.like(reports[1], {kind: 'exited', tasks: []});
		t.false(existsSync(site.dirOf(spec)));
		t.false(site.cgroupOf(spec) !== '' && existsSync(site.cgroupOf(spec)));
	},
);

eachTracking(
	'output goes to the files that were asked for, emptied once, and by name of the task',
	async t => {
		const site = createRealSite(t);
		const life = await live(site);
		writeFileSync(`${site.dir}/shared`, 'old\n');
		writeFileSync(`${site.dir}/own.0`, 'old\n');
		const spec = specOf(1n, 'echo out $COPPICE_TASK_RANK; echo err >&2; echo more >/dev/stdout', {
			tasks: [0, 1, 2],
			stdout: `${site.dir}/shared`,
			stderr: `${site.dir}/own.{{taskid}}`,
		});
		await run(site, life, spec);
		const lines = readFileSync(`${site.dir}/shared`, 'utf8').trimEnd().split('\n').sort();
		t.deepEqual(lines, ['more', 'more', 'more', 'out 0', 'out 1', 'out 2']);
		t.is(readFileSync(`${site.dir}/own.0`, 'utf8'), 'err\n');
		t.is(readFileSync(`${site.dir}/own.2`, 'utf8'), 'err\n');
		t.is(statSync(`${site.dir}/shared`).mode & 0o777, 0o644);
		t.deepEqual(await life.host.readOutput(spec, 0, 'stdout', 0, 10), {data: new Uint8Array(0), eof: true});
	},
);

eachTracking('what a task leaves behind dies with its job, out of session and group too', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const script =
		'setsid sh -c \'echo $$ > $D/daemon; trap "" TERM HUP; while :; do sleep 1; done\' & ' +
		'while [ ! -s $D/daemon ]; do sleep 0.02; done; echo done; exit 0';
	const spec = specOf(1n, script, {env: {PATH: '/usr/bin:/bin', D: site.dir}});
	const end = await run(site, life, spec);
	t.is(end.waitStatus, 0);
	const pid = Number(readFileSync(`${site.dir}/daemon`, 'utf8'));
	const startTicks = startTicksOf(pid);
	t.true(startTicks === undefined || !isAlive({pid, startTicks}));
	t.is(await textOf(life.host, spec), 'done\n');
});

eachTracking('output that somebody outside of the job keeps open does not hold the job for ever', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = specOf(1n, 'until [ -e $GO ]; do sleep 0.05; done; exit 8', {
		env: {PATH: '/usr/bin:/bin', GO: `${site.dir}/go`},
	});
	life.host.launch(spec);
	await untilStarted(site, life, spec);
	const [started] = life.reports;
	const fd = openSync(`/proc/${started?.kind === 'started' ? started.tasks[0]!.pid : 0}/fd/1`, 'w');
	t.teardown(() => closeSync(fd));
	writeFileSync(`${site.dir}/go`, '');
	const reports = await untilExited(site, life, spec);
	t.like(reports.at(-1), {tasks: [{waitStatus: 8 << 8}]});
	t.is(reports.length, 2, 'the end was recorded before the shim was ended');
});

eachTracking('much output arrives whole, and its end is known', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = specOf(1n, 'head -c 20000000 /dev/zero; echo x >&2');
	await run(site, life, spec);
	const chunk = await life.host.readOutput(spec, 0, 'stdout', 19_999_990, 100);
	t.is(chunk.data.length, 10);
	t.true(chunk.eof);
	t.is(await textOf(life.host, spec, 'stderr'), 'x\n');
});

eachTracking(
	'a full disk costs output, visibly, but neither the task nor its exit status nor the shell',
	async t => {
		if (process.getuid!() !== 0) return void t.pass('only root may mount');
		const dir = createRealSite(t).dir;
		const jobdir = `${dir}/small`;
		mkdirSync(jobdir);
		execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=700', 'tmpfs', jobdir]);
		t.teardown(() => execFileSync('umount', ['-l', jobdir]));
		const site = createRealSite(t, {jobdir});
		const life = await live(site);
		const spec = specOf(1n, 'head -c 3000000 /dev/zero; echo went on > $D/went-on; exit 9', {
			env: {PATH: '/usr/bin:/bin', D: site.dir},
		});
		const end = await run(site, life, spec);
		t.is(end.waitStatus, 9 << 8);
		t.true(existsSync(`${site.dir}/went-on`));
		const size = statSync(`${site.dirOf(spec)}/stdout.0`).size;
		t.true(size < 1_100_000);
		const tail = await life.host.readOutput(spec, 0, 'stdout', size - 200, 200);
		t.regex(
			new TextDecoder().decode(tail.data),
			/coppice: \d+ bytes of output were lost: No space left on device\n$/,
		);
		// The next part can't be laid out, and says so; the first is still known to the shell.
		const refused = specOf(2n, 'exit 0');
		life.host.launch(refused);
		const reports = await untilExited(site, life, refused);
		t.like(reports[0], {kind: 'exception', type: 'exec', severity: 0});
		t.regex(reports[0]?.kind === 'exception' ? reports[0].note : '', /^ENOSPC: /);
		const {parts} = await life.host.inventory();
		t.deepEqual(
			parts.map(part => part.state),
			['exited', 'exited'],
		);
		// With the journal lost as well, claims and exit records still tell the story after a restart.
		await site.loseShell();
		await site.until('reset', () => life.resets === 1);
		const again = (await life.host.inventory()).parts.find(part => part.id === 1n)!;
		t.like(again.reports.at(-1), {kind: 'exited', tasks: [{waitStatus: 9 << 8, endMs: end.endMs}]});
		life.host.forget(spec);
		await site.until('room again', async () => (await life.host.inventory()).parts.length === 0);
		t.is((await run(site, life, specOf(3n, 'exit 0'))).waitStatus, 0);
	},
);

eachTracking('the journal follows RFC 50 and tells wait statuses', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = specOf(1n, 'exit 2');
	await run(site, life, spec);
	const events = decodeEvents(await life.host.readEventlog(spec));
	t.deepEqual(
		events.map(event => event.name),
		['init', 'starting', 'recoverable', 'shell.init', 'shell.start', 'shell.task-exit', 'complete', 'done'],
	);
	t.deepEqual(events.find(event => event.name === 'complete')?.context, {status: 512});
});
