/**
 * Goal: output of several tasks in one file stays readable, output without end fills no disk, and neither depends on who is
 * killed meanwhile.
 * Method: real tasks; shims are killed in the middle of a line, and beyond the limit.
 */

import {
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	readlinkSync,
	statSync,
	writeFileSync,
} from 'node:fs';
import test from 'ava';
import type {LaunchSpec, ProcessHost} from '../../../src/ports/process-host.ts';
import {exitOf, live, specOf, untilExited, untilStarted, type Life} from '../process-host-contract.ts';
import {createRealSite, TRACKINGS, type RealSite} from './real-site.ts';

const ENV = {PATH: '/usr/bin:/bin'};

async function textOf(host: ProcessHost, spec: LaunchSpec, stream: 'stdout' | 'stderr' = 'stdout') {
	return new TextDecoder().decode((await host.readOutput(spec, 0, stream, 0, 10_000_000)).data);
}

test('lines of several tasks in one file never mix, and labels name the task', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const script =
		'for i in 1 2 3 4 5; do printf "%s-" $COPPICE_TASK_RANK; sleep 0.01; echo end; done; printf last';
	const path = `${site.dir}/out`;
	const spec = specOf(1n, script, {
		tasks: [0, 1, 2],
		stdout: path,
		stderr: path,
		files: {stdout: 'lines', stderr: 'labels'},
	});
	life.host.launch(spec);
	await untilExited(site, life, spec);
	const text = readFileSync(path, 'utf8');
	for (const task of [0, 1, 2]) t.is(text.split(`${task}-end\n`).length, 6);
	t.is(text.replaceAll(/[012]-end\n|last/g, ''), '');
	const labeled = specOf(2n, `${script}; echo wrong >&2`, {
		...spec,
		id: 2n,
		files: {stdout: 'labels', stderr: 'labels'},
	});
	life.host.launch({...labeled, argv: ['/bin/sh', '-c', `${script}; echo wrong >&2`]});
	await untilExited(site, life, labeled);
	const lines = readFileSync(path, 'utf8').trimEnd().split('\n').sort();
	t.deepEqual(
		lines,
		[0, 1, 2].flatMap(task => [
			...Array.from({length: 5}, () => `${task}: ${task}-end`),
			`${task}: last`,
			`${task}: wrong`,
		]),
	);
});

test('half a line survives its shim, and so does the label before it', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const path = `${site.dir}/out`;
	const spec = specOf(1n, `printf half; touch $D/half; ${untilSign('go')}; echo " line"; echo next`, {
		tasks: [0, 1],
		env: {...ENV, D: site.dir},
		stdout: path,
		files: {stdout: 'labels'},
	});
	life.host.launch(spec);
	await untilStarted(site, life, spec);
	const held = (task: number) => statSync(`${site.dirOf(spec)}/held.stdout.${task}`, {throwIfNoEntry: false});
	await site.until('both halves are there', () => held(0)?.size === 4 && held(1)?.size === 4);
	await site.loseShim(spec, 0);
	await untilRescued(site, spec);
	giveSign(site, 'go');
	await untilExited(site, life, spec);
	t.deepEqual(readFileSync(path, 'utf8').trimEnd().split('\n').sort(), [
		'0: half line',
		'0: next',
		'1: half line',
		'1: next',
	]);
});

test('an output file can be appended to, and gets the mode that the mask leaves', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const path = `${site.dir}/out`;
	const one = specOf(1n, 'umask; echo one', {stdout: path, umask: 0o027});
	life.host.launch(one);
	await untilExited(site, life, one);
	t.is(statSync(path).mode & 0o777, 0o640);
	const two = specOf(2n, 'echo two', {stdout: path, files: {appends: true}});
	life.host.launch(two);
	await untilExited(site, life, two);
	t.is(readFileSync(path, 'utf8'), '0027\none\ntwo\n');
});

test('names of files can have the task and its position on the node', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	mkdirSync(`${site.dir}/o`);
	const spec = specOf(1n, 'echo $COPPICE_TASK_RANK', {
		tasks: [4, 7],
		stdout: `${site.dir}/o/{{task.id}}.{{task.index}}`,
	});
	life.host.launch(spec);
	await untilExited(site, life, spec);
	t.is(readFileSync(`${site.dir}/o/4.0`, 'utf8') + readFileSync(`${site.dir}/o/7.1`, 'utf8'), '4\n7\n');
});

