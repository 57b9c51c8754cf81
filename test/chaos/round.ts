/**
 * One round of chaos: a stream of short and long jobs on a fresh instance of one or many brokers, whose processes are killed
 * and stopped at random moments, and then the comparison of every job with what its tasks did.
 */
import {existsSync, readdirSync} from 'node:fs';
import type {CoppiceCommand} from './coppice-command.ts';
import {children} from './cgroup-tree.ts';
import {FedRun} from './fed-run.ts';
import type {Gate} from './gate.ts';
import {countStates, Instance} from './instance.ts';
import {ledgerNames, type Expectation, type JobRow} from './ledger.ts';
import type {UserKind} from './ordinary-user.ts';
import {PerilogScript} from './perilog-script.ts';
import {isAlive} from './processes.ts';
import {Seeded} from './seeded.ts';
import {Striker} from './striker.ts';
import {restingFaults} from './rest.ts';
import {Tree} from './tree.ts';
import {pause, until} from './until.ts';

export interface RoundOptions {
	readonly seed: number;
	/** Of the kills; the end of all jobs comes on top. */
	readonly durationMs: number;
	/** Brokers. */
	readonly size: number;
	/** As in `InstanceOptions`. */
	readonly user?: UserKind;
}

export interface RoundResult {
	readonly jobs: number;
	/** How often each thing was killed or stopped. */
	readonly kills: Readonly<Record<string, number>>;
	/** What is wrong, in words; empty: nothing. */
	readonly problems: readonly string[];
}

/** Runs one round; leaves nothing. */
export async function runRound(options: RoundOptions): Promise<RoundResult> {
	const round = new Round(options);
	try {
		return await round.run();
	} finally {
		await round.instance.destroy();
	}
}

const CORES = 24;
const TREE_CORES = 4;
/** Jobs are submitted only while so few tasks are active. */
const ACTIVE_MAX = 60;
const RUN_LINES = 200;
/** Every third round is a burst: short jobs only, many, and kills while they start. */
const BURST_EVERY = 3;
const ALL_KINDS = [
	'exit',
	'exit',
	'sleep',
	'signal',
	'gate',
	'cancel',
	'limit',
	'tasks',
	'meet',
	'run',
	'input',
	'terminal',
] as const;
/** In two of so many rounds, one of which has one broker, jobs have a prolog and an epilog. */
const PERILOG_EVERY = 4;
const BURST_KINDS = ['exit', 'exit', 'tasks', 'meet'] as const;
const DELAYS_MS = [5, 50, 200, 700, 1500, 3000];
const BURST_DELAYS_MS = [5, 20, 100, 200, 400, 800];
/** A tree takes longer to come back, and is to have done so between some of the strikes. */
const TREE_DELAYS_MS = [20, 200, 600, 1500, 3000, 6000];
/** A stopped broker is to be lost within a round. */
const TREE_CONFS = ['tbon.torpid=1.5s', 'tbon.lost-timeout=4s'];
/** Of a command that met nobody, or whose broker lost its way: it is repeated. */
const AWAY = /ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ETIMEDOUT|EAGAIN|ENOENT: (no broker|connecting)/;
const INSIST_MAX = 60;

type Submitted = Expectation & {readonly copies: number};

class Round {
	readonly instance: Instance;
	readonly #tree: Tree | null;
	readonly #random: Seeded;
	readonly #durationMs: number;
	readonly #isBurst: boolean;
	readonly #gate: Gate;
	readonly #striker: Striker;
	/** What runs before and after each job; null: nothing. */
	readonly #perilog: PerilogScript | null;
	/** By job name, which no two submissions share. */
	readonly #submitted = new Map<string, Submitted>();
	readonly #acknowledged: string[] = [];
	readonly #runs: CoppiceCommand[] = [];
	readonly #fedRuns: FedRun[] = [];
	readonly #problems: string[] = [];
	#isOver = false;

