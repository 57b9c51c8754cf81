/**
 * The instance of a batch script: one broker, whose directories are in that of the job and go with it. Invariant: nothing
 * of it outlives the job, for all its processes are in the job's cgroup.
 */
import {lstat, mkdir, readdir, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {SOCKET_PATH_BYTES_MAX} from '../../net/address.ts';
import type {CliContext} from '../context.ts';
import {INSTANCE_VARIABLES} from '../submit/job-environment.ts';
import {SCRIPT_NAME} from '../submit/submission.ts';
import {startMain} from './start-main.ts';

export interface BatchOptions {
	/** Where the script is. */
	readonly directory: string;
	/** Values of `--conf`. */
	readonly resources: readonly string[];
	readonly args: readonly string[];
}

/** The longest name of a socket in a run directory of one broker. */
const SOCKET_NAME_BYTES = '/shell-0'.length;
/** Run directories whose own place has too long a path for sockets. */
const SHORT_PREFIX = 'coppice-batch-';

/** Resolves to the exit status of the script. */
export async function runBatch(
	context: CliContext,
	{directory, resources, args}: BatchOptions,
): Promise<number> {
	const own = join(directory, 'run');
	const isShort = Buffer.byteLength(own) + SOCKET_NAME_BYTES <= SOCKET_PATH_BYTES_MAX;
	const rundir = isShort ? own : await shortRundir(context);
	try {
		return await startMain(
			{
				statedir: join(directory, 'state'),
				jobdir: join(directory, 'jobs'),
				rundir,
				adopt: false,
				size: 1,
				topo: null,
				confs: resources,
				attributes: [],
				detach: false,
				command: [join(directory, SCRIPT_NAME), ...args],
			},
			context.withEnv(batchEnvironment(context.env)),
		);
	} finally {
		if (!isShort) await rm(rundir, {recursive: true, force: true});
	}
}

/**
 * A directory that is named for this process, so that a later one knows when nobody needs it any more: a job that is killed
 * leaves it behind.
 */
async function shortRundir({world}: CliContext): Promise<string> {
	const root = tmpdir();
	for (const name of await readdir(root)) {
		const match = /^(\d+)-(\d+)$/.exec(name.startsWith(SHORT_PREFIX) ? name.slice(SHORT_PREFIX.length) : '');
		if (match === null || (await world.processStart(Number(match[1]))) === match[2]) continue;
		const path = join(root, name);
		const stat = await lstat(path).catch(() => null);
		if (stat?.isDirectory() === true && stat.uid === world.userid) {
			await rm(path, {recursive: true, force: true}).catch(() => undefined); // Another one is at it.
		}
	}
	const path = join(root, `${SHORT_PREFIX}${process.pid}-${await world.processStart(process.pid)}`);
	await mkdir(path, {mode: 0o700});
	return path;
}

/** The script is no task of the instance around it any more; how to reach that one is told. */
function batchEnvironment(env: CliContext['env']): CliContext['env'] {
	const kept = Object.entries(env).filter(([name]) => !INSTANCE_VARIABLES.has(name));
	return {
		...Object.fromEntries(kept),
		COPPICE_PARENT_URI: env['COPPICE_URI'],
		COPPICE_PARENT_JOB_ID: env['COPPICE_JOB_ID'],
	};
}
