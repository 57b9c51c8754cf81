/**
 * The job shell: all parts of one rank. It adopts what it finds, drives the launcher, and serves the broker while
 * one is there. Invariant: it never starts what no broker of its own life asked for, unless the part had begun.
 */

import {asSystemError, SystemError} from '../../formats/errno.ts';
import type {Clock, Timer} from '../../ports/clock.ts';
import {partName, type LaunchSpec, type PartKey, type PartReport} from '../../ports/process-host.ts';
import {faultOf, type StoredSpec} from '../launch-record.ts';
import {
	eventsPath,
	partCgroup,
	partDir,
	pmiPath,
	rankCgroup,
	rankDir,
	socketPath,
	type RankSite,
} from '../part-paths.ts';
import {Lease} from '../lease.ts';
import {SHELL_PROTOCOL_EXCHANGE, type BrokerMessage} from '../shell-protocol.ts';
import type {ShimEvent} from '../task-record.ts';
import {EventPipe} from './event-pipe.ts';
import {Launcher} from './launcher.ts';
import {
	carriedDir,
	createPartDir,
	listParts,
	readLease,
	readPart,
	removePartDir,
	writeLease,
} from './part-dir.ts';
import type {PartProcesses} from './part-processes.ts';
import {PartRemovals} from './part-removals.ts';
import {scriptSpecsOf} from './part-script.ts';
import {PartSupervisor, type FoundPart} from './part-supervisor.ts';
import {PmiServer} from './pmi-server.ts';
import {ShellServer} from './shell-server.ts';
import {SpareDirs} from './spare-dirs.ts';
import {Tracking} from './tracking.ts';

export interface JobShellOptions {
	readonly site: RankSite;
	readonly clock: Clock;
	readonly log: (text: string) => void;
	/** The shell has nothing more to do. */
	readonly onDone: () => void;
}

/** How often parts are looked at that no shim will announce, and every how many rounds all others. */
const POLL_MS = 200;
const POLL_ROUNDS_ALL = 5;
/** A round that comes later than this counts as if it did not: what happened meanwhile waits to be read. */
const POLL_MS_LATE = 1000;
/** Every how many rounds what waits at a PMI barrier is said again: 5 s. */
const EXCHANGE_ROUNDS = 25;
/** Without any unfinished part and without a broker the shell stays this long. */
const IDLE_MS_MAX = 30_000;
const LAUNCHER_RESTART_MS = 50;
const LAUNCHER_RESTART_MS_MAX = 2000;
/** A launcher that starts nothing for so long, while tasks wait for it, is replaced. */
const LAUNCHER_STALL_MS_MAX = 10_000;
/** When nothing has started for so long, whatever was tried, the parts that wait for it fail. */
const LAUNCH_MS_MAX = 35_000;

export class JobShell {
	readonly #options: JobShellOptions;
	readonly #parts = new Map<string, PartSupervisor>();
	readonly #server: ShellServer;
	readonly #pmi: PmiServer;
	#launcher: Launcher | null = null;
	#launcherTimer: Timer | null = null;
	#launcherRestartMs = LAUNCHER_RESTART_MS;
	/** Time in which this shell ran: what the launcher's work is judged by, so that a shell that was stopped blames nobody. */
	#awakeMs = 0;
	#lastPollMs: number | null = null;
	/** The last start of any task, in `#awakeMs`. */
	#progressMs = 0;
	/** Since when tasks wait for a launcher, or null: none does. */
	#waitingSinceMs: number | null = null;
	/** When the launcher that is there now got its chance. */
	#launcherSinceMs = 0;
	#launcherEnd = 'it does not answer';
	readonly #lease: Lease;
	readonly #tracking: Tracking;
	readonly #spares: SpareDirs;
	#events: EventPipe | undefined;
	#highestJobId = 0n;
	readonly #removals: PartRemovals;
	#isStopping = false;
	#idleSinceMs: number | null = null;
	#round = 0;

