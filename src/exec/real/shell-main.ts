/**
 * The job shell's process: one per broker, in its own session and cgroup, started by the broker and outliving it.
 * Its only argument is the site as JSON. Ends at once, with status 0, when another shell of this rank runs.
 */

import {mkdirSync, rmSync, writeFileSync} from 'node:fs';
import {asSystemError} from '../../formats/errno.ts';
import {
	checkSite,
	eventsPath,
	rankCgroup,
	rankDir,
	shellLockName,
	shellPidPath,
	type RankSite,
} from '../part-paths.ts';
import {joinCgroup, makeCgroup, removeCgroup} from './cgroup.ts';
import {type KernelLock, takeLock} from '../../ports/real/kernel-lock.ts';
import {SystemClock} from '../../ports/real/system-clock.ts';
import {startTicksOf} from './proc.ts';
import {JobShell} from './shell.ts';

/** What was sent to the broker leaves meanwhile. */
const LEAVE_RETRY_MS = 20;
const LEAVE_TRIES_MAX = 25;

const site = JSON.parse(process.argv[2] ?? '') as RankSite;
checkSite(site);
process.umask(0o077);
process.title = `coppice-shell ${site.rank}`;
// What ends a terminal or a service must not end the shell: it stops when it is told to, over its socket.
for (const name of ['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGPIPE'] as const) process.on(name, () => undefined);

const clock = new SystemClock();
takeLock(shellLockName(site))
	.then(lock => (lock === null ? undefined : run(lock))) // Another one is at it.
	.catch((error: unknown) => {
		log(error instanceof Error ? (error.stack ?? error.message) : String(error));
		process.exit(1);
	});

async function run(held: KernelLock): Promise<void> {
	mkdirSync(rankDir(site), {recursive: true, mode: 0o700});
	mkdirSync(site.rundir, {recursive: true, mode: 0o700});
	enterCgroup();
	const who = {pid: process.pid, startTicks: startTicksOf(process.pid), bootId: clock.bootId};
	writeFileSync(shellPidPath(site), JSON.stringify(who));
	const shell = new JobShell({
		site,
		clock,
		log,
		onDone: () => {
			rmSync(shellPidPath(site), {force: true});
			rmSync(eventsPath(site), {force: true});
			leave(LEAVE_TRIES_MAX, held);
		},
	});
	await shell.start();
	log(`started, pid ${process.pid}`);
}

/** Leaves the broker's cgroup, so that whoever ends that does not end the shell. */
function enterCgroup(): void {
	if (site.cgroupBase === '') return;
	const cgroup = `${rankCgroup(site)}/shell`;
	makeCgroup(cgroup);
	joinCgroup(cgroup, process.pid);
}

/** Removes the rank's cgroups, once the launcher is gone too; only then the next shell may take the lock. */
function leave(triesLeft: number, held: KernelLock): void {
	try {
		if (site.cgroupBase !== '') joinCgroup(site.cgroupBase, process.pid);
		if (site.cgroupBase !== '' && !removeCgroup(rankCgroup(site)) && triesLeft > 0) {
			setTimeout(() => leave(triesLeft - 1, held), LEAVE_RETRY_MS);
			return;
		}
	} catch (error) {
		// Where the base has controllers nothing may join it; an empty cgroup is left, and found again.
		log(asSystemError(error).toString());
	}
	void held.release();
	process.exit(0);
}

function log(text: string): void {
	process.stderr.write(`${new Date(clock.epochMs()).toISOString()} coppice-shell ${site.rank}: ${text}\n`);
}
