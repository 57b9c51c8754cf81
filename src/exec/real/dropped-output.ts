/**
 * Says at the end of a spool how much of the output was dropped, where the shim that should have was killed. Invariant: it is
 * said once, however often this is asked for; nothing of the task is alive then, so nobody else writes.
 */

import {closeSync, constants, fstatSync, openSync, readFileSync, readSync, writeSync} from 'node:fs';
import {asSystemError} from '../../formats/errno.ts';
import type {OutputStream} from '../../ports/process-host.ts';
import {spoolName} from '../part-paths.ts';

/** @throws {SystemError} when the spool can't be written: its last bytes are missing then. */
export function sayDropped(dir: string, task: number, stream: OutputStream): void {
	const name = spoolName(stream, task);
	const count = countOf(`${dir}/dropped.${name}`);
	if (count === null) return;
	const note = Buffer.from(`coppice: ${count} bytes of ${stream} were dropped\n`);
	try {
		const spool = openSync(`${dir}/${name}`, constants.O_RDWR | constants.O_APPEND);
		try {
			const end = Buffer.alloc(note.length);
			const got = readSync(spool, end, 0, end.length, Math.max(0, fstatSync(spool).size - end.length));
			if (got < note.length || !end.equals(note)) writeSync(spool, note);
		} finally {
			closeSync(spool);
		}
	} catch (error) {
		throw asSystemError(error, 'EIO', `write ${dir}/${name}`);
	}
}

/** As shims count: a number that only grows, written over in place. Null: nothing was dropped. */
function countOf(path: string): number | null {
	try {
		const text = readFileSync(path, 'latin1');
		return /^\d+$/.test(text) ? Number(text) : null;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
		throw asSystemError(error, 'EIO', `read ${path}`);
	}
}
