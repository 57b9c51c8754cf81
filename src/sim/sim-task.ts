/** The tasks of a simulated part, and its prolog and epilog, which are tasks that are none of the job's. */
import {judgeScript} from '../exec/script-end.ts';
import type {Timer} from '../ports/clock.ts';
import type {ScriptEnd, ScriptSpec, TaskEnd} from '../ports/process-host.ts';
import type {TaskScript} from './task-script.ts';

export interface SimTask {
	readonly task: number;
	readonly script: TaskScript;
	pid: number;
	startMs: number;
	startMonotonicMs: number;
	state: 'new' | 'alive' | 'ended';
	hasShim: boolean;
	/** PMI barriers that it has entered. */
	entered: number;
	/** When it ended, by the monotonic clock: what would have been written later never was. */
	endMonotonicMs: number;
	end: TaskEnd | null;
	timer: Timer | null;
	/** What it wrote because of its stdin. */
	echoed: Uint8Array;
}

/** A prolog or epilog: a task that is none of the job's. */
export interface SimScript extends SimTask {
	readonly spec: ScriptSpec;
	readonly name: 'prolog' | 'epilog';
	cause: 'order' | 'timeout' | null;
	isKilled: boolean;
	verdict: ScriptEnd | null;
	limitTimer: Timer | null;
	killTimer: Timer | null;
}

export function newTask(task: number, script: TaskScript): SimTask {
	return {
		task,
		script,
		pid: 0,
		startMs: 0,
		startMonotonicMs: 0,
		state: 'new',
		hasShim: true,
		entered: 0,
		endMonotonicMs: Infinity,
		end: null,
		timer: null,
		echoed: new Uint8Array(0),
	};
}

export function newScript({
	name,
	task,
	spec,
	script,
}: {
	readonly name: SimScript['name'];
	readonly task: number;
	readonly spec: ScriptSpec;
	readonly script: TaskScript;
}): SimScript {
	const rest = {cause: null, isKilled: false, verdict: null, limitTimer: null, killTimer: null};
	return {...newTask(task, script), ...rest, spec, name};
}

/** Of one that has ended. */
export function verdictOf({end, cause, isKilled, spec}: SimScript): ScriptEnd {
	const {waitStatus, endMs, error} = end!;
	const fate = {waitStatus, endMs, cause, isKilled, timeoutMs: spec.timeoutMs, lastLine: ''};
	return judgeScript({...fate, ...(error === undefined ? {} : {error})});
}

export function unknownVerdict(endMs: number): ScriptEnd {
	return judgeScript({waitStatus: null, endMs, cause: null, isKilled: false, timeoutMs: 0, lastLine: ''});
}
