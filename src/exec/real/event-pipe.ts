/**
 * The reading end of the fifo into which shims write. What arrives is only faster than looking at files, never the
 * only source; so damage and loss are harmless here.
 */

import {closeSync, constants, lstatSync, openSync} from 'node:fs';
import {Socket} from 'node:net';
import {parseShimEvent, type ShimEvent} from '../task-record.ts';
import {LineSplitter} from '../shell-protocol.ts';

export class EventPipe {
	readonly #socket: Socket;

	private constructor(socket: Socket) {
		this.#socket = socket;
	}

	/** Opens the fifo, or undefined when there is none: then no shim can write either. */
	static open(path: string, onEvents: (events: readonly ShimEvent[]) => void): EventPipe | undefined {
		let fd: number;
		try {
			// Opened both ways it never ends, though shims and launchers come and go.
			fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOFOLLOW);
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
			throw error;
		}
		if (!lstatSync(path).isFIFO()) {
			closeSync(fd);
			return undefined;
		}
		const socket = new Socket({fd, readable: true, writable: false});
		const lines = new LineSplitter();
		socket.setEncoding('utf8');
		socket.on('data', (text: string) => {
			onEvents(
				lines
					.push(text)
					.map(parseShimEvent)
					.filter(event => event !== undefined),
			);
		});
		// The files say the same; the poll of the shell reads them.
		socket.on('error', () => undefined);
		return new EventPipe(socket);
	}

	close(): void {
		this.#socket.destroy();
	}
}
