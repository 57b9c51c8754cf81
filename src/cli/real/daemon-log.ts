/** The logs of daemon and brokers in the run directory: files that their writers hold open, so they are cut in place. */
import {copyFileSync, readFileSync, statSync, truncateSync} from 'node:fs';

/** Larger logs are cut; the content before is kept once, in `FILE.1`. */
export const LOG_BYTES_MAX = 16 * 1024 * 1024;
const TAIL_BYTES = 64 * 1024;

/**
 * Cuts a log that has grown too large. Its writer appends (O_APPEND), so it goes on at the start of the file; a line
 * that is written between the copy and the cut is lost. Does nothing where there is no log.
 */
export function rotateLog(path: string, sizeBytesMax = LOG_BYTES_MAX): void {
	try {
		if (statSync(path).size <= sizeBytesMax) return;
		copyFileSync(path, `${path}.1`);
		truncateSync(path, 0);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
	}
}

/** The last lines of a log; of a missing one: none. */
export function lastLines(path: string, count: number): string[] {
	try {
		const text = readFileSync(path).subarray(-TAIL_BYTES).toString('utf8');
		return text.trimEnd().split('\n').filter(Boolean).slice(-count);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
		throw error;
	}
}
