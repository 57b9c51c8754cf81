/**
 * One part on a simulated node: its tasks, reports, time limit and escalation. Invariant: reports are numbered
 * without gaps, and `exited` is the last.
 */

import type {Clock, Timer} from '../ports/clock.ts';
import {
	EPILOG_TASK,
	partName,
	PROLOG_TASK,
	type Exchange,
	type InputAnswer,
	type InputWrite,
	type InventoryEntry,
	type LaunchSpec,
	type OutputChunk,
	type OutputStream,
	type PartReport,
	type ScriptEnd,
	type TaskEnd,
} from '../ports/process-host.ts';
import {SystemError} from '../formats/errno.ts';
import {inputTasks} from '../exec/input-ring.ts';
import {SimInput} from './sim-input.ts';
import {newScript, newTask, unknownVerdict, verdictOf, type SimScript, type SimTask} from './sim-task.ts';
import {scriptOf, type TaskScript} from './task-script.ts';

/** What a part needs of its node. */
export interface PartSite {
	readonly clock: Clock;
	readonly bootId: string;
	readonly latencyMs: number;
	readonly starts: string[];
	takePid(): number;
	whenUp(action: () => void): void;
	deliver(report: PartReport): void;
	/** Every passage of a part through a PMI barrier, with what was put before it. */
	readonly passages: {readonly part: string; readonly barrier: number; readonly puts: Exchange['puts']}[];
	/** All tasks of a part wait at a barrier for those of other parts. */
	exchange(exchange: Exchange): void;
}

/** A report without its part, number and time, which `#report` adds. */
type Fact = PartReport extends infer R
	? R extends PartReport
		? Omit<R, 'id' | 'attempt' | 'seq' | 'atMs'>
		: never
	: never;

const SIGNALS_WITHOUT_EFFECT: readonly number[] = [0, 17, 18, 19, 20, 23, 28];
const SIGALRM = 14;
const SIGTERM = 15;
const SIGKILL = 9;

export class SimPart {
	readonly spec: LaunchSpec;
	readonly reports: PartReport[] = [];
	/** PMI barriers that it has passed. */
	#passed = 0;
	readonly #site: PartSite;
	readonly #bootId: string;
	readonly #tasks: SimTask[];
	readonly #input: SimInput;
	readonly #prolog: SimScript | null;
	readonly #epilog: SimScript | null;
	/** Its tasks were started, or never will be. */
	#isStarted = false;
	/** The signal of the last order to end it, or null. */
	#orderSignum: number | null = null;
	#killTimer: Timer | null = null;
	#limitTimer: Timer | null = null;

