/** Connections that carry one JSON value a line. Invariant: `onEnd` runs once, after the last message. */
import {connect, type Socket} from 'node:net';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {LINE_BYTES_MAX} from '../daemon-protocol.ts';

export class LineConnection {
	onMessage: (value: unknown) => void = () => {};
	onEnd: () => void = () => {};
	readonly #socket: Socket;
	#text = '';
	#isEnded = false;

	constructor(socket: Socket) {
		this.#socket = socket;
		socket.setEncoding('utf8');
		socket.on('data', chunk => this.#receive(String(chunk)));
		socket.on('error', () => undefined); // 'close' follows.
		socket.on('close', () => {
			this.#isEnded = true;
			this.onEnd();
		});
	}

	get isEnded(): boolean {
		return this.#isEnded;
	}

	/** Queues one message; after the end it does nothing. */
	send(value: object): void {
		if (!this.#isEnded && !this.#socket.writableEnded) this.#socket.write(`${JSON.stringify(value)}\n`);
	}

	/** Ends the connection after what is queued. */
	close(): void {
		this.#socket.end();
	}

	destroy(): void {
		this.#socket.destroy();
	}

	#receive(chunk: string): void {
		const lines = `${this.#text}${chunk}`.split('\n');
		this.#text = lines.pop() ?? '';
		if (this.#text.length > LINE_BYTES_MAX) {
			this.#socket.destroy();
			return;
		}
		for (const line of lines) {
			const value = parseLine(line);
			if (value === undefined) {
				this.#socket.destroy(); // Whoever sends this is no part of the instance.
				return;
			}
			this.onMessage(value);
		}
	}
}

/** @throws {SystemError} ENOENT, ECONNREFUSED: nobody is there; ETIMEDOUT. */
export function connectLines(path: string, timeoutMs: number): Promise<LineConnection> {
	return new Promise((resolve, reject) => {
		const socket = connect(path);
		const timer = setTimeout(() => {
			socket.destroy();
			reject(new SystemError('ETIMEDOUT', `connecting to ${path}: no answer within ${timeoutMs} ms`));
		}, timeoutMs);
		const fail = (error: Error) => {
			clearTimeout(timer);
			reject(asSystemError(error, 'ECONNREFUSED', `connecting to ${path}`));
		};
		socket.once('error', fail);
		socket.once('connect', () => {
			clearTimeout(timer);
			socket.off('error', fail);
			resolve(new LineConnection(socket));
		});
	});
}

function parseLine(line: string): unknown {
	try {
		return JSON.parse(line);
	} catch {
		return undefined;
	}
}
