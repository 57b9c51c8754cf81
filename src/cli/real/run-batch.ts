/**
 * The instance of a batch script: one broker, whose directories are in that of the job and go with it. Invariant: nothing
 * of it outlives the job, for all its processes are in the job's cgroup.
 */
import {mkdtemp, rm} from 'node:fs/promises';
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

/** The longest name of a socket in a run directory, with room. */
const SOCKET_NAME_BYTES = '/shell-0.events.new'.length;

/** Resolves to the exit status of the script. */
export async function runBatch(
	context: CliContext,
	{directory, resources, args}: BatchOptions,
): Promise<number> {
	const own = join(directory, 'run');
	const isShort = Buffer.byteLength(own) + SOCKET_NAME_BYTES <= SOCKET_PATH_BYTES_MAX;
	const rundir = isShort ? own : await mkdtemp('/tmp/coppice-batch-');
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

/** The script is no task of the instance around it any more; how to reach that one is told. */
function batchEnvironment(env: CliContext['env']): CliContext['env'] {
	const kept = Object.entries(env).filter(([name]) => !INSTANCE_VARIABLES.has(name));
	return {
		...Object.fromEntries(kept),
		COPPICE_PARENT_URI: env['COPPICE_URI'],
		COPPICE_PARENT_JOB_ID: env['COPPICE_JOB_ID'],
	};
}
