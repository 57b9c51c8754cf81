/**
 * Follows the ranks' own eventlog of a job (RFC 50), rank by rank as they come: lines that are there are sent, and what is
 * appended later follows, until the root keeps the logs of all ranks.
 */
import {f58} from '../../formats/jobid.ts';
import type {Timer} from '../../ports/clock.ts';
import type {Archive} from '../archive.ts';
import type {Core} from '../core.ts';
import type {Peers} from '../peers.ts';
import type {Sink} from './sink.ts';

const POLL_MS = 100;

export interface ExecEventlogOptions {
	readonly core: Core;
	readonly peers: Peers;
	readonly archive: Archive;
	readonly id: bigint;
}

/** The eventlog of each rank as far as it is there, and whether nothing can follow. */
export async function readExecEventlogs({core, peers, archive, id}: ExecEventlogOptions): Promise<{
	readonly byRank: Readonly<Record<string, string>>;
	readonly isFinal: boolean;
}> {
	const job = core.state.jobs.get(id);
	if (job === undefined) return {byRank: archive.job(id)?.execEventlogs ?? {}, isFinal: true};
	const {attempt, ranks, execEventlogs} = job.context;
	const byRank: Record<string, string> = {};
	for (const rank of Object.keys(ranks)) {
		byRank[rank] =
			execEventlogs[rank] ??
			((await peers.request(Number(rank), 'job-exec.eventlog', {id, attempt}).catch(() => '')) as string); // Out of contact or not begun: nothing so far.
	}
	return {byRank, isFinal: false};
}

export function watchExecEventlog(options: ExecEventlogOptions, sink: Sink): () => void {
	const sent: Record<string, number> = {};
	let isOver = false;
	let timer: Timer | null = null;
	const stop = () => {
		isOver = true;
		timer?.cancel();
	};
	const round = async () => {
		const {byRank, isFinal} = await readExecEventlogs(options);
		if (isOver) return;
		let isBlocked = false;
		for (const [rank, text] of Object.entries(byRank)) {
			const lines = text.split('\n').slice(0, -1);
			for (let index = sent[rank] ?? 0; index < lines.length && !isBlocked; index += 1) {
				isBlocked = !sink.write({event: `${lines[index]}\n`});
				sent[rank] = index + 1;
			}
		}
		if (isFinal && !isBlocked) {
			stop();
			sink.end();
			return;
		}
		timer = options.core.clock.setTimer(POLL_MS, next);
	};
	const next = () => {
		round().catch((error: unknown) => {
			options.core.log('err', `eventlog of job ${f58(options.id)}: ${String(error)}`);
			if (!isOver) timer = options.core.clock.setTimer(POLL_MS, next);
		});
	};
	next();
	return stop;
}
