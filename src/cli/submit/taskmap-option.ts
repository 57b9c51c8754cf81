/** `--taskmap=SCHEME[:VALUE]`: which tasks run on which nodes of a job. */
import {SystemError} from '../../formats/errno.ts';
import {checkPlacement, type TaskPlacement} from '../../formats/task-placement.ts';
import {UsageError} from '../command-error.ts';

/** As in the jobspec (`shell.options.taskmap`). */
export type TaskmapOption = TaskPlacement;

/** @throws {UsageError} */
export function parseTaskmapOption(text: string): TaskmapOption {
	const colon = text.indexOf(':');
	const [scheme, value] = colon === -1 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)];
	try {
		return checkPlacement({scheme, value});
	} catch (error) {
		if (error instanceof SystemError) throw new UsageError(`option --taskmap: ${error.message}`);
		throw error;
	}
}