test('a file that cannot be written ends the part with an exception that says which', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = specOf(1n, 'true', {stdout: '/no/such/dir/out', tasks: [0, 1]});
	life.host.launch(spec);
	const reports = await untilExited(site, life, spec);
	const exception = reports.find(report => report.kind === 'exception');
	t.like(exception, {type: 'exec', severity: 0});
	t.regex(
		exception?.kind === 'exception' ? exception.note : '',
		/^task [01] could not be started: stdout: \/no\/such\/dir\/out: No such file or directory$/,
	);
});

test('output beyond the limit is dropped with a notice, and the task is not held up', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = specOf(1n, 'head -c 1000000 /dev/zero | tr "\\0" x; echo err >&2', {outputBytesMax: 1000});
	life.host.launch(spec);
	await untilExited(site, life, spec);
	t.is(exitOf(life, spec)!.tasks[0]!.waitStatus, 0);
	t.is(
		await textOf(life.host, spec),
		`${'x'.repeat(1000)}\n` +
			'coppice: output limit of 1000 bytes reached: what follows is dropped\n' +
			'coppice: 999000 bytes of stdout were dropped\n',
	);
	t.is(await textOf(life.host, spec, 'stderr'), 'err\n');
	const within = specOf(2n, 'printf 12345', {outputBytesMax: 5});
	life.host.launch(within);
	await untilExited(site, life, within);
	t.is(await textOf(life.host, within), '12345');
});

test('what was dropped is counted on when the shim is killed, and is said once', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const then = `${untilSign('more')}; seq -w 100; ${untilSign('close')}; exec >&- 2>&-; ${untilSign('end')}`;
	const spec = await startDropping(site, life, then);
	await site.loseShim(spec, 0);
	await untilRescued(site, spec);
	giveSign(site, 'more');
	await site.until('a rescuer drops the second half', () => droppedOf(site, spec) === '792');
	giveSign(site, 'close');
	await site.until('it has ended with the output', () => site.pids(spec, 'shim').length === 0);
	// Another one comes every two seconds.
	await site.pass(2500);
	giveSign(site, 'end');
	await untilExited(site, life, spec);
	t.is(await textOf(life.host, spec), `${NOTICE}coppice: 792 bytes of stdout were dropped\n`);
});

for (const tracking of TRACKINGS) {
	test(`${tracking}: what was dropped is said where shim and task have ended before a rescuer came`, async t => {
		const site = createRealSite(t, {tracking});
		const life = await live(site);
		const spec = await startDropping(site, life, untilSign('end'));
		process.kill(life.host.attributes().launcherPid!, 'SIGSTOP');
		await site.loseShim(spec, 0);
		giveSign(site, 'end');
		await untilExited(site, life, spec);
		t.is(await textOf(life.host, spec), `${NOTICE}coppice: 392 bytes of stdout were dropped\n`);
	});
}

const NOTICE = '001\n002\n\ncoppice: output limit of 8 bytes reached: what follows is dropped\n';

/** Starts a task that writes 400 bytes, of which 392 are dropped before this returns, and goes on with `then`. */
async function startDropping(site: RealSite, life: Life, then: string): Promise<LaunchSpec> {
	const spec = specOf(1n, `seq -w 100; ${then}; exit 0`, {env: {...ENV, D: site.dir}, outputBytesMax: 8});
	life.host.launch(spec);
	await untilStarted(site, life, spec);
	await site.until('the first half is dropped', () => droppedOf(site, spec) === '392');
	return spec;
}

/** What a task waits with. No fifo: one writer may still have it open when the next reader comes, and is its end at once. */
function untilSign(name: string): string {
	return `until [ -e $D/sign.${name} ]; do sleep 0.02; done`;
}

function giveSign(site: RealSite, name: string): void {
	writeFileSync(`${site.dir}/sign.${name}`, '');
}

function droppedOf(site: RealSite, spec: LaunchSpec): string {
	return textAt(`${site.dirOf(spec)}/dropped.stdout.0`);
}

/** Waits until a rescuer has both pipes: before that what a task writes last ends with it. */
async function untilRescued(site: RealSite, spec: LaunchSpec): Promise<void> {
	await site.until('a rescuer has its pipes', () => {
		return site.pids(spec, 'shim').some(pid => {
			if (!textAt(`/proc/${pid}/cmdline`).startsWith('coppice-rescue')) return false;
			const pipes = readdirSync(`/proc/${pid}/fd`).filter(fd => isPipe(`/proc/${pid}/fd/${fd}`));
			return pipes.length >= 2;
		});
	});
}

function isPipe(path: string): boolean {
	try {
		return readlinkSync(path).startsWith('pipe:');
	} catch {
		return false; // It was closed since.
	}
}

function textAt(path: string): string {
	return existsSync(path) ? readFileSync(path, 'utf8') : '';
}
