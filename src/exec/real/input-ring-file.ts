/**
 * Writes what clients have for tasks into the ring of a part, straight into its directory, without the job shell: a write
 * that was answered is in a file that outlives broker, shell and launcher.
 */
import {closeSync, constants, openSync, readFileSync, readSync, writeSync} from 'node:fs';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {partName, type InputAnswer, type InputWrite, type PartKey} from '../../ports/process-host.ts';
import {
	decodeHead,
	encodeHead,
	inputTasks,
	planInput,
	readPositions,
	RING_HEAD_BYTES,
	ringPieces,
} from '../input-ring.ts';
import {partDir, type RankSite} from '../part-paths.ts';
import {readPart} from './part-dir.ts';

/** Implements `ProcessHost.writeInput`. Reads all it needs anew: nothing is known that a killed broker could take along. */
export function writeInputRing(site: RankSite, key: PartKey, write: InputWrite): InputAnswer {
	const dir = partDir(site, key);
	const spec = readPart(dir)?.spec;
	if (spec === undefined) throw new SystemError('ENOENT', `part ${partName(key)} is not on this node`);
	const tasks = inputTasks(spec);
	if (tasks.length === 0)
		throw new SystemError('EPIPE', `part ${partName(key)}: its tasks take no standard input from clients`);
	const path = `${dir}/stdin`;
	try {
		const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
		try {
			const head = readHead(fd);
			const positions = readPositions(readIfThere(`${dir}/stdin.read`), spec.tasks.length);
			const read = spec.tasks.flatMap((task, index) => (tasks.includes(task) ? [positions[index]!] : []));
			const plan = planInput(head, read, write);
			for (const {at, from, length} of ringPieces(head.end, plan.bytes.length))
				writeAll(fd, plan.bytes.subarray(from, from + length), at);
			if (plan.head !== null) writeAll(fd, encodeHead(plan.head), 0);
			return plan.answer;
		} finally {
			closeSync(fd);
		}
	} catch (error) {
		throw asSystemError(error, 'EIO', `write ${path}`);
	}
}

function readHead(fd: number) {
	const bytes = new Uint8Array(RING_HEAD_BYTES);
	readSync(fd, bytes, 0, RING_HEAD_BYTES, 0);
	return decodeHead(bytes);
}

function writeAll(fd: number, bytes: Uint8Array, at: number): void {
	for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done, at + done);
}

function readIfThere(path: string): string {
	try {
		return readFileSync(path, 'latin1');
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
		throw error;
	}
}
