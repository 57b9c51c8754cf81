/**
 * The exec service of a rank: owns this rank's parts of jobs, as part machines. It starts and ends them through the
 * process host, reports to the root until the root has acknowledged, and after every (re)join tells the root all that is
 * here (DESIGN section 8).
 */
import {asSystemError, SystemError} from '../../formats/errno.ts';
import type {ReportBody} from '../../machines/job-report.ts';
import type {Json} from '../../machines/job.ts';
import {lastSeqOf, partKey, type PartSnapshot} from '../../machines/part.ts';
import type {Timer} from '../../ports/clock.ts';
import type {
	InputAnswer,
	Inventory,
	InventoryEntry,
	PartReport,
	ProcessHost,
} from '../../ports/process-host.ts';
import type {Core, PerformerOf} from '../core.ts';
import {CONTACT_ERRORS, type Peers} from '../peers.ts';
import {launchSpecOf, type LaunchSettings} from './launch-spec.ts';
import type {
	AdoptMessage,
	InventoryMessage,
	InventoryPart,
	InventoryResponse,
	JobRecord,
	KillMessage,
	JoinedMessage,
	PartName,
	RemainsMessage,
	ReportBatch,
	ReportMessage,
	StartMessage,
} from './messages.ts';
import {writeInput, type InputMessage} from './input-writer.ts';
import {keepOutput} from './output-keeper.ts';
import {PmiExchange} from './pmi-exchange.ts';
import {logScript} from './script-log.ts';
import {ReportRelay} from './report-relay.ts';
import {withTestExecutor} from './test-executor.ts';

const ROOT = 0;
/** So long a rank may take to get ready for the start of a part. */
export const PREPARE_TIMEOUT_MS = 10_000;
/** A reconciliation that failed is tried again after so long, doubled each time. */
const RECONCILE_RETRY_MS = 100;
const RECONCILE_RETRY_MS_MAX = 1000;
/** A report that did not reach the root is sent again after so long. */
const REPORT_RETRY_MS = 1000;
const SIGKILL = 9;
const FACTUAL = {isFactual: true};

export interface JobExecOptions {
	readonly core: Core;
	readonly peers: Peers;
	readonly host: ProcessHost;
	readonly settings: LaunchSettings;
	/** What this node has: R of this one rank, for the root. */
	readonly resources?: Json;
	/** Called when the host's inventory has been compared with the root's log: this rank can work. */
	readonly onReconciled: () => void;
}

export class JobExec {
	readonly #core: Core;
	readonly #peers: Peers;
	readonly #host: ProcessHost;
	readonly #settings: LaunchSettings;
	readonly #resources: Json | undefined;
	readonly #onReconciled: () => void;
	/** Counts the reconciliations; a later one makes those before it void. */
	#round = 0;
	#isReconciled = false;
	#retry: Timer | null = null;
	#retryMs = RECONCILE_RETRY_MS;
	/** Reports of this rank and of those below it, on their way to the root. */
	readonly #relay: ReportRelay;
	readonly #barriers: PmiExchange;
	/** Parts of an earlier boot of this node that have no end on record. */
	readonly #dead = new Set<string>();
	/** Reports that are on their way to the root, so that each goes once. */
	readonly #underWay = new Set<string>();
	/** Parts whose job the root does not know and would not register again: they run on, and it is told nothing. */
	readonly #orphans = new Set<string>();