	constructor(
		site: PartSite,
		spec: LaunchSpec,
		script: ((spec: LaunchSpec, task: number) => TaskScript | undefined) | undefined,
	) {
		this.spec = spec;
		this.#site = site;
		this.#bootId = site.bootId;
		this.#tasks = spec.tasks.map(task => newTask(task, script?.(spec, task) ?? scriptOf(spec.argv)));
		this.#input = new SimInput(
			spec,
			this.#tasks.map(task => ({
				task: task.task,
				reads: task.script.echoesInput === true,
				isOver: () => task.state === 'ended',
				onData: bytes => (task.echoed = Buffer.concat([task.echoed, bytes])),
				onEnd: () => this.#end(task, task.script.waitStatus),
			})),
		);
		const scriptFor = (name: SimScript['name'], task: number): SimScript | null => {
			const one = spec[name];
			if (one === undefined) return null;
			return newScript({name, task, spec: one, script: script?.(spec, task) ?? scriptOf(one.argv)});
		};
		this.#prolog = scriptFor('prolog', PROLOG_TASK);
		this.#epilog = scriptFor('epilog', EPILOG_TASK);
	}

	/** With its prolog or epilog. */
	get aliveTasks(): number {
		return this.#all.filter(task => task.state === 'alive').length;
	}

	get #all(): readonly SimTask[] {
		return [...this.#tasks, ...this.#scripts];
	}

	get #scripts(): readonly SimScript[] {
		return [this.#prolog, this.#epilog].filter(script => script !== null);
	}

	/** Whether it may be forgotten: it has exited, or it is of an earlier boot. */
	get isOver(): boolean {
		return this.reports.at(-1)?.kind === 'exited' || this.#bootId !== this.#site.bootId;
	}

	launch(): void {
		// Without a shell the shims that were asked for still start; only the report waits for the next one.
		this.#site.clock.setTimer(this.#site.latencyMs, () => {
			if (this.#prolog === null) this.#start();
			else if (!this.#isStarted) this.#startScript(this.#prolog);
		});
	}

	begin(): void {
		const isReady = this.#prolog?.verdict?.verdict === 'ok' && this.#bootId === this.#site.bootId;
		if (isReady && this.#orderSignum === null) this.#start();
	}

	refuse(reason: string): void {
		this.#endUnstarted({severity: 0, note: reason}, []);
	}

	/** It ran here before, was over and was deleted. */
	disown(): void {
		const endMs = this.#site.clock.epochMs();
		const ends = this.spec.tasks.map(task => ({task, waitStatus: null, endMs}));
		const note = 'it ran on this node before, and how it ended was lost with its log';
		this.#endUnstarted({severity: 1, note}, ends);
	}

	#endUnstarted(why: {severity: number; note: string}, tasks: readonly TaskEnd[]): void {
		this.#isStarted = true;
		for (const task of this.#tasks) task.state = 'ended';
		this.#report({kind: 'exception', type: 'exec', ...why});
		this.#report({kind: 'exited', tasks});
	}

	terminate(signum: number): void {
		if (this.reports.at(-1)?.kind === 'exited') {
			for (const report of this.reports) this.#site.deliver(report);
			return;
		}
		if (this.#bootId !== this.#site.bootId) return this.#concludeAfterReboot();
		if (!this.#isStarted && this.#prolog !== null && this.#prolog.pid !== 0) {
			// The tasks never start; the prolog is ended, and what follows it follows.
			if (this.#prolog.verdict === null) return this.#escalate(signum);
			this.#orderSignum = signum;
			return this.#giveUpTasks();
		}
		if (!this.#isStarted) {
			// The claims of its tasks are taken, so they never start.
			this.#isStarted = true;
			for (const task of this.#tasks) task.state = 'ended';
			this.#report({kind: 'exited', tasks: []});
			return;
		}
		this.#escalate(signum);
	}

	/** Sends a signal to every task; the number of tasks that were alive. */
	signal(signum: number): number {
		const alive = this.#tasks.filter(task => task.state === 'alive');
		for (const task of alive) this.#signalTask(task, signum);
		return alive.length;
	}

	signalTask(task: number, signum: number): void {
		const found = this.#all.find(candidate => candidate.task === task);
		if (found?.state === 'alive') this.#signalTask(found, signum);
	}

	/** Its rank has been out of contact with the root for longer than its lease. */
	expireLease(): void {
		if (this.#orderSignum !== null || this.aliveTasks === 0 || this.#epilog?.pid) return;
		const note = 'out of contact with the root for longer than exec.lease';
		this.#report({kind: 'exception', type: 'lease-expired', severity: 0, note});
		this.#escalate(SIGTERM);
	}

	loseShim(task: number): void {
		const found = this.#all.find(candidate => candidate.task === task);
		if (found?.state !== 'alive' || !found.hasShim) return;
		found.hasShim = false;
		if (task < 0) return;
		this.#site.whenUp(() => {
			if (this.reports.at(-1)?.kind === 'exited') return;
			const note = `the shim of task ${task} died: its exit status is lost`;
			this.#report({kind: 'exception', type: 'supervisor-lost', severity: 1, note});
		});
	}

	powerOff(): void {
		for (const script of this.#scripts) {
			script.limitTimer?.cancel();
			script.killTimer?.cancel();
		}
		for (const task of this.#all) {
			task.timer?.cancel();
			if (task.state === 'alive') task.endMonotonicMs = this.#site.clock.monotonicMs();
			task.state = 'ended';
		}
		this.#isStarted = true;
		this.#limitTimer?.cancel();
		this.#killTimer?.cancel();
		const ends = this.#tasks.map(task => task.end).filter(end => end !== null);
		const isOver = this.#epilog === null && (this.#prolog === null || ends.length > 0);
		if (isOver && ends.length === this.#tasks.length && this.reports.at(-1)?.kind !== 'exited')
			this.#report({kind: 'exited', tasks: ends});
	}

	entry(): InventoryEntry {
		const exited = this.reports.at(-1)?.kind === 'exited';
		const started = this.reports.some(report => report.kind !== 'exception');
		return {
			id: this.spec.id,
			attempt: this.spec.attempt,
			state: exited ? 'exited' : started ? 'running' : 'launching',
			reports: [...this.reports],
			bootId: this.#bootId,
			record: this.spec.record,
		};
	}

	output(
		task: number,
		stream: OutputStream,
		{offset, bytesMax}: {readonly offset: number; readonly bytesMax: number},
	): OutputChunk {
		const found = this.#all.find(candidate => candidate.task === task);
		if (found === undefined || (task >= 0 && this.spec[stream] !== null))
			return {data: new Uint8Array(0), eof: true};
		const nowMs = Math.min(this.#site.clock.monotonicMs(), found.endMonotonicMs);
		const text = (found.script.output ?? [])
			.filter(part => part.stream === stream && found.startMonotonicMs + part.afterMs <= nowMs)
			.map(part => part.text)
			.join('');
		const bytes = found.pid === 0 ? new Uint8Array(0) : this.#written(found, stream, text);
		const data = bytes.subarray(offset, offset + bytesMax);
		return {data, eof: found.state === 'ended' && offset + data.length >= bytes.length};
	}

	/** @throws {SystemError} ENOENT before its start; EPIPE, EINVAL. */
	writeInput(write: InputWrite): InputAnswer {
		if (!this.#isStarted) throw new SystemError('ENOENT', `part ${this.spec.id}: not laid out yet`);
		return this.#input.write(write);
	}

	#written({echoed}: SimTask, stream: OutputStream, text: string): Uint8Array {
		const bytes = new TextEncoder().encode(text);
		return stream === 'stdout' && echoed.length > 0 ? Buffer.concat([bytes, echoed]) : bytes;
	}

	#start(): void {
		if (this.#isStarted) return;
		this.#isStarted = true;
		const {clock} = this.#site;
		const fed = inputTasks(this.spec);
		const startMonotonicMs = clock.monotonicMs();
		for (const task of this.#tasks) {
			this.#site.starts.push(`${this.spec.id}.${this.spec.attempt}/${task.task}`);
			task.pid = this.#site.takePid();
			task.startMs = Math.round(clock.epochMs());
			task.startMonotonicMs = startMonotonicMs;
			task.state = 'alive';
		}
		this.#site.whenUp(() => {
			this.#report({
				kind: 'started',
				tasks: this.#tasks.map(({task, pid, startMs}) => ({
					task,
					pid,
					startTicks: Math.floor(startMonotonicMs / 10),
					startMs,
				})),
			});
		});
		for (const task of this.#tasks) {
			const {durationMs, waitStatus, echoesInput} = task.script;
			if (echoesInput === true && fed.includes(task.task)) continue; // The end of its input is its own.
			if (durationMs !== Infinity)
				task.timer = clock.setTimer(durationMs, () => this.#elapse(task, waitStatus));
		}
		if (this.spec.durationMs > 0)
			this.#limitTimer = clock.setTimer(this.spec.durationMs, () => this.#site.whenUp(() => this.#expire()));
	}

	#expire(): void {
		if (this.#orderSignum !== null || !this.#tasks.some(({state}) => state === 'alive')) return;
		this.#report({
			kind: 'exception',
			type: 'timeout',
			severity: 0,
			note: 'resource allocation expired',
		});
		this.#escalate(SIGALRM);
	}

	#escalate(signum: number): void {
		if (this.#orderSignum === signum) return;
		if (this.#orderSignum === null) {
			this.#limitTimer?.cancel();
			this.#killTimer = this.#site.clock.setTimer(this.spec.killTimeoutMs, () =>
				this.#site.whenUp(() => {
					this.signal(SIGKILL);
					this.#endProlog(SIGKILL);
				}),
			);
		}
		this.#orderSignum = signum;
		this.signal(signum);
		this.#endProlog(signum);
	}

	/** A prolog shares the order to end with the tasks. */
	#endProlog(signum: number): void {
		const prolog = this.#prolog;
		if (prolog?.state !== 'alive') return;
		prolog.cause ??= 'order';
		prolog.isKilled ||= signum === SIGKILL;
		this.#signalTask(prolog, signum);
	}

	#startScript(script: SimScript): void {
		if (script.pid !== 0) return;
		const {clock} = this.#site;
		this.#site.starts.push(`${this.spec.id}.${this.spec.attempt}/${script.name}`);
		script.pid = this.#site.takePid();
		script.startMs = Math.round(clock.epochMs());
		script.startMonotonicMs = clock.monotonicMs();
		script.state = 'alive';
		const {pid, startMs} = script;
		if (script.name === 'prolog') {
			this.#site.whenUp(() => this.#report({kind: 'prolog-started', pid, startMs}));
		}
		const {durationMs, waitStatus} = script.script;
		if (durationMs !== Infinity)
			script.timer = clock.setTimer(durationMs, () => this.#end(script, waitStatus));
		const {timeoutMs} = script.spec;
		if (timeoutMs === 0) return;
		const end = (signum: number) => {
			if (script.state !== 'alive') return;
			script.cause ??= 'timeout';
			this.#signalTask(script, signum);
		};
		script.limitTimer = clock.setTimer(timeoutMs, () => this.#site.whenUp(() => end(SIGTERM)));
		const killMs = timeoutMs + this.spec.killTimeoutMs;
		script.killTimer = clock.setTimer(killMs, () => this.#site.whenUp(() => end(SIGKILL)));
	}

	#scriptEnded(script: SimScript): void {
		if (this.#bootId !== this.#site.bootId || script.verdict !== null) return;
		script.verdict = verdictOf(script);
		if (script.name === 'epilog') return this.#exit(script.verdict);
		this.#report({kind: 'prolog-ended', end: script.verdict});
		if (script.verdict.verdict !== 'ok' || this.#orderSignum !== null) this.#giveUpTasks();
	}

	/** No task of it will start. */
	#giveUpTasks(): void {
		if (this.#isStarted) return;
		this.#isStarted = true;
		for (const task of this.#tasks) task.state = 'ended';
		this.#conclude();
	}

	#signalTask(task: SimTask, signum: number): void {
		if (SIGNALS_WITHOUT_EFFECT.includes(signum)) return;
		if (signum !== SIGKILL && task.script.ignores?.includes(signum) === true) return;
		const trapped = signum === SIGKILL ? undefined : task.script.traps?.get(signum);
		this.#end(task, trapped ?? signum);
	}

	/** What this part's tasks put before a barrier, once all of them have entered it; else null. */
	exchangeEntry(barrier: number): Exchange | null {
		if (this.#tasks.some(({entered}) => entered < barrier)) return null;
		const {id, attempt} = this.spec;
		const puts = Object.fromEntries(this.#tasks.map(({task}) => [`${barrier}.${task}`, String(task)]));
		return {id, attempt, barrier, puts};
	}

	repeatExchange(): void {
		const pending = this.exchangeEntry(this.#passed + 1);
		if (pending !== null && this.aliveTasks > 0) this.#site.whenUp(() => this.#site.exchange(pending));
	}

	exchanged({barrier, puts}: Exchange): void {
		if (barrier !== this.#passed + 1 || this.exchangeEntry(barrier) === null) return;
		this.#passed = barrier;
		this.#site.passages.push({part: partName(this.spec), barrier, puts});
		for (const task of this.#tasks) {
			if (barrier < (task.script.barriers ?? 0)) task.entered = barrier + 1;
			else this.#end(task, task.script.waitStatus);
		}
		this.repeatExchange();
	}

	/** Its time is over: it enters its first barrier, or ends. */
	#elapse(task: SimTask, waitStatus: number): void {
		if ((task.script.barriers ?? 0) === 0) return this.#end(task, waitStatus);
		task.entered = 1;
		this.repeatExchange();
	}

	#end(task: SimTask, waitStatus: number): void {
		if (task.state !== 'alive') return;
		task.timer?.cancel();
		task.state = 'ended';
		task.endMonotonicMs = this.#site.clock.monotonicMs();
		const {error} = task.script;
		task.end = {
			task: task.task,
			waitStatus: task.hasShim ? waitStatus : null,
			endMs: Math.round(this.#site.clock.epochMs()),
			...(error === undefined ? {} : {error}),
		};
		const script = this.#scripts.find(each => each === task);
		if (script !== undefined) {
			script.limitTimer?.cancel();
			script.killTimer?.cancel();
			this.#site.clock.setTimer(this.#site.latencyMs, () =>
				this.#site.whenUp(() => this.#scriptEnded(script)),
			);
			return;
		}
		if (this.#tasks.some(({state}) => state === 'alive')) return;
		this.#limitTimer?.cancel();
		this.#killTimer?.cancel();
		this.#site.clock.setTimer(this.#site.latencyMs, () => this.#site.whenUp(() => this.#conclude()));
	}

	#conclude(): void {
		if (this.#bootId !== this.#site.bootId || this.reports.at(-1)?.kind === 'exited') return;
		if (this.#epilog === null) return this.#exit();
		if (this.#epilog.pid !== 0) return;
		this.#report({kind: 'tasks-ended', tasks: this.#ends});
		this.#startScript(this.#epilog);
	}

	get #ends(): readonly TaskEnd[] {
		return this.#tasks.map(task => task.end).filter(end => end !== null);
	}

	#exit(epilog?: ScriptEnd): void {
		this.#report({kind: 'exited', tasks: this.#ends, ...(epilog === undefined ? {} : {epilog})});
	}

	/** Ends a part of an earlier boot: what has no exit status now will never have one. */
	#concludeAfterReboot(): void {
		const endMs = Math.round(this.#site.clock.epochMs());
		const tasks = this.#tasks
			.filter(task => task.pid !== 0)
			.map(task => task.end ?? {task: task.task, waitStatus: null, endMs});
		const isBegun = this.reports.some(({kind}) => kind === 'tasks-ended');
		this.#report({kind: 'exited', tasks, ...(isBegun ? {epilog: unknownVerdict(endMs)} : {})});
	}

	#report(fact: Fact): void {
		const {id, attempt} = this.spec;
		const atMs = Math.round(this.#site.clock.epochMs());
		const report: PartReport = {id, attempt, seq: this.reports.length + 1, atMs, ...fact};
		this.reports.push(report);
		this.#site.deliver(report);
	}
}
