/**
 * Copies of a LevelDB directory by hard links, so that they cost nothing. LevelDB never changes a file that it
 * finds: it replays old logs into new tables, writes a new manifest, and deletes the old files' names.
 */
import {constants} from 'node:fs';
import {copyFile, link, mkdir, open, readdir, rename, rm} from 'node:fs/promises';
import {join} from 'node:path';

/** Only `LOCK` has no content that counts. */
const LEFT_OUT = new Set(['LOCK']);
/** What hard links fail with where a file system or a container does not have them. */
const NO_LINK = new Set(['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EACCES']);

/** Makes `to` with all files of `from`; complete or not there at all. An older `to` is replaced. */
export async function copyDirectory(from: string, to: string): Promise<void> {
	const unfinished = `${to}.new`;
	await rm(unfinished, {recursive: true, force: true});
	await mkdir(unfinished, {recursive: true});
	await linkFiles(from, unfinished);
	await rm(to, {recursive: true, force: true});
	await rename(unfinished, to);
}

export async function linkFiles(from: string, to: string): Promise<void> {
	for (const entry of await readdir(from, {withFileTypes: true})) {
		if (entry.isFile() && !LEFT_OUT.has(entry.name))
			await linkFile(join(from, entry.name), join(to, entry.name));
	}
}

async function linkFile(from: string, to: string): Promise<void> {
	try {
		await link(from, to);
	} catch (error) {
		if (!NO_LINK.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
		await copyFile(from, to, constants.COPYFILE_FICLONE);
	}
}

/** Makes the names in a directory survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
	const directory = await open(path, 'r');
	try {
		await directory.sync();
	} finally {
		await directory.close();
	}
}
