/**
 * What demonstrations share: an instance in a temporary directory, its commands, and its end. Only processes of this instance
 * are ended, by pid, and everything that was made is removed again.
 */
import {execFile} from 'node:child_process';
import {existsSync, mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';

export const COPPICE = fileURLToPath(new URL('../../bin/coppice', import.meta.url));
const COMMAND_TIMEOUT_MS = 90_000;
const UNTIL_MS = 60_000;
const POLL_MS = 50;

export interface Job {
	readonly id: string;
	readonly f58: string;
	readonly name: string;
	readonly state: string;
	/** An idset; absent before it was given any. */
	readonly ranks?: string;
	readonly reattached?: number;
	readonly returncode?: number;
	readonly exception?: object;
}

export class Stage {
	readonly dir = mkdtempSync(join(tmpdir(), 'coppice-demo-'));
	readonly env: NodeJS.ProcessEnv = {...process.env, NO_COLOR: '1'};

	/** Starts the instance; its commands find it from here on. */
	async start(...options: readonly string[]): Promise<void> {
		const places = [
			'--statedir',
			`${this.dir}/state`,
			'--jobdir',
			`${this.dir}/jobs`,
			'--rundir',
			`${this.dir}/run`,
		];
		this.env['COPPICE_URI'] = await this.coppice('start', ...places, ...options, '--detach');
	}

	/** Runs one command of the instance; resolves to its standard output. */
	async coppice(...args: readonly string[]): Promise<string> {
		return new Promise((resolve, reject) => {
			execFile(
				process.execPath,
				[COPPICE, ...args],
				{env: this.env, timeout: COMMAND_TIMEOUT_MS, maxBuffer: 2 ** 26},
				(error, stdout, stderr) => {
					if (error === null) resolve(stdout.trim());
					else reject(new Error(`coppice ${args.join(' ')}: ${stderr.trim() || error.message}`));
				},
			);
		});
	}

	async jobs(): Promise<readonly Job[]> {
		return (JSON.parse(await this.coppice('jobs', '-a', '--json')) as {jobs: readonly Job[]}).jobs;
	}

	/** Plays, and ends all of it whatever happened. */
	async run(play: () => Promise<void>): Promise<void> {
		try {
			await play();
		} catch (error) {
			console.error(error instanceof Error ? error.message : error);
			process.exitCode = 1;
		} finally {
			if (this.env['COPPICE_URI'] !== undefined) {
				await this.coppice('shutdown', '--timeout', '30s').catch((error: unknown) =>
					console.error(String(error)),
				);
			}
			rmSync(this.dir, {recursive: true, force: true});
		}
	}
}

export function say(text: string): void {
	console.log(text);
}

/** The tasks below the cgroup of a rank, as `pid startTicks`: what tells a process from a later one with its pid. */
export function tasksBelow(cgroup: string): Set<string> {
	const found = new Set<string>();
	for (const name of readdirSync(cgroup).filter(one => one.startsWith('job-'))) {
		const path = `${cgroup}/${name}/payload/cgroup.procs`;
		for (const pid of existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []) {
			const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '';
			const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
			if (fields[3] === pid) found.add(`${pid} ${fields[19]}`); // A task leads its session; its children come and go.
		}
	}
	return found;
}

/** Polls until `check` gives something; rejects after a minute. */
export async function until<T>(what: string, check: () => Promise<T | null>): Promise<T> {
	const endMs = performance.now() + UNTIL_MS;
	for (;;) {
		const found = await check();
		if (found !== null) return found;
		if (performance.now() > endMs) throw new Error(`not within ${UNTIL_MS / 1000} s: ${what}`);
		await new Promise(resolve => setTimeout(resolve, POLL_MS));
	}
}

export function countState(jobs: readonly Job[], state: string): number {
	return jobs.filter(job => job.state === state).length;
}

/** Job ids in JSON are in ASCII. */
export function asAscii(id: string): string {
	return id.replace(/^ƒ/, 'f');
}
