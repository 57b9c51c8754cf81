/**
 * The prolog or epilog of a part: a part within the part, with one task, a cgroup `prolog` or `epilog` of its own, and the
 * files `launch.NAME`, `claim.NAME`, `stdout.NAME` and `stderr.NAME` in the part's directory. Everything that holds for tasks
 * holds for it: started once, found again, timed and killed. It keeps no journal: what matters is in its claim, and in the
 * reports of the part.
 */
import {closeSync, fstatSync, openSync, readSync} from 'node:fs';
import {asSystemError} from '../../formats/errno.ts';
import type {Clock} from '../../ports/clock.ts';
import {
	EPILOG_TASK,
	PROLOG_TASK,
	type PartReport,
	type ScriptEnd,
	type TaskStart,
} from '../../ports/process-host.ts';
import type {StoredSpec} from '../launch-record.ts';
import {spoolName} from '../part-paths.ts';
import {judgeScript, lastLineOf} from '../script-end.ts';
import type {PartSupervisor} from './part-supervisor.ts';

export type ScriptName = 'prolog' | 'epilog';

export interface PartScriptOptions {
	readonly clock: Clock;
	readonly dir: string;
	/** Makes the supervisor of the part within the part. */
	readonly supervise: (spec: StoredSpec, report: (report: PartReport) => void) => PartSupervisor;
	/** The part is to end: what ends its prolog is that. */
	readonly isOrdered: () => boolean;
	readonly onStart?: (start: TaskStart) => void;
	/** It is over; null: it never ran, and never will. */
	readonly onEnd: (end: ScriptEnd | null) => void;
}

const SIGKILL = 9;
const TAIL_BYTES_MAX = 4096;

/** The spec of the part within the part, or null when the part has no such script. */
export function scriptSpecOf(spec: StoredSpec, name: ScriptName): StoredSpec | null {
	const script = spec[name];
	if (script === undefined) return null;
	const {id, attempt, bootId, cgroup, killTimeoutMs} = spec;
	return {
		id,
		attempt,
		bootId,
		cgroup: cgroup === '' ? '' : `${cgroup}/${name}`,
		argv: script.argv,
		env: script.env,
		cwd: '/',
		tasks: [name === 'prolog' ? PROLOG_TASK : EPILOG_TASK],
		durationMs: script.timeoutMs,
		killTimeoutMs,
		stdout: null,
		stderr: null,
		record: '',
	};
}

/** Those of its prolog and epilog. */
export function scriptSpecsOf(spec: StoredSpec): StoredSpec[] {
	return [scriptSpecOf(spec, 'prolog'), scriptSpecOf(spec, 'epilog')].filter(script => script !== null);
}

export class PartScript {
	readonly supervisor: PartSupervisor;
	readonly #options: PartScriptOptions;
	readonly #spec: StoredSpec;
	#hasTimedOut = false;
	#error: string | null = null;

	constructor(spec: StoredSpec, options: PartScriptOptions) {
		this.#spec = spec;
		this.#options = options;
		this.supervisor = options.supervise(spec, report => this.#take(report));
	}

	get isOver(): boolean {
		return this.supervisor.isExited;
	}

	/** Its end where it was not heard of, and never will be: after a reboot. */
	get unknownEnd(): ScriptEnd {
		return this.#judge({waitStatus: null, endMs: Math.round(this.#options.clock.epochMs())});
	}

	#take(report: PartReport): void {
		if (report.kind === 'started') this.#options.onStart?.(report.tasks[0]!);
		else if (report.kind === 'exception') {
			if (report.type === 'timeout') this.#hasTimedOut = true;
			if (report.type === 'exec') this.#error = report.note;
		} else if (report.kind === 'exited') this.#options.onEnd(this.#endOf(report));
	}

	#endOf({tasks: [end], atMs}: Extract<PartReport, {kind: 'exited'}>): ScriptEnd | null {
		if (end === undefined && this.#error === null) return null;
		return this.#judge(end ?? {waitStatus: null, endMs: atMs});
	}

	#judge(end: {
		readonly waitStatus: number | null;
		readonly endMs: number;
		readonly error?: string;
	}): ScriptEnd {
		const {waitStatus, endMs} = end;
		const error = end.error ?? this.#error ?? undefined;
		return judgeScript({
			waitStatus,
			endMs,
			cause: this.#hasTimedOut ? 'timeout' : this.#options.isOrdered() ? 'order' : null,
			isKilled: waitStatus !== null && (waitStatus & 0x7f) === SIGKILL,
			timeoutMs: this.#spec.durationMs,
			lastLine: error === undefined ? this.#lastLine() : '',
			...(error === undefined ? {} : {error}),
		});
	}

	/** Of stderr, else of stdout: what a person would look at first. */
	#lastLine(): string {
		const task = this.#spec.tasks[0]!;
		const read = (stream: 'stdout' | 'stderr') =>
			lastLineOf(readTail(`${this.#options.dir}/${spoolName(stream, task)}`));
		return read('stderr') || read('stdout');
	}
}

function readTail(path: string): string {
	let fd: number;
	try {
		fd = openSync(path, 'r');
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
		throw asSystemError(error, 'EIO', `read ${path}`);
	}
	try {
		const {size} = fstatSync(fd);
		const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES_MAX));
		return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, size - bytes.length));
	} finally {
		closeSync(fd);
	}
}
