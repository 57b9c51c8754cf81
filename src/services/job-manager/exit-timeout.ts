/**
 * Ends a job of several ranks when the tasks of one have ended long ago and those of others go on (`-o exit-timeout`), as the
 * job shell does within one rank. Counted from when this root heard of it, so that neither a restart nor a stepped clock ends
 * a job too early.
 */
import {parseJobspec} from '../../formats/jobspec.ts';
import {shellOptionsOf} from '../../formats/shell-options.ts';
import type {JobSnapshot} from '../../machines/job.ts';
import type {Timer} from '../../ports/clock.ts';
import type {Core} from '../core.ts';
import {EXIT_TIMEOUT_MS_DEFAULT} from '../job-exec/launch-spec.ts';

export function watchExitTimeouts(core: Core): void {
	const timers = new Map<bigint, Timer>();
	const look = (id: bigint, job: JobSnapshot | undefined) => {
		if (job !== undefined && hasStragglers(job)) {
			if (!timers.has(id)) arm(id, job);
			return;
		}
		timers.get(id)?.cancel();
		timers.delete(id);
	};
	const arm = (id: bigint, job: JobSnapshot) => {
		const {exitTimeoutMs = EXIT_TIMEOUT_MS_DEFAULT} = shellOptionsOf(parseJobspec(job.context.jobspec));
		if (!Number.isFinite(exitTimeoutMs)) return;
		const fire = () => {
			timers.delete(id);
			const now = core.state.jobs.get(id);
			if (now === undefined || !hasStragglers(now)) return;
			const note = `the tasks of a rank have ended, and others go on ${exitTimeoutMs / 1000} s later (exit-timeout)`;
			core.post({type: 'job.exception', id, exception: 'exec', severity: 0, note, userid: -1});
		};
		timers.set(id, core.clock.setTimer(exitTimeoutMs, fire));
	};
	for (const [id, job] of core.state.jobs) look(id, job);
	core.onChange(change => {
		if (change.kind === 'job') look(change.id, change.isFinal ? undefined : change.snapshot);
	});
}

/** A rank without tasks of the job has nothing that could end. */
function hasStragglers({value, context}: JobSnapshot): boolean {
	if (value !== 'run') return false;
	const parts = Object.values(context.ranks);
	if (parts.length < 2) return false;
	return (
		parts.some(({state, ends}) => state === 'exited' && ends.length > 0) &&
		parts.some(({state}) => state !== 'exited')
	);
}
