/**
 * Standard output and standard error. Invariant: a reader that went away ends the process quietly, as SIGPIPE would.
 */
import type {WriteStream} from 'node:tty';
import type {Sink} from '../context.ts';

/** 128 + SIGPIPE: what a shell reports of a program that writes into a closed pipe. */
const EXIT_PIPE = 141;
const COLUMNS_DEFAULT = 80;

export class ProcessSink implements Sink {
	readonly #stream: WriteStream;

	constructor(stream: WriteStream) {
		this.#stream = stream;
		stream.on('error', (error: NodeJS.ErrnoException) => {
			if (error.code === 'EPIPE') process.exit(EXIT_PIPE);
			// Standard error may be what failed: there is nobody left to tell.
			process.exit(1);
		});
	}

	get isTerminal(): boolean {
		return this.#stream.isTTY === true;
	}

	get columns(): number {
		return this.#stream.columns || COLUMNS_DEFAULT; // 0: a terminal that does not know its width.
	}

	write(chunk: string | Uint8Array): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#stream.write(chunk, error => (error == null ? resolve() : reject(error)));
		});
	}
}