	constructor({seed, durationMs, size, user}: RoundOptions) {
		this.#random = new Seeded(seed);
		this.#durationMs = durationMs;
		this.#isBurst = seed % BURST_EVERY === 2;
		const as = user === undefined ? {} : {user};
		this.#tree = size === 1 ? null : new Tree({size, cores: TREE_CORES, confs: TREE_CONFS, ...as});
		this.instance = this.#tree ?? new Instance({cores: CORES, ...as});
		this.#gate = this.instance.newGate();
		this.#perilog = seed % PERILOG_EVERY < 2 ? new PerilogScript(this.instance) : null;
		const delaysMs = size > 1 ? TREE_DELAYS_MS : this.#isBurst ? BURST_DELAYS_MS : DELAYS_MS;
		this.#striker = new Striker({instance: this.instance, delaysMs});
	}

	async run(): Promise<RoundResult> {
		await this.instance.start();
		// Streams of choices of their own, so that the timing of one does not change the other.
		const [submits, kills] = [this.#random.integer(0, 2 ** 31), this.#random.integer(0, 2 ** 31)];
		const killing = this.#striker.strikeFor(this.#durationMs, new Seeded(kills));
		const submitting = this.#submitAtRandom(new Seeded(submits));
		const keeping = this.#keepUp(() => Promise.all([killing, submitting]));
		await killing;
		this.#striker.release();
		this.#isOver = true;
		await Promise.all([submitting, keeping]);
		await this.#bringBack();
		let jobs: JobRow[] = [];
		try {
			await this.#tree?.whole();
			await this.#gate.open();
			jobs = await this.instance.allInactive(180_000);
			await this.#judge(jobs);
			await this.#judgeScripts();
			if (this.#problems.length === 0) await this.#judgeEnd();
		} catch (error) {
			this.#problems.push(String(error));
		}
		if (this.#problems.length > 0) this.#problems.push(this.instance.logs());
		return {jobs: jobs.length, kills: this.#striker.strikes, problems: this.#problems};
	}

	async #submitAtRandom(random: Seeded): Promise<void> {
		for (let n = 0; !this.#isOver; n += 1) {
			if (this.#activeCount() < ACTIVE_MAX) await this.#submitOne(`job${n}`, random);
			await pause(random.integer(0, 300));
		}
	}

	async #submitOne(name: string, random: Seeded): Promise<void> {
		const code = random.pick([0, 0, 0, 1, 42, 137, 255]);
		const kind = this.#isBurst ? random.pick(BURST_KINDS) : random.pick(ALL_KINDS);
		const copies = random.pick(this.#isBurst ? [20, 40] : [1, 1, 3, 8]);
		const seconds = (random.float() * 2).toFixed(2);
		const spread = this.#spread(random);
		const options = ['--job-name', name, ...spread];
		if (kind === 'run') {
			this.#submitted.set(name, {ends: 'itself', copies: 1});
			const task = this.instance.task('count', String(RUN_LINES), '0.01', String(code));
			await this.#isServed();
			this.#runs.push(this.instance.spawn(['run', '--job-name', name, ...task], {timeoutMs: 240_000}));
			return;
		}
		if (kind === 'input' || kind === 'terminal') {
			this.#submitted.set(name, {ends: 'itself', copies: 1});
			await this.#isServed();
			this.#fedRuns.push(new FedRun({instance: this.instance, name, kind, code, random}));
			return;
		}
		const gate = this.#gate.path;
		const [more, task, ends] = {
			exit: [[], ['exit', String(code)], 'itself'],
			sleep: [[], ['sleep', seconds, String(code)], 'itself'],
			signal: [[], ['signal', seconds, String(random.pick([9, 15, 11]))], 'itself'],
			gate: [[], ['gate', gate, String(code)], 'itself'],
			cancel: [[], ['gate', gate, '0'], 'canceled'],
			limit: [['-t', `${(0.5 + random.float() * 4).toFixed(1)}s`], ['sleep', '600', '0'], 'timeout'],
			meet: [
				[...(spread.length > 0 ? [] : ['-n', '3']), '-o', 'pmi'],
				['meet', '4', (Number(seconds) / 4).toFixed(2), String(code)],
				'itself',
			],
			tasks: [
				spread.length > 0 ? [] : ['-n', '3'],
				['sleep', seconds, `COPPICE_TASK_RANK * ${code === 0 ? 0 : 7}`],
				'itself',
			],
		}[kind] as [string[], string[], Expectation['ends']];
		this.#submitted.set(name, {ends, copies});
		const once = ['--request-id', name, '--cc', `1-${copies}`];
		const ids = await this.#insist(['submit', ...options, ...more, ...once, ...this.instance.task(...task)]);
		this.#acknowledged.push(...ids.split('\n').filter(Boolean));
		if (kind === 'cancel') {
			await pause(random.integer(0, 500));
			await this.#insist(['cancel', ...ids.split('\n').filter(Boolean)]);
		}
	}

	/** Options of a job on several nodes, with one or more tasks a node; mostly none. */
	#spread(random: Seeded): string[] {
		if (this.#tree === null || random.chance(0.4)) return [];
		const nodes = random.pick([1, 2, 2, 3, 5, this.instance.size]);
		return ['-N', String(nodes), '-n', String(nodes * random.pick([1, 1, 2]))];
	}

	/** Repeats a command until it reaches a broker; what it does has to happen once all the same. */
	async #insist(argv: readonly string[]): Promise<string> {
		let last = '';
		for (let attempt = 0; attempt < INSIST_MAX; attempt += 1) {
			const {status, stdout, stderr} = await this.instance.run(argv, {timeoutMs: 120_000});
			if (status === 0) return stdout;
			last = stderr;
			if (!AWAY.test(stderr)) break;
			await pause(250);
		}
		this.#problems.push(`${argv.slice(0, 6).join(' ')}: ${last}`);
		return '';
	}

	async #isServed(): Promise<void> {
		await this.#insist(['getattr', 'rank']);
	}

	/** Where daemon and brokers are all dead, nobody is left to bring them back: that is the user's part. */
	async #keepUp(isWorking: () => Promise<unknown>): Promise<void> {
		let isDone = false;
		const done = isWorking().finally(() => (isDone = true));
		while (!isDone) {
			await pause(250);
			if (!this.#isDown()) continue;
			await pause(250);
			if (this.#isDown()) await this.#bringBack();
		}
		await done;
	}

	#isDown(): boolean {
		return this.instance.find('daemon') === null && this.instance.brokers().size === 0;
	}

	/** Starts the instance again unless it is being brought back by itself. */
	async #bringBack(): Promise<void> {
		for (let attempt = 0; attempt < 20; attempt += 1) {
			const {status, stderr} = await this.instance.tryStart();
			if (status === 0) return;
			// It runs already: one of them saw the end of the others and brought them back.
			if (/already running/.test(stderr)) return;
			if (attempt > 3) this.#problems.push(`start: status ${status}: ${stderr}`);
			await pause(200);
		}
	}

	async #judge(jobs: readonly JobRow[]): Promise<void> {
		const {instance} = this;
		const {shimless, delayed} = this.#striker;
		const expectationOf = ({id, name}: JobRow): Expectation => ({
			...(this.#submitted.get(name) ?? {ends: 'itself'}),
			mayBeUnknown: shimless.has(id),
			mayBeLate: delayed.has(id),
		});
		this.#problems.push(...(await instance.check(jobs, expectationOf)));
		const known = new Set(jobs.map(({f58}) => f58));
		this.#problems.push(
			...this.#acknowledged.filter(id => !known.has(id)).map(id => `job ${id} was acknowledged and is lost`),
			...ledgerNames(instance.ledgers)
				.filter(name => !known.has(name.split('.')[0]!))
				.map(name => `task ${name} ran, but its job is not known`),
		);
		const counts = new Map<string, number>();
		for (const {name} of jobs) counts.set(name, (counts.get(name) ?? 0) + 1);
		for (const [name, count] of counts) {
			const {copies = 0} = this.#submitted.get(name) ?? {};
			if (count > copies) this.#problems.push(`${count} jobs ${name} of ${copies} that were submitted`);
		}
		await this.#judgeRuns(jobs);
		for (const rank of Array.from({length: instance.size}, (_, each) => each)) {
			const where = instance.size === 1 ? [] : ['--rank', String(rank)];
			for (const what of ['verify', 'replay']) {
				const argv = ['log', what, '--json', ...where];
				const {status, stdout, stderr} = await instance.run(argv, {timeoutMs: 120_000});
				if (status !== 0)
					this.#problems.push(`log ${what} of rank ${rank}: status ${status}: ${stdout} ${stderr}`);
			}
		}
		const left = instance.shims().length;
		if (left > 0) this.#problems.push(`${left} shims are left: ${JSON.stringify(countStates(jobs))}`);
		if (this.#tree !== null) this.#problems.push(...(await restingFaults(this.#tree)));
	}

	/** What `run` printed, and its status, are exactly its task's, whatever was killed meanwhile. */
	async #judgeRuns(jobs: readonly JobRow[]): Promise<void> {
		const lines = Array.from({length: RUN_LINES}, (_, index) => index + 1);
		for (const run of this.#runs) {
			const name = run.argv[2]!;
			const job = jobs.find(each => each.name === name);
			if (job !== undefined && this.#striker.shimless.has(job.id)) continue;
			try {
				const {status, stdout, stderr} = await run.finished;
				const isWhole =
					stdout === lines.map(line => `${line}\n`).join('') &&
					stderr === lines.map(line => `e${line}\n`).join('');
				if (!isWhole)
					this.#problems.push(`${name}: output differs: ${firstGap(stdout, '')}; ${firstGap(stderr, 'e')}`);
				if (status !== job?.returncode)
					this.#problems.push(`${name}: run has status ${status}, not ${job?.returncode}`);
			} catch (error) {
				this.#problems.push(String(error));
			}
		}
		for (const run of this.#fedRuns) {
			const job = jobs.find(({name}) => name === run.name);
			const isShimless = job !== undefined && this.#striker.shimless.has(job.id);
			const fault = isShimless ? null : await run.fault(job);
			if (fault !== null) this.#problems.push(fault);
		}
	}

	/** After a shutdown nothing is left: no process, no cgroup, no directory of a job. */
	/** Nobody kills their shims, so none may have failed. */
	async #judgeScripts(): Promise<void> {
		if (this.#perilog === null) return;
		this.#problems.push(...this.#perilog.chaosFaults());
		const drained = await this.instance.ok('resource', 'drain', '-n');
		if (drained !== '') this.#problems.push(`drained: ${drained}`);
	}

	async #judgeEnd(): Promise<void> {
		const {instance} = this;
		const {status, stderr} = await instance.run(['shutdown'], {timeoutMs: 90_000});
		if (status !== 0) this.#problems.push(`shutdown: status ${status}: ${stderr}`);
		const cgroups = () => instance.cgroups.filter(existsSync);
		const left = () => instance.user?.processes() ?? instance.ownProcesses();
		const parts = () =>
			readdirSync(instance.jobdir, {recursive: true}).filter(name => /\/job-\d[^/]*$/.test(String(name)));
		try {
			await until('nothing is left', () => {
				const processes = left();
				return processes.length + cgroups().length + parts().length === 0;
			});
		} catch {
			const jobs = cgroups().flatMap(path => [path, ...children(path)]);
			this.#problems.push(
				`left after the shutdown: ${JSON.stringify({processes: left(), cgroups: jobs, parts: parts()})}`,
			);
		}
	}

	#activeCount(): number {
		const names = ledgerNames(this.instance.ledgers);
		const tasks = names.flatMap(name => {
			const [f58] = name.split('.');
			return this.instance.ledgersOf({f58: f58!, ntasks: 1}).flatMap(({starts}) => starts);
		});
		return tasks.filter(isAlive).length;
	}
}

/** Where output stops being the lines 1, 2, 3 … */
function firstGap(text: string, prefix: string): string {
	const lines = text.split('\n');
	const index = lines.findIndex((line, at) => line !== `${prefix}${at + 1}`);
	return `line ${index + 1} of ${lines.length - 1} is ${JSON.stringify(lines[index])}`;
}
