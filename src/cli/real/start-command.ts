/** Runs the command of `coppice start -- CMD` within the instance, and stops the instance after it. */
import {spawn} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {constants} from 'node:os';
import {delimiter} from 'node:path';
import {asSystemError} from '../../formats/errno.ts';
import {RpcClient} from '../../net/rpc-client.ts';
import type {Clock} from '../../ports/clock.ts';
import type {Transport} from '../../ports/transport.ts';
import {pause} from '../../broker/real/pause.ts';
import {installedFile} from '../../ports/real/installation.ts';
import {awaitDaemonEnd, stopDaemon, type StartedInstance} from './start-instance.ts';

export interface CommandOptions {
	readonly argv: readonly string[];
	readonly uri: string;
	readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Runs a command with the instance in its environment; SIGTERM and SIGHUP are passed on to it, and SIGINT where no
 * terminal has sent it already. Resolves to its exit status, 128+signal when a signal ended it, 127 or 126 when it
 * could not be started.
 */
export async function runCommand(
	{argv, uri, env}: CommandOptions,
	warn: (text: string) => void,
): Promise<number> {
	const [program, ...args] = argv;
	if (program === undefined) throw new Error('an empty command');
	// Before the command is there: it may get its first signal before we get to run again.
	const early: NodeJS.Signals[] = [];
	let forward = (signal: NodeJS.Signals): void => void early.push(signal);
	const stopForwarding = forwardSignals(signal => forward(signal));
	try {
		const child = spawn(program, args, {stdio: 'inherit', env: commandEnvironment(env, uri)});
		forward = signal => void child.kill(signal);
		for (const signal of early) forward(signal);
		return await new Promise<number>(resolve => {
			child.once('exit', (code, signal) =>
				resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal]),
			);
			child.once('error', error => {
				const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
				warn(isMissing ? `ENOENT: ${missingText(program)}` : asSystemError(error, 'EIO', program).toString());
				resolve(isMissing ? 127 : 126);
			});
		});
	} finally {
		stopForwarding();
	}
}

/** What is not there: the program, or of a script that is there its interpreter. */
function missingText(program: string): string {
	const why = 'no such file or directory';
	try {
		const interpreter = /^#!\s*(\S+)/.exec(readFileSync(program, 'utf8'))?.[1];
		const isLost = interpreter !== undefined && !existsSync(interpreter);
		return isLost ? `${program}: its interpreter ${interpreter}: ${why}` : `${program}: ${why}`;
	} catch {
		return `${program}: ${why}`;
	}
}

export interface ShutdownOptions {
	readonly clock: Clock;
	readonly transport: Transport;
	readonly warn: (text: string) => void;
}

/**
 * Shuts an instance down, cancelling what still runs; an instance that is gone already is fine. When its broker does
 * not answer, daemon and broker are ended by signals instead, and jobs go on.
 *
 * @throws {SystemError} ETIMEDOUT naming the daemon that does not end.
 */
export async function shutDown(started: StartedInstance, options: ShutdownOptions): Promise<void> {
	const untilMs = performance.now() + CONTACT_MS;
	for (;;) {
		try {
			await askForShutdown(started.uri, options);
			break;
		} catch (error) {
			if (await isGone(started)) return;
			if (performance.now() < untilMs) {
				await pause(RETRY_MS);
				continue;
			}
			options.warn(
				`shutdown: ${asSystemError(error).toString()}; ending daemon and broker, jobs are left running`,
			);
			await stopDaemon(started.info);
			return;
		}
	}
	await awaitDaemonEnd(started.info, END_MS);
}

/** Running jobs get this long to end. */
const SHUTDOWN_S = 60;
/** A broker that is being restarted may be away for so long. */
const CONTACT_MS = 30_000;
const RETRY_MS = 200;
const END_MS = 30_000;
const CONNECT_MS = 2000;
const BIN = installedFile('bin');

async function askForShutdown(uri: string, {clock, transport}: ShutdownOptions): Promise<void> {
	const client = RpcClient.over(await transport.connect(uri, {timeoutMs: CONNECT_MS}), {clock});
	try {
		const payload = {loglevel: 6, timeout: SHUTDOWN_S};
		const lines = client.stream('shutdown.start', payload, {timeoutMs: (SHUTDOWN_S + 10) * 1000});
		for await (const _line of lines); // Progress; what matters is the end.
	} finally {
		client.close();
	}
}

async function isGone({info}: StartedInstance): Promise<boolean> {
	return awaitDaemonEnd(info, 0).then(
		() => true,
		() => false,
	);
}

function commandEnvironment(env: CommandOptions['env'], uri: string): NodeJS.ProcessEnv {
	const path = env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin';
	const hasBin = path.split(delimiter).includes(BIN);
	return {...env, COPPICE_URI: uri, PATH: hasBin ? path : `${path}${delimiter}${BIN}`};
}

/** Calls `forward` for signals to this process, until the function that it returns is called. */
function forwardSignals(forward: (signal: NodeJS.Signals) => void): () => void {
	const handlers = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map(signal => {
		// A terminal sends SIGINT to the command too, which is in the same process group.
		const isDoubled = signal === 'SIGINT' && process.stdin.isTTY === true;
		const handler = () => (isDoubled ? undefined : forward(signal));
		process.on(signal, handler);
		return () => process.off(signal, handler);
	});
	return () => handlers.forEach(off => off());
}
