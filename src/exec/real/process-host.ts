/**
 * The real ProcessHost: a broker's view of its job shell. It owns what the shell may not have heard yet: launches
 * until a report proves them, terminations until the end. Both are said again after each reconnect, which is
 * harmless because claims and orders are idempotent.
 */

import {existsSync} from 'node:fs';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import type {Clock, Timer} from '../../ports/clock.ts';
import {
	partName,
	type Exchange,
	type HostAttributes,
	type InputAnswer,
	type InputWrite,
	type Inventory,
	type InventoryEntry,
	type LaunchSpec,
	type NoticeSeverity,
	type OutputChunk,
	type OutputStream,
	type PartKey,
	type PartReport,
	type ProcessHost,
} from '../../ports/process-host.ts';
import type {Random} from '../../ports/random.ts';
import {checkSite, partCgroup, partDir, rankCgroup, type RankSite} from '../part-paths.ts';
import {
	SHELL_PROTOCOL_CONTACT,
	SHELL_PROTOCOL_EXCHANGE,
	SHELL_PROTOCOL_SCRIPTS,
	type ShellMessage,
} from '../shell-protocol.ts';
import {writeInputRing} from './input-ring-file.ts';
import {ForgottenParts} from './forgotten-parts.ts';
import {listParts} from './part-dir.ts';
import {ShellClient} from './shell-client.ts';
import {readEventlog, readExchange, readSpool} from './spool-reader.ts';
import {trackingOf} from './tracking.ts';

export interface RealProcessHostOptions extends RankSite {
	readonly clock: Clock;
	readonly random: Random;
	/** Takes one line for the broker's log. */
	readonly log: (text: string) => void;
	/** How long the shell may take to answer. @default 30000 */
	readonly requestTimeoutMs?: number;
	/** A shell that gives no sign of life for so long is killed and replaced; Infinity: none is. @default 30000 */
	readonly shellTimeoutMs?: number;
}

interface Request {
	readonly send: () => void;
	readonly resolve: (answer: {highestJobId: bigint; entries: readonly InventoryEntry[]}) => void;
	readonly reject: (error: SystemError) => void;
	readonly timer: Timer;
	/** Asked again after a reconnect; otherwise it fails with the connection. */
	readonly isRepeated: boolean;
	entries: InventoryEntry[];
}

interface PendingLaunch {
	readonly spec: LaunchSpec;
	readonly sinceMs: number;
	isSent: boolean;
}

const REQUEST_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 5000;
const SHELL_TIMEOUT_MS = 30_000;
/** What is sent under it wants an answer, and no particular one. */
const PROBE_REQUEST = 0;
/** A launch that could be handed to no shell for so long fails. */
const LAUNCH_TIMEOUT_MS = 30_000;
const SIGNUM_MAX = 64;

/** No part has this name. */
const NO_PART: PartKey = {id: 0n, attempt: 0};

export class RealProcessHost implements ProcessHost {
	onReport: (report: PartReport) => void = () => undefined;
	onReset: () => void = () => undefined;
	onExchange: (exchange: Exchange) => void = () => undefined;
	onNotice: (severity: NoticeSeverity, text: string) => void = (_, text) => this.#options.log(text);
	readonly #options: RealProcessHostOptions;
	readonly #site: RankSite;
	readonly #client: ShellClient;
	readonly #launches = new Map<string, PendingLaunch>();
	readonly #terminations = new Map<string, {readonly key: PartKey; readonly signum: number}>();
	readonly #forgets = new Map<string, PartKey>();
	readonly #requests = new Map<number, Request>();
	/** The last report of each part that was delivered or was in an inventory. */
	readonly #lastSeqs = new Map<string, number>();
	/** Reports that came right behind an answer: whoever asked gets that first. Null: none is being handed over. */
	#reportsBehind: PartReport[] | null = null;
	#nextRequest = 1;
	#shellPid: number | null = null;
	#launcherPid: number | null = null;
	/** What the present shell speaks. */
	#protocol = 0;
	/** The lease while the rank is in contact with the root; null: it is not. */
	#leaseMs: number | null = null;
	#wasUp = false;
	#isClosed = false;
	#lastFailure = '';

