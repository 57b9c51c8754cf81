/**
 * The end of an instance, in phases with one deadline: no new work, running jobs cancelled (or kept), then the broker
 * stops. Every phase names who is late (CLI.md).
 */
import {encodeJobid} from '../../formats/jobid.ts';
import type {Core} from '../core.ts';
import type {JobManager} from '../job-manager/job-manager.ts';

export interface ShutdownOptions {
	readonly core: Core;
	readonly manager: JobManager;
	readonly keepJobs: boolean;
	readonly timeoutMs: number;
	/** A line of progress. */
	readonly say: (line: string) => void;
}

/** Resolves when all jobs that were to end have ended, or the deadline has passed. */
export async function endJobs({core, manager, keepJobs, timeoutMs, say}: ShutdownOptions): Promise<void> {
	if (core.refusal === null) core.post({type: 'broker.shutdown', keepJobs});
	const running = () =>
		[...core.state.jobs.values()].filter(({value}) => value === 'run' || value === 'cleanup');
	if (keepJobs || core.refusal !== null) {
		say(`leaving ${running().length} running job(s) as they are`);
		return;
	}
	const ids = running()
		.filter(({value}) => value === 'run')
		.map(({context}) => context.id);
	for (const id of ids) {
		manager.raise(id, {type: 'cancel', severity: 0, note: 'the instance is shutting down', userid: -1});
	}
	if (ids.length > 0) say(`canceled ${ids.length} running job(s)`);
	await new Promise<void>(resolve => {
		const finish = () => {
			timer.cancel();
			unsubscribe();
			resolve();
		};
		const timer = core.clock.setTimer(timeoutMs, () => {
			const late = running().map(({context}) => encodeJobid(context.id, 'f58'));
			say(`after ${timeoutMs / 1000}s these jobs have not ended: ${late.slice(0, 10).join(' ')}`);
			finish();
		});
		const unsubscribe = core.onChange(() => {
			if (running().length === 0) finish();
		});
		if (running().length === 0) finish();
	});
}
