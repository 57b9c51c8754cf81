/**
 * The launcher process, as the job shell drives it. Invariant: at most one runs; when it dies, `onExit` is called
 * once, and whatever it had not claimed must be fed again.
 */

import {spawn, type ChildProcess} from 'node:child_process';
import {partName, type PartKey} from '../../ports/process-host.ts';
import {taskName} from '../part-paths.ts';
import {installedFile} from '../../ports/real/installation.ts';

/** From `dist/src/exec/real/` to the root of the package. */
const LAUNCHER_PATH = installedFile('libexec/coppice-launcher');

export interface LauncherOptions {
	/** The directory of the rank's parts. */
	readonly dir: string;
	readonly eventsPath: string;
	/** The cgroup below which the parts have theirs; '': none. */
	readonly cgroup: string;
	/** The launcher has opened the event fifo. */
	readonly onReady: () => void;
	/** It has ended, for a reason that a person can read. */
	readonly onExit: (reason: string) => void;
}

export class Launcher {
	readonly #options: LauncherOptions;
	readonly #child: ChildProcess;
	#pending = '';
	#isOver = false;

	/** Starts the launcher; it inherits stderr. */
	constructor(options: LauncherOptions) {
		this.#options = options;
		this.#child = spawn('perl', [LAUNCHER_PATH, options.dir, options.eventsPath, options.cgroup], {
			stdio: ['pipe', 'pipe', 'inherit'],
			detached: true,
			// Bound now, what is called from libraries is not looked up by each fork, in pages that it first has to copy.
			env: {PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', LD_BIND_NOW: '1'},
			cwd: '/',
		});
		this.#child.once('error', error => this.#end(error.message));
		this.#child.once('exit', (code, signal) => this.#end(signal ?? `exit status ${code}`));
		// EPIPE only says what `exit` says too.
		this.#child.stdin!.on('error', () => undefined);
		this.#child.stdout!.once('data', () => options.onReady());
	}

	get pid(): number | null {
		return this.#child.pid ?? null;
	}

	/** Asks for a shim for each task, or for the rescue of its output. Lines of one turn of the event loop go out in one write. */
	feed(
		key: PartKey,
		tasks: readonly {readonly task: number; readonly local: number | `rescue${number}`}[],
	): void {
		if (tasks.length === 0 || this.#isOver) return;
		if (this.#pending === '') setImmediate(() => this.#send());
		this.#pending += `${partName(key)} ${tasks.map(({task, local}) => `${taskName(task)}:${local}`).join(' ')}\n`;
	}

	/** Ends it once it has read what it was fed. */
	close(): void {
		this.#send();
		this.#child.stdin!.end();
	}

	/** Ends it at once. Its shims go on. */
	kill(): void {
		this.#child.kill('SIGKILL');
	}

	#send(): void {
		if (this.#pending !== '' && !this.#isOver) this.#child.stdin!.write(this.#pending);
		this.#pending = '';
	}

	#end(reason: string): void {
		if (this.#isOver) return;
		this.#isOver = true;
		this.#options.onExit(reason);
	}
}
