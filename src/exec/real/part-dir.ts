/**
 * The directory of a part on disk. Invariant: `part` exists with a whole spec or not at all; claims are linked exclusively, say whose
 * they are from the beginning, and are never deleted before the part's cgroup is gone.
 */

import {
	chmodSync,
	closeSync,
	constants,
	linkSync,
	lstatSync,
	mkdirSync,
	openSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmdirSync,
	rmSync,
	unlinkSync,
	writeFileSync,
} from 'node:fs';
import {asSystemError} from '../../formats/errno.ts';
import type {CarriedFile, PartKey} from '../../ports/process-host.ts';
import {decodeEvents, type JournalEvent} from '../journal.ts';
import {decodePart, encodeLaunch, encodePart, journalIn, type StoredSpec} from '../launch-record.ts';
import {parseLeaseRecord, type LeaseRecord} from '../lease.ts';
import {parsePartDir, rankDir, taskName, type RankSite} from '../part-paths.ts';
import type {SpareDirs} from './spare-dirs.ts';
import {parseClaim, parseExit, voidClaim, type Claim, type ExitRecord} from '../task-record.ts';

const LEASE_NAME = 'lease';

/**
 * Lays out the directory of a new part, with the launch records of its prolog and epilog. One without `part` is a start that was
 * cut off, and is completed.
 * @throws {SystemError} with the errno of the file system; then there is no `part`.
 */
export function createPartDir(
	dir: string,
	spec: StoredSpec,
	{scripts = [], spares}: {readonly scripts?: readonly StoredSpec[]; readonly spares?: SpareDirs} = {},
): void {
	try {
		const text = encodePart(spec);
		const isSimple = spec.cgroup !== '' && spec.tasks.length === 1 && spec.carried === undefined;
		if (isSimple && scripts.length === 0 && spares?.take(dir, spec.tasks[0]!, text) === true) return;
		makeDir(dir);
		if (spec.carried !== undefined) writeCarried(carriedDir(dir), spec.carried);
		for (const script of scripts) {
			writeFileSync(`${dir}/launch.${taskName(script.tasks[0]!)}`, encodeLaunch(script), {mode: 0o600});
		}
		writeFileSync(`${dir}/part.tmp`, text, {mode: 0o600});
		renameSync(`${dir}/part.tmp`, partPath(dir));
	} catch (error) {
		throw asSystemError(error, 'EIO', `lay out ${dir}`);
	}
}

/** Where the files are that came with the job. */
export function carriedDir(dir: string): string {
	return `${dir}/tmp`;
}

function writeCarried(dir: string, files: readonly CarriedFile[]): void {
	makeDir(dir);
	for (const {name, mode, data, encoding} of files) {
		writeFileSync(`${dir}/${name}`, Buffer.from(data, encoding), {mode: 0o600});
		chmodSync(`${dir}/${name}`, mode & 0o777); // Whatever our mask is.
	}
}

export interface StoredPart {
	readonly spec: StoredSpec;
	/** Its journal's. */
	readonly events: readonly JournalEvent[];
	/** The journal's last line was cut off, so that the next must begin with a line feed. */
	readonly isTorn: boolean;
}

/** What is on disk of a part, or undefined when there is nothing. @throws {SystemError} EBADMSG for a damaged one. */
export function readPart(dir: string): StoredPart | undefined {
	const text = readIfThere(partPath(dir));
	if (text === undefined) return undefined;
	const {spec, journal} = decodePart(text, partPath(dir));
	return {spec, events: decodeEvents(journal), isTorn: journal !== '' && !journal.endsWith('\n')};
}

/** The claim of a task, or null when nobody has it. */
export function readClaim(dir: string, task: number): Claim | null {
	const text = readIfThere(claimPath(dir, task));
	return text === undefined ? null : parseClaim(text);
}

/** The end of a task as its shim recorded it, or null. */
export function readExit(dir: string, task: number): ExitRecord | null {
	return parseExit(readIfThere(claimPath(dir, task)) ?? '');
}

/** Both at once; null when nobody has the task. */
export function readClaimAndExit(
	dir: string,
	task: number,
): {readonly claim: Claim; readonly exit: ExitRecord | null} | null {
	const text = readIfThere(claimPath(dir, task));
	return text === undefined ? null : {claim: parseClaim(text), exit: parseExit(text)};
}

/**
 * Takes a task's claim so that no shim can start it. False: a shim has it already.
 * @throws {SystemError} ENOSPC and the like; then nobody has it yet.
 */
