/** `bin/coppice` as a user calls it. Invariant: no command outlives its deadline, and none outlives its test. */
import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {fileURLToPath} from 'node:url';

/** The command under test; `COPPICE_BIN` names another, such as that of an installed package. */
export const COPPICE =
	process.env['COPPICE_BIN'] ?? fileURLToPath(new URL('../../../bin/coppice', import.meta.url));

export interface CommandOptions {
	readonly env?: Readonly<Record<string, string>>;
	readonly cwd?: string;
	/** Turns the command line into one that runs it as another user. */
	readonly asUser?: (argv: readonly string[]) => string[];
	/** From the start to the end. Default 60 s. */
	readonly timeoutMs?: number;
	/** `ignore`: /dev/null; `pipe`: `child.stdin` is for the test. Default `ignore`. */
	readonly stdin?: 'ignore' | 'pipe';
	/** Words before the command line, such as a program that gives it a terminal. */
	readonly prefix?: readonly string[];
}

export interface Finished {
	/** The exit status; null when a signal ended it. */
	readonly status: number | null;
	readonly stdout: string;
	readonly stderr: string;
}

export const COMMAND_TIMEOUT_MS = 60_000;

/** A command that is running. */
export class CoppiceCommand {
	readonly argv: readonly string[];
	readonly child: ChildProcess;
	/** Resolves when it has ended and both streams are read. @throws when its deadline passes. */
	readonly finished: Promise<Finished>;
	#stdout = '';
	#stderr = '';

	constructor(
		argv: readonly string[],
		{env, cwd, asUser, timeoutMs = COMMAND_TIMEOUT_MS, stdin = 'ignore', prefix = []}: CommandOptions = {},
	) {
		this.argv = argv;
		const line = [...prefix, process.execPath, COPPICE, ...argv];
		const [program, ...args] = asUser?.(line) ?? line;
		this.child = spawn(program!, args, {
			stdio: [stdin, 'pipe', 'pipe'],
			env: {...process.env, COPPICE_F58_FORCE_ASCII: '1', ...env},
			cwd: cwd ?? '/tmp',
		});
		this.child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text));
		this.child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
		this.finished = this.#finish(timeoutMs);
		this.finished.catch(() => undefined); // Whoever awaits it is told; a test that failed before is not.
	}

	get stdout(): string {
		return this.#stdout;
	}

	get stderr(): string {
		return this.#stderr;
	}

	async #finish(timeoutMs: number): Promise<Finished> {
		let isLate = false;
		const timer = setTimeout(() => {
			isLate = true;
			this.child.kill('SIGKILL');
		}, timeoutMs);
		const [status] = (await once(this.child, 'close')) as [number | null];
		clearTimeout(timer);
		if (isLate) throw new Error(`${describe(this)}: not done within ${timeoutMs} ms`);
		return {status, stdout: this.#stdout, stderr: this.#stderr};
	}
}

/** For messages: the command, and what it said. */
export function describe({argv, stdout, stderr}: CoppiceCommand): string {
	const said = [stdout, stderr].map(text => text.slice(-2000).trimEnd()).filter(text => text !== '');
	return [`coppice ${argv.join(' ')}`, ...said].join('\n');
}
