/**
 * Jobs without processes: a process host in front of the real one, which keeps parts whose jobspec asks for the test executor to itself.
 * Their start is reported with the deadline of their end, so that it is a fact of this rank: after a restart of the broker the end is
 * computed from it, and no job starts twice. Nothing of them is on disk or in a cgroup; a reboot ends them, as it does processes.
 */
import type {TestRun} from '../../machines/job-report.ts';
import {lastSeqOf, partKey, type PartSnapshot} from '../../machines/part.ts';
import {deadlineIn, remainingMs, type Timer} from '../../ports/clock.ts';
import type {
	InventoryEntry,
	LaunchSpec,
	PartKey,
	PartReport,
	ProcessHost,
	TaskStart,
} from '../../ports/process-host.ts';
import {SystemError} from '../../formats/errno.ts';
import type {Core} from '../core.ts';

interface Run {
	readonly key: PartKey;
	readonly tasks: readonly TaskStart[];
	readonly test: TestRun;
	readonly record: string;
	readonly bootId: string;
	timer: Timer | null;
	/** Once it is over. */
	exited: PartReport | null;
}

const NO_BYTES = new Uint8Array(0);

/** `host`, and beside it the parts of the test executor. */
export function withTestExecutor(host: ProcessHost, core: Core): ProcessHost {
	const tests = new TestExecutor(host, core);
	return new Proxy(host, {
		get(target, name): unknown {
			const own: unknown = Reflect.get(tests, name);
			if (typeof own === 'function') return own.bind(tests) as unknown;
			const value: unknown = Reflect.get(target, name);
			// Handlers, which are set from outside, stay what they are.
			return typeof value === 'function' && !/^on[A-Z]/.test(String(name))
				? (value.bind(target) as unknown)
				: value;
		},
		set: (target, name, value) => Reflect.set(target, name, value),
	});
}

class TestExecutor implements Pick<
	ProcessHost,
	'inventory' | 'launch' | 'terminate' | 'signal' | 'forget' | 'readOutput' | 'readEventlog'
> {
	readonly #host: ProcessHost;
	readonly #core: Core;
	readonly #runs = new Map<string, Run>();

	constructor(host: ProcessHost, core: Core) {
		this.#host = host;
		this.#core = core;
	}

	async inventory(): ReturnType<ProcessHost['inventory']> {
		const found = await this.#host.inventory();
		for (const part of this.#core.state.parts.values()) this.#restore(part);
		return {...found, parts: [...found.parts, ...[...this.#runs.values()].map(entryOf)]};
	}

	launch(spec: LaunchSpec): void {
		if (spec.test === undefined) return this.#host.launch(spec);
		if (this.#runs.has(partKey(spec))) return;
		const {clock} = this.#core;
		const startMs = Math.round(clock.epochMs());
		const run: Run = {
			key: {id: spec.id, attempt: spec.attempt},
			tasks: spec.tasks.map(task => ({task, pid: 0, startTicks: 0, startMs})),
			test: {deadline: deadlineIn(clock, spec.test.runMs), waitStatus: spec.test.waitStatus},
			record: spec.record,
			bootId: clock.bootId,
			timer: null,
			exited: null,
		};
		this.#runs.set(partKey(spec), run);
		// Not within the call: whoever launches is in the middle of something.
		clock.defer(() => {
			this.#host.onReport(startOf(run, startMs));
			this.#arm(run);
		});
	}

	terminate(key: PartKey, signum: number): void {
		const run = this.#runs.get(partKey(key));
		if (run === undefined) return this.#host.terminate(key, signum);
		this.#core.clock.defer(() => this.#end(run, signum));
	}

	async signal(key: PartKey, signum: number): Promise<void> {
		const run = this.#runs.get(partKey(key));
		if (run === undefined) return this.#host.signal(key, signum);
		if (run.exited !== null)
			throw new SystemError('ESRCH', `part ${partKey(key)} is over: it takes no signal ${signum}`);
		this.#end(run, signum);
	}

	forget(key: PartKey): void {
		const run = this.#runs.get(partKey(key));
		if (run === undefined) return this.#host.forget(key);
		run.timer?.cancel();
		this.#runs.delete(partKey(key));
	}

	async readOutput(...args: Parameters<ProcessHost['readOutput']>): ReturnType<ProcessHost['readOutput']> {
		return this.#runs.has(partKey(args[0])) ? {data: NO_BYTES, eof: true} : this.#host.readOutput(...args);
	}

	async readEventlog(key: PartKey): Promise<string> {
		return this.#runs.has(partKey(key)) ? '' : this.#host.readEventlog(key);
	}

	/** A part of an earlier life of this broker, from its facts. */
	#restore({value, context}: PartSnapshot): void {
		const {id, attempt, reports} = context;
		const started = reports.find(({body}) => body.kind === 'started');
		if (value !== 'running' || started?.body.kind !== 'started' || started.body.test === undefined) return;
		if (this.#runs.has(partKey(context)) || lastSeqOf(context) !== started.seq) return;
		const {tasks, test} = started.body;
		const run: Run = {
			key: {id, attempt},
			tasks,
			test,
			record: '{}',
			bootId: started.bootId,
			timer: null,
			exited: null,
		};
		this.#runs.set(partKey(context), run);
		if (run.bootId === this.#core.clock.bootId) this.#core.clock.defer(() => this.#arm(run));
	}

	#arm(run: Run): void {
		if (run.exited !== null) return;
		const {clock} = this.#core;
		const leftMs = remainingMs(clock, run.test.deadline);
		if (leftMs <= 0) this.#end(run, run.test.waitStatus);
		else run.timer = clock.setTimer(leftMs, () => this.#end(run, run.test.waitStatus));
	}

	#end(run: Run, waitStatus: number): void {
		if (run.exited !== null || !this.#runs.has(partKey(run.key))) return;
		run.timer?.cancel();
		const atMs = Math.round(this.#core.clock.epochMs());
		const ends = run.tasks.map(({task}) => ({task, waitStatus, endMs: atMs}));
		run.exited = {...run.key, seq: 2, atMs, kind: 'exited', tasks: ends};
		this.#host.onReport(run.exited);
	}
}

function startOf({key, tasks, test}: Run, atMs: number): PartReport {
	return {...key, seq: 1, atMs, kind: 'started', tasks, test};
}

function entryOf(run: Run): InventoryEntry {
	const started = startOf(run, run.tasks[0]?.startMs ?? 0);
	return {
		...run.key,
		state: run.exited === null ? 'running' : 'exited',
		reports: run.exited === null ? [started] : [started, run.exited],
		bootId: run.bootId,
		record: run.record,
	};
}
