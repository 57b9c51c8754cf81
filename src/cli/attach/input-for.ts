/** Whether the tasks of a job take the standard input of a command that attaches, and how: from the job's own jobspec. */
import {SystemError} from '../../formats/errno.ts';
import {Idset} from '../../formats/idset.ts';
import {inputOption, ptyOption} from '../../formats/input-options.ts';
import {requestOf, type Jobspec} from '../../formats/jobspec.ts';
import type {AttachOptions} from './attach-job.ts';

/**
 * Undefined: none of them does. `tasks`: those that are meant; null: all that take it.
 *
 * @throws {SystemError} EINVAL: one of `tasks` does not exist or does not take it.
 */
export function inputFor(jobspec: Jobspec, tasks: Idset | null): AttachOptions['input'] {
	const input = inputOption(jobspec);
	const pty = ptyOption(jobspec);
	const isFed = input !== null && 'ranks' in input;
	if (tasks !== null) {
		const all = Idset.range(0, requestOf(jobspec).ntasks - 1);
		const fed = isFed ? (input.ranks ?? all) : Idset.empty;
		const takers = fed.union(pty === null ? Idset.empty : (pty.ranks ?? all));
		const others = tasks.difference(takers);
		if (!others.isEmpty) {
			const who = takers.isEmpty ? 'none of its tasks does' : `its tasks ${takers.toString()} do`;
			throw new SystemError('EINVAL', `no task ${others.toString()} of the job takes standard input: ${who}`);
		}
	}
	if (!isFed && pty === null) return undefined;
	return {tasks: tasks?.toString() ?? 'all', isInteractive: pty?.isInteractive === true};
}