	constructor({core, peers, host: real, settings, resources, onReconciled}: JobExecOptions) {
		const host = withTestExecutor(real, core);
		this.#core = core;
		this.#peers = peers;
		this.#host = host;
		this.#settings = settings;
		this.#resources = resources;
		this.#onReconciled = onReconciled;
		this.#relay = new ReportRelay(core, peers);
		this.#barriers = new PmiExchange({core, peers, host, isReconciled: () => this.#isReconciled});
		host.onReport = report => this.#reported(report);
		host.onReset = () => {
			core.log('notice', 'the job shell was replaced: taking the inventory of this node again');
			this.reconcile();
		};
		peers.handle('job-exec.prepare', async () => host.ready(PREPARE_TIMEOUT_MS));
		peers.handle('job-exec.start', (message: StartMessage) => this.#start(message), FACTUAL);
		peers.handle('job-exec.begin', (name: PartName) => this.#begin(name), FACTUAL);
		peers.handle('job-exec.kill', (message: KillMessage) => this.#kill(message), FACTUAL);
		peers.handle('job-exec.forget', (name: PartName) => this.#forget(name), FACTUAL);
		peers.handle('job-exec.remains', (message: RemainsMessage) => this.#remains(message));
		peers.handle('job-exec.signal', (message: KillMessage) => this.#host.signal(message, message.signum));
		peers.handle('job-exec.relay', (batch: ReportBatch) => this.#relay.takeBatch(batch));
		peers.handle('job-exec.output', (read: OutputRead) =>
			host.readOutput(read, read.task, read.stream, read.offset, read.bytesMax),
		);
		peers.handle('job-exec.input', (message: InputMessage) => this.#input(message));
		peers.handle('job-exec.eventlog', (name: PartName) => host.readEventlog(name));
		core.perform('terminate', {perform: ({id, attempt, signum}) => host.terminate({id, attempt}, signum)});
		core.perform('report', this.#reporter());
	}

	/** True from the first complete reconciliation of this boot on. */
	get isReconciled(): boolean {
		return this.#isReconciled;
	}

	/** Takes the inventory of this node and compares it with the root's log; tries until it succeeds. */
	reconcile(): void {
		this.#retry?.cancel();
		this.#round += 1;
		const round = this.#round;
		this.#core.unreconciled(this.#core.rank);
		this.#host.contact?.(null);
		this.#reconcile(round).catch((error: unknown) => {
			if (round !== this.#round) return;
			this.#core.log('err', `reconciliation of this node failed: ${asSystemError(error).toString()}`);
			this.#retry = this.#core.clock.setTimer(this.#retryMs, () => this.reconcile());
			this.#retryMs = Math.min(this.#retryMs * 2, RECONCILE_RETRY_MS_MAX);
		});
	}

	async #reconcile(round: number): Promise<void> {
		const inventory = await this.#host.inventory();
		if (round !== this.#round) return;
		this.#dead.clear();
		for (const entry of inventory.parts) {
			this.#take(entry);
			if (!isAlive(entry, inventory)) this.#dead.add(partKey(entry));
		}
		const message: InventoryMessage = {
			rank: this.#core.rank,
			bootId: inventory.bootId,
			highestJobId: inventory.highestJobId,
			...(this.#resources === undefined ? {} : {resources: this.#resources}),
			parts: this.#partsFor(inventory),
		};
		const answer = (await this.#peers.request(
			ROOT,
			'job-manager.exec-inventory',
			message,
		)) as InventoryResponse;
		if (round !== this.#round) return;
		this.#orphans.clear();
		for (const name of answer.superseded) this.#supersede(name);
		for (const {seq, ...name} of answer.resend) this.#rewind(name, seq);
		for (const name of answer.unknown) {
			const entry = inventory.parts.find(part => partKey(part) === partKey(name));
			if (entry !== undefined) await this.#adopt(entry);
		}
		if (round !== this.#round) return;
		const joined: JoinedMessage = {rank: this.#core.rank, round: answer.round};
		await this.#peers.request(ROOT, 'job-manager.exec-joined', joined);
		if (round !== this.#round) return;
		this.#retryMs = RECONCILE_RETRY_MS;
		this.#isReconciled = true;
		this.#host.contact?.(this.#settings.leaseMs);
		this.#onReconciled();
		for (const [, part] of this.#core.state.parts) this.#reportAll(part);
		this.#barriers.repeat();
	}

	/** Brings the part machine up to what was found. */
	#take(entry: InventoryEntry): void {
		const {id, attempt} = entry;
		if (!this.#core.state.parts.has(partKey(entry))) {
			this.#core.post({type: 'part.request', id, attempt});
		}
		for (const report of entry.reports) this.#reported(report, entry.bootId);
	}

	/** What the root is told: all parts, but for those that ran and of which there is no trace. */
	#partsFor(inventory: Inventory): InventoryPart[] {
		const found = new Set(inventory.parts.map(entry => partKey(entry)));
		const parts: InventoryPart[] = [];
		for (const [key, {value, context}] of this.#core.state.parts) {
			const {id, attempt, acked} = context;
			if (value === 'running' && !found.has(key)) continue; // It is lost.
			const state = value as InventoryPart['state'];
			const isDead = state !== 'exited' && this.#dead.has(key);
			parts.push({id, attempt, state, acked, ...(isDead ? {isDead} : {})});
		}
		return parts;
	}

	/** Has the job of a part registered again. One that can't be keeps the rank from nothing. */
	async #adopt(entry: InventoryEntry): Promise<void> {
		const {id, attempt} = entry;
		try {
			const record = JSON.parse(entry.record) as JobRecord;
			const isDead = entry.state !== 'exited' && this.#dead.has(partKey(entry));
			const message: AdoptMessage = {
				rank: this.#core.rank,
				id,
				attempt,
				record,
				...(isDead ? {isDead} : {}),
			};
			await this.#peers.request(ROOT, 'job-manager.exec-adopt', message);
			this.#rewind({id, attempt}, 0);
		} catch (error) {
			const reason = asSystemError(error, 'EINVAL');
			if (CONTACT_ERRORS.has(reason.code)) throw error;
			this.#orphans.add(partKey(entry));
			this.#core.log(
				'err',
				`job part ${partKey(entry)} cannot be registered again, and is left as it is: ${reason.toString()}`,
			);
		}
	}

	/** A part that is over takes nothing any more; one that is not known is about to be started. */
	async #input(message: InputMessage): Promise<InputAnswer> {
		const part = this.#core.state.parts.get(partKey(message));
		if (part?.value === 'exited') return {offset: message.offset, isTaken: false, isClosed: true};
		return writeInput(this.#core, this.#host, message);
	}

	#start(message: StartMessage): void {
		const {id, attempt} = message;
		const key = partKey(message);
		const part = this.#core.state.parts.get(key);
		if (part === undefined) this.#core.post({type: 'part.request', id, attempt});
		else if (part.value !== 'requested' || part.context.signum !== null) return;
		const spec = launchSpecOf(message, this.#settings);
		this.#core.leave(() => {
			const now = this.#core.state.parts.get(key);
			if (now?.value === 'requested' && now.context.signum === null) this.#host.launch(spec);
		});
	}

	/** The prologs of all ranks have succeeded. Asked for again until this rank has reported the start of its tasks. */
	#begin(name: PartName): void {
		const part = this.#core.state.parts.get(partKey(name));
		if (part?.value !== 'running' || part.context.signum !== null) return;
		this.#core.leave(() => this.#host.begin(name));
	}

	#kill({id, attempt, signum}: KillMessage): void {
		const part = this.#core.state.parts.get(partKey({id, attempt}));
		if (part === undefined) this.#core.post({type: 'part.request', id, attempt});
		else if (part.value === 'exited' || part.context.signum !== null) return;
		this.#core.post({type: 'part.terminate', id, attempt, signum});
	}

	#forget({id, attempt}: PartName): void {
		const part = this.#core.state.parts.get(partKey({id, attempt}));
		// The root concluded its end without it. It ends first, and the answer to that report says forget again.
		if (part !== undefined && part.value !== 'exited') return this.#kill({id, attempt, signum: SIGKILL});
		this.#barriers.forget({id, attempt});
		if (part !== undefined) this.#core.post({type: 'part.forget', id, attempt});
		this.#core.leave(() => this.#host.forget({id, attempt}));
	}

	/** Which of these parts are not gone: known, or on disk. Nobody can say before this node was compared with the root's log. */
	async #remains({parts}: RemainsMessage): Promise<RemainsMessage> {
		if (!this.#isReconciled) throw new SystemError('EAGAIN', 'this node is not reconciled');
		const left: PartName[] = [];
		for (const name of parts) {
			const isKnown = this.#core.state.parts.has(partKey(name));
			if (isKnown || (await this.#host.remains(name))) left.push(name);
		}
		return {parts: left};
	}

	/** The root has lost reports of this part that it had acknowledged. */
	#rewind({id, attempt}: PartName, seq: number): void {
		const part = this.#core.state.parts.get(partKey({id, attempt}));
		if (part !== undefined && part.context.acked > seq) {
			this.#core.post({type: 'part.rewind', id, attempt, seq});
		}
	}

	/** A part whose job is over, or whose attempt was followed by another one: it may not go on. */
	#supersede(name: PartName): void {
		const part = this.#core.state.parts.get(partKey(name));
		if (part?.value === 'exited') this.#forget(name);
		else this.#kill({...name, signum: SIGKILL});
	}

	#reported(report: PartReport, bootId = this.#core.clock.bootId): void {
		const {id, attempt, seq, atMs} = report;
		const part = this.#core.state.parts.get(partKey(report));
		if (part === undefined || part.value === 'exited' || seq <= lastSeqOf(part.context)) return;
		this.#core.post({type: 'part.report', id, attempt, seq, bootId, atMs, body: bodyOf(report)});
		logScript({core: this.#core, host: this.#host}, report);
	}

	#reporter(): PerformerOf<'report'> {
		return {
			perform: ({id, attempt}) => {
				const part = this.#core.state.parts.get(partKey({id, attempt}));
				if (part !== undefined && this.#isReconciled) this.#reportAll(part);
			},
		};
	}

	/** Sends what the root has not acknowledged, one report after the other. */
	#reportAll(part: PartSnapshot): void {
		const key = partKey(part.context);
		if (this.#underWay.has(key) || this.#orphans.has(key)) return;
		this.#underWay.add(key);
		this.#reportEach(key).catch((error: unknown) => {
			this.#core.log(
				'warning',
				`report of job part ${key}: ${asSystemError(error).toString()}; it is sent again`,
			);
			this.#core.clock.setTimer(REPORT_RETRY_MS, () => {
				const part = this.#core.state.parts.get(key);
				if (part !== undefined && this.#isReconciled) this.#reportAll(part);
			});
		});
	}

	async #reportEach(key: string): Promise<void> {
		try {
			while (await this.#reportNext(key));
		} finally {
			this.#underWay.delete(key);
		}
	}

	/** Sends the next report that is not acknowledged. False: there is none. */
	async #reportNext(key: string): Promise<boolean> {
		const part = this.#core.state.parts.get(key);
		const report = part?.context.reports.find(({seq}) => seq > part.context.acked);
		if (part === undefined || report === undefined) return false;
		const {id, attempt} = part.context;
		const output =
			report.body.kind === 'exited' ? await this.#outputOf({id, attempt}, report.body.tasks) : undefined;
		const message: ReportMessage = {
			rank: this.#core.rank,
			id,
			attempt,
			...report,
			...(output === undefined ? {} : {output}),
		};
		const answer = await this.#relay.send(message);
		const now = this.#core.state.parts.get(key);
		if (now === undefined) return false;
		const seq = Math.min(answer.ack, lastSeqOf(now.context)); // The root may have concluded one of its own.
		if (seq > now.context.acked) this.#core.post({type: 'part.ack', id, attempt, seq});
		// Its end is reported too: until then the root holds what it uses.
		const hasMore = now.value === 'exited' && seq < lastSeqOf(now.context);
		if (answer.forget && !hasMore) {
			this.#supersede({id, attempt});
			return false;
		}
		return seq >= report.seq;
	}

