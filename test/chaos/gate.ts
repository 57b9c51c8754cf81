/**
 * A fifo that holds gated tasks until it is opened. Invariant: once open, it is open for those that come later as well,
 * because a plain file has taken its name.
 */
import {execFileSync} from 'node:child_process';
import {closeSync, constants, linkSync, openSync, renameSync, writeFileSync} from 'node:fs';
import {pause} from './until.ts';

export class Gate {
	readonly path: string;

	constructor(path: string) {
		this.path = path;
		execFileSync('mkfifo', [path]);
	}

	async open(): Promise<void> {
		const fifo = `${this.path}.fifo`;
		linkSync(this.path, fifo);
		writeFileSync(`${this.path}.open`, '');
		renameSync(`${this.path}.open`, this.path);
		// A reader that looked the name up before the rename may open the fifo only now: hence more than once.
		for (let round = 0; round < 5; round += 1) {
			// Opened for both, a fifo never blocks, and closing it is the end of file of every reader.
			const descriptor = openSync(fifo, constants.O_RDWR);
			await pause(20);
			closeSync(descriptor);
		}
	}
}
