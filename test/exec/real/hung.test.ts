/**
 * Goal: a job shell that lives and does not answer is named, and replaced in the end; one that stood still blames nobody.
 * Method: real processes, stopped by SIGSTOP.
 */

import {execFileSync} from 'node:child_process';
import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import test from 'ava';
import type {PartReport} from '../../../src/ports/process-host.ts';
import {RealProcessHost} from '../../../src/exec/real/process-host.ts';
import {live, relive, specOf, untilExited, untilStarted} from '../process-host-contract.ts';
import {createRealSite, random} from './real-site.ts';

const TERM = 15;

test('a shell that hangs is named, and what was asked meanwhile is done when it goes on', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = specOf(18n, 'sleep 60');
	life.host.launch(spec);
	await untilStarted(site, life, spec);
	await life.host.close({stop: false});
	const pid = site.shellPid()!;
	const impatient = new RealProcessHost({
		...site.site,
		clock: site.clock,
		random,
		log: () => undefined,
		requestTimeoutMs: 3000,
	});
	t.teardown(async () => impatient.close({stop: false}));
	await impatient.inventory();
	process.kill(pid, 'SIGSTOP');
	const ends: PartReport[] = [];
	impatient.onReport = report => ends.push(report);
	const error = await t.throwsAsync(impatient.inventory(), {code: 'ETIMEDOUT'});
	t.regex(error.message, new RegExp(`^inventory: the job shell \\(pid ${pid}\\) did not answer within 3 s`));
	impatient.terminate(spec, TERM);
	process.kill(pid, 'SIGCONT');
	await site.until('exited', () => ends.some(report => report.kind === 'exited'));
});

test('a shell that hangs is killed and replaced, and its tasks go on', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const spec = specOf(30n, `echo $COPPICE_TASK_RANK >> ${site.dir}/ledger; read go < ${site.dir}/go; exit 7`);
	execFileSync('mkfifo', [`${site.dir}/go`]);
	life.host.launch(spec);
	await untilStarted(site, life, spec);
	await life.host.close({stop: false});
	const first = site.shellPid()!;
	const notices: string[] = [];
	const watching = () => {
		const host = new RealProcessHost({
			...site.site,
			clock: site.clock,
			random,
			log: () => undefined,
			shellTimeoutMs: 1500,
		});
		host.onNotice = (severity, text) => notices.push(`${severity}: ${text}`);
		t.teardown(async () => host.close({stop: false}));
		return host;
	};
	const host = watching();
	await host.inventory();
	await site.pass(2500);
	t.is(site.shellPid(), first, 'one that answers is left alone, however idle it is');
	let resets = 0;
	host.onReset = () => resets++;
	process.kill(first, 'SIGSTOP');
	await site.until('it is named', () => host.attributes().fault != null);
	t.regex(
		host.attributes().fault!.text,
		new RegExp(`pid ${first}.*no sign of life; it is replaced after 1.5 s`),
	);
	await site.until('another one has taken over', () => resets === 1 && site.shellPid() !== undefined);
	const second = site.shellPid()!;
	t.not(second, first);
	t.is(host.attributes().fault, null);
	t.regex(notices.join('\n'), new RegExp(`err: the job shell \\(pid ${first}, state T\\).*is killed`));
	// The same for a broker that finds it stopped.
	await host.close({stop: false});
	process.kill(second, 'SIGSTOP');
	const next = watching();
	const ends: PartReport[] = [];
	next.onReport = report => ends.push(report);
	const {parts} = await next.inventory();
	t.not(site.shellPid(), second);
	t.like(parts, [{id: 30n, state: 'running'}]);
	writeFileSync(`${site.dir}/go`, 'go\n');
	await site.until('exited', () => ends.some(report => report.kind === 'exited'));
	t.like(ends.at(-1), {tasks: [{waitStatus: 7 << 8}]});
	t.deepEqual(readFileSync(`${site.dir}/ledger`, 'utf8').trim().split('\n'), ['0']);
});

test('a shell that stood still while a task waited for its launcher does not give the task up', async t => {
	const site = createRealSite(t);
	const life = await live(site);
	const anchor = specOf(31n, 'sleep 300');
	life.host.launch(anchor);
	await untilStarted(site, life, anchor);
	const [shell, launcher] = [site.shellPid()!, life.host.attributes().launcherPid!];
	process.kill(launcher, 'SIGSTOP');
	const spec = specOf(32n, `echo $COPPICE_TASK_RANK >> ${site.dir}/ledger`);
	life.host.launch(spec);
	await site.until('it is laid out', () => existsSync(`${site.dirOf(spec)}/part`));
	await site.pass(500);
	// Its time limit for a start that nobody makes is 35 s.
	process.kill(shell, 'SIGSTOP');
	await life.host.close({stop: false});
	await site.pass(36_500);
	process.kill(shell, 'SIGCONT');
	process.kill(launcher, 'SIGCONT');
	const after = await relive(site);
	t.is(site.shellPid(), shell);
	t.like((await untilExited(site, after, spec)).at(-1), {kind: 'exited', tasks: [{waitStatus: 0}]});
	t.deepEqual(readFileSync(`${site.dir}/ledger`, 'utf8').trim().split('\n'), ['0']);
});