	/** @throws {SystemError} EINVAL when instance, rank or a path can't be used. Starts nothing. */
	constructor(options: RealProcessHostOptions) {
		const {instance, rank, jobdir, rundir, cgroupBase, clock, random, log} = options;
		this.#options = options;
		this.#site = {instance, rank, jobdir, rundir, cgroupBase};
		checkSite(this.#site);
		this.#client = new ShellClient({
			site: this.#site,
			clock,
			random,
			log,
			onMessage: message => this.#take(message),
			onUp: hello => this.#up(hello),
			onDown: () => this.#down(),
			isNeeded: () => this.#isNeeded(),
			onFailure: error => this.#failed(error),
			silenceMsMax: options.shellTimeoutMs ?? SHELL_TIMEOUT_MS,
			probe: () => this.#client.send({type: 'signal', request: PROBE_REQUEST, key: NO_PART, signum: 0}),
			warn: text => this.onNotice('err', text),
		});
	}

	async inventory(): Promise<Inventory> {
		const {bootId} = this.#options.clock;
		if (!this.#client.isUp && !this.#isNeeded())
			return {bootId, parts: [], highestJobId: new ForgottenParts(this.#site).highestJobId};
		const {highestJobId, entries} = await this.#askInventory();
		for (const entry of entries) this.#lastSeqs.set(partName(entry), entry.reports.length);
		return {bootId, parts: entries, highestJobId};
	}

	async ready(timeoutMs: number): Promise<void> {
		try {
			await this.#request({
				what: 'getting ready',
				isRepeated: true,
				timeoutMs,
				send: request => this.#client.send({type: 'signal', request, key: NO_PART, signum: 0}),
			});
		} catch (error) {
			// The shell can't but refuse it: any answer of its is a sign of life.
			if (!(error instanceof SystemError)) throw error;
			if (error.code === 'ESRCH') return;
			throw error.code === 'ECANCELED' ? new SystemError('EAGAIN', error.message) : error;
		}
	}

	launch(spec: LaunchSpec): void {
		if (this.#isClosed) return;
		const launch = {spec, sinceMs: this.#options.clock.monotonicMs(), isSent: this.#client.isUp};
		this.#launches.set(partName(spec), launch);
		if (this.#client.isUp) this.#sendLaunch(spec);
		this.#client.wake();
	}

	/** A shell of an earlier version would run the tasks without the prolog: rather nothing. */
	#sendLaunch(spec: LaunchSpec): void {
		const hasScripts = spec.prolog !== undefined || spec.epilog !== undefined;
		if (!hasScripts || this.#protocol >= SHELL_PROTOCOL_SCRIPTS) {
			this.#client.send({type: 'launch', spec});
			return;
		}
		this.#launches.delete(partName(spec));
		const who = `the job shell (pid ${this.#shellPid}) speaks version ${this.#protocol} of its protocol`;
		this.#refuse(spec, `${who} and knows no prolog: it is replaced once its jobs have ended`);
	}

	begin(key: PartKey): void {
		if (!this.#isClosed) this.#client.send({type: 'begin', key: {id: key.id, attempt: key.attempt}});
	}

	terminate(key: PartKey, signum: number): void {
		if (this.#isClosed) return;
		const bare = {id: key.id, attempt: key.attempt};
		this.#terminations.set(partName(key), {key: bare, signum});
		this.#client.send({type: 'terminate', key: bare, signum});
		this.#client.wake();
	}

	async signal(key: PartKey, signum: number): Promise<void> {
		if (!Number.isInteger(signum) || signum < 0 || signum > SIGNUM_MAX)
			throw new SystemError('EINVAL', `${signum} is not a signal number`);
		if (!this.#client.isUp && !this.#isNeeded())
			throw new SystemError('ESRCH', `part ${partName(key)}: no task is alive to take signal ${signum}`);
		const bare = {id: key.id, attempt: key.attempt};
		await this.#request({
			what: `signal ${signum} to part ${partName(key)}`,
			isRepeated: false,
			send: request => this.#client.send({type: 'signal', request, key: bare, signum}),
		});
	}

	/** A shell that is not there need not know: it counts from its start, or from what the one before has written. */
	contact(leaseMs: number | null): void {
		this.#leaseMs = leaseMs;
		this.#sayContact();
	}

	/** A shell that is not there says again what waits, once it is. */
	exchanged(exchange: Exchange): void {
		if (this.#protocol >= SHELL_PROTOCOL_EXCHANGE) this.#client.send({type: 'exchanged', exchange});
	}

	readExchange(key: PartKey, barrier: number): Exchange | null {
		return readExchange(this.#site, key, barrier);
	}

	forget(key: PartKey): void {
		if (this.#isClosed) return;
		const bare = {id: key.id, attempt: key.attempt};
		this.#lastSeqs.delete(partName(key));
		if (this.#client.isUp) this.#client.send({type: 'forget', key: bare});
		else this.#forgets.set(partName(key), bare);
		this.#client.wake();
	}

	async remains(key: PartKey): Promise<boolean> {
		const cgroup = partCgroup(this.#site, key);
		return existsSync(partDir(this.#site, key)) || (cgroup !== '' && existsSync(cgroup));
	}

	async readOutput(
		key: PartKey,
		task: number,
		stream: OutputStream,
		offset: number,
		bytesMax: number,
	): Promise<OutputChunk> {
		return readSpool(this.#site, {key, task, stream, offset, bytesMax});
	}

	async writeInput(key: PartKey, write: InputWrite): Promise<InputAnswer> {
		return writeInputRing(this.#site, key, write);
	}

	async readEventlog(key: PartKey): Promise<string> {
		return readEventlog(this.#site, key);
	}

	attributes(): HostAttributes {
		return {
			shellPid: this.#shellPid,
			launcherPid: this.#launcherPid,
			jobCgroup: rankCgroup(this.#site),
			tracking: trackingOf(this.#site),
			fault: this.#fault(),
		};
	}

	#fault(): NonNullable<HostAttributes['fault']> | null {
		const {silentMs} = this.#client;
		if (silentMs === null) return null;
		const limitMs = this.#options.shellTimeoutMs ?? SHELL_TIMEOUT_MS;
		const outlook = limitMs === Infinity ? '' : `; it is replaced after ${limitMs / 1000} s`;
		return {ageMs: silentMs, text: `${this.#client.describe()} gives no sign of life${outlook}`};
	}

	async close({stop}: {readonly stop: boolean}): Promise<void> {
		if (this.#isClosed) return;
		if (stop && this.#client.isUp) {
			try {
				await this.#request({
					what: 'stop',
					isRepeated: false,
					timeoutMs: STOP_TIMEOUT_MS,
					send: request => this.#client.send({type: 'stop', request}),
				});
			} catch (error) {
				// It has ended, or it hangs: nothing here may wait for it any longer.
				if (!(error instanceof SystemError)) throw error;
				this.#options.log(error.toString());
			}
		}
		this.#isClosed = true;
		this.#client.close();
		for (const request of this.#requests.values()) {
			request.timer.cancel();
			request.reject(new SystemError('ECANCELED', 'the process host was closed'));
		}
		this.#requests.clear();
	}

	async #request(order: {
		readonly what: string;
		readonly isRepeated: boolean;
		readonly timeoutMs?: number;
		readonly send: (request: number) => void;
	}): Promise<{highestJobId: bigint; entries: readonly InventoryEntry[]}> {
		if (this.#isClosed) throw new SystemError('ECANCELED', 'the process host was closed');
		const number = this.#nextRequest++;
		const timeoutMs = order.timeoutMs ?? this.#options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
		return new Promise((resolve, reject) => {
			const timer = this.#options.clock.setTimer(timeoutMs, () => {
				this.#requests.delete(number);
				const reason = this.#lastFailure === '' ? '' : ` (${this.#lastFailure})`;
				const who = this.#client.describe();
				reject(
					new SystemError(
						'ETIMEDOUT',
						`${order.what}: ${who} did not answer within ${timeoutMs / 1000} s${reason}`,
					),
				);
			});
			const send = () => order.send(number);
			this.#requests.set(number, {
				send,
				resolve,
				reject,
				timer,
				isRepeated: order.isRepeated,
				entries: [],
			});
			send();
			this.#client.wake();
		});
	}

	#take(message: Exclude<ShellMessage, {type: 'hello' | 'refused'}>): void {
		switch (message.type) {
			case 'report':
				if (this.#reportsBehind !== null) this.#reportsBehind.push(message.report);
				else this.#report(message.report);
				return;
			case 'exchange':
				return this.onExchange(message.exchange);
			case 'launcher':
				if (message.pid === null) {
					const who = `the launcher (pid ${this.#launcherPid})`;
					this.onNotice('warning', `${who} has ended: the job shell starts another one`);
				}
				this.#launcherPid = message.pid;
				return;
			case 'part':
				this.#requests.get(message.request)?.entries.push(message.entry);
				return;
			case 'answer': {
				const request = this.#requests.get(message.request);
				if (request === undefined) return;
				this.#requests.delete(message.request);
				request.timer.cancel();
				this.#holdReports();
				const {error, highestJobId = 0n} = message;
				if (error === undefined) request.resolve({highestJobId, entries: request.entries});
				else request.reject(new SystemError(error.code, error.message));
				return;
			}
			default:
				message satisfies never;
		}
	}

	/**
	 * Until whoever asked has the answer. One read from the socket may bring an inventory together with the report that follows on
	 * it; that one must not be judged by what was known before.
	 */
	#holdReports(): void {
		if (this.#reportsBehind !== null) return;
		this.#reportsBehind = [];
		this.#options.clock.defer(() => {
			const reports = this.#reportsBehind ?? [];
			this.#reportsBehind = null;
			if (this.#isClosed) return;
			for (const report of reports) this.#report(report);
		});
	}

	/**
	 * Delivers a report in order. One that does not follow on is of a part that an earlier life of the broker
	 * launched, or was made while contact was lost: an inventory, which is under way then, has it with those before.
	 */
	#report(report: PartReport): void {
		const last = this.#lastSeqs.get(partName(report)) ?? 0;
		if (report.seq > last + 1) return;
		if (report.seq > last) this.#lastSeqs.set(partName(report), report.seq);
		this.#launches.delete(partName(report));
		if (report.kind === 'exited') this.#terminations.delete(partName(report));
		this.onReport(report);
	}

	#up({pid, launcherPid, protocol}: Extract<ShellMessage, {type: 'hello'}>): void {
		this.#protocol = protocol;
		this.#shellPid = pid;
		this.#launcherPid = launcherPid;
		this.#lastFailure = '';
		for (const launch of this.#launches.values()) {
			launch.isSent = true;
			this.#sendLaunch(launch.spec);
		}
		for (const {key, signum} of this.#terminations.values())
			this.#client.send({type: 'terminate', key, signum});
		for (const key of this.#forgets.values()) this.#client.send({type: 'forget', key});
		this.#forgets.clear();
		this.#sayContact();
		for (const request of this.#requests.values()) {
			request.entries = [];
			request.send();
		}
		if (this.#wasUp) void this.#catchUp();
		this.#wasUp = true;
	}

	#sayContact(): void {
		if (this.#protocol < SHELL_PROTOCOL_CONTACT) return;
		const leaseMs = this.#leaseMs;
		const isFinite = leaseMs !== null && Number.isFinite(leaseMs);
		this.#client.send({
			type: 'contact',
			isInContact: leaseMs !== null,
			leaseMs: isFinite ? leaseMs : null,
		});
	}

	/** After a reconnect: delivers what was missed, then says that contact was lost. */
	async #catchUp(): Promise<void> {
		try {
			const {entries} = await this.#askInventory();
			for (const entry of entries) {
				const last = this.#lastSeqs.get(partName(entry));
				if (last === undefined) continue;
				for (const report of entry.reports) if (report.seq > last) this.#report(report);
			}
		} catch (error) {
			this.#options.log(asSystemError(error).toString());
		}
		if (!this.#isClosed) this.onReset();
	}

	async #askInventory(): Promise<{highestJobId: bigint; entries: readonly InventoryEntry[]}> {
		return this.#request({
			what: 'inventory',
			isRepeated: true,
			send: request => this.#client.send({type: 'inventory', request}),
		});
	}

	#down(): void {
		const pid = this.#shellPid;
		this.onNotice('warning', `contact with the job shell (pid ${pid}) was lost`);
		this.#shellPid = null;
		this.#launcherPid = null;
		for (const [number, request] of this.#requests) {
			if (request.isRepeated) continue;
			this.#requests.delete(number);
			request.timer.cancel();
			request.reject(new SystemError('ECONNRESET', `the job shell (pid ${pid}) went away`));
		}
		if (this.#isNeeded()) return;
		// Nothing is left that needs a shell, but the broker may believe otherwise.
		this.#wasUp = false;
		this.#options.clock.defer(() => this.onReset());
	}

	#failed(error: SystemError): void {
		// That none runs yet is the normal way to start one.
		if (error.code !== 'ENOENT' && error.code !== 'ECONNREFUSED' && error.toString() !== this.#lastFailure)
			this.#options.log(error.toString());
		this.#lastFailure = error.toString();
		const nowMs = this.#options.clock.monotonicMs();
		for (const [name, {spec, sinceMs, isSent}] of this.#launches) {
			if (isSent || nowMs - sinceMs < LAUNCH_TIMEOUT_MS) continue;
			// No shell has ever heard of it, so it can be given up without a doubt.
			this.#launches.delete(name);
			this.#refuse(spec, `no job shell could be started: ${error.toString()}`);
		}
	}

	/** Ends a part of which no shell has heard. */
	#refuse({id, attempt}: PartKey, note: string): void {
		const atMs = Math.round(this.#options.clock.epochMs());
		this.onReport({id, attempt, seq: 1, atMs, kind: 'exception', type: 'exec', severity: 0, note});
		this.onReport({id, attempt, seq: 2, atMs, kind: 'exited', tasks: []});
	}

	#isNeeded(): boolean {
		return (
			this.#launches.size > 0 ||
			this.#terminations.size > 0 ||
			this.#requests.size > 0 ||
			listParts(this.#site).length > 0
		);
	}
}
