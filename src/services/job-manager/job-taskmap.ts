/** Which tasks of a job run on which of its ranks. Pure. */
import {ResourceSet} from '../../formats/resource-set.ts';
import {shellOptionsOf} from '../../formats/shell-options.ts';
import {placeTasks} from '../../formats/task-placement.ts';
import {tasksByNode, type Taskmap} from '../../formats/taskmap.ts';
import {outlineOf} from '../../formats/stored-jobspec.ts';
import type {JobContext} from '../../machines/job.ts';
import {tasksOf} from '../job-exec/launch-spec.ts';

/** By position in R. @throws {SystemError} EINVAL: its `taskmap` option does not fit it. */
export function taskmapOf({jobspec, R}: Pick<JobContext, 'jobspec' | 'R'>): Taskmap {
	const parsed = outlineOf(jobspec);
	const tasks = tasksOf(parsed, ResourceSet.parse(R));
	return placeTasks(
		shellOptionsOf(parsed).taskmap,
		[...tasks.values()].map(({length}) => length),
	);
}

/** The ranks that have tasks of it; none before it has resources. */
export function ranksWithTasks(context: JobContext): number[] {
	if (context.R === null) return [];
	const byNode = tasksByNode(taskmapOf(context));
	return [...ResourceSet.parse(context.R).ranks.keys()].filter((_, index) => (byNode[index]?.count ?? 0) > 0);
}