	async #outputOf(name: PartName, ends: readonly {readonly task: number}[]) {
		const rank = this.#core.rank;
		return keepOutput({
			clock: this.#core.clock,
			host: this.#host,
			key: name,
			tasks: ends.map(({task}) => task),
			send: async row =>
				void (await this.#peers.request(ROOT, 'job-manager.exec-chunk', {...name, rank, row})),
			onUnreadable: error => {
				this.#core.log('err', `output of job part ${partKey(name)} is lost: ${error.toString()}`);
			},
		});
	}
}

export interface OutputRead extends PartName {
	readonly task: number;
	readonly stream: 'stdout' | 'stderr';
	readonly offset: number;
	readonly bytesMax: number;
}

/** A part of an earlier boot of the node that has no end on record did not survive the reboot. */
function isAlive({bootId, state}: InventoryEntry, inventory: Inventory): boolean {
	return bootId === inventory.bootId || state === 'exited';
}

function bodyOf(report: PartReport): ReportBody {
	switch (report.kind) {
		case 'started':
			return {
				kind: 'started',
				tasks: report.tasks,
				...(report.test === undefined ? {} : {test: report.test}),
			};
		case 'exception':
			return {
				kind: 'exception',
				exception: report.type,
				severity: report.severity,
				note: report.note,
			};
		case 'prolog-started':
			return {kind: 'prolog-started', pid: report.pid, startMs: report.startMs};
		case 'prolog-ended':
			return {kind: 'prolog-ended', end: report.end};
		case 'tasks-ended':
			return {kind: 'tasks-ended', tasks: report.tasks};
		case 'exited':
			return {
				kind: 'exited',
				tasks: report.tasks,
				...(report.epilog === undefined ? {} : {epilog: report.epilog}),
			};
		default:
			return report satisfies never;
	}
}
