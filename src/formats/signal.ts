/** Signals of Linux on x86-64 and arm64 (signal(7)) by number and name, and what a wait status says (wait(2)). */
import {SystemError} from './errno.ts';
import {quote} from './quote.ts';

export type WaitOutcome =
	| {readonly kind: 'exited'; readonly code: number}
	| {
			readonly kind: 'signaled';
			readonly signum: number;
			/** As in `SIGKILL`. */
			readonly name: string;
			readonly core: boolean;
	  };

export const SIGNUM_MAX = 64;

/**
 * The number of a signal written as `INT`, `SIGINT` (any case), `2`, `RTMIN+1`, `RTMAX-1`.
 *
 * @throws {SystemError} EINVAL when there is no such signal.
 */
export function parseSignal(text: string): number {
	if (/^[0-9]+$/.test(text)) {
		const signum = Number(text);
		if (signum >= 1 && signum <= SIGNUM_MAX) return signum;
	}
	const name = text.toUpperCase().replace(/^SIG/, '');
	const signum = NUMBERS.get(name) ?? realTimeNumber(name);
	if (signum === undefined) {
		throw new SystemError(
			'EINVAL',
			`invalid signal ${quote(text)}: must be a name such as TERM or SIGTERM, or 1..${SIGNUM_MAX}`,
		);
	}
	return signum;
}

/** `SIGINT` for 2; real-time signals are `SIGRTMIN+n`; `SIG<number>` for one that has no name. */
export function signalName(signum: number): string {
	const entry = TABLE[signum - 1];
	if (entry !== undefined) return `SIG${entry[0]}`;
	if (signum === RTMIN) return 'SIGRTMIN';
	if (signum > RTMIN && signum <= SIGNUM_MAX) return `SIGRTMIN+${signum - RTMIN}`;
	return `SIG${signum}`;
}

/** strsignal(3): `Killed` for 9. */
export function signalText(signum: number): string {
	const entry = TABLE[signum - 1];
	if (entry !== undefined) return entry[1];
	if (signum >= RTMIN && signum <= SIGNUM_MAX) return `Real-time signal ${signum - RTMIN}`;
	return `Unknown signal ${signum}`;
}

/**
 * What a raw wait status of an ended process says.
 *
 * @throws {SystemError} EINVAL when it is none: stopped, continued, or not within 16 bits.
 */
export function describeWaitStatus(waitStatus: number): WaitOutcome {
	if (!Number.isInteger(waitStatus) || waitStatus < 0 || waitStatus > 0xffff) {
		throw new SystemError('EINVAL', `invalid wait status ${waitStatus}: must be an integer within 0..65535`);
	}
	const signum = waitStatus & 0x7f;
	if (signum === 0 && (waitStatus & 0x80) === 0) return {kind: 'exited', code: waitStatus >> 8};
	if (signum === 0 || signum > SIGNUM_MAX || waitStatus > 0xff) {
		throw new SystemError('EINVAL', `invalid wait status ${waitStatus}: the process did not end`);
	}
	return {kind: 'signaled', signum, name: signalName(signum), core: (waitStatus & 0x80) !== 0};
}

/** What a shell would report: the exit code, or 128 and the signal. Throws as `describeWaitStatus`. */
export function exitCodeOf(waitStatus: number): number {
	const outcome = describeWaitStatus(waitStatus);
	return outcome.kind === 'exited' ? outcome.code : 128 + outcome.signum;
}

/** glibc keeps 32 and 33 for itself. */
const RTMIN = 34;

/** Name without SIG and strsignal(3), for 1 to 31. */
const TABLE: readonly (readonly [name: string, text: string])[] = [
	['HUP', 'Hangup'],
	['INT', 'Interrupt'],
	['QUIT', 'Quit'],
	['ILL', 'Illegal instruction'],
	['TRAP', 'Trace/breakpoint trap'],
	['ABRT', 'Aborted'],
	['BUS', 'Bus error'],
	['FPE', 'Floating point exception'],
	['KILL', 'Killed'],
	['USR1', 'User defined signal 1'],
	['SEGV', 'Segmentation fault'],
	['USR2', 'User defined signal 2'],
	['PIPE', 'Broken pipe'],
	['ALRM', 'Alarm clock'],
	['TERM', 'Terminated'],
	['STKFLT', 'Stack fault'],
	['CHLD', 'Child exited'],
	['CONT', 'Continued'],
	['STOP', 'Stopped (signal)'],
	['TSTP', 'Stopped'],
	['TTIN', 'Stopped (tty input)'],
	['TTOU', 'Stopped (tty output)'],
	['URG', 'Urgent I/O condition'],
	['XCPU', 'CPU time limit exceeded'],
	['XFSZ', 'File size limit exceeded'],
	['VTALRM', 'Virtual timer expired'],
	['PROF', 'Profiling timer expired'],
	['WINCH', 'Window changed'],
	['IO', 'I/O possible'],
	['PWR', 'Power failure'],
	['SYS', 'Bad system call'],
];

const NUMBERS = new Map<string, number>([
	...TABLE.map(([name], i): [string, number] => [name, i + 1]),
	['IOT', 6],
	['CLD', 17],
	['POLL', 29],
]);

function realTimeNumber(name: string): number | undefined {
	const match = /^RT(MIN|MAX)(?:([+-])([0-9]{1,2}))?$/.exec(name);
	if (match === null) return undefined;
	const offset = Number(match[3] ?? 0) * (match[2] === '-' ? -1 : 1);
	const signum = (match[1] === 'MIN' ? RTMIN : SIGNUM_MAX) + offset;
	return signum >= RTMIN && signum <= SIGNUM_MAX ? signum : undefined;
}
