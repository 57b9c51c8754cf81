/** Starts processes that outlive the one that starts them: the daemon, and through it the brokers. */
import {spawn, type ChildProcess} from 'node:child_process';
import {closeSync, openSync} from 'node:fs';
import {asSystemError} from '../../formats/errno.ts';
import {PROGRAM_ENVIRONMENT} from '../../ports/real/installation.ts';
import {daemonLogPath, type StartRecord} from '../daemon-protocol.ts';

export interface SpawnOptions {
	readonly command: readonly string[];
	/** Takes stdout and stderr, appended. */
	readonly logPath: string;
}

/**
 * Starts a process in a session of its own, working directory /, stdin empty. It does not keep ours alive.
 *
 * @throws {SystemError} when the log can't be opened, or the kernel has no room for a process.
 */
export async function spawnDetached({command, logPath}: SpawnOptions): Promise<ChildProcess> {
	const [program, ...args] = command;
	if (program === undefined) throw new Error('an empty command');
	let log: number;
	try {
		log = openSync(logPath, 'a', 0o600);
	} catch (error) {
		throw asSystemError(error, 'EIO', `opening ${logPath}`);
	}
	try {
		const child = spawn(program, args, {
			detached: true,
			cwd: '/',
			stdio: ['ignore', log, log],
			env: instanceEnvironment(process.env),
		});
		await new Promise<void>((resolve, reject) => {
			child.once('spawn', resolve);
			child.once('error', error => reject(asSystemError(error, 'EAGAIN', `starting ${program}`)));
		});
		child.unref();
		return child;
	} finally {
		closeSync(log);
	}
}

/** Starts a daemon for the instance of `record`; one that finds another at work ends by itself. */
export function spawnDaemon(
	record: StartRecord,
	{adoptsBrokers}: {adoptsBrokers: boolean},
): Promise<ChildProcess> {
	const {rundir} = record.info;
	const command = [...record.daemonCommand, rundir, ...(adoptsBrokers ? ['--adopt-brokers'] : [])];
	return spawnDetached({command, logPath: daemonLogPath(rundir)});
}

/** A daemon is no part of the job or the instance that it may have been started from. */
function instanceEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
	const kept = Object.entries(env).filter(([name]) => !/^COPPICE_(URI$|JOB_|TASK_)/.test(name));
	return {...Object.fromEntries(kept), ...PROGRAM_ENVIRONMENT};
}
