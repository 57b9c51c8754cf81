/**
 * Goal: the real and the simulated ProcessHost keep the same contract.
 * Method: `processHostContract` declares one set of tests; each takes a site (a node with fresh directories, or a
 * simulated one), and waits through `site.until`, which polls in real time or moves the virtual clock.
 */

import test, {type ExecutionContext} from 'ava';
import type {
	InventoryEntry,
	LaunchSpec,
	PartKey,
	PartReport,
	ProcessHost,
} from '../../src/ports/process-host.ts';

export interface HostSite {
	/** A host for a new life of the broker; the one before is cut off as by SIGKILL. */
	host(): Promise<ProcessHost>;
	/** Waits until `condition` holds; fails with `what` after a generous time. */
	until(what: string, condition: () => boolean | Promise<boolean>): Promise<void>;
	/** Lets time pass without a condition: only for "nothing happens any more". */
	pass(ms: number): Promise<void>;
	/** SIGKILL to the job shell. */
	loseShell(): Promise<void>;
	/** SIGKILL to the shim of a running task. */
	loseShim(key: PartKey, task: number): Promise<void>;
}

export interface Life {
	readonly host: ProcessHost;
	readonly reports: PartReport[];
	resets: number;
}

const TERM = 15;

/** The reports that a host delivers, without repetitions, and how often it was reset. */
export async function live(site: HostSite): Promise<Life> {
	const life = {host: await site.host(), reports: [] as PartReport[], resets: 0};
	life.host.onReport = report => take(life, report);
	life.host.onReset = () => {
		life.resets++;
	};
	return life;
}

/** A new life that has asked for the inventory, as a broker does: its reports count like delivered ones. */
export async function relive(site: HostSite): Promise<Life> {
	const life = await live(site);
	await readInventory(life);
	return life;
}

/** Asks for the inventory and counts its reports like delivered ones. */
export async function readInventory(life: Life): Promise<readonly InventoryEntry[]> {
	const {parts} = await life.host.inventory();
	for (const part of parts) {
		for (const report of part.reports) take(life, report);
	}
	return parts;
}

function take(life: Life, report: PartReport): void {
	const same = life.reports.find(({id, attempt, seq}) => {
		return id === report.id && attempt === report.attempt && seq === report.seq;
	});
	if (same === undefined) life.reports.push(report);
}

/** A spec of one task that runs `script` in a shell. */
export function specOf(id: bigint, script: string, more: Partial<LaunchSpec> = {}): LaunchSpec {
	return {
		id,
		attempt: 1,
		argv: ['/bin/sh', '-c', script],
		env: {PATH: '/usr/bin:/bin', ...more.env},
		cwd: '/',
		tasks: [0],
		durationMs: 0,
		killTimeoutMs: 5000,
		stdout: null,
		stderr: null,
		record: `{"id":"${id}"}`,
		...more,
	};
}

export function reportsFor({reports}: Life, {id, attempt}: PartKey): PartReport[] {
	return reports.filter(report => report.id === id && report.attempt === attempt);
}

/** The process of the first task, as the part's start report names it; 0 before that. */
export function taskPid(life: Life, spec: LaunchSpec): number {
	const started = reportsFor(life, spec).find(report => report.kind === 'started');
	return started?.kind === 'started' ? started.tasks[0]!.pid : 0;
}

/** The last report when it is `exited`. */
export function exitOf(life: Life, key: PartKey): Extract<PartReport, {kind: 'exited'}> | undefined {
	const last = reportsFor(life, key).at(-1);
	return last?.kind === 'exited' ? last : undefined;
}

export async function untilExited(site: HostSite, life: Life, key: PartKey): Promise<PartReport[]> {
	await site.until(`part ${key.id}.${key.attempt} exited`, () => exitOf(life, key) !== undefined);
	return reportsFor(life, key);
}

export async function untilStarted(site: HostSite, life: Life, key: PartKey): Promise<void> {
	await site.until(`part ${key.id}.${key.attempt} started`, () =>
		reportsFor(life, key).some(report => report.kind === 'started'),
	);
}

/** Waits until task 0 has written something: its traps are set then. */
export async function untilReady(site: HostSite, life: Life, key: PartKey): Promise<void> {
	await untilStarted(site, life, key);
	await site.until('the task is ready', async () => {
		return (await life.host.readOutput(key, 0, 'stdout', 0, 1)).data.length > 0;
	});
}

