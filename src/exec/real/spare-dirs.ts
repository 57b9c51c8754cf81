/**
 * Directories of parts that are over, kept for the next ones. A file system finds a free inode by passing over all that were freed in
 * the last seconds (ext4), so that to make and delete three for each part is what a short job would cost most.
 *
 * Invariants: a spare directory has no name of a part; it gets one, by one rename, only with a whole new spec in it. Its claim file
 * then waits as `unclaimed.T`, where a shim looks for it (docs/shell-protocol.md, section 2).
 * Only for parts with a cgroup: a late shim of the old part that is still in the directory can't join that any more, and so claims
 * nothing.
 */

import {
	closeSync,
	fstatSync,
	ftruncateSync,
	openSync,
	readdirSync,
	renameSync,
	rmSync,
	unlinkSync,
	writeSync,
} from 'node:fs';

export const SPARES_MAX = 64;

const PREFIX = 'spare-';
const CLAIM = /^(?:un)?claim(?:ed)?\.\d+$/;
/** A claim is blanked in place; one that is not as it should be is not used again. */
const CLAIM_BYTES_MIN = 512;
const CLAIM_BYTES_MAX = 4096;

interface Spare {
	readonly dir: string;
	/** The name of its claim file. */
	readonly claim: string;
}

export class SpareDirs {
	readonly #rankDir: string;
	#spares: Spare[] = [];
	#made = 0;

	constructor(rankDir: string) {
		this.#rankDir = rankDir;
	}

	/** Deletes what an earlier shell kept, or this one. Errors are nobody's concern: a spare that stays is in nobody's way. */
	clear(): void {
		this.#spares = [];
		for (const name of namesIn(this.#rankDir))
			if (name.startsWith(PREFIX)) remove(`${this.#rankDir}/${name}`);
	}

	/** Takes the directory of a part that is over from it. False: it is not wanted, and still there. */
	give(dir: string): boolean {
		if (this.#spares.length >= SPARES_MAX) return false;
		const spare = `${this.#rankDir}/${PREFIX}${this.#made++}`;
		try {
			renameSync(dir, spare);
		} catch {
			return false;
		}
		try {
			const claim = emptied(spare);
			if (claim === undefined) remove(spare);
			else this.#spares.push({dir: spare, claim});
		} catch {
			remove(spare);
		}
		return true;
	}

	/** Lays out a part of one task in a spare directory. False: there is none that can be used. */
	take(dir: string, task: number, text: string): boolean {
		const spare = this.#spares.pop();
		if (spare === undefined) return false;
		try {
			overwrite(`${spare.dir}/part`, text);
			blank(`${spare.dir}/${spare.claim}`);
			renameSync(`${spare.dir}/${spare.claim}`, `${spare.dir}/unclaimed.${task}`);
			renameSync(spare.dir, dir);
			return true;
		} catch {
			remove(spare.dir); // A full disk, or a directory with that name: whoever makes a new one says it.
			return false;
		}
	}
}

/** Deletes what is in a directory but `part` and one claim, and names that. Undefined: one of them is not there. */
function emptied(dir: string): string | undefined {
	let claim: string | undefined;
	let hasPart = false;
	for (const name of readdirSync(dir)) {
		if (name === 'part') hasPart = true;
		else if (claim === undefined && CLAIM.test(name)) claim = name;
		else unlinkSync(`${dir}/${name}`);
	}
	return hasPart ? claim : undefined;
}

function overwrite(path: string, text: string): void {
	const fd = openSync(path, 'r+');
	try {
		ftruncateSync(fd, writeWhole(fd, Buffer.from(text)));
	} finally {
		closeSync(fd);
	}
}

function blank(path: string): void {
	const fd = openSync(path, 'r+');
	try {
		const {size} = fstatSync(fd);
		if (size < CLAIM_BYTES_MIN || size > CLAIM_BYTES_MAX) throw new Error(`${path} has ${size} bytes`);
		writeWhole(fd, Buffer.alloc(size, ' '));
	} finally {
		closeSync(fd);
	}
}

function writeWhole(fd: number, bytes: Buffer): number {
	const written = writeSync(fd, bytes, 0, bytes.length, 0);
	if (written !== bytes.length) throw new Error(`${written} of ${bytes.length} bytes were written`);
	return written;
}

function namesIn(dir: string): readonly string[] {
	try {
		return readdirSync(dir);
	} catch {
		return [];
	}
}

function remove(dir: string): void {
	try {
		rmSync(dir, {recursive: true, force: true});
	} catch {
		// It is tried again by the next shell.
	}
}
