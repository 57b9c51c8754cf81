/** `coppice start` as a process: brings the instance up, runs the command in it, takes it down again. */
import {superviseDaemon} from '../../broker/real/supervise-daemon.ts';
import type {CliContext} from '../context.ts';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {RpcClient} from '../../net/rpc-client.ts';
import {runCommand, shutDown} from './start-command.ts';
import {startInstance, type StartOptions} from './start-instance.ts';

export type StartMainOptions = Pick<
	StartOptions,
	'statedir' | 'jobdir' | 'rundir' | 'adopt' | 'size' | 'topo' | 'confs' | 'attributes'
> & {
	/** Leave the instance running. */
	readonly detach: boolean;
	/** What to run in it; empty: an interactive shell. */
	readonly command: readonly string[];
};

/**
 * Resolves to the exit status: that of the command, or 0 with `detach`; 128+signal when a signal came before the
 * instance was up, which then was told to end.
 *
 * @throws {SystemError} as `startInstance`.
 */
export async function startMain(options: StartMainOptions, context: CliContext): Promise<number> {
	const {world, env} = context;
	const warn = (text: string) => void context.warn(text);
	const interrupt = catchInterrupt();
	try {
		const started = await startInstance({
			...options,
			env,
			cwd: world.cwd,
			warn,
			probe: uri => probe(uri, context),
			signal: interrupt.signal,
		});
		for (const uri of started.safeUris) {
			warn(`the event log is damaged: it is up in safe mode (see coppice log salvage --uri ${uri})`);
		}
		if (options.detach) {
			await context.print(`${started.uri}\n`);
			return 0;
		}
		const argv = options.command.length > 0 ? options.command : [env['SHELL'] || '/bin/sh'];
		// While we wait we are one more who brings the daemon back: broker and daemon may die together.
		const {instance, rundir} = started.info;
		const supervision = superviseDaemon({instance, rundir, rank: null, log: () => {}});
		const status = await runCommand({argv, uri: started.uri, env}, warn);
		supervision.close();
		// Signals stay caught: the end has deadlines of its own, and half an end is worse than a late one.
		try {
			await shutDown(started, {clock: world.clock, transport: world.transport, warn});
		} catch (error) {
			warn(`shutdown: ${asSystemError(error).toString()}`);
		}
		return status;
	} catch (error) {
		const signum = interrupt.signum();
		if (signum !== null && error instanceof SystemError && error.code === 'ECANCELED') return 128 + signum;
		throw error;
	} finally {
		interrupt.release();
	}
}

const PROBE_MS = 2000;
const SIGNALS = [
	['SIGHUP', 1],
	['SIGINT', 2],
	['SIGTERM', 15],
] as const;

interface Interrupt {
	readonly signal: AbortSignal;
	/** The signal that came, or null. */
	signum(): number | null;
	/** Gives the signals back to their defaults. Idempotent. */
	release(): void;
}

function catchInterrupt(): Interrupt {
	const controller = new AbortController();
	let came: number | null = null;
	const offs = SIGNALS.map(([name, signum]) => {
		const handler = () => {
			came ??= signum;
			controller.abort();
		};
		process.on(name, handler);
		return () => process.off(name, handler);
	});
	return {signal: controller.signal, signum: () => came, release: () => offs.forEach(off => off())};
}

async function probe(uri: string, {world}: CliContext): Promise<string> {
	const link = await world.transport.connect(uri, {timeoutMs: PROBE_MS});
	const client = RpcClient.over(link, {clock: world.clock});
	try {
		const answer = await client.call('state-machine.get', {}, {timeoutMs: PROBE_MS});
		const {state} = (answer ?? {}) as {readonly state?: unknown};
		return typeof state === 'string' ? state : 'unknown';
	} finally {
		client.close();
	}
}
