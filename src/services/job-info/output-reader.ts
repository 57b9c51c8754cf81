/**
 * Reads what a task wrote, wherever it is: on the rank that runs it while the job lives, in the archive once the root
 * keeps it. Offsets count the bytes of one stream of one task, and mean the same in both places.
 */
import type {ArchiveRow} from '../../machines/archive-row.ts';
import type {JobContext} from '../../machines/job.ts';
import type {OutputChunk, OutputStream} from '../../ports/process-host.ts';
import type {Archive} from '../archive.ts';
import type {Core} from '../core.ts';
import {OUTPUT_CHUNK_BYTES} from '../job-exec/output-keeper.ts';
import type {Peers} from '../peers.ts';

export interface OutputPlace {
	readonly id: bigint;
	readonly task: number;
	readonly stream: OutputStream;
	readonly offset: number;
}

const NOTHING_YET: OutputChunk = {data: new Uint8Array(0), eof: false};
const END: OutputChunk = {data: new Uint8Array(0), eof: true};

export class OutputReader {
	readonly #core: Core;
	readonly #peers: Peers;
	readonly #archive: Archive;

	constructor(core: Core, peers: Peers, archive: Archive) {
		this.#core = core;
		this.#peers = peers;
		this.#archive = archive;
	}

	/** The next bytes at `place`: at most one chunk. Rejects with what the rank said when it can't be read there. */
	async read(place: OutputPlace): Promise<OutputChunk> {
		const job = this.#core.state.jobs.get(place.id);
		if (job === undefined) {
			const row = this.#archive.job(place.id);
			return row === undefined ? END : this.#readKept(row, place);
		}
		const {context} = job;
		const rank = rankOfTask(context, place.task);
		if (rank === null) return job.value === 'inactive' ? END : NOTHING_YET;
		if (context.execEventlogs[rank] !== undefined) return this.#readKept(context, place);
		const part = context.ranks[rank];
		if (part?.state === 'exited') return END;
		const {id, attempt} = context;
		const {task, stream, offset} = place;
		const chunk = (await this.#peers.request(Number(rank), 'job-exec.output', {
			id,
			attempt,
			task,
			stream,
			offset,
			bytesMax: OUTPUT_CHUNK_BYTES,
		})) as OutputChunk;
		// The end of a live job's output is only known when the root keeps it: its part may write more than one file.
		return {data: chunk.data, eof: false};
	}

	#readKept(job: JobContext | ArchiveRow, {task, stream, offset}: OutputPlace): OutputChunk {
		const output = job.outputs.find(one => one.task === task && one.stream === stream);
		if (output === undefined || offset >= output.bytes) return END;
		const chunk = Math.floor(offset / OUTPUT_CHUNK_BYTES);
		const value = this.#archive.output({id: job.id, attempt: job.attempt, task, stream, chunk});
		if (value === undefined) return END;
		const data = value.subarray(offset - chunk * OUTPUT_CHUNK_BYTES);
		return {data, eof: offset + data.length >= output.bytes};
	}
}

/** The rank that runs a task, as far as it is known: from its start report, or the only one there is. */
function rankOfTask({ranks}: JobContext, task: number): string | null {
	const entries = Object.entries(ranks);
	const found = entries.find(([, part]) => part.tasks.some(one => one.task === task));
	if (found !== undefined) return found[0];
	const ended = entries.find(([, part]) => part.ends.some(one => one.task === task));
	if (ended !== undefined) return ended[0];
	return entries.length === 1 && entries[0]?.[1].state !== 'requested' ? (entries[0]?.[0] ?? null) : null;
}
