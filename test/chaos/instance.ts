/**
 * A real instance in a temporary directory, driven through the command line only. Invariant: after `destroy` nothing of
 * it is left, whatever happened before: no process, cgroup, mount or file. It ends only what is its own: processes in its
 * cgroup, and those whose command line names its directory.
 */
import {execFileSync} from 'node:child_process';
import {chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {children, endCgroup, pidsBelow} from './cgroup-tree.ts';
import {CoppiceCommand, describe, type CommandOptions, type Finished} from './coppice-command.ts';
import {Gate} from './gate.ts';
import {disagreements, readLedgers, type Expectation, type JobRow, type Ledger} from './ledger.ts';
import {
	commandLine,
	isAlive,
	processesNaming,
	processNamed,
	signalProcess,
	type ProcessName,
} from './processes.ts';
import {OrdinaryUser, type UserKind} from './ordinary-user.ts';
import {writeTaskScript} from './task-script.ts';
import {until} from './until.ts';

export type Role = 'broker' | 'shell' | 'launcher' | 'daemon';
export const ROLES: readonly Role[] = ['broker', 'shell', 'launcher', 'daemon'];

/** What tells each from its command line. */
const MARKS: Readonly<Record<Role, RegExp>> = {
	broker: /\/broker(-main\.js|\.cjs) --instance /,
	shell: /^coppice-shell/,
	launcher: /coppice-launcher/,
	daemon: /\/daemon(-main\.js|\.cjs) /,
};

export interface InstanceOptions {
	/** What each node has. Default 60. */
	readonly cores?: number;
	/** Brokers. Default 1. */
	readonly size?: number;
	/** Of the tree. Default: `kary:2`. */
	readonly topo?: string;
	/** More values of `--conf`. */
	readonly confs?: readonly string[];
	/** Mounts a tmpfs of so many bytes, for state and jobs. */
	readonly diskBytes?: number;
	/** It runs as an ordinary user, with a delegated cgroup or without any. Absent: as this one. */
	readonly user?: UserKind;
}

export class Instance {
	readonly root: string;
	/** Where state and jobs are. */
	readonly disk: string;
	readonly statedir: string;
	readonly jobdir: string;
	readonly rundir: string;
	readonly ledgers: string;
	/** Values of `--conf` that name what is in `root`, for each start. */
	readonly ownConfs: string[] = [];
	readonly uri: string;
	readonly size: number;
	/** Under whom it runs; null: as this process. */
	readonly user: OrdinaryUser | null;
	readonly #options: InstanceOptions;
	readonly #commands = new Set<CoppiceCommand>();
	readonly #seen = new Map<Role, ProcessName>();
	readonly #mounts: string[] = [];
	#jobCgroup: string | null = null;
	#gates = 0;

	constructor(options: InstanceOptions = {}) {
		this.#options = options;
		this.size = options.size ?? 1;
		this.root = mkdtempSync('/tmp/coppice-');
		undestroyed.add(this);
		this.disk = join(this.root, 'disk');
		this.ledgers = join(this.root, 'ledgers');
		mkdirSync(this.ledgers);
		writeTaskScript(join(this.root, 'task'));
		this.rundir = join(this.root, 'run');
		this.jobdir = join(this.disk, 'jobs');
		this.statedir = join(this.disk, 'state');
		this.uri = `local://${this.rundir}/local-0`;
		mkdirSync(this.disk);
		if (options.diskBytes !== undefined) this.#mountTmpfs(this.disk, options.diskBytes);
		this.user = options.user === undefined ? null : new OrdinaryUser(options.user);
		for (const path of [this.root, this.disk, this.ledgers]) this.user?.own(path);
		if (this.user !== null) chmodSync(this.root, 0o755);
	}

	/** `coppice start --detach` on the instance's directories. @throws when it fails. */
	async start(...more: readonly string[]): Promise<void> {
		const finished = await this.tryStart(...more);
		if (finished.status !== 0) {
			throw new Error(`coppice start: status ${finished.status}\n${finished.stderr}\n${this.logs()}`);
		}
		await this.began();
	}

	/** It has come up for the first time. */
	protected async began(): Promise<void> {
		if (this.user?.kind !== 'session') this.#jobCgroup = await this.getattr('job-cgroup');
	}

	/** As `start`, for starts that may fail. */
	async tryStart(...more: readonly string[]): Promise<Finished> {
		const {cores = 60, confs = [], topo = 'kary:2'} = this.#options;
		const tree = this.size === 1 ? [] : ['-s', String(this.size), '--topo', topo];
		const directories = ['--statedir', this.statedir, '--jobdir', this.jobdir, '--rundir', this.rundir];
		const conf = [`resource.cores=${cores}`, ...confs, ...this.ownConfs].flatMap(each => ['--conf', each]);
		return this.run(['start', ...tree, ...directories, ...conf, '--detach', ...more], {timeoutMs: 90_000});
	}

	/** Starts a command that goes on beside the test. */
	spawn(argv: readonly string[], options: CommandOptions = {}): CoppiceCommand {
		const command = new CoppiceCommand(argv, {
			cwd: this.root,
			...options,
			env: {COPPICE_URI: this.uri, ...(this.user === null ? {} : {HOME: this.root}), ...options.env},
			...(this.user === null ? {} : {asUser: line => this.user!.command(line)}),
		});
		this.#commands.add(command);
		void command.finished.catch(() => undefined).then(() => this.#commands.delete(command));
		return command;
	}

	async run(argv: readonly string[], options: CommandOptions = {}): Promise<Finished> {
		return this.spawn(argv, options).finished;
	}

	/** What a command prints, without its last line end. @throws when its exit status is not 0. */
	async ok(...argv: readonly string[]): Promise<string> {
		const command = this.spawn(argv);
		const {status, stdout} = await command.finished;
		if (status !== 0) throw new Error(`status ${status} of ${describe(command)}`);
		return stdout.trimEnd();
	}

	/** What a command prints with `--json`. */
	async json<T>(...argv: readonly string[]): Promise<T> {
		const words = /^(job|log)$/.test(argv[0]!) ? 2 : 1;
		return JSON.parse(await this.ok(...argv.slice(0, words), '--json', ...argv.slice(words))) as T;
	}

	async getattr(name: string): Promise<string> {
		return this.ok('getattr', name);
	}

	/** All jobs; also while the broker is being restarted. */
	async jobs(): Promise<JobRow[]> {
		const {jobs} = await until('the broker lists its jobs', async () => {
			const {status, stdout} = await this.run(['jobs', '-a', '-c', '0', '--json'], {timeoutMs: 30_000});
			return status === 0 ? (JSON.parse(stdout) as {jobs: JobRow[]}) : null;
		});
		return jobs;
	}

	async job(id: string): Promise<JobRow> {
		const {jobs} = await this.json<{jobs: JobRow[]}>('jobs', id);
		return jobs[0]!;
	}

	/** Waits until every job is as `isDone` wants. */
	async jobsUntil(what: string, isDone: (jobs: JobRow[]) => boolean, timeoutMs = 120_000): Promise<JobRow[]> {
		let last: JobRow[] = [];
		try {
			return await until(
				what,
				async () => {
					last = await this.jobs();
					return isDone(last) ? last : null;
				},
				{timeoutMs, pollMs: 100},
			);
		} catch (error) {
			const late = last.filter(({state}) => state !== 'INACTIVE').slice(0, 5);
			throw new Error(
				`${(error as Error).message}: ${JSON.stringify(countStates(last))}; ${JSON.stringify(late)}`,
				{
					cause: error,
				},
			);
		}
	}

	async allInactive(timeoutMs = 120_000): Promise<JobRow[]> {
		return this.jobsUntil('all jobs are inactive', jobs => jobs.every(isInactive), timeoutMs);
	}

	/** `coppice submit … task …`; returns the ids. `options` are those of submit. */
	async submit(options: readonly string[], ...task: readonly string[]): Promise<string[]> {
		return (await this.ok('submit', ...options, ...this.task(...task))).split('\n').filter(Boolean);
	}

	/** The command of a task that keeps a ledger. */
	task(...args: readonly string[]): string[] {
		return [join(this.root, 'task'), this.ledgers, ...args];
	}

	newGate(): Gate {
		this.#gates += 1;
		return new Gate(join(this.root, `gate${this.#gates}`));
	}

	ledgersOf(job: Pick<JobRow, 'f58' | 'ntasks'>): Ledger[] {
		return readLedgers(this.ledgers, job);
	}

	/** What is wrong with these jobs by their ledgers, with the eventlogs of the first few. */
	async check(
		jobs: readonly JobRow[],
		expectationOf: (job: JobRow) => Expectation = () => ({ends: 'itself'}),
	): Promise<string[]> {
		const wrong = jobs
			.map(job => ({job, texts: disagreements(job, this.ledgersOf(job), expectationOf(job))}))
			.filter(({texts}) => texts.length > 0);
		const logs = await Promise.all(wrong.slice(0, 3).map(async ({job}) => this.eventlogs(job.f58)));
		return [...wrong.flatMap(({texts}) => texts), ...logs];
	}

	/** Both eventlogs of a job, for messages. */
	async eventlogs(id: string): Promise<string> {
		const logs = [[], ['-p', 'exec']].map(path => this.run(['job', 'eventlog', ...path, id]));
		return (await Promise.all(logs)).map(({stdout, stderr}) => stdout + stderr).join('\n');
	}

	/** The tasks that these jobs started, by their ledgers. */
	tasksOf(jobs: readonly JobRow[]): ProcessName[] {
		return jobs.flatMap(job => this.ledgersOf(job).flatMap(({starts}) => starts));
	}

	/** Waits until each of these jobs has as many started tasks as it should. */
	async tasksStarted(jobs: readonly JobRow[]): Promise<ProcessName[]> {
		const count = jobs.reduce((sum, {ntasks}) => sum + ntasks, 0);
		return until(`${count} tasks have started`, () => {
			const tasks = this.tasksOf(jobs);
			return tasks.length >= count ? tasks : null;
		});
	}

	/** The process that plays a role now, asked of the root; waits for one. */
	async process(role: Role): Promise<ProcessName> {
		const name = await until(`there is a ${role}`, async () => {
			const {status, stdout} = await this.run(['getattr', `${role}.pid`], {timeoutMs: 15_000});
			const pid = Number(stdout.trim());
			return status === 0 && pid > 0 ? processNamed(pid) : null;
		});
		this.#seen.set(role, name);
		return name;
	}

	/**
	 * As `process`, of any rank, found in /proc and cgroupfs at once: also while no broker answers. Null: nobody is there.
	 */
	find(role: Role, rank = 0): ProcessName | null {
		if (role === 'shell' || (role === 'launcher' && this.size > 1)) {
			const isIt = (name: ProcessName) => MARKS[role].test(commandLine(name.pid));
			if (this.user?.kind === 'session') return this.#findMarked(role, rank);
			const pids = this.#jobCgroup === null ? [] : pidsBelow(`${this.cgroupOf(rank)}/shell`);
			return pids.map(processNamed).find(name => name !== null && isIt(name)) ?? null;
		}
		const isIt = (line: string) =>
			MARKS[role].test(line) && (role !== 'broker' || this.size === 1 || line.endsWith(` --rank ${rank} `));
		return this.ownProcesses().find(({pid}) => isIt(commandLine(pid))) ?? null;
	}

	/** Processes of ours that name its directory. */
	ownProcesses(): ProcessName[] {
		return processesNaming(this.root, this.user?.userid);
	}

	/** The brokers that are there now, by rank. */
	brokers(): Map<number, ProcessName> {
		const found = new Map<number, ProcessName>();
		for (const name of this.ownProcesses()) {
			const line = commandLine(name.pid);
			const rank = MARKS.broker.test(line) ? / --rank (\d+) $/.exec(line)?.[1] : undefined;
			if (rank !== undefined) found.set(Number(rank), name);
		}
		return found;
	}

	async processes(): Promise<Record<Role, ProcessName>> {
		const names = await Promise.all(ROLES.map(async role => [role, await this.process(role)] as const));
		return Object.fromEntries(names) as Record<Role, ProcessName>;
	}

	/** Kills these at one moment: first stopped, so that none can react to the end of another. */
	async kill(names: readonly ProcessName[], {atOnce = true}: {atOnce?: boolean} = {}): Promise<void> {
		for (const {pid} of names) this.#assertOwn(pid);
		if (atOnce) for (const name of names) signalProcess(name, 'SIGSTOP');
		for (const name of names) signalProcess(name, 'SIGKILL');
		await until('the killed are dead', () => !names.some(isAlive), {pollMs: 2});
	}

	/** The pids of the job's cgroup: shims, and the tasks with all that they started. */
	pidsOf(job: JobRow, part: 'shim' | 'payload', attempt = 1): number[] {
		if (this.user?.kind === 'session') {
			if (part === 'payload') return this.user.payloadOf(`${job.id}.${attempt}`);
			return this.user.shims().flatMap(({pid, id}) => (id === job.id ? [pid] : []));
		}
		return this.cgroups.flatMap(path => pidsBelow(`${path}/job-${job.id}.${attempt}/${part}`));
	}

	/** The shim of the job's prolog or epilog. */
	shimsOfScript(job: JobRow, script: 'prolog' | 'epilog', attempt = 1): number[] {
		return this.cgroups.flatMap(path => pidsBelow(`${path}/job-${job.id}.${attempt}/${script}/shim`));
	}

	/** The shims that are alive, with the id of their job. */
	shims(): {pid: number; id: string}[] {
		if (this.user?.kind === 'session') return this.user.shims();
		return this.cgroups.flatMap(children).flatMap(path => {
			const id = /\/job-(\d+)\.\d+$/.exec(path)?.[1];
			return id === undefined ? [] : pidsBelow(`${path}/shim`).map(pid => ({pid, id}));
		});
	}

	get jobCgroup(): string {
		return this.#jobCgroup!;
	}

	/** The cgroup of a rank. */
	cgroupOf(rank: number): string {
		return this.#jobCgroup!.replace(/\.0$/, `.${rank}`);
	}

	/** Those of all ranks; none before the first start. */
	get cgroups(): string[] {
		if (this.#jobCgroup === null) return [];
		return Array.from({length: this.size}, (_, rank) => this.cgroupOf(rank));
	}

	/** The run directory of a rank. */
	rundirOf(rank: number): string {
		void rank; // They share one, where they are on one host.
		return this.rundir;
	}

	/** The end of the logs of its processes, for messages. */
	logs(): string {
		const names = Array.from({length: this.size}, (_, rank) => [`broker-${rank}.log`, `shell-${rank}.log`]);
		return ['daemon.log', ...names.flat()]
			.map(name => `--- ${name}\n${tail(join(this.rundirOf(Number(/\d+/.exec(name)?.[0] ?? 0)), name))}`)
			.join('\n');
	}

	/** Ends all of it. Idempotent. */
	async destroy(): Promise<void> {
		for (const command of this.#commands) command.child.kill('SIGKILL');
		this.#jobCgroup ??= this.#cgroupFromDisk();
		let quiet = 0;
		await until('nothing of the instance is left', () => {
			const processes = this.ownProcesses();
			// Stopped first, so that nobody brings back what was killed.
			for (const name of processes) signalProcess(name, 'SIGSTOP');
			for (const name of processes) signalProcess(name, 'SIGKILL');
			const isEmpty = this.cgroups.map(endCgroup).every(Boolean);
			const isUserGone = this.user?.end() ?? true;
			quiet = processes.length === 0 && isEmpty && isUserGone ? quiet + 1 : 0;
			return quiet >= 3;
		});
		for (const path of this.#mounts.splice(0).reverse()) execFileSync('umount', ['-l', path]);
		rmSync(this.root, {recursive: true, force: true});
		undestroyed.delete(this);
	}

	/** Of a user without cgroups: by the titles of what it runs. */
	#findMarked(role: 'shell' | 'launcher', rank: number): ProcessName | null {
		const marks = {
			shell: new RegExp(`^coppice-shell ${rank}\\s*$`),
			launcher: new RegExp(`coppice-launcher \\S+\\.${rank} `),
		};
		return this.user!.processes().find(({pid}) => marks[role].test(commandLine(pid))) ?? null;
	}

	#mountTmpfs(path: string, sizeBytes: number): void {
		execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', path]);
		this.#mounts.push(path);
	}

	#assertOwn(pid: number): void {
		const isNamed = this.ownProcesses().some(name => name.pid === pid);
		const isInside = this.cgroups.some(path => pidsBelow(path).includes(pid));
		const isUsers = this.user?.processes().some(name => name.pid === pid) === true;
		if (processNamed(pid) !== null && !isNamed && !isInside && !isUsers) {
			throw new Error(`process ${pid} is not of the instance in ${this.root}: it is left alone`);
		}
	}

	/** Of an instance that did not come up: nobody could be asked. */
	#cgroupFromDisk(): string | null {
		try {
			const name = readdirSync(this.jobdir).find(each => each.endsWith('.0'));
			const text = readFileSync(join(this.jobdir, name!, 'instance.json'), 'utf8');
			const {cgroupBase} = JSON.parse(text) as {cgroupBase: string};
			return cgroupBase === '' ? null : `${cgroupBase}/coppice-${name}`;
		} catch {
			return null;
		}
	}
}

/** Ends all instances that this process made: for programs that a signal ends. */
export async function destroyAll(): Promise<void> {
	await Promise.allSettled([...undestroyed].map(async instance => instance.destroy()));
}

const undestroyed = new Set<Instance>();

/** An instance for a test; all of it ends with the test, and a failed test shows its logs. */
export async function startedInstance(t: ExecutionContext, options: InstanceOptions = {}): Promise<Instance> {
	const instance = unstartedInstance(t, options);
	await instance.start();
	return instance;
}

export function unstartedInstance(t: ExecutionContext, options: InstanceOptions = {}): Instance {
	const instance = new Instance(options);
	t.teardown(async () => {
		if (!t.passed) t.log(instance.logs());
		await instance.destroy();
	});
	return instance;
}

export function isInactive({state}: JobRow): boolean {
	return state === 'INACTIVE';
}

export function countStates(jobs: readonly JobRow[]): Record<string, number> {
	const counts: Record<string, number> = {};
	for (const {state} of jobs) counts[state] = (counts[state] ?? 0) + 1;
	return counts;
}

function tail(path: string): string {
	try {
		return readFileSync(path, 'utf8').split('\n').slice(-30).join('\n');
	} catch {
		return '(none)';
	}
}
