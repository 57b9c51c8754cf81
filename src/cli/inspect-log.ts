/**
 * The functions that open a state directory without its broker. They belong to the broker and are loaded when a
 * directory is named; this is the interface that the commands rely on.
 */

import type {DurableState} from '../machines/durable-state.ts';
import type {JobContext} from '../machines/job.ts';

export interface InspectLog {
	inspectStat(dir: string): Promise<unknown>;
	/** Facts in order; `from` and `to` are sequence numbers, both included. */
	inspectDump(dir: string, range: {readonly from?: number; readonly to?: number}): AsyncIterable<unknown>;
	inspectVerify(dir: string): Promise<unknown>;
	inspectReplay(dir: string, options?: {readonly to?: number}): Promise<unknown>;
	/** Says what is damaged and what would be dropped; with `yes` it does it. */
	inspectSalvage(dir: string, options: {readonly yes: boolean}): Promise<unknown>;
	inspectLostFound(dir: string): Promise<unknown>;
	/** The state after the fact `seq`; null: after the last one. */
	inspectState(dir: string, seq: number | null): Promise<{seq: number; state: DurableState}>;
	/** A finished job as the log's archive has it, or null. */
	inspectArchived(dir: string, id: bigint): Promise<JobContext | null>;
}

export async function inspectLog(): Promise<InspectLog> {
	return import('../broker/inspect.ts');
}
