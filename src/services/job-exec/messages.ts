/** Messages between the root's job manager and the exec service of a rank (docs/resiliency.md). */
import type {ReportBody, TaskOutput} from '../../machines/job-report.ts';
import type {Json} from '../../machines/job.ts';

export interface PartName {
	readonly id: bigint;
	readonly attempt: number;
}

/** `job-exec.start`, root to rank. Idempotent: a part is started at most once. */
export interface StartMessage extends PartName {
	readonly userid: number;
	readonly urgency: number;
	readonly flags: number;
	readonly jobspec: Json;
	readonly R: Json;
	readonly submitMs: number;
	readonly allocMs: number;
}

/** `job-exec.kill`, root to rank: end the part, `signum` first. Idempotent. */
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
	readonly parts: readonly InventoryPart[];
}

export interface InventoryPart extends PartName {
	readonly state: 'requested' | 'running' | 'exited';
}

export interface InventoryResponse {
	/** The root does not know these: tell everything about them with `job-manager.exec-adopt`. */
	readonly unknown: readonly PartName[];
	/** These have no job any more: end them if they run, then forget them. */
	readonly superseded: readonly PartName[];
}

/** `job-manager.exec-adopt`, rank to root: a part that the root did not know, from its directory. */
export interface AdoptMessage extends PartName {
	readonly rank: number;
	readonly record: JobRecord;
}

/** What the directory of a part says about its job: enough to register the job again. JSON; ids are decimal strings. */
export interface JobRecord {
	readonly id: string;
	readonly attempt: number;
	readonly userid: number;
	readonly urgency: number;
	readonly flags: number;
	readonly jobspec: Json;
	readonly R: Json;
	readonly submitMs: number;
	readonly allocMs: number;
}
