/**
 * The lock of a state directory, named by the directory's device, inode and time of birth: it is the same by whatever path the
 * directory was reached. LevelDB's own LOCK (fcntl) stands behind it for other network namespaces.
 */
import {stat} from 'node:fs/promises';
import {SystemError} from '../../formats/errno.ts';
import {type KernelLock, lockHolder, takeLock} from '../../ports/real/kernel-lock.ts';

/** @throws {SystemError} EBUSY with the holder's pid when it is known. */
export async function lockDirectory(path: string): Promise<KernelLock> {
	// An inode number is used again as soon as its directory is deleted, perhaps under the feet of a holder.
	const {dev, ino, birthtimeNs} = await stat(path, {bigint: true});
	const name = `coppice-store-${dev}-${ino}-${birthtimeNs}`;
	const lock = await takeLock(name);
	if (lock !== null) return lock;
	const pid = (await lockHolder(name))?.pid ?? null;
	const who = pid === null ? 'another process' : `process ${pid}`;
	throw new SystemError('EBUSY', `The state directory ${path} is in use by ${who}`);
}
