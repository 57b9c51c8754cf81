/** Small files that are read and replaced whole. */
import {mkdir, open, readFile, rename, writeFile} from 'node:fs/promises';
import {dirname} from 'node:path';
import {asSystemError} from '../../formats/errno.ts';

/** The text of a file, or null when it is not there. @throws {SystemError} */
export async function readSmallFile(path: string): Promise<string | null> {
	try {
		return await readFile(path, 'utf8');
	} catch (error) {
		const {code} = error as NodeJS.ErrnoException;
		if (code === 'ENOENT' || code === 'ENOTDIR') return null;
		throw asSystemError(error, 'EIO', `reading ${path}`);
	}
}

/**
 * Replaces a file atomically and durably (write, fsync, rename, fsync of the directory), mode 0600. Writers of one
 * path must not overlap. @throws {SystemError} the old content stands.
 */
export async function replaceSmallFile(path: string, text: string): Promise<void> {
	const aside = `${path}.${process.pid}.tmp`;
	try {
		await writeAndSync(aside, text);
		await rename(aside, path);
		await syncDirectory(dirname(path));
	} catch (error) {
		throw asSystemError(error, 'EIO', `writing ${path}`);
	}
}

/** As `replaceSmallFile`, for what matters only until the machine goes down: not synced. */
export async function replaceVolatileFile(path: string, text: string): Promise<void> {
	const aside = `${path}.${process.pid}.tmp`;
	try {
		await writeFile(aside, text, {mode: 0o600});
		await rename(aside, path);
	} catch (error) {
		throw asSystemError(error, 'EIO', `writing ${path}`);
	}
}

/** Makes a directory and its parents, mode 0700, so that a power cut does not take it away. */
export async function makeDirectory(path: string): Promise<void> {
	try {
		const first = await mkdir(path, {recursive: true, mode: 0o700});
		if (first === undefined) return;
		for (let at = path; at.length >= first.length; at = dirname(at)) await syncDirectory(dirname(at));
	} catch (error) {
		throw asSystemError(error, 'EIO', `making the directory ${path}`);
	}
}

async function writeAndSync(path: string, text: string): Promise<void> {
	const file = await open(path, 'w', 0o600);
	try {
		await file.writeFile(text);
		await file.sync();
	} finally {
		await file.close();
	}
}

async function syncDirectory(path: string): Promise<void> {
	const directory = await open(path, 'r');
	try {
		await directory.sync();
	} finally {
		await directory.close();
	}
}
