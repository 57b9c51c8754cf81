/**
 * The simulated ProcessHost. `SimNode` owns what outlives a broker: the parts of one node, their tasks, and the
 * job shell that can be lost. Each life of a broker takes a fresh `node.host()`, which cuts off the one before.
 * Invariant: a task of a part is started at most once, whatever is called or lost.
 */

import type {Clock, Timer} from '../ports/clock.ts';
import {
	EPILOG_TASK,
	partName,
	PROLOG_TASK,
	type Exchange,
	type HostAttributes,
	type InputAnswer,
	type InputWrite,
	type Inventory,
	type LaunchSpec,
	type OutputChunk,
	type OutputStream,
	type PartKey,
	type PartReport,
	type ProcessHost,
} from '../ports/process-host.ts';
import {SystemError} from '../formats/errno.ts';
import {encodeEvent, eventOf} from '../exec/journal.ts';
import {SimPart, type PartSite} from './sim-part.ts';
import type {TaskScript} from './task-script.ts';

export interface SimNodeOptions {
	/** What a task does; undefined or absent: what its command line says (`scriptOf`). */
	readonly script?: (spec: LaunchSpec, task: number) => TaskScript | undefined;
	/** From an order to the first process, and from the last end to the report. @default 2 */
	readonly latencyMs?: number;
	/** From the loss of the job shell to the next one, while a broker needs it. @default 100 */
	readonly shellRestartMs?: number;
}

/** As in the real host: an inventory that takes longer is rejected. */
const INVENTORY_TIMEOUT_MS = 30_000;

export class SimNode {
	readonly clock: Clock;
	readonly parts = new Map<string, SimPart>();
	/** Every task start on this node as `id.attempt/task`, in order: the ledger to check started-once with. */
	readonly starts: string[] = [];
	readonly passages: PartSite['passages'] = [];
	readonly latencyMs: number;
	readonly #script: SimNodeOptions['script'];
	readonly #shellRestartMs: number;
	#bootId: string;
	#host: SimProcessHost | null = null;
	/** The shell is there as long as this is not null. */
	#shellPid: number | null = null;
	#shellHeld = false;
	#refusal: string | null = null;
	/** Parts that were over and deleted, by name. */
	readonly #forgotten = new Set<string>();
	#nextPid = 1000;
	#leaseMs = Infinity;
	#leaseTimer: Timer | null = null;
	#highestJobId = 0n;
	/** What is done once there is a shell again. */
	#whenUp: (() => void)[] = [];

	constructor(clock: Clock, options: SimNodeOptions = {}) {
		this.clock = clock;
		this.#bootId = clock.bootId;
		this.#script = options.script;
		this.latencyMs = options.latencyMs ?? 2;
		this.#shellRestartMs = options.shellRestartMs ?? 100;
	}

	get bootId(): string {
		return this.#bootId;
	}

	get shellPid(): number | null {
		return this.#shellPid;
	}

	/** A host for the next life of the broker; the one before is cut off, as by the death of its process. */
	host(): SimProcessHost {
		this.#host?.cut();
		this.#host = new SimProcessHost(this);
		return this.#host;
	}

	/**
	 * Kills the job shell. Orders that are given before the next one is up are lost. It comes back after
	 * `shellRestartMs` while a broker is there, and then the broker's `onReset` is called. With `hold` it stays
	 * away until `releaseShell`.
	 */
	loseShell({hold = false}: {readonly hold?: boolean} = {}): void {
		this.#shellPid = null;
		this.#shellHeld = hold;
		this.#host?.shellLost();
	}

	releaseShell(): void {
		this.#shellHeld = false;
		this.#host?.shellLost();
	}

	/** Kills the shim of one task: the task goes on, but its exit status will never be known. */
	loseShim(key: PartKey, task: number): void {
		this.#part(key).loseShim(task);
	}

	/** Kills a task's processes as the OOM killer would: it ends with SIGKILL, which its shim sees. */
	killTask(key: PartKey, task: number): void {
		this.#part(key).signalTask(task, 9);
	}

	/** Power off and on: everything dies without an exit status, disks stay. The broker is dead too. */
	reboot(bootId: string): void {
		this.#host?.cut();
		this.#host = null;
		this.#shellPid = null;
		this.#whenUp = [];
		this.#bootId = bootId;
		for (const part of this.parts.values()) part.powerOff();
	}

	/** From now on launches fail with this reason; null: they work again. */
	refuseLaunches(reason: string | null): void {
		this.#refusal = reason;
	}