export function takeClaim(dir: string, task: number): boolean {
	const path = claimPath(dir, task);
	const draft = `${dir}/void.${task}`;
	try {
		writeFileSync(draft, voidClaim(process.pid), {mode: 0o600});
		linkSync(draft, path);
		return true;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
		throw asSystemError(error, 'EIO', `take ${path}`);
	} finally {
		rmSync(draft, {force: true});
	}
}

/** @throws {SystemError} */
export function appendJournal(dir: string, lines: string): void {
	try {
		const fd = openSync(partPath(dir), constants.O_WRONLY | constants.O_APPEND);
		try {
			writeFileSync(fd, lines);
		} finally {
			closeSync(fd);
		}
	} catch (error) {
		throw asSystemError(error, 'EIO', `write ${partPath(dir)}`);
	}
}

/** The journal as text, whole lines only; empty when there is none. @throws {SystemError} */
export function readJournal(dir: string): string {
	const journal = journalIn(readIfThere(partPath(dir)) ?? '');
	return journal.slice(0, journal.lastIndexOf('\n') + 1);
}

/** Deletes the output of a part whose cgroup is gone. @throws {SystemError} */
export function removeSpools(dir: string): void {
	try {
		for (const name of readdirSync(dir))
			if (/^(dropped\.|held\.)?std(out|err)\.|^stdin$/.test(name)) unlinkSync(`${dir}/${name}`);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw asSystemError(error, 'EIO', `empty ${dir}`);
	}
}

/** Deletes the directory of a part whose cgroup is gone; `part` first, so that no half of it is adopted. */
export function removePartDir(dir: string): void {
	try {
		rmSync(partPath(dir), {force: true});
		if (!removeFiles(dir)) rmSync(dir, {recursive: true, force: true});
	} catch (error) {
		throw asSystemError(error, 'EIO', `delete ${dir}`);
	}
}

/** The common case of `rmSync`, in a third of its system calls. False: there is more in it than files. */
function removeFiles(dir: string): boolean {
	try {
		for (const name of readdirSync(dir)) unlinkSync(`${dir}/${name}`);
		rmdirSync(dir);
		return true;
	} catch {
		return false; // Said by whoever tries again.
	}
}

/** The parts that have a directory of this user's. */
export function listParts(site: RankSite): PartKey[] {
	const dir = rankDir(site);
	let names: string[];
	try {
		names = readdirSync(dir);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
		throw asSystemError(error, 'EIO', `list ${dir}`);
	}
	return names
		.map(parsePartDir)
		.filter(key => key !== undefined)
		.filter(({id, attempt}) => isOwn(`${dir}/job-${id}.${attempt}`));
}

/** What an earlier shell of this rank wrote down of its contact with the root, or null. */
export function readLease(site: RankSite): LeaseRecord | null {
	const text = readIfThere(`${rankDir(site)}/${LEASE_NAME}`);
	return text === undefined ? null : parseLeaseRecord(text);
}

/** @throws {SystemError} */
export function writeLease(site: RankSite, record: LeaseRecord): void {
	const path = `${rankDir(site)}/${LEASE_NAME}`;
	try {
		writeFileSync(`${path}.new`, JSON.stringify(record), {mode: 0o600});
		renameSync(`${path}.new`, path);
	} catch (error) {
		throw asSystemError(error, 'EIO', `write ${path}`);
	}
}

function claimPath(dir: string, task: number): string {
	return `${dir}/claim.${taskName(task)}`;
}

function partPath(dir: string): string {
	return `${dir}/part`;
}

function makeDir(dir: string): void {
	try {
		mkdirSync(dir, {mode: 0o700});
	} catch (error) {
		const {code} = error as NodeJS.ErrnoException;
		if (code === 'ENOENT') mkdirSync(dir, {mode: 0o700, recursive: true});
		else if (code !== 'EEXIST') throw error;
	}
}

function isOwn(dir: string): boolean {
	try {
		const stat = lstatSync(dir);
		return stat.isDirectory() && stat.uid === process.getuid?.();
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
		throw asSystemError(error, 'EIO', `look at ${dir}`);
	}
}

/** The text of a file, or undefined where there is none. @throws {SystemError} with the errno of the file system. */
export function readIfThere(path: string): string | undefined {
	try {
		return readFileSync(path, 'utf8');
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
		throw asSystemError(error, 'EIO', `read ${path}`);
	}
}
