/** Whether the tasks of a job take the standard input of a command that attaches, and how: from the job's own jobspec. */
import {inputOption, ptyOption} from '../../formats/input-options.ts';
import type {Jobspec} from '../../formats/jobspec.ts';
import type {AttachOptions} from './attach-job.ts';

/** Undefined: none of them does. `tasks`: an idset of those that are meant, or `all`. */
export function inputFor(jobspec: Jobspec, tasks: string): AttachOptions['input'] {
	const input = inputOption(jobspec);
	const pty = ptyOption(jobspec);
	const isFed = input !== null && 'ranks' in input;
	return isFed || pty !== null ? {tasks, isInteractive: pty?.isInteractive === true} : undefined;
}
