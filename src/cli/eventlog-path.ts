/** Names of a job's eventlogs as they are typed: `exec` and `output` are short for those of the guest namespace. */
import type {EventlogPath} from './attach/follow-events.ts';
import {UsageError} from './command-error.ts';

export function eventlogPath(text: string): EventlogPath {
	switch (text) {
		case 'eventlog':
		case 'main':
			return 'eventlog';
		case 'exec':
		case 'guest.exec.eventlog':
			return 'guest.exec.eventlog';
		case 'output':
		case 'guest.output':
			return 'guest.output';
		default:
			throw new UsageError(`option --path: '${text}' is none of eventlog, exec, output`);
	}
}
