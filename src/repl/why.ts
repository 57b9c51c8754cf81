/** Says in sentences what a job waits for, or why it ended, with the facts behind it. Pure. */
import {requestOf, type Jobspec} from '../formats/jobspec.ts';
import {describeWaitStatus} from '../formats/signal.ts';
import {resultOf} from '../machines/archive-row.ts';
import type {DurableState} from '../machines/durable-state.ts';
import type {JobContext} from '../machines/job.ts';
import {isStarted} from '../machines/queue.ts';

export function whyOf(state: DurableState, id: bigint, ended: JobContext | null): readonly string[] {
	const lost = state.lost.get(id);
	if (lost !== undefined) return [`It is in lost+found since fact ${lost.seq}: ${lost.reason}.`];
	const job = state.jobs.get(id);
	if (job === undefined) return ended === null ? [`There is no job ${id} in this log.`] : endOf(ended);
	const {context} = job;
	switch (job.value) {
		case 'sched':
			return waitOf(state, context);
		case 'run':
			return runOf(context);
		case 'cleanup':
			return [...causeOf(context), ...cleanupOf(context)];
		default:
			return [`It is in state ${job.value}, and goes on by itself.`];
	}
}

function waitOf(state: DurableState, job: JobContext): readonly string[] {
	if (job.priority === 0) return ['It is held: its urgency is 0.'];
	const {nslots, coresPerSlot, nnodes} = requestOf(job.jobspec as unknown as Jobspec);
	const needs = `${nslots * coresPerSlot} core(s)${nnodes === null ? '' : ` on ${nnodes} node(s)`}`;
	const ahead = [...state.jobs.values()].filter(
		({value, context}) =>
			value === 'sched' &&
			(context.priority > job.priority || (context.priority === job.priority && context.id < job.id)),
	).length;
	const holders = [...state.jobs.values()].filter(({context}) => context.hasResources).length;
	return [
		`It waits for ${needs}.`,
		`${ahead} job(s) are ahead of it, and ${holders} hold resources.`,
		...queueOf(state, job),
		...drainsOf(state),
	];
}

function queueOf({queues}: DurableState, {jobspec}: JobContext): readonly string[] {
	const name = (jobspec as unknown as Jobspec).attributes.system.queue ?? '';
	const queue = queues.get(name);
	if (queue === undefined || isStarted(queue)) return [];
	const {stopReason} = queue.context;
	return [`Its queue${name === '' ? '' : ` ${name}`} is stopped: ${stopReason || 'no reason given'}.`];
}

function drainsOf({nodes}: DurableState): readonly string[] {
	return [...nodes.values()].flatMap(({context: {rank, host, drain}}) =>
		drain === null
			? []
			: [`Rank ${rank} (${host || 'never seen'}) is drained: ${drain.reason || 'no reason given'}.`],
	);
}

function runOf({ranks, reattached, started}: JobContext): readonly string[] {
	const waiting = Object.entries(ranks).filter(([, part]) => part.state === 'requested');
	if (!started)
		return [
			`It has its resources, and waits for the start on rank(s) ${waiting.map(([rank]) => rank).join(',')}.`,
		];
	const pids = Object.values(ranks).flatMap(part => part.tasks.map(({pid}) => pid));
	const found = reattached === 0 ? '' : ` It was found again ${reattached} time(s).`;
	return [`It runs as process(es) ${pids.join(', ')}.${found}`];
}

function cleanupOf({ranks}: JobContext): readonly string[] {
	const alive = Object.entries(ranks).filter(([, part]) => part.state !== 'exited');
	return alive.length === 0
		? []
		: [`Its part on rank(s) ${alive.map(([rank]) => rank).join(',')} has not ended.`];
}

function endOf(job: JobContext): readonly string[] {
	return [`It ended as ${resultOf(job)}.`, ...causeOf(job)];
}

function causeOf({exception, waitStatus, outcome, started}: JobContext): readonly string[] {
	const causes: string[] = [];
	if (exception !== null) causes.push(`Exception ${exception.type}: ${exception.note || 'no note'}.`);
	if (waitStatus !== null) {
		const end = describeWaitStatus(waitStatus);
		causes.push(
			end.kind === 'exited'
				? `The task that decided exited with ${end.code}.`
				: `The task that decided was ended by ${end.name}.`,
		);
	} else if (outcome === 'unknown') {
		causes.push('What became of a task is unknown: its shim died before it could record the exit status.');
	} else if (!started) {
		causes.push('None of its tasks was started.');
	}
	return causes;
}
