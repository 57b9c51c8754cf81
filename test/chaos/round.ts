/**
 * One round of chaos: a stream of short and long jobs on a fresh instance, whose processes are killed at random moments,
 * and then the comparison of every job with what its tasks did.
 */
import type {CoppiceCommand} from './coppice-command.ts';
import type {Gate} from './gate.ts';
import {countStates, Instance, ROLES} from './instance.ts';
import {ledgerNames, type Expectation, type JobRow} from './ledger.ts';
import {isAlive, processNamed, signalProcess, type ProcessName} from './processes.ts';
import {Seeded} from './seeded.ts';
import {pause} from './until.ts';

export interface RoundResult {
	readonly jobs: number;
	/** How often each thing was killed. */
	readonly kills: Readonly<Record<string, number>>;
	/** What is wrong, in words; empty: nothing. */
	readonly problems: readonly string[];
}

/** Runs one round; leaves nothing. `durationMs` is that of the kills; the end of all jobs comes on top. */
export async function runRound({seed, durationMs}: {seed: number; durationMs: number}): Promise<RoundResult> {
	const round = new Round(seed, durationMs);
	try {
		return await round.run();
	} finally {
		await round.instance.destroy();
	}
}

const CORES = 24;
/** Jobs are submitted only while so few are active. */
const ACTIVE_MAX = 60;
const RUN_LINES = 200;
/** Every third round is a burst: short jobs only, many, and kills while they start. */
const BURST_EVERY = 3;
const ALL_KINDS = ['exit', 'exit', 'sleep', 'signal', 'gate', 'cancel', 'limit', 'tasks', 'run'] as const;
const BURST_KINDS = ['exit', 'exit', 'tasks'] as const;
const DELAYS_MS = [5, 50, 200, 700, 1500, 3000];
const BURST_DELAYS_MS = [5, 20, 100, 200, 400, 800];

type Submitted = Expectation & {readonly copies: number};

class Round {
	readonly instance = new Instance({cores: CORES});
	readonly #random: Seeded;
	readonly #durationMs: number;
	readonly #isBurst: boolean;
	readonly #gate: Gate;
	/** By job name, which no two submissions share. */
	readonly #submitted = new Map<string, Submitted>();
	readonly #acknowledged: string[] = [];
	readonly #runs: CoppiceCommand[] = [];
	readonly #kills: Record<string, number> = {};
	readonly #shimless = new Set<string>();
	readonly #problems: string[] = [];
	#isOver = false;

	constructor(seed: number, durationMs: number) {
		this.#random = new Seeded(seed);
		this.#durationMs = durationMs;
		this.#isBurst = seed % BURST_EVERY === 2;
		this.#gate = this.instance.newGate();
	}

