/**
 * Standard output and standard error. Invariant: a reader that went away ends the process quietly, as SIGPIPE would.
 */
import type {WriteStream} from 'node:tty';
import type {Sink} from '../context.ts';
import {fileError} from './file-error.ts';

/** 128 + SIGPIPE: what a shell reports of a program that writes into a closed pipe. */
const EXIT_PIPE = 141;
const COLUMNS_DEFAULT = 80;

export class ProcessSink implements Sink {
	readonly #stream: WriteStream;
	readonly #name: string;

	/** @param name for messages */
	constructor(stream: WriteStream, name: string) {
		this.#stream = stream;
		this.#name = name;
		stream.on('error', (error: NodeJS.ErrnoException) => {
			if (error.code === 'EPIPE') process.exit(EXIT_PIPE); // Any other is said by the write that failed.
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
			this.#stream.write(chunk, error => (error == null ? resolve() : reject(fileError(error, this.#name))));
		});
	}
}
