/**
 * How a job ended, read from its events, and the exit status that stands for it: the rule of `run`, `attach`, `job
 * status` and `submit --wait`. The first exception of severity 0 is the cause; without one, the tasks' wait status is.
 */
import type {EventlogEvent} from '../../formats/eventlog.ts';
import {describeWaitStatus, exitCodeOf, signalText} from '../../formats/signal.ts';

/** 128 + SIGALRM: what Flux's shells send at the time limit. */
export const EXIT_TIME_LIMIT = 142;

export interface JobException {
	readonly type: string;
	readonly severity: number;
	readonly note: string;
	/** Epoch seconds. */
	readonly timestamp: number;
}

export interface JobEnding {
	/** Epoch seconds of the first event; 0 before it. */
	readonly submitted: number;
	readonly isStarted: boolean;
	/** The cause; null: none so far. */
	readonly exception: JobException | null;
	/** The raw wait status of the task that decided; `unknown`: it was lost; null: no task ended so far. */
	readonly waitStatus: number | 'unknown' | null;
}

export const NO_ENDING: JobEnding = {submitted: 0, isStarted: false, exception: null, waitStatus: null};

/** The events that `withEvent` reads. */
export const ENDING_EVENTS: readonly string[] = ['submit', 'start', 'exception', 'finish'];

/** `ending` with one more event of the job's main eventlog. */
export function withEvent(ending: JobEnding, event: EventlogEvent): JobEnding {
	const {name, timestamp, context = {}} = event;
	switch (name) {
		case 'submit':
			return {...ending, submitted: timestamp};
		case 'start':
			return {...ending, isStarted: true};
		case 'exception': {
			const exception = exceptionOf(event);
			return exception.severity === 0 && ending.exception === null ? {...ending, exception} : ending;
		}
		case 'finish': {
			const {status} = context;
			return {...ending, waitStatus: typeof status === 'number' ? status : 'unknown'};
		}
		default:
			return ending;
	}
}

/** The exit status that stands for an ended job. */
export function exitStatusOf({exception, isStarted, waitStatus}: JobEnding): number {
	const ownStatus = typeof waitStatus === 'number' ? exitCodeOf(waitStatus) : null;
	if (exception !== null) {
		if (exception.type === 'timeout') return EXIT_TIME_LIMIT;
		if (exception.type === 'cancel' || !isStarted) return 1;
		return ownStatus === null || ownStatus === 0 ? 1 : ownStatus;
	}
	return ownStatus ?? 1;
}

/** `job.exception type=… severity=… note`, after the seconds since the submission; as Flux writes it. */
export function exceptionText(
	exception: JobException,
	{id, submitted}: {id: string; submitted: number},
): string {
	const {type, severity, note, timestamp} = exception;
	const seconds = Math.max(0, timestamp - submitted).toFixed(3);
	return `${seconds}s: job.exception ${id} type=${type} severity=${severity}${note === '' ? '' : ` ${note}`}`;
}

/** The one line about a job that did not end by itself; null when there is nothing to say but an exit code. */
export function endingText(ending: JobEnding, id: string): string | null {
	const {exception, waitStatus, submitted} = ending;
	if (exception !== null) return exceptionText(exception, {id, submitted});
	if (waitStatus === 'unknown') return `${id}: outcome unknown: the exit status of a task was lost`;
	if (waitStatus === null) return `${id}: ended without a task's exit status`;
	const outcome = describeWaitStatus(waitStatus);
	return outcome.kind === 'signaled' ? `${id}: task(s) ${signalText(outcome.signum)}` : null;
}

export function exceptionOf({timestamp, context = {}}: EventlogEvent): JobException {
	const {type, severity, note} = context;
	return {
		type: typeof type === 'string' ? type : 'unknown',
		severity: typeof severity === 'number' ? severity : 0,
		note: typeof note === 'string' ? note : '',
		timestamp,
	};
}