async function textOf(host: ProcessHost, key: PartKey, stream: 'stdout' | 'stderr' = 'stdout', task = 0) {
	const {data} = await host.readOutput(key, task, stream, 0, 1_000_000);
	return new TextDecoder().decode(data);
}

function outline(reports: readonly PartReport[]): string[] {
	return reports.map(report => {
		if (report.kind === 'exception') return `${report.seq} ${report.type} ${report.severity}`;
		if (report.kind === 'started')
			return `${report.seq} started ${report.tasks.map(({task}) => task).join()}`;
		if (report.kind === 'prolog-started') return `${report.seq} prolog-started`;
		if (report.kind === 'prolog-ended') return `${report.seq} prolog-ended ${report.end.verdict}`;
		return `${report.seq} ${report.kind} ${report.tasks.map(({task, waitStatus}) => `${task}:${waitStatus}`).join()}`;
	});
}

/** Declares the contract's tests under the name of the implementation. */
export function processHostContract(
	name: string,
	createSite: (t: ExecutionContext) => Promise<HostSite>,
): void {
	const claim = (title: string, run: (t: ExecutionContext, site: HostSite) => Promise<void>) =>
		test(`${name}: ${title}`, async t => run(t, await createSite(t)));

	claim('an empty node has an empty inventory', async (t, site) => {
		const {host} = await live(site);
		const inventory = await host.inventory();
		t.deepEqual([inventory.parts, inventory.highestJobId], [[], 0n]);
		t.true(inventory.bootId !== '');
		await host.close({stop: true});
	});

	claim(
		'a task that exits 3 is reported as started and then as exited with its wait status',
		async (t, site) => {
			const life = await live(site);
			const spec = specOf(10n, 'exit 3');
			life.host.launch(spec);
			const reports = await untilExited(site, life, spec);
			t.deepEqual(outline(reports), ['1 started 0', '2 exited 0:768']);
			const [started, exited] = reports;
			if (started?.kind !== 'started' || exited?.kind !== 'exited') return t.fail();
			t.true(started.tasks[0]!.pid > 0 && started.tasks[0]!.startTicks > 0);
			t.true(started.tasks[0]!.startMs <= exited.tasks[0]!.endMs);
			const {parts, highestJobId} = await life.host.inventory();
			t.is(highestJobId, 10n);
			t.deepEqual(parts, [
				{id: 10n, attempt: 1, state: 'exited', reports, bootId: parts[0]!.bootId, record: '{"id":"10"}'},
			]);
		},
	);

	claim('a second launch starts nothing again and repeats the same reports', async (t, site) => {
		const life = await live(site);
		const spec = specOf(11n, 'echo once; exit 0');
		life.host.launch(spec);
		life.host.launch(spec);
		const first = await untilExited(site, life, spec);
		life.reports.length = 0;
		life.host.launch(spec);
		t.deepEqual(await untilExited(site, life, spec), first);
		t.is(await textOf(life.host, spec), 'once\n');
	});

	claim('all tasks of a part run, and it exits after the last of them', async (t, site) => {
		const life = await live(site);
		const spec = specOf(12n, 'echo hello; exit 1', {tasks: [4, 5, 7]});
		life.host.launch(spec);
		const reports = await untilExited(site, life, spec);
		t.deepEqual(outline(reports), ['1 started 4,5,7', '2 exited 4:256,5:256,7:256']);
		t.is(await textOf(life.host, spec, 'stdout', 7), 'hello\n');
	});

	for (const [what, script, waitStatus] of [
		['ends a plain task with SIGTERM', 'echo ready; sleep 60', TERM],
		[
			'leaves a task that traps SIGTERM its own exit code',
			"trap 'exit 123' TERM; echo ready; sleep 60",
			123 << 8,
		],
		['kills a task that ignores SIGTERM after the kill timeout', "trap '' TERM; echo ready; sleep 60", 9],
	] as const) {
		claim(`terminate ${what}`, async (t, site) => {
			const life = await live(site);
			const spec = specOf(20n, `${script}; exit 0`, {killTimeoutMs: 400});
			life.host.launch(spec);
			await untilReady(site, life, spec);
			life.host.terminate(spec, TERM);
			life.host.terminate(spec, TERM);
			t.deepEqual(outline(await untilExited(site, life, spec)), ['1 started 0', `2 exited 0:${waitStatus}`]);
		});
	}

	claim('terminate of a part that nobody knows ends it at once', async (t, site) => {
		const life = await live(site);
		life.host.terminate({id: 21n, attempt: 2}, TERM);
		t.deepEqual(outline(await untilExited(site, life, {id: 21n, attempt: 2})), ['1 exited ']);
	});

	claim('a part that is terminated while it is launched ends, started or not', async (t, site) => {
		const life = await live(site);
		const spec = specOf(22n, 'sleep 60');
		life.host.launch(spec);
		life.host.terminate(spec, TERM);
		const exited = (await untilExited(site, life, spec)).at(-1);
		if (exited?.kind !== 'exited') return t.fail();
		t.true(exited.tasks.every(end => end.waitStatus === TERM));
		life.host.launch(spec);
		await site.pass(100);
		t.is((await life.host.inventory()).parts[0]?.state, 'exited');
	});

	claim('the time limit ends a part with an exception and SIGALRM', async (t, site) => {
		const life = await live(site);
		const spec = specOf(23n, 'sleep 60', {durationMs: 300});
		life.host.launch(spec);
		const reports = await untilExited(site, life, spec);
		t.deepEqual(outline(reports), ['1 started 0', '2 timeout 0', '3 exited 0:14']);
		t.like(reports[1], {note: 'resource allocation expired'});
	});

	claim('signal reaches a running task, and fails with ESRCH when none is left', async (t, site) => {
		const life = await live(site);
		const spec = specOf(24n, 'sleep 60');
		life.host.launch(spec);
		await untilStarted(site, life, spec);
		await life.host.signal(spec, 10);
		t.deepEqual(outline(await untilExited(site, life, spec)), ['1 started 0', '2 exited 0:10']);
		await t.throwsAsync(life.host.signal(spec, 10), {code: 'ESRCH'});
		await t.throwsAsync(life.host.signal({id: 99n, attempt: 1}, 10), {code: 'ESRCH'});
	});

	claim('a host gets ready before anything was launched, and again at once', async (t, site) => {
		const life = await live(site);
		for (const time of ['first', 'second']) {
			let isReady = false;
			void life.host.ready(20_000).then(() => (isReady = true));
			await site.until(`the host is ready for the ${time} time`, () => isReady);
		}
		t.not(life.host.attributes().shellPid, null);
	});

	claim('a command that is not there ends with 127 and says so', async (t, site) => {
		const life = await live(site);
		const spec = specOf(25n, '', {argv: ['no-such-command', 'x']});
		life.host.launch(spec);
		const exited = (await untilExited(site, life, spec)).at(-1);
		if (exited?.kind !== 'exited') return t.fail();
		t.is(exited.tasks[0]?.waitStatus, 127 << 8);
		t.regex(exited.tasks[0]?.error ?? '', /no-such-command: .*No such file/);
		t.regex(await textOf(life.host, spec, 'stderr'), /no-such-command/);
	});

	claim('output is read by offset until its end is known', async (t, site) => {
		const life = await live(site);
		const spec = specOf(30n, 'echo one; sleep 0.2; echo two; echo bad >&2');
		life.host.launch(spec);
		await untilExited(site, life, spec);
		await site.until('eof', async () => (await life.host.readOutput(spec, 0, 'stdout', 0, 100)).eof);
		const first = await life.host.readOutput(spec, 0, 'stdout', 0, 4);
		const rest = await life.host.readOutput(spec, 0, 'stdout', 4, 100);
		t.deepEqual([new TextDecoder().decode(first.data), first.eof], ['one\n', false]);
		t.deepEqual([new TextDecoder().decode(rest.data), rest.eof], ['two\n', true]);
		t.is(await textOf(life.host, spec, 'stderr'), 'bad\n');
		await t.throwsAsync(life.host.readOutput({id: 31n, attempt: 1}, 0, 'stdout', 0, 1), {code: 'ENOENT'});
		await t.throwsAsync(life.host.readOutput(spec, 8, 'stdout', 0, 1), {code: 'ENOENT'});
	});

	claim(
		'a job that ends while its broker is away is in the next inventory, with its true end',
		async (t, site) => {
			const before = await live(site);
			const spec = specOf(40n, 'sleep 0.3; exit 42');
			before.host.launch(spec);
			await untilStarted(site, before, spec);
			const after = await live(site);
			await site.until('exited is in the inventory', async () => {
				return (await after.host.inventory()).parts[0]?.state === 'exited';
			});
			const [part] = (await after.host.inventory()).parts;
			t.deepEqual(outline(part!.reports), ['1 started 0', `2 exited 0:${42 << 8}`]);
			t.deepEqual(part!.reports[0], reportsFor(before, spec)[0]);
		},
	);

	claim('a job goes on when the shell is lost, and its end is reported by the next one', async (t, site) => {
		const life = await live(site);
		const spec = specOf(41n, 'sleep 0.5; exit 7');
		life.host.launch(spec);
		await untilStarted(site, life, spec);
		await site.loseShell();
		await site.until('reset', () => life.resets === 1);
		const {parts} = await life.host.inventory();
		t.deepEqual(parts[0]!.reports[0], reportsFor(life, spec)[0]);
		t.deepEqual(outline(await untilExited(site, life, spec)), ['1 started 0', `2 exited 0:${7 << 8}`]);
	});

	claim('a task whose shim is killed goes on, can be ended, and ends as unknown', async (t, site) => {
		const life = await live(site);
		const spec = specOf(42n, 'sleep 60');
		life.host.launch(spec);
		await untilStarted(site, life, spec);
		await site.loseShim(spec, 0);
		await site.until('supervisor-lost', () => reportsFor(life, spec).length === 2);
		t.is((await life.host.inventory()).parts[0]?.state, 'running');
		life.host.terminate(spec, TERM);
		t.deepEqual(outline(await untilExited(site, life, spec)), [
			'1 started 0',
			'2 supervisor-lost 1',
			'3 exited 0:null',
		]);
	});

	claim(
		'what is out of contact for longer than its lease is ended, and says why; in contact nothing is',
		async (t, site) => {
			const life = await live(site);
			const spec = specOf(43n, 'sleep 60');
			life.host.contact!(400);
			life.host.launch(spec);
			await untilStarted(site, life, spec);
			life.host.contact!(400);
			await site.pass(1200);
			t.is(reportsFor(life, spec).length, 1, 'in contact, time does not count');
			await life.host.close({stop: false});
			await site.pass(1500);
			const next = await live(site);
			const [part] = (await next.host.inventory()).parts;
			t.deepEqual(
				part?.reports.map(report => (report.kind === 'exception' ? report.type : report.kind)),
				['started', 'lease-expired', 'exited'],
			);
			t.is(part?.state, 'exited');
		},
	);

	claim('a forgotten part is gone, and its id still counts', async (t, site) => {
		const life = await live(site);
		const spec = specOf(50n, 'exit 0');
		const running = specOf(49n, 'sleep 60');
		life.host.launch(running);
		life.host.launch(spec);
		await untilStarted(site, life, running);
		await untilExited(site, life, spec);
		life.host.forget(running); // It runs: nothing may go.
		life.host.forget(spec);
		life.host.forget(spec);
		await site.until('forgotten', async () => (await life.host.inventory()).parts.length === 1);
		const inventory = await life.host.inventory();
		t.deepEqual([inventory.parts[0]?.id, inventory.highestJobId], [49n, 50n]);
		await t.throwsAsync(life.host.readOutput(spec, 0, 'stdout', 0, 1), {code: 'ENOENT'});
		t.is(await life.host.readEventlog(spec), '');
	});

	claim('a part that was forgotten is not started again: its launch ends as unknown', async (t, site) => {
		const life = await live(site);
		const spec = specOf(51n, 'exit 3');
		life.host.launch(spec);
		await untilExited(site, life, spec);
		life.host.forget(spec);
		await site.until('forgotten', async () => (await life.host.inventory()).parts.length === 0);
		await site.loseShell();
		const next = await live(site);
		next.host.launch(spec);
		const reports = await untilExited(site, next, spec);
		t.deepEqual(
			reports.map(({kind}) => kind),
			['exception', 'exited'],
		);
		t.like(reports[0], {type: 'exec', severity: 1});
		t.like(reports[1], {tasks: [{task: 0, waitStatus: null}]});
		const another = {...spec, attempt: 2};
		next.host.launch(another);
		await untilExited(site, next, another);
		t.like(exitOf(next, another), {tasks: [{task: 0, waitStatus: 3 << 8}]});
	});

	claim(
		'input reaches a task once whoever repeats it, across lives of broker and shell, and ends once',
		async (t, site) => {
			let life = await live(site);
			const spec = specOf(60n, 'cat; exit 5', {input: {tasks: [0]}});
			life.host.launch(spec);
			await untilStarted(site, life, spec);
			const write = (offset: number, text: string, isEnd = false) =>
				life.host.writeInput(spec, {writer: 'w1', offset, data: Buffer.from(text), tasks: 'all', isEnd});
			t.deepEqual(await write(0, 'one '), {offset: 4, isTaken: true, isClosed: false});
			life = await relive(site);
			t.deepEqual(await write(0, 'one '), {offset: 4, isTaken: true, isClosed: false});
			t.deepEqual(await write(2, 'e two '), {offset: 8, isTaken: true, isClosed: false});
			await site.loseShell();
			t.deepEqual(await write(20, 'far'), {offset: 8, isTaken: false, isClosed: false});
			t.like(await write(8, 'three', true), {offset: 13, isTaken: true});
			t.like(await write(8, 'three', true), {offset: 13, isTaken: true});
			const exited = (await untilExited(site, life, spec)).at(-1);
			t.like(exited, {kind: 'exited', tasks: [{waitStatus: 5 << 8}]});
			t.is(await textOf(life.host, spec), 'one two three');
			t.like(await write(13, 'more'), {isTaken: false, isClosed: true});
		},
	);

	claim('input goes to the tasks that are named, of those that take it', async (t, site) => {
		const life = await live(site);
		const spec = specOf(61n, 'cat', {tasks: [4, 5, 6], input: {tasks: [4, 5]}});
		life.host.launch(spec);
		await untilStarted(site, life, spec);
		const write = (writer: string, tasks: string, text: string, isEnd: boolean) =>
			life.host.writeInput(spec, {writer, offset: 0, data: Buffer.from(text), tasks, isEnd});
		await write('w1', '4', 'four', true);
		await write('w2', 'all', 'all', true);
		await untilExited(site, life, spec);
		const texts = await Promise.all([4, 5, 6].map(task => textOf(life.host, spec, 'stdout', task)));
		t.deepEqual(texts, ['four', 'all', '']);
	});

	claim('a task that does not read makes its writer wait, and others pay nothing', async (t, site) => {
		const life = await live(site);
		const spec = specOf(62n, 'sleep 60', {input: {tasks: [0]}});
		life.host.launch(spec);
		await untilStarted(site, life, spec);
		let offset = 0;
		const write = async () => {
			const data = new Uint8Array(100_000);
			const answer = await life.host.writeInput(spec, {
				writer: 'w',
				offset,
				data,
				tasks: 'all',
				isEnd: false,
			});
			({offset} = answer);
			return answer;
		};
		while ((await write()).isTaken);
		await site.pass(300);
		while ((await write()).isTaken);
		t.true(offset > 1_000_000 && offset < 1_300_000, `${offset} bytes were taken`);
		const other = specOf(63n, 'sleep 60');
		life.host.launch(other);
		await untilStarted(site, life, other);
		const data = Buffer.from('x');
		const nobody = {writer: 'w', offset: 0, data, tasks: 'all', isEnd: false};
		await t.throwsAsync(life.host.writeInput(other, nobody), {code: 'EPIPE'});
		await t.throwsAsync(life.host.writeInput({id: 99n, attempt: 1}, nobody), {code: 'ENOENT'});
	});

	claim('the eventlog of a part tells its story in JSON lines', async (t, site) => {
		const life = await live(site);
		const spec = specOf(51n, 'exit 0');
		life.host.launch(spec);
		await untilExited(site, life, spec);
		const lines = (await life.host.readEventlog(spec)).trimEnd().split('\n');
		const names = lines.map(line => (JSON.parse(line) as {name: string}).name);
		t.true(names.includes('shell.start'));
		t.is(names.at(-1), 'done');
	});
}
