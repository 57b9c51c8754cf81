/** The shell options of a jobspec (`attributes.system.shell.options`, RFC 24, `-o`) that Coppice knows; others do nothing. */
import {SystemError} from './errno.ts';
import {parseFsd} from './fsd.ts';
import type {Jobspec} from './jobspec.ts';
import {quote} from './quote.ts';
import {isObject} from './shape.ts';
import {SIGNUM_MAX} from './signal.ts';
import {checkPlacement, type TaskPlacement} from './task-placement.ts';

export interface StreamOptions {
	/** null: the stream is kept with the job. */
	readonly path: string | null;
	readonly isLabeled: boolean;
	readonly isUnbuffered: boolean;
}

export interface OutputOptions {
	readonly output: {readonly stdout: StreamOptions; readonly stderr: StreamOptions};
	/** `output.mode=append`: what is in the files stays. */
	readonly appends: boolean;
}

export interface ShellOptions extends OutputOptions {
	/** `output.limit`: bytes of each stream that are kept; Infinity: all; absent: as the instance has it. */
	readonly outputBytesMax?: number;
	/** `rlimit`: soft limits by name. */
	readonly rlimits?: Readonly<Record<string, number>>;
	/** `pmi`: `off`, or `simple` (RFC 13), which jobs of several tasks have anyway. */
	readonly pmi?: 'off' | 'simple';
	/** `exit-timeout`: how long tasks may go on after the first has ended; Infinity: for ever; absent: the default. */
	readonly exitTimeoutMs?: number;
	/** `exit-on-error`: the first task that fails ends the job. */
	readonly exitsOnError: boolean;
	/** `taskmap`. */
	readonly taskmap?: TaskPlacement;
	/** `signal`: sent so long before the time limit. */
	readonly signal?: {readonly signum: number; readonly timeLeftMs: number};
}

/** @throws {SystemError} EINVAL that names the option. */
export function shellOptionsOf({attributes}: Jobspec): ShellOptions {
	const options = attributes.system.shell?.options ?? {};
	const output = isObject(options['output']) ? options['output'] : {};
	const {limit, mode} = output;
	if (mode !== undefined && mode !== 'append' && mode !== 'truncate')
		throw new SystemError('EINVAL', `shell option output.mode: ${text(mode)} is neither truncate nor append`);
	const {rlimit, taskmap, signal, pmi, 'exit-timeout': exitTimeout} = options;
	return {
		output: {stdout: streamOf(output['stdout']), stderr: streamOf(output['stderr'])},
		appends: mode === 'append',
		exitsOnError: options['exit-on-error'] === 1 || options['exit-on-error'] === true,
		...(exitTimeout === undefined ? {} : {exitTimeoutMs: parseExitTimeout(exitTimeout)}),
		...(limit === undefined ? {} : {outputBytesMax: parseLimit(limit)}),
		...(isObject(rlimit) ? {rlimits: rlimit as Record<string, number>} : {}),
		...(pmi === undefined ? {} : {pmi: parsePmi(pmi)}),
		...(taskmap === undefined ? {} : {taskmap: checkPlacement(taskmap)}),
		...(signal === undefined ? {} : {signal: parseSignalBefore(signal)}),
	};
}

/** Where both streams go. Without a file of its own stderr follows stdout, as in Flux. */
export function outputPaths({output}: OutputOptions): {
	readonly stdout: string | null;
	readonly stderr: string | null;
} {
	return {stdout: output.stdout.path, stderr: output.stderr.path ?? output.stdout.path};
}

/**
 * Bytes, with a unit of k, K, M or G (powers of 1000 for k and of 1024 for the others, as the field does); 0: no limit.
 *
 * @throws {SystemError} EINVAL
 */
export function parseLimit(value: unknown): number {
	const match = /^([0-9]+\.?[0-9]*|\.[0-9]+)([kKMG]?)$/.exec(String(value));
	const bytes = match === null ? NaN : Math.floor(Number(match[1]) * UNITS[match[2]!]!);
	if (!Number.isSafeInteger(bytes)) {
		throw new SystemError('EINVAL', `shell option output.limit: ${text(value)} is no size such as 10M`);
	}
	return bytes === 0 ? Infinity : bytes;
}

const UNITS: Readonly<Record<string, number>> = {'': 1, k: 1000, K: 1024, M: 1024 ** 2, G: 1024 ** 3};

/** `{signum, timeleft}`, the time in seconds. Just `-o signal` means SIGUSR1 60 s before. */
function parseSignalBefore(value: unknown): {signum: number; timeLeftMs: number} {
	const {signum = 10, timeleft = 60} = isObject(value) ? value : {};
	const isSignal = Number.isInteger(signum) && Number(signum) >= 1 && Number(signum) <= SIGNUM_MAX;
	if (!isSignal || typeof timeleft !== 'number' || timeleft <= 0)
		throw new SystemError('EINVAL', `shell option signal: ${text(value)} is no {signum, timeleft}`);
	return {signum: Number(signum), timeLeftMs: timeleft * 1000};
}

/** A list, as Flux has it, of what shall be served; `off` or `none` for nothing. Just `-o pmi` is `simple`. */
function parsePmi(value: unknown): 'off' | 'simple' {
	if (value === 1 || value === true) return 'simple';
	const names = String(value).split(',');
	if (names.every(name => name === 'off' || name === 'none')) return 'off';
	if (names.every(name => name === 'simple' || name === 'pmi1')) return 'simple';
	throw new SystemError('EINVAL', `shell option pmi: ${text(value)} is neither off nor simple`);
}

function parseExitTimeout(value: unknown): number {
	if (value === 'none') return Infinity;
	return parseFsd(String(value)) * 1000;
}

function streamOf(value: unknown): StreamOptions {
	const {path, label, buffer} = isObject(value) ? value : {};
	return {
		path: typeof path === 'string' ? path : null,
		isLabeled: label === true || label === 1,
		isUnbuffered: isObject(buffer) && buffer['type'] === 'none',
	};
}

function text(value: unknown): string {
	return quote(typeof value === 'string' ? value : JSON.stringify(value));
}
