/**
 * Notices when a cgroup becomes empty, for parts of which no shim will tell. Only a hint: where the kernel has no
 * watches left (EMFILE, ENOSPC), the shell's poll is all there is, and enough.
 */

import {watch, type FSWatcher} from 'node:fs';

export class CgroupWatch {
	#watcher: FSWatcher | null = null;

	/** Calls `onChange` after each change of `populated` in the cgroup or below it, perhaps also without one. */
	constructor(cgroup: string, onChange: () => void) {
		try {
			this.#watcher = watch(`${cgroup}/cgroup.events`, {persistent: false}, onChange);
			// The cgroup was removed, or the watch was refused late: the poll goes on.
			this.#watcher.on('error', () => this.close());
		} catch (error) {
			const {code} = error as NodeJS.ErrnoException;
			if (code !== 'EMFILE' && code !== 'ENOSPC' && code !== 'ENOENT' && code !== 'ENODEV') throw error;
		}
	}

	close(): void {
		this.#watcher?.close();
		this.#watcher = null;
	}
}
