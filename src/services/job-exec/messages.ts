/** Messages between the root's job manager and the exec service of a rank (docs/resiliency.md). */
import type {Taskmap} from '../../formats/taskmap.ts';
import type {StoredJobspec} from '../../formats/stored-jobspec.ts';
import type {PerilogPlan} from '../../machines/job-perilog.ts';
import type {ReportBody, TaskOutput} from '../../machines/job-report.ts';
import type {Json} from '../../machines/job.ts';

/** `job-exec.remains`: parts, and in the answer those of them of which something is left on the rank. */
export interface RemainsMessage {
	readonly parts: readonly PartName[];
}

export interface PartName {
	readonly id: bigint;
	readonly attempt: number;
}

/** `job-exec.start`, root to ranks, the same for all of a job. Idempotent: a part is started at most once. */
export interface StartMessage extends PartName {
	readonly userid: number;
	readonly urgency: number;
	readonly flags: number;
	readonly jobspec: StoredJobspec;
	readonly R: Json;
	readonly submitMs: number;
	readonly allocMs: number;
	/** Which tasks run where (RFC 34), by the position of the rank in R; absent: as the rank derives it. */
	readonly taskmap?: Taskmap;
	/** What runs before and after the tasks; absent: nothing. */
	readonly perilog?: PerilogPlan;
}

/** `job-exec.kill`, root to ranks: end the part, `signum` first. Idempotent. */
export interface KillMessage extends PartName {
	readonly signum: number;
}

/** `job-manager.exec-report`, rank to root. The response `{ack: seq}` acknowledges up to `seq`. */
export interface ReportMessage extends PartName {
	readonly rank: number;
	readonly seq: number;
	readonly atMs: number;
	readonly bootId: string;
	readonly body: ReportBody;
	/** With the report of the end: what the root is to keep. */
	readonly output?: PartOutput;
}

/**
 * `job-exec.relay`, rank to its parent, and `job-manager.exec-reports`, the root's exec service to the job manager: reports
 * of a subtree in one message. The response has one answer for each, in their order.
 */
export interface ReportBatch {
	readonly reports: readonly ReportMessage[];
}

export interface ReportAnswers {
	readonly answers: readonly ReportAnswer[];
}

/** What the root said to a report, or why it said nothing to it. */
export type ReportAnswer =
	ReportResponse | {readonly error: {readonly code: string; readonly message: string}};

export interface OutputRow {
	readonly key: Uint8Array;
	readonly value: Uint8Array;
}

/** `job-manager.exec-chunk`, rank to root: output too large to ride with the report of the end. Idempotent. */
export interface ChunkMessage extends PartName {
	readonly rank: number;
	readonly row: OutputRow;
}

export interface PartOutput {
	readonly outputs: readonly TaskOutput[];
	readonly eventlog: string;
	/** Rows that were not sent before. */
	readonly chunks: readonly OutputRow[];
}

export interface ReportResponse {
	readonly ack: number;
	/** The root has no use for this part any more. */
	readonly forget: boolean;
}

/** `job-manager.exec-inventory`, rank to root, after every (re)join: all parts of the rank, complete. */
export interface InventoryMessage {
	readonly rank: number;
	readonly bootId: string;
	readonly highestJobId: bigint;
	/** What its node has: R of this one rank. */
	readonly resources?: Json;
	readonly parts: readonly InventoryPart[];
}

export interface InventoryPart extends PartName {
	readonly state: 'requested' | 'running' | 'exited';
	/** Up to which report the root has acknowledged it, as this rank believes. */
	readonly acked: number;
	/** It was begun in an earlier boot of the node and has no end on record: nothing of it is alive. */
	readonly isDead?: true;
}

export interface InventoryResponse {
	/** Names this reconciliation in `exec-joined`. */
	readonly round: number;
	/** The root does not know these: tell everything about them with `job-manager.exec-adopt`. */
	readonly unknown: readonly PartName[];
	/** These have no job any more: end them if they run, then forget them. */
	readonly superseded: readonly PartName[];
	/** The root has lost reports of these that it acknowledged: say again what follows `seq`. */
	readonly resend: readonly (PartName & {readonly seq: number})[];
}

/**
 * `job-manager.exec-joined`, rank to root: it has done what the root's answer to its inventory asked for, and can be
 * given work. EAGAIN: another inventory came since, or the rank is out of reach: take the inventory again.
 */
export interface JoinedMessage {
	readonly rank: number;
	readonly round: number;
}

/** `job-manager.exec-adopt`, rank to root: a part that the root did not know, from its directory. */
export interface AdoptMessage extends PartName {
	readonly rank: number;
	readonly record: JobRecord;
	/** As in the inventory. */
	readonly isDead?: true;
}

export interface BarrierName extends PartName {
	/** PMI barriers of a job count from 1. */
	readonly barrier: number;
}

/**
 * `job-manager.barrier-enter`, rank to root: all tasks of the rank's part wait at a PMI barrier, and these are what they put
 * before it. Idempotent. When all ranks have, the root sends `job-exec.barrier-exit` with the puts of all to each, an `Exchange`;
 * with `job-exec.barrier-entry`, a `BarrierName`, it asks one that has told nothing, and gets `{puts}`, null: not yet.
 */
export interface BarrierEntry extends BarrierName {
	readonly rank: number;
	readonly puts: Readonly<Record<string, string>>;
}

/** What the directory of a part says about its job: enough to register the job again. JSON; ids are decimal strings. */
export interface JobRecord {
	readonly id: string;
	readonly attempt: number;
	readonly userid: number;
	readonly urgency: number;
	readonly flags: number;
	readonly jobspec: StoredJobspec;
	readonly R: Json;
	readonly submitMs: number;
	readonly allocMs: number;
	readonly taskmap?: Taskmap;
	readonly perilog?: PerilogPlan;
}
