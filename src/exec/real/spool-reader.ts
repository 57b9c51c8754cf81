/** Reads what a part left on disk for people: output and journal, straight from its directory, without the shell. */

import {closeSync, fstatSync, openSync, readSync, statSync} from 'node:fs';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {
	EPILOG_TASK,
	partName,
	PROLOG_TASK,
	type Exchange,
	type LaunchSpec,
	type OutputChunk,
	type OutputStream,
	type PartKey,
} from '../../ports/process-host.ts';
import {hasExited} from '../journal.ts';
import {partCgroup, partDir, spoolName, type RankSite} from '../part-paths.ts';
import {isPopulated} from './cgroup.ts';
import {readClaimAndExit, readExit, readJournal, readPart} from './part-dir.ts';
import {pmiKvsOf, textOf} from './pmi-server.ts';
import {isAlive} from './proc.ts';

export interface OutputPlace {
	readonly key: PartKey;
	readonly task: number;
	readonly stream: OutputStream;
	readonly offset: number;
	readonly bytesMax: number;
}

/** Implements `ProcessHost.readOutput`; output that went to a file of the user's reads as empty and complete. */
export async function readSpool(site: RankSite, place: OutputPlace): Promise<OutputChunk> {
	const {key, task, stream, offset, bytesMax} = place;
	const dir = partDir(site, key);
	// Looked at before the bytes: what is complete then can't grow between.
	const isComplete = isStreamComplete(site, place);
	const path = `${dir}/${spoolName(stream, task)}`;
	// Synchronous: a spool is a local file, and four turns of the thread pool cost ten times as much.
	const fd = openIfThere(path);
	// Made for its first byte: there was none.
	if (fd === null) return isComplete ? lossOf(site, place) : withoutSpool(site, place);
	try {
		const {size} = fstatSync(fd);
		if (size === 0 && isComplete) return lossOf(site, place);
		const length = Math.max(0, Math.min(bytesMax, size - offset));
		const data = new Uint8Array(length);
		const bytesRead = length === 0 ? 0 : readSync(fd, data, 0, length, offset);
		return {data: data.subarray(0, bytesRead), eof: isComplete && offset + bytesRead >= size};
	} catch (error) {
		throw asSystemError(error, 'EIO', `read ${path}`);
	} finally {
		closeSync(fd);
	}
}

/** Implements `ProcessHost.readEventlog`. */
export async function readEventlog(site: RankSite, key: PartKey): Promise<string> {
	return readJournal(partDir(site, key));
}

/** Implements `ProcessHost.readExchange`. */
export function readExchange(site: RankSite, key: PartKey, barrier: number): Exchange | null {
	const dir = partDir(site, key);
	const spec = readPart(dir)?.spec;
	if (spec === undefined) return null;
	const puts = pmiKvsOf(spec, textOf(`${dir}/pmi`)).entry(barrier);
	return puts === null ? null : {id: key.id, attempt: key.attempt, barrier, puts};
}

/** A stream that ended empty. When the disk took nothing, not even a word about it, the claim knows what was lost. */
function lossOf(site: RankSite, {key, task, stream, offset, bytesMax}: OutputPlace): OutputChunk {
	const dir = partDir(site, key);
	const lostBytes = readExit(dir, task)?.lostBytes ?? 0;
	// Counted for both streams: told once, on stderr if that can be.
	const isTold = stream === 'stdout' && (sizeOf(`${dir}/${spoolName('stderr', task)}`) ?? 0) === 0;
	if (lostBytes === 0 || isTold || readPart(dir)?.spec[stream] !== null)
		return {data: new Uint8Array(0), eof: true};
	const note = `coppice: ${lostBytes} bytes of output were lost: they could not be written in ${dir}\n`;
	const all = Buffer.from(note);
	const data = all.subarray(offset, offset + bytesMax);
	return {data, eof: offset + data.length >= all.length};
}

function sizeOf(path: string): number | undefined {
	return statSync(path, {throwIfNoEntry: false})?.size;
}

function withoutSpool(site: RankSite, place: OutputPlace): OutputChunk {
	const {key, task, stream} = place;
	const spec = readPart(partDir(site, key))?.spec;
	const isHere = spec?.tasks.includes(task) === true;
	if (spec !== undefined && !isHere && isScript(spec, task)) return {data: new Uint8Array(0), eof: false};
	if (spec === undefined || !isHere)
		throw new SystemError('ENOENT', `part ${partName(key)}: no output of task ${task} on this node`);
	// Not looked at once more: a task that wrote and ended since would be one that wrote nothing.
	return {data: new Uint8Array(0), eof: spec[stream] !== null};
}

function isScript({prolog, epilog}: LaunchSpec, task: number): boolean {
	return (task === PROLOG_TASK && prolog !== undefined) || (task === EPILOG_TASK && epilog !== undefined);
}

/** Whether the last byte was copied, or nobody is left who could. */
function isStreamComplete(site: RankSite, {key, task, stream}: OutputPlace): boolean {
	const dir = partDir(site, key);
	const found = readClaimAndExit(dir, task);
	if (found === null) return false;
	const {claim, exit} = found;
	if (claim.kind === 'void' || claim.shim === null) return true;
	if ((stream === 'stdout' ? exit?.stdoutComplete : exit?.stderrComplete) === true) return true;
	// Looked at first: what a shim records before it dies is recorded then.
	if (isAlive(claim.shim)) return false;
	const last = readExit(dir, task);
	const isCopied = stream === 'stdout' ? last?.stdoutComplete : last?.stderrComplete;
	if (isCopied === true) return true;
	// A task without shim has its output rescued until nothing of the part is alive.
	const part = readPart(dir);
	const cgroup = part?.spec.cgroup ?? partCgroup(site, key);
	if (cgroup !== '') return !isPopulated(cgroup);
	return part === undefined || hasExited(part.events);
}

/** Looks before it opens: most tasks write nothing, and an error that is thrown costs more than all the rest here. */
function openIfThere(path: string): number | null {
	try {
		return statSync(path, {throwIfNoEntry: false}) === undefined ? null : openSync(path, 'r');
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
		throw asSystemError(error, 'EIO', `read ${path}`);
	}
}
