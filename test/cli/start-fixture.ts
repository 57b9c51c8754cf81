/** A started instance for tests, of fake brokers, with everything that ends it again even when the test fails. */
import {mkdir, mkdtemp, readdir, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import type {ExecutionContext} from 'ava';
import {
	brokerPidPath,
	daemonPidPath,
	daemonSocketPath,
	type FromDaemon,
} from '../../src/broker/daemon-protocol.ts';
import {connectLines} from '../../src/broker/real/line-connection.ts';
import {isNamedAlive, nameOf, readPidFile, type ProcessName} from '../../src/broker/real/pid-file.ts';
import {startInstance, type StartedInstance, type StartOptions} from '../../src/cli/real/start-instance.ts';
import {SystemClock} from '../../src/ports/real/system-clock.ts';
import {UnixTransport} from '../../src/net/real/unix-transport.ts';
import {RpcClient} from '../../src/net/rpc-client.ts';

export const clock = new SystemClock();
export const transport = new UnixTransport();
const DEADLINE_MS = 20_000;

/** Polls until `probe` gives something. */
export async function until<T>(what: string, probe: () => Promise<T | null | undefined | false>): Promise<T> {
	const endMs = performance.now() + DEADLINE_MS;
	for (;;) {
		const value = await probe();
		if (value !== null && value !== undefined && value !== false) return value;
		if (performance.now() > endMs) throw new Error(`not within ${DEADLINE_MS} ms: ${what}`);
		await new Promise(resolve => setTimeout(resolve, 10));
	}
}

export async function call(
	uri: string,
	topic: string,
	payload: object = {},
): Promise<Record<string, unknown>> {
	const client = RpcClient.over(await transport.connect(uri, {timeoutMs: 2000}), {clock});
	try {
		return (await client.call(topic, payload, {timeoutMs: 2000})) as Record<string, unknown>;
	} finally {
		client.close();
	}
}

export interface Fixture {
	readonly root: string;
	readonly rundir: string;
	readonly warnings: string[];
	readonly start: (change?: Partial<StartOptions>) => Promise<StartedInstance>;
	/** How the next starts of the fake broker end; '': they run. */
	readonly setMode: (mode: string) => Promise<void>;
	/** The pids of all starts so far. */
	readonly lives: () => Promise<number[]>;
	/** The broker that lives now; waits for one. */
	readonly brokerPid: () => Promise<number>;
	/** The daemon that answers now; waits for one. */
	readonly daemonPid: () => Promise<number>;
	readonly isAlive: (pid: number) => boolean;
	readonly kill: (pid: number, signal: NodeJS.Signals) => void;
}

export async function makeFixture(t: ExecutionContext): Promise<Fixture> {
	const root = await mkdtemp(join(tmpdir(), 'coppice-start-'));
	const orders = join(root, 'orders');
	const rundir = join(root, 'run');
	await mkdir(orders);
	await writeFile(join(orders, 'lives'), '');
	const seen = new Map<number, ProcessName>();
	const note = (name: ProcessName) => {
		seen.set(name.pid, name);
		return name.pid;
	};
	t.teardown(async () => {
		await endInstance(rundir);
		await rm(root, {recursive: true, force: true});
	});
	const warnings: string[] = [];
	const fakeBroker = fileURLToPath(new URL('./fake-broker.js', import.meta.url));
	return {
		root,
		rundir,
		warnings,
		lives: async () =>
			(await readFile(join(orders, 'lives'), 'utf8')).split('\n').filter(Boolean).map(Number),
		setMode: mode => writeFile(join(orders, 'mode'), mode),
		start: change =>
			startInstance({
				statedir: join(root, 'state'),
				jobdir: join(root, 'jobs'),
				rundir,
				adopt: false,
				size: null,
				topo: null,
				confs: [],
				attributes: [],
				env: {HOME: root},
				cwd: root,
				warn: text => warnings.push(text),
				probe: async uri => String((await call(uri, 'state-machine.get'))['state']),
				timeoutMs: 20_000,
				brokerCommand: [process.execPath, fakeBroker, orders],
				...change,
			}),
		brokerPid: async () => {
			const name = await until('a broker lives', async () => {
				const found = await readPidFile(brokerPidPath(rundir, 0));
				return found !== null && isNamedAlive(found) ? found : null;
			});
			return note(name);
		},
		daemonPid: async () => {
			const name = await until('a daemon lives', async () => {
				const found = await readPidFile(daemonPidPath(rundir));
				if (found === null || !isNamedAlive(found)) return null;
				return (await whoAnswers(daemonSocketPath(rundir))) === found.pid ? found : null;
			});
			return note(name);
		},
		isAlive: pid => {
			const name = seen.get(pid) ?? nameOf(pid);
			return name !== null && isNamedAlive(name);
		},
		kill: (pid, signal) => {
			const name = seen.get(pid);
			if (name !== undefined && isNamedAlive(name)) process.kill(pid, signal);
		},
	};
}

async function whoAnswers(path: string): Promise<number | null> {
	const connection = await connectLines(path, 1000).catch(() => null);
	if (connection === null) return null;
	try {
		return await new Promise(resolve => {
			connection.onMessage = value => resolve((value as FromDaemon).pid);
			connection.onEnd = () => resolve(null);
			connection.send({type: 'status'});
		});
	} finally {
		connection.destroy();
	}
}

/**
 * Ends everything that was started with this run directory, which is the test's own, in its arguments: again and again
 * until nothing comes back. A broker that was just started is in no file yet, so /proc is asked.
 */
export async function endInstance(rundir: string): Promise<void> {
	for (let quiet = 0; quiet < 3;) {
		const pids = await pidsWith(rundir);
		for (const pid of pids) {
			try {
				process.kill(pid, 'SIGKILL');
			} catch {
				// It has just ended.
			}
		}
		quiet = pids.length === 0 ? quiet + 1 : 0;
		await new Promise(resolve => setTimeout(resolve, 50));
	}
}

async function pidsWith(argument: string): Promise<number[]> {
	const pids = (await readdir('/proc')).map(Number).filter(pid => pid > 1 && pid !== process.pid);
	const found = pids.map(async pid => {
		const cmdline = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
		return cmdline.split('\0').includes(argument) ? [pid] : [];
	});
	return (await Promise.all(found)).flat();
}
