/** Standard input: what kind it is, its bytes at the pace of whoever takes them, and the terminal it may be. */
import {spawnSync} from 'node:child_process';
import {fstatSync, readFileSync, type Stats} from 'node:fs';
import type {ReadStream} from 'node:tty';
import {isatty} from 'node:tty';
import type {TerminalSize} from '../../ports/process-host.ts';
import {SystemError} from '../../formats/errno.ts';
import type {Source} from '../context.ts';

/** makedev(1, 3): /dev/null. */
const NULL_DEVICE = 259;
const FOREGROUND_POLL_MS = 200;
const STTY_TIMEOUT_MS = 2000;

export class ProcessSource implements Source {
	#kind: Source['kind'] | null = null;
	#isStopped = false;

	get kind(): Source['kind'] {
		return (this.#kind ??= kindOfStdin());
	}

	async *chunks(): AsyncGenerator<Uint8Array> {
		if (this.kind === 'none') return;
		// A job in the background that reads its terminal is stopped by the kernel.
		while (this.kind === 'terminal' && !isInForeground()) {
			await new Promise(resolve => setTimeout(resolve, FOREGROUND_POLL_MS).unref());
			if (this.#isStopped) return;
		}
		try {
			for await (const chunk of process.stdin) {
				if (this.#isStopped) return;
				yield chunk as Buffer;
			}
		} catch (error) {
			// EIO: the terminal is gone. ERR_STREAM_PREMATURE_CLOSE, AbortError: `stop`.
			const isHangup = this.kind === 'terminal' && (error as NodeJS.ErrnoException).code === 'EIO';
			if (this.#isStopped || isHangup) return;
			throw error;
		}
	}

	stop(): void {
		if (this.#isStopped) return;
		this.#isStopped = true;
		if (this.kind !== 'none') process.stdin.destroy();
	}

	size(): TerminalSize | null {
		if (this.kind !== 'terminal') return null;
		const {rows = 0, columns = 0} = process.stdout.isTTY ? process.stdout : sizeOfInput();
		// A terminal that was never told has none of either.
		return rows > 0 && columns > 0 ? {rows, columns} : null;
	}

	makeRaw(): () => void {
		const stream = process.stdin as ReadStream;
		stream.setRawMode(true);
		// Node leaves output as it was, and a line feed would take the cursor to the first column. What it restores at the end
		// is all of it. Without stty(1) full-screen programs are a little off.
		spawnSync('stty', ['-opost'], {stdio: ['inherit', 'ignore', 'ignore'], timeout: STTY_TIMEOUT_MS});
		return () => {
			if (!stream.destroyed) stream.setRawMode(false);
		};
	}
}

function kindOfStdin(): Source['kind'] {
	let stat: Stats;
	try {
		stat = fstatSync(0);
	} catch {
		return 'none'; // It is closed.
	}
	if (stat.isCharacterDevice() && stat.rdev === NULL_DEVICE) return 'none';
	// Node would make an empty stream of it.
	if (stat.isDirectory()) throw new SystemError('EISDIR', 'standard input: it is a directory');
	return isatty(0) ? 'terminal' : 'data';
}

/** The window's size by way of standard input, where standard output is no terminal. */
function sizeOfInput(): {rows?: number; columns?: number} {
	const handle = (process.stdin as unknown as {_handle?: {getWindowSize?: (size: number[]) => number}})
		._handle;
	const size = [0, 0];
	if (handle?.getWindowSize?.(size) !== 0) return {};
	return {columns: size[0] ?? 0, rows: size[1] ?? 0};
}

/** Fields 5 and 8 of /proc/self/stat: this process's group, and that which has the terminal. */
function isInForeground(): boolean {
	try {
		const stat = readFileSync('/proc/self/stat', 'latin1');
		const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
		return fields[2] === fields[5];
	} catch {
		return true;
	}
}
