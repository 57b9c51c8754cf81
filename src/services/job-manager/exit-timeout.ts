/**
 * Ends a job of several ranks when the tasks of one have ended long ago and those of others go on (`-o exit-timeout`), as the
 * job shell does within one rank. Counted from when this root heard of it, so that neither a restart nor a stepped clock ends
 * a job too early. A rank out of contact may have ended long ago: only what is known to go on counts.
 */
import {shellOptionsOf} from '../../formats/shell-options.ts';
import {outlineOf} from '../../formats/stored-jobspec.ts';
import type {JobSnapshot} from '../../machines/job.ts';
import type {Timer} from '../../ports/clock.ts';
import type {Core} from '../core.ts';
import {EXIT_TIMEOUT_MS_DEFAULT} from '../job-exec/launch-spec.ts';

/** A rank that has just come back gets so long to tell that its tasks have ended. */
const TELL_MS_MAX = 2000;

export function watchExitTimeouts(core: Core): void {
	const timers = new Map<bigint, Timer>();
	const wait = (id: bigint, ms: number, then: () => void) => {
		const fire = () => {
			timers.delete(id);
			then();
		};
		timers.set(id, core.clock.setTimer(ms, fire));
	};
	/** Waits the whole time, then looks twice. */
	const begin = (id: bigint, job: JobSnapshot) => {
		const {exitTimeoutMs = EXIT_TIMEOUT_MS_DEFAULT} = shellOptionsOf(outlineOf(job.context.jobspec));
		if (!Number.isFinite(exitTimeoutMs)) return;
		wait(id, exitTimeoutMs, () =>
			judge(id, () => wait(id, TELL_MS_MAX, () => judge(id, () => end(id, exitTimeoutMs)))),
		);
	};
	const judge = (id: bigint, isSo: () => void) => {
		const job = core.state.jobs.get(id);
		if (job === undefined || stragglersOf(job).length === 0) return;
		if (stragglersOf(job).some(rank => core.isReconciled(rank))) isSo();
		else begin(id, job);
	};
	const end = (id: bigint, exitTimeoutMs: number) => {
		const note = `the tasks of a rank have ended, and others go on ${exitTimeoutMs / 1000} s later (exit-timeout)`;
		core.post({type: 'job.exception', id, exception: 'exec', severity: 0, note, userid: -1});
	};
	const look = (id: bigint, job: JobSnapshot | undefined) => {
		const isWatched = timers.has(id);
		if (job !== undefined && stragglersOf(job).length > 0) {
			if (!isWatched) begin(id, job);
			return;
		}
		timers.get(id)?.cancel();
		timers.delete(id);
	};
	for (const [id, job] of core.state.jobs) look(id, job);
	core.onChange(change => {
		if (change.kind === 'job') look(change.id, change.isFinal ? undefined : change.snapshot);
	});
}

/** The ranks whose tasks go on, once those of another have ended. A rank without tasks of the job has nothing that could end. */
function stragglersOf({value, context}: JobSnapshot): number[] {
	if (value !== 'run') return [];
	const parts = Object.entries(context.ranks);
	if (parts.length < 2 || !parts.some(([, {state, ends}]) => state === 'exited' && ends.length > 0))
		return [];
	return parts.filter(([, {state}]) => state !== 'exited').map(([rank]) => Number(rank));
}
