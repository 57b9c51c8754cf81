/**
 * Goal: no report of a shell is lost on its way, however the bytes of its connection fall into reads; and nothing is left of a
 * connection that was closed.
 * Method: a shell of the test's own, which puts an inventory and the reports that follow on it into one write, as the
 * kernel does for a broker that was busy meanwhile.
 */

import {mkdirSync} from 'node:fs';
import {createServer, type Socket} from 'node:net';
import test, {type ExecutionContext} from 'ava';
import type {InventoryEntry, PartReport} from '../../../src/ports/process-host.ts';
import type {Timer} from '../../../src/ports/clock.ts';
import {SystemClock} from '../../../src/ports/real/system-clock.ts';
import {partDir, socketPath} from '../../../src/exec/part-paths.ts';
import {
	decodeBrokerMessage,
	encodeMessage,
	LineSplitter,
	SHELL_PROTOCOL,
	type ShellMessage,
} from '../../../src/exec/shell-protocol.ts';
import {createRealSite, type RealSite} from './real-site.ts';

const KEY = {id: 1n, attempt: 1};
const STORY: readonly PartReport[] = [
	{...KEY, seq: 1, atMs: 1, kind: 'started', tasks: [{task: 0, pid: 2, startTicks: 3, startMs: 1}]},
	{...KEY, seq: 2, atMs: 2, kind: 'exception', type: 'timeout', severity: 0, note: 'expired'},
	{...KEY, seq: 3, atMs: 3, kind: 'exited', tasks: [{task: 0, waitStatus: 14, endMs: 3}]},
];

/** Each inventory that it is asked for has so many reports of STORY as it has made; `behind` are made right after it. */
async function listenAs(t: ExecutionContext, site: RealSite) {
	mkdirSync(partDir(site.site, KEY), {recursive: true});
	mkdirSync(site.site.rundir, {recursive: true});
	const shell = {made: 1, behind: 0, inventories: 0, connection: null as Socket | null, make};
	function make(count: number): string {
		const reports = STORY.slice(shell.made, shell.made + count);
		shell.made += reports.length;
		return textOf(reports.map(report => ({type: 'report', report})));
	}
	const inventory = (request: number): string => {
		const reports = STORY.slice(0, shell.made);
		const entry: InventoryEntry = {
			...KEY,
			state: reports.at(-1)?.kind === 'exited' ? 'exited' : 'running',
			reports,
			bootId: site.clock.bootId,
			record: '{}',
		};
		shell.inventories++;
		const answer = textOf([
			{type: 'part', request, entry},
			{type: 'answer', request, highestJobId: 1n},
		]);
		return answer + make(shell.behind);
	};
	const server = createServer(socket => {
		const lines = new LineSplitter();
		shell.connection = socket;
		socket.setEncoding('utf8');
		socket.on('error', () => socket.destroy());
		socket.on('data', (text: string) => {
			for (const message of lines.push(text).map(decodeBrokerMessage)) {
				const {bootId} = site.clock;
				if (message.type === 'hello')
					socket.write(
						textOf([{type: 'hello', protocol: SHELL_PROTOCOL, pid: 1, launcherPid: null, bootId}]),
					);
				else if (message.type === 'inventory') socket.write(inventory(message.request));
			}
		});
	});
	await new Promise<void>(resolve => server.listen(socketPath(site.site), resolve));
	t.teardown(() => {
		shell.connection?.destroy();
		server.close();
	});
	return shell;
}

function textOf(messages: readonly ShellMessage[]): string {
	return messages.map(encodeMessage).join('');
}

test('a report right behind the first inventory is delivered after it, and so is what follows', async t => {
	const site = createRealSite(t, {tracking: 'session'});
	const shell = await listenAs(t, site);
	shell.behind = 1;
	const host = await site.host();
	const seen: string[] = [];
	host.onReport = ({kind}) => seen.push(kind);
	const {parts} = await host.inventory();
	seen.push(`inventory of ${parts[0]?.reports.length}`);
	shell.connection!.write(shell.make(1));
	await site.until('the end', () => seen.includes('exited'));
	t.deepEqual(seen, ['inventory of 1', 'exception', 'exited']);
});

test('a report right behind a later inventory is delivered, and so is what follows', async t => {
	const site = createRealSite(t, {tracking: 'session'});
	const shell = await listenAs(t, site);
	const host = await site.host();
	const seen: string[] = [];
	host.onReport = ({kind}) => seen.push(kind);
	await host.inventory();
	shell.behind = 1;
	await host.inventory();
	shell.behind = 0;
	shell.connection!.write(shell.make(1));
	await site.until('the end', () => seen.includes('exited'));
	t.deepEqual(seen, ['exception', 'exited']);
});

test('a report right behind the inventory after a reconnect is delivered, with those before and after it', async t => {
	const site = createRealSite(t, {tracking: 'session'});
	const shell = await listenAs(t, site);
	const host = await site.host();
	const seen: string[] = [];
	host.onReport = ({kind}) => seen.push(kind);
	host.onReset = () => seen.push('reset');
	await host.inventory();
	// Made while contact was lost.
	shell.make(1);
	shell.behind = 1;
	shell.connection!.destroy();
	await site.until('it asks again', () => shell.inventories === 2);
	await site.until('the end', () => seen.includes('exited'));
	t.deepEqual(seen, ['exception', 'reset', 'exited']);
});

/** Knows how many of its timers will still fire. */
class CountingClock extends SystemClock {
	readonly armed = new Set<object>();

	override setTimer(delayMs: number, fire: () => void): Timer {
		const timer = super.setTimer(delayMs, () => {
			this.armed.delete(timer);
			fire();
		});
		this.armed.add(timer);
		return {
			cancel: () => {
				this.armed.delete(timer);
				timer.cancel();
			},
		};
	}
}

test('a host that is closed while it dials leaves no timer behind', async t => {
	const clock = new CountingClock();
	const site = createRealSite(t, {tracking: 'session', clock});
	const shell = await listenAs(t, site);
	const host = await site.host();
	const inventory = host.inventory();
	t.true(clock.armed.size > 0);
	await Promise.all([t.throwsAsync(inventory, {code: 'ECANCELED'}), host.close({stop: false})]);
	await site.until('the connection is made, and over', () => shell.connection?.closed === true);
	t.is(clock.armed.size, 0);
});