	async run(): Promise<RoundResult> {
		await this.instance.start();
		// Streams of choices of their own, so that the timing of one does not change the other.
		const [submits, kills] = [this.#random.integer(0, 2 ** 31), this.#random.integer(0, 2 ** 31)];
		const killing = this.#killAtRandom(new Seeded(kills));
		const submitting = this.#submitAtRandom(new Seeded(submits));
		const keeping = this.#keepUp(() => Promise.all([killing, submitting]));
		await killing;
		this.#isOver = true;
		await Promise.all([submitting, keeping]);
		await this.#bringBack();
		await this.#gate.open();
		let jobs: JobRow[] = [];
		try {
			jobs = await this.instance.allInactive(120_000);
			await this.#judge(jobs);
		} catch (error) {
			this.#problems.push(String(error));
		}
		if (this.#problems.length > 0) this.#problems.push(this.instance.logs());
		return {jobs: jobs.length, kills: this.#kills, problems: this.#problems};
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
		const options = ['--job-name', name];
		if (kind === 'run') {
			this.#submitted.set(name, {ends: 'itself', copies: 1});
			const task = this.instance.task('count', String(RUN_LINES), '0.01', String(code));
			await this.#isServed();
			this.#runs.push(this.instance.spawn(['run', ...options, ...task], {timeoutMs: 180_000}));
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
			tasks: [['-n', '3'], ['sleep', seconds, `COPPICE_TASK_RANK * ${code === 0 ? 0 : 7}`], 'itself'],
		}[kind] as [string[], string[], Expectation['ends']];
		this.#submitted.set(name, {ends, copies});
		const once = ['--request-id', name, '--cc', `1-${copies}`];
		const ids = await this.#insist(['submit', ...options, ...once, ...more, ...this.instance.task(...task)]);
		this.#acknowledged.push(...ids.split('\n').filter(Boolean));
		if (kind === 'cancel') {
			await pause(random.integer(0, 500));
			await this.#insist(['cancel', ...ids.split('\n').filter(Boolean)]);
		}
	}

	/** Repeats a command until it reaches a broker; what it does has to happen once all the same. */
	async #insist(argv: readonly string[]): Promise<string> {
		let last = '';
		for (let attempt = 0; attempt < 40; attempt += 1) {
			const {status, stdout, stderr} = await this.instance.run(argv, {timeoutMs: 120_000});
			if (status === 0) return stdout;
			last = stderr;
			if (!/ECONNREFUSED|ECONNRESET|ENOENT: (no broker|connecting)/.test(stderr)) break;
			await pause(250);
		}
		this.#problems.push(`${argv.slice(0, 6).join(' ')}: ${last}`);
		return '';
	}

	async #isServed(): Promise<void> {
		await this.#insist(['getattr', 'rank']);
	}

	async #killAtRandom(random: Seeded): Promise<void> {
		const endMs = performance.now() + this.#durationMs;
		while (performance.now() < endMs) {
			// Often within one another's recovery, sometimes with time to settle.
			await pause(random.pick(this.#isBurst ? BURST_DELAYS_MS : DELAYS_MS) * random.float() * 2);
			const targets = random.chance(0.15) ? (['shim'] as const) : random.some(ROLES);
			const names: ProcessName[] = [];
			for (const target of targets) {
				const name = target === 'shim' ? this.#someShim(random) : this.instance.find(target);
				if (name === null) continue;
				names.push(name);
				this.#kills[target] = (this.#kills[target] ?? 0) + 1;
			}
			if (random.chance(0.5)) for (const name of names) signalProcess(name, 'SIGSTOP');
			for (const name of names) signalProcess(name, 'SIGKILL');
		}
	}

	/** The shim of a job that is running, which is remembered. */
	#someShim(random: Seeded): ProcessName | null {
		const shims = this.instance.shims();
		if (shims.length === 0) return null;
		const {pid, id} = random.pick(shims);
		this.#shimless.add(id);
		return processNamed(pid);
	}

	/** Where daemon and broker are both dead, nobody is left to bring them back: that is the user's part. */
	async #keepUp(isWorking: () => Promise<unknown>): Promise<void> {
		let isDone = false;
		const done = isWorking().finally(() => (isDone = true));
		while (!isDone) {
			await pause(250);
			const isDown = () => this.instance.find('daemon') === null && this.instance.find('broker') === null;
			if (!isDown()) continue;
			await pause(250);
			if (isDown()) await this.#bringBack();
		}
		await done;
	}

	/** Starts the instance again unless it is being brought back by itself. */
	async #bringBack(): Promise<void> {
		for (let attempt = 0; attempt < 20; attempt += 1) {
			const {status, stderr} = await this.instance.tryStart();
			if (status === 0) return;
			// It runs already: one of the two saw the end of the other and brought it back.
			if (/already running/.test(stderr)) return;
			if (attempt > 3) this.#problems.push(`start: status ${status}: ${stderr}`);
			await pause(200);
		}
	}

	async #judge(jobs: readonly JobRow[]): Promise<void> {
		const {instance} = this;
		const expectationOf = ({id, name}: JobRow): Expectation => ({
			...(this.#submitted.get(name) ?? {ends: 'itself'}),
			mayBeUnknown: this.#shimless.has(id),
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
		const verdict = await instance.run(['log', 'verify', '--json'], {timeoutMs: 120_000});
		const replay = await instance.run(['log', 'replay', '--json'], {timeoutMs: 120_000});
		for (const [what, {status, stdout, stderr}] of Object.entries({verdict, replay})) {
			if (status !== 0) this.#problems.push(`log ${what}: status ${status}: ${stdout} ${stderr}`);
		}
		const left = instance.shims().length;
		if (left > 0) this.#problems.push(`${left} shims are left: ${JSON.stringify(countStates(jobs))}`);
	}

	/** What `run` printed, and its status, are exactly its task's, whatever was killed meanwhile. */
	async #judgeRuns(jobs: readonly JobRow[]): Promise<void> {
		const lines = Array.from({length: RUN_LINES}, (_, index) => index + 1);
		for (const run of this.#runs) {
			const name = run.argv[2]!;
			const job = jobs.find(each => each.name === name);
			if (job !== undefined && this.#shimless.has(job.id)) continue;
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
