/**
 * A user of nobody else's, under whom an instance runs: with a cgroup subtree that root has delegated to it, or with none
 * that it may write. Invariant: whatever has its user id is of one instance, and ends with it.
 */
import {spawnSync} from 'node:child_process';
import {chownSync, mkdirSync, readdirSync, readFileSync, statSync} from 'node:fs';
import {randomInt, randomUUID} from 'node:crypto';
import {children, endCgroup} from './cgroup-tree.ts';
import {commandLine, processNamed, signalProcess, type ProcessName} from './processes.ts';

export type UserKind = 'delegated' | 'session';

/** Below the ids of containers, above those of people. */
const USER_IDS = [200_000, 1_000_000] as const;
/** What the kernel lets an owner write (cgroup-v2, Model of Delegation). */
const DELEGATED_FILES = ['cgroup.procs', 'cgroup.threads', 'cgroup.subtree_control'];

export class OrdinaryUser {
	readonly kind: UserKind;
	readonly userid: number;
	/** The delegated subtree; null: there is none. */
	readonly cgroup: string | null;

	/** Makes the subtree. @throws when this process is not root's. */
	constructor(kind: UserKind) {
		this.kind = kind;
		this.userid = randomInt(...USER_IDS);
		this.cgroup = kind === 'session' ? null : `${cgroupMount()}/coppice-user-${randomUUID()}`;
		if (this.cgroup !== null) {
			for (const path of [this.cgroup, `${this.cgroup}/login`]) {
				mkdirSync(path);
				for (const each of [path, ...DELEGATED_FILES.map(name => `${path}/${name}`)]) this.own(each);
			}
		}
	}

	/** Gives a file to the user. */
	own(path: string): void {
		chownSync(path, this.userid, this.userid);
	}

	/** The command that runs `argv` as this user, in its login's cgroup. */
	command(argv: readonly string[]): string[] {
		const id = String(this.userid);
		const dropped = ['setpriv', `--reuid=${id}`, `--regid=${id}`, '--clear-groups', '--', ...argv];
		if (this.cgroup === null) return dropped;
		return ['/bin/sh', '-c', `echo $$ > '${this.cgroup}/login/cgroup.procs' && exec "$@"`, 'sh', ...dropped];
	}

	/** All processes of the user. */
	processes(): ProcessName[] {
		return readdirSync('/proc')
			.filter(entry => /^\d+$/.test(entry) && ownerOf(entry) === this.userid)
			.map(entry => processNamed(Number(entry)))
			.filter(name => name !== null);
	}

	/** The shims that are alive, with the id of their job. */
	shims(): {pid: number; id: string}[] {
		return this.processes().flatMap(({pid}) => {
			const id = /^coppice-shim (\d+)\.\d+\//.exec(commandLine(pid))?.[1];
			return id === undefined ? [] : [{pid, id}];
		});
	}

	/** What carries the mark of a part, `ID.ATTEMPT`. */
	payloadOf(part: string): number[] {
		const mark = new RegExp(`(^|\\0)COPPICE_PART=[^/\\0]*/${part.replace('.', '\\.')}(\\0|$)`);
		return this.processes().flatMap(({pid}) => (mark.test(readText(`/proc/${pid}/environ`)) ? [pid] : []));
	}

	/** Kills all that is left; false: not all of it yet. */
	end(): boolean {
		const left = this.processes();
		for (const name of left) signalProcess(name, 'SIGSTOP');
		for (const name of left) signalProcess(name, 'SIGKILL');
		const isEmpty = this.cgroup === null || endCgroup(this.cgroup);
		if (isEmpty && left.length === 0) spawnSync('rm', ['-rf', `/tmp/coppice-${this.userid}`]);
		return left.length === 0 && isEmpty;
	}

	/** The cgroups directly below what was delegated; none without. */
	cgroups(): string[] {
		return this.cgroup === null ? [] : children(this.cgroup);
	}
}

function cgroupMount(): string {
	const line = readText('/proc/self/mountinfo')
		.split('\n')
		.find(each => / - cgroup2 /.test(each));
	if (line === undefined) throw new Error('no cgroup v2 hierarchy is mounted');
	return line.split(' ')[4]!;
}

function ownerOf(pid: string): number | undefined {
	return statSync(`/proc/${pid}`, {throwIfNoEntry: false})?.uid;
}

function readText(path: string): string {
	try {
		return readFileSync(path, 'latin1');
	} catch {
		return '';
	}
}