	constructor(options: JobShellOptions) {
		this.#options = options;
		const {site, log} = options;
		this.#tracking = new Tracking(options);
		this.#spares = new SpareDirs(rankDir(site));
		this.#server = new ShellServer({
			path: socketPath(site),
			instance: site.instance,
			rank: site.rank,
			log,
			hello: () => ({
				pid: process.pid,
				launcherPid: this.#launcher?.pid ?? null,
				bootId: options.clock.bootId,
			}),
			onMessage: message => this.#obey(message),
			onBroker: isThere => {
				this.#idleSinceMs = null;
				if (isThere) this.#pmi.repeat();
				else this.#contactChanged(this.#lease.lose(options.clock.monotonicMs()));
			},
		});
		this.#pmi = new PmiServer({
			path: pmiPath(site),
			log,
			onExchange: exchange => {
				if (this.#server.protocol >= SHELL_PROTOCOL_EXCHANGE) this.#server.send({type: 'exchange', exchange});
			},
			onAbort: (key, reason) => void this.#guard(key, () => this.#parts.get(partName(key))?.abort(reason)),
		});
		const {clock} = options;
		const guard = (key: PartKey, action: () => void) => this.#guard(key, action);
		this.#removals = new PartRemovals({site, clock, spares: this.#spares, guard});
		this.#lease = new Lease(readLease(site), {bootId: clock.bootId, nowMs: clock.monotonicMs()});
	}

	/** Adopts what is there, then listens. */
	async start(): Promise<void> {
		this.#highestJobId = this.#removals.highestJobId;
		this.#spares.clear();
		this.#openEvents();
		for (const key of listParts(this.#options.site)) this.#guard(key, () => this.#adopt(key));
		this.#guard({id: 0n, attempt: 0}, () => this.#sweepStrays());
		await this.#server.listen();
		this.#ensureLauncher();
		this.#poll();
	}

	#adopt(key: PartKey): void {
		const {site, log} = this.#options;
		const dir = partDir(site, key);
		if (key.id > this.#highestJobId) this.#highestJobId = key.id;
		const found = readPart(dir);
		if (found === undefined) {
			// A launch that was cut off before it counted: no shim was asked for, and the broker will ask again.
			log(`part ${partName(key)}: removing a directory that was not laid out`);
			if (site.cgroupBase === '' || this.#tracking.ofUnknown(key).remove()) removePartDir(dir);
			return;
		}
		const part = this.#supervise(found.spec, {dir, ...found, processes: this.#processesOf(found.spec)});
		if (!part.isExited && !part.isOfEarlierBoot) this.#pmi.add(found.spec, dir);
		part.resume();
		if (part.isTouched && part.startable.length > 0) this.#feed(part);
	}

	/** Removes what is left of parts without a directory. Live ones stay: their directory may only be unmounted. */
	#sweepStrays(): void {
		for (const key of this.#tracking.found()) {
			if (this.#parts.has(partName(key))) continue;
			if (!this.#tracking.ofUnknown(key).remove())
				this.#options.log(`part ${partName(key)}: processes of it are alive, but it has no directory`);
		}
	}

	#processesOf(spec: StoredSpec): PartProcesses {
		return this.#tracking.of({key: spec, cgroup: spec.cgroup, tasks: spec.tasks});
	}

	#supervise(spec: StoredSpec, found: FoundPart): PartSupervisor {
		const {clock, log} = this.#options;
		const report = (each: PartReport) => this.#server.send({type: 'report', report: each});
		const rescue = (key: PartKey, task: number) => this.#rescue(key, task);
		const feed = (key: PartKey) => {
			const fed = this.#parts.get(partName(key));
			if (fed !== undefined) this.#feed(fed);
		};
		const processesOf = (script: StoredSpec) => this.#processesOf(script);
		const part = new PartSupervisor({clock, log, report, processesOf, feed, rescue}, spec, found);
		this.#parts.set(partName(spec), part);
		return part;
	}

	#obey(message: Exclude<BrokerMessage, {type: 'hello'}>): void {
		switch (message.type) {
			case 'launch':
				return void this.#guard(message.spec, () => this.#launch(message.spec));
			case 'begin':
				return void this.#guard(message.key, () => this.#parts.get(partName(message.key))?.begin());
			case 'terminate':
				return void this.#guard(message.key, () => this.#terminate(message.key, message.signum));
			case 'forget':
				return void this.#guard(message.key, () => this.#forget(message.key));
			case 'signal':
				return this.#answer(message.request, () => this.#signal(message.key, message.signum));
			case 'inventory':
				return this.#answer(message.request, () => this.#sendInventory(message.request));
			case 'exchanged':
				return void this.#guard(message.exchange, () => this.#pmi.exchanged(message.exchange));
			case 'contact': {
				const nowMs = this.#options.clock.monotonicMs();
				const {isInContact, leaseMs} = message;
				const isNews = isInContact ? this.#lease.inContact(leaseMs) : this.#lease.lose(nowMs);
				return this.#contactChanged(isNews);
			}
			case 'stop':
				return this.#answer(message.request, () => {
					this.#isStopping = true;
				});
			default:
				message satisfies never;
		}
	}

	/** What the next shell must know is written down, as far as the disk takes it. */
	#contactChanged(isNews: boolean): void {
		if (isNews) this.#guard({id: 0n, attempt: 0}, () => writeLease(this.#options.site, this.#lease.record));
	}

	/** Ends what has been out of contact for too long: the root may have given it up by now. */
	#judgeLease(): void {
		const awayMs = this.#lease.overdueMs(this.#options.clock.monotonicMs());
		if (awayMs === null) return;
		const note = `out of contact with the root for ${Math.round(awayMs / 1000)} s, longer than exec.lease`;
		for (const part of this.#parts.values()) this.#guard(part.spec, () => part.expireLease(note));
	}

	#launch(spec: LaunchSpec): void {
		const {site, clock} = this.#options;
		const known = this.#parts.get(partName(spec));
		if (known !== undefined) {
			for (const report of known.ledger.reports) this.#server.send({type: 'report', report});
			if (!known.isFed) this.#feed(known);
			return;
		}
		if (spec.id > this.#highestJobId) this.#highestJobId = spec.id;
		const dir = partDir(site, spec);
		const cgroup = partCgroup(site, spec);
		const env = spec.carried === undefined ? spec.env : {...spec.env, COPPICE_JOB_TMPDIR: carriedDir(dir)};
		const stored: StoredSpec = {...spec, env, bootId: clock.bootId, cgroup};
		const processes = this.#processesOf(stored);
		const part = this.#supervise(stored, {dir, processes, events: [], isTorn: false});
		if (this.#removals.has(spec)) {
			if (!this.#removals.isLeaving(spec)) processes.close();
			return part.disown();
		}
		try {
			const fault = faultOf(spec);
			if (fault !== undefined) throw new SystemError('EINVAL', fault);
			processes.prepare();
			const scripts = scriptSpecsOf(stored);
			for (const script of scripts) this.#processesOf(script).prepare();
			createPartDir(dir, stored, {scripts, spares: this.#spares});
			this.#pmi.add(stored, dir);
		} catch (error) {
			if (cgroup !== '') processes.remove();
			processes.close();
			part.refuse(asSystemError(error).toString());
			return;
		}
		this.#feed(part);
	}

	#terminate(key: PartKey, signum: number): void {
		const part = this.#parts.get(partName(key));
		if (part !== undefined) return part.terminate(signum);
		const processes = this.#tracking.ofUnknown(key);
		if (processes.remove()) {
			processes.close();
			const atMs = Math.round(this.#options.clock.epochMs());
			this.#server.send({type: 'report', report: {...key, seq: 1, atMs, kind: 'exited', tasks: []}});
			return;
		}
		// Its directory was lost, but something of it is alive. It can't be supervised, so it ends the short way.
		processes.kill();
		this.#options.clock.setTimer(POLL_MS, () => this.#guard(key, () => this.#terminate(key, signum)));
	}

	#signal(key: PartKey, signum: number): void {
		const reached = this.#parts.get(partName(key))?.signal(signum) ?? 0;
		if (reached === 0)
			throw new SystemError('ESRCH', `part ${partName(key)}: no task is alive to take signal ${signum}`);
	}

	#sendInventory(request: number): void {
		for (const part of this.#parts.values())
			this.#server.send({type: 'part', request, entry: part.inventoryEntry()});
	}

	#forget(key: PartKey): void {
		const part = this.#parts.get(partName(key));
		if (part === undefined || (!part.isExited && !part.isOfEarlierBoot)) return;
		part.close();
		this.#pmi.remove(key);
		this.#parts.delete(partName(key));
		if (!part.isRefused) this.#removals.add(part); // Else nothing of it is on disk.
	}

	#feed(part: PartSupervisor): void {
		if (part.startable.length === 0) return;
		part.isFed = true;
		this.#ensureLauncher();
		this.#launcher?.feed(part.spec, part.startable);
	}

	#rescue(key: PartKey, task: number): void {
		const local = this.#parts.get(partName(key))?.spec.tasks.indexOf(task) ?? 0;
		this.#ensureLauncher();
		this.#launcher?.feed(key, [{task, local: `rescue${local}`}]);
	}

	/** One is kept at hand, so that the next part need not wait for it, and that an admin finds it. */
	#ensureLauncher(): void {
		if (this.#launcher === null && this.#launcherTimer === null) this.#startLauncher();
	}

	#startLauncher(): void {
		const {site, clock, log} = this.#options;
		const launcher = new Launcher({
			dir: rankDir(site),
			eventsPath: eventsPath(site),
			cgroup: rankCgroup(site),
			onReady: () => this.#openEvents(),
			onExit: reason => {
				if (this.#launcher !== launcher) return;
				log(`the launcher (pid ${launcher.pid}) ended: ${reason}`);
				this.#launcherEnd = reason;
				this.#launcher = null;
				this.#server.send({type: 'launcher', pid: null});
				this.#launcherTimer = clock.setTimer(this.#launcherRestartMs, () => this.#restartLauncher());
				this.#launcherRestartMs = Math.min(this.#launcherRestartMs * 2, LAUNCHER_RESTART_MS_MAX);
			},
		});
		this.#launcher = launcher;
		this.#launcherSinceMs = this.#awakeMs;
		this.#server.send({type: 'launcher', pid: launcher.pid});
	}

	/** Whatever the dead one had not claimed is fed to a new one; claims keep it from starting twice. */
	#restartLauncher(): void {
		this.#launcherTimer = null;
		this.#ensureLauncher();
		const waiting = [...this.#parts.values()].filter(part => part.isFed);
		for (const part of waiting) {
			if (part.startable.length > 0) this.#guard(part.spec, () => part.check());
			if (part.startable.length > 0) this.#feed(part);
		}
	}

	#openEvents(): void {
		this.#events ??= EventPipe.open(eventsPath(this.#options.site), events => this.#take(events));
	}

	#take(events: readonly ShimEvent[]): void {
		for (const event of events) {
			if (event.verb === 'start') {
				this.#progressMs = this.#awakeMs;
				this.#launcherRestartMs = LAUNCHER_RESTART_MS;
			}
			const part = this.#parts.get(partName(event.key));
			if (part !== undefined) this.#guard(event.key, () => part.take(event));
		}
	}

	#poll(): void {
		const {clock} = this.#options;
		this.#round++;
		const nowMs = clock.monotonicMs();
		this.#awakeMs += Math.min(nowMs - (this.#lastPollMs ?? nowMs), POLL_MS_LATE);
		this.#lastPollMs = nowMs;
		let index = 0;
		let isWaiting = false;
		let isUrgent = false;
		for (const part of this.#parts.values()) {
			index++;
			if (part.isFed && part.startable.length > 0) isWaiting = true;
			const isDue = !part.isExited && (index + this.#round) % POLL_ROUNDS_ALL === 0;
			if (part.needsAttention) isUrgent = true;
			if (isDue || part.needsAttention) this.#guard(part.spec, () => part.check());
		}
		this.#guard({id: 0n, attempt: 0}, () => this.#tracking.remember(isUrgent));
		this.#judgeLauncher(isWaiting);
		this.#judgeLease();
		if (this.#round % EXCHANGE_ROUNDS === 0) this.#pmi.repeat();
		if (this.#isDone()) return this.#finish();
		clock.setTimer(POLL_MS, () => this.#poll());
	}

	/** Replaces a launcher that starts nothing while tasks wait for it; in the end the parts fail. */
	#judgeLauncher(isWaiting: boolean): void {
		const nowMs = this.#awakeMs;
		if (!isWaiting) {
			this.#waitingSinceMs = null;
			return;
		}
		this.#waitingSinceMs ??= nowMs;
		const progressMs = Math.max(this.#waitingSinceMs, this.#progressMs);
		if (nowMs - progressMs > LAUNCH_MS_MAX) {
			this.#waitingSinceMs = nowMs;
			for (const part of this.#parts.values()) {
				if (part.isFed && part.startable.length > 0)
					this.#guard(part.spec, () => part.fail(`the launcher starts nothing: ${this.#launcherEnd}`));
			}
			return;
		}
		if (nowMs - Math.max(progressMs, this.#launcherSinceMs) < LAUNCHER_STALL_MS_MAX) return;
		this.#options.log(`the launcher (pid ${this.#launcher?.pid}) starts nothing: replacing it`);
		this.#launcherSinceMs = nowMs;
		this.#launcher?.kill();
	}

	/** Exited parts are on disk and can wait for the next shell. */
	#isDone(): boolean {
		const isBusy = [...this.#parts.values()].some(part => !part.isExited && !part.isOfEarlierBoot);
		if (isBusy || this.#removals.isBusy) {
			this.#idleSinceMs = null;
			return false;
		}
		if (this.#isStopping) return true;
		if (this.#server.hasBroker) return false;
		const nowMs = this.#options.clock.monotonicMs();
		this.#idleSinceMs ??= nowMs;
		return nowMs - this.#idleSinceMs > IDLE_MS_MAX;
	}

	#finish(): void {
		this.#spares.clear();
		this.#launcher?.close();
		this.#launcher = null;
		this.#events?.close();
		this.#pmi.close();
		this.#server.close();
		this.#options.onDone();
	}

	#answer(request: number, action: () => void): void {
		try {
			action();
			this.#server.send({type: 'answer', request, highestJobId: this.#highestJobId});
		} catch (error) {
			const {code, message} = asSystemError(error);
			this.#server.send({type: 'answer', request, error: {code, message}});
		}
	}

	/** One bad part must not stop the others. False: it failed, and the log has it. */
	#guard(key: PartKey, action: () => void): boolean {
		try {
			action();
			return true;
		} catch (error) {
			const text = error instanceof SystemError ? error.toString() : (error as Error).stack;
			this.#options.log(`part ${partName(key)}: ${text}`);
			return false;
		}
	}
}