	/** The number of tasks that are alive. */
	get aliveTasks(): number {
		let count = 0;
		for (const part of this.parts.values()) count += part.aliveTasks;
		return count;
	}

	/** Runs `action` with a shell: now, or when the next one is up. Time limits stand still without one. */
	whenUp(action: () => void): void {
		if (this.#shellPid !== null) action();
		else this.#whenUp.push(action);
	}

	/** As the job shell keeps it: a number is contact and its lease, null the loss of it. */
	contact(leaseMs: number | null): void {
		this.#leaseTimer?.cancel();
		this.#leaseTimer = null;
		if (leaseMs !== null) {
			this.#leaseMs = leaseMs;
			return;
		}
		if (!Number.isFinite(this.#leaseMs)) return;
		this.#leaseTimer = this.clock.setTimer(this.#leaseMs, () => {
			for (const part of this.parts.values()) this.whenUp(() => part.expireLease());
		});
	}

	/** Starts a shell unless one runs or is held. */
	startShell(): boolean {
		if (this.#shellPid !== null) return true;
		if (this.#shellHeld) return false;
		this.#shellPid = this.takePid();
		for (const action of this.#whenUp.splice(0)) action();
		return true;
	}

	stopShell(): void {
		if (this.aliveTasks === 0) this.#shellPid = null;
	}

	get shellRestartMs(): number {
		return this.#shellRestartMs;
	}

	takePid(): number {
		return this.#nextPid++;
	}

	launch(spec: LaunchSpec): void {
		if (spec.id > this.#highestJobId) this.#highestJobId = spec.id;
		const known = this.parts.get(partName(spec));
		if (known !== undefined) {
			for (const report of known.reports) this.deliver(report);
			return;
		}
		const part = new SimPart(this, spec, this.#script);
		this.parts.set(partName(spec), part);
		if (this.#forgotten.has(partName(spec))) part.disown();
		else if (this.#refusal === null) part.launch();
		else part.refuse(this.#refusal);
	}

	begin(key: PartKey): void {
		this.parts.get(partName(key))?.begin();
	}

	terminate(key: PartKey, signum: number): void {
		const part = this.parts.get(partName(key));
		if (part === undefined) {
			const {id, attempt} = key;
			this.deliver({id, attempt, seq: 1, atMs: this.clock.epochMs(), kind: 'exited', tasks: []});
		} else part.terminate(signum);
	}

	forget(key: PartKey): void {
		if (this.parts.get(partName(key))?.isOver !== true) return;
		this.parts.delete(partName(key));
		this.#forgotten.add(partName(key));
	}

	exchange(exchange: Exchange): void {
		this.#host?.takeExchange(exchange);
	}

	/** What waits at barriers is said again, as by a job shell to a broker that has come. */
	repeatExchanges(): void {
		for (const part of this.parts.values()) part.repeatExchange();
	}

	/** Hands a report to the broker that is there, in a later turn. */
	deliver(report: PartReport): void {
		this.#host?.take(report);
	}

	inventory(): Inventory {
		return {
			bootId: this.#bootId,
			parts: [...this.parts.values()].map(part => part.entry()),
			highestJobId: this.#highestJobId,
		};
	}

	#part(key: PartKey): SimPart {
		const part = this.parts.get(partName(key));
		if (part === undefined) throw new Error(`no part ${partName(key)} on this node`);
		return part;
	}
}

export class SimProcessHost implements ProcessHost {
	onReport: (report: PartReport) => void = () => undefined;
	onReset: () => void = () => undefined;
	onExchange: (exchange: Exchange) => void = () => undefined;
	readonly #node: SimNode;
	#isCut = false;
	#restarting = false;

	constructor(node: SimNode) {
		this.#node = node;
	}

	async inventory(): Promise<Inventory> {
		const node = this.#node;
		return new Promise((resolve, reject) => {
			const timer = node.clock.setTimer(INVENTORY_TIMEOUT_MS, () => {
				reject(new SystemError('ETIMEDOUT', 'inventory: the job shell did not answer within 30 s'));
			});
			const answer = () => {
				timer.cancel();
				if (this.#isCut) return;
				resolve(node.inventory());
				node.repeatExchanges();
			};
			node.clock.setTimer(node.latencyMs, () => {
				if (this.#isCut) return timer.cancel();
				if (node.parts.size === 0) return answer();
				if (!this.#restarting) node.startShell();
				node.whenUp(answer);
			});
		});
	}

	async ready(timeoutMs: number): Promise<void> {
		const node = this.#node;
		return new Promise((resolve, reject) => {
			const timer = node.clock.setTimer(timeoutMs, () => {
				reject(new SystemError('ETIMEDOUT', `the job shell did not answer within ${timeoutMs / 1000} s`));
			});
			node.clock.setTimer(node.latencyMs, () => {
				if (this.#isCut) return timer.cancel();
				if (!this.#restarting) node.startShell();
				node.whenUp(() => {
					timer.cancel();
					if (!this.#isCut) resolve();
				});
			});
		});
	}

	launch(spec: LaunchSpec): void {
		this.#order(() => this.#node.launch(spec));
	}

	begin(key: PartKey): void {
		this.#order(() => this.#node.begin(key));
	}

	terminate(key: PartKey, signum: number): void {
		this.#order(() => this.#node.terminate(key, signum));
	}

	async signal(key: PartKey, signum: number): Promise<void> {
		const reached = this.#isCut ? 0 : (this.#node.parts.get(partName(key))?.signal(signum) ?? 0);
		if (reached === 0)
			throw new SystemError('ESRCH', `part ${partName(key)}: no task is alive to take signal ${signum}`);
	}

	forget(key: PartKey): void {
		this.#order(() => this.#node.forget(key));
	}

	async remains(key: PartKey): Promise<boolean> {
		return this.#node.parts.has(partName(key));
	}

	async readOutput(
		key: PartKey,
		task: number,
		stream: OutputStream,
		offset: number,
		bytesMax: number,
	): Promise<OutputChunk> {
		const part = this.#node.parts.get(partName(key));
		const {tasks = [], prolog, epilog} = part?.spec ?? {};
		const isScript = (task === PROLOG_TASK && prolog) || (task === EPILOG_TASK && epilog);
		if (part === undefined || (!tasks.includes(task) && !isScript))
			throw new SystemError('ENOENT', `part ${partName(key)}: no output of task ${task} on this node`);
		return part.output(task, stream, {offset, bytesMax});
	}

	async writeInput(key: PartKey, write: InputWrite): Promise<InputAnswer> {
		const part = this.#node.parts.get(partName(key));
		if (part === undefined || this.#isCut)
			throw new SystemError('ENOENT', `part ${partName(key)} is not on this node`);
		return part.writeInput(write);
	}

	async readEventlog(key: PartKey): Promise<string> {
		const reports = this.#node.parts.get(partName(key))?.reports ?? [];
		return reports.map(report => encodeEvent(eventOf(report))).join('');
	}

	attributes(): HostAttributes {
		const shellPid = this.#node.shellPid;
		return {
			shellPid,
			launcherPid: shellPid === null ? null : shellPid + 100_000,
			jobCgroup: '',
			tracking: 'simulated',
		};
	}

	async close({stop}: {readonly stop: boolean}): Promise<void> {
		this.cut();
		if (stop) this.#node.stopShell();
	}

	/** The broker's process is gone: nothing reaches it, and nothing from it arrives. */
	cut(): void {
		if (!this.#isCut) this.#node.contact(null);
		this.#isCut = true;
	}

	contact(leaseMs: number | null): void {
		if (!this.#isCut) this.#node.contact(leaseMs);
	}

	shellLost(): void {
		if (this.#isCut || this.#restarting) return;
		this.#restarting = true;
		this.#node.clock.setTimer(this.#node.shellRestartMs, () => {
			this.#restarting = false;
			if (this.#isCut || !this.#node.startShell()) return;
			this.onReset();
			this.#node.repeatExchanges();
		});
	}

	exchanged(exchange: Exchange): void {
		this.#order(() => this.#node.parts.get(partName(exchange))?.exchanged(exchange));
	}

	readExchange(key: PartKey, barrier: number): Exchange | null {
		return this.#node.parts.get(partName(key))?.exchangeEntry(barrier) ?? null;
	}

	takeExchange(exchange: Exchange): void {
		this.#node.clock.defer(() => {
			if (!this.#isCut) this.onExchange(exchange);
		});
	}

	take(report: PartReport): void {
		this.#node.clock.defer(() => {
			if (!this.#isCut) this.onReport(report);
		});
	}

	/** An order is lost with the shell or the broker that has it when one of them dies. */
	#order(action: () => void): void {
		const node = this.#node;
		if (this.#isCut || this.#restarting || !node.startShell()) return;
		const shellPid = node.shellPid;
		node.clock.defer(() => {
			if (node.shellPid === shellPid) action();
		});
	}
}
