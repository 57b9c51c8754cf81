/**
 * The parts that were over on this node and were deleted, by name: as their claims did before, they keep a part from being
 * started twice, whatever the root's log has lost. Two files of names, one a line, of which the older is dropped, so that at least
 * the last `FORGOTTEN_MIN` are known. Each begins with the one of the highest id of all before.
 */
import {appendFileSync, renameSync} from 'node:fs';
import {asSystemError} from '../../formats/errno.ts';
import {partName, type PartKey} from '../../ports/process-host.ts';
import {parsePartName, rankDir, type RankSite} from '../part-paths.ts';
import {readIfThere} from './part-dir.ts';

/** Many times what happens from one snapshot of the log to the next: what a salvage gives up lies between two of them. */
export const FORGOTTEN_MIN = 16_384;

const JOB_ID_MAX = 2n ** 64n - 1n;

export class ForgottenParts {
	readonly #path: string;
	/** The names of the newer file, and of the older one. */
	#newer = new Set<string>();
	#older = new Set<string>();
	#highest: PartKey = {id: 0n, attempt: 1};
	/** The newer file ends within a name: a full disk or a power failure cut it off. */
	#isTorn = false;

	/** @throws {SystemError} with the errno of the file system. */
	constructor(site: RankSite) {
		this.#path = `${rankDir(site)}/forgotten`;
		this.#older = this.#read(`${this.#path}.1`);
		this.#newer = this.#read(this.#path); // Last: it is the end of this one that counts for the next name.
	}

	/** The highest id of any part that was ever deleted, or 0n. */
	get highestJobId(): bigint {
		return this.#highest.id;
	}

	has(key: PartKey): boolean {
		const name = partName(key);
		return this.#newer.has(name) || this.#older.has(name);
	}

	/**
	 * To be called before the part's directory is deleted.
	 * @throws {SystemError} with the errno of the file system; then it may be called again.
	 */
	add(key: PartKey): void {
		if (this.has(key)) return;
		try {
			if (this.#newer.size >= FORGOTTEN_MIN) this.#turn();
			this.#append(key);
		} catch (error) {
			this.#isTorn = true; // Some of it may have been written.
			throw asSystemError(error, 'EIO', `write ${this.#path}`);
		}
		this.#take(key, this.#newer);
	}

	/** In this order: whatever comes in between, the older file knows the highest id by then. */
	#turn(): void {
		renameSync(this.#path, `${this.#path}.1`);
		this.#older = this.#newer;
		this.#newer = new Set();
		this.#isTorn = false;
		this.#append(this.#highest);
	}

	/** On a line of its own, whatever was cut off before it. */
	#append(key: PartKey): void {
		appendFileSync(this.#path, `${this.#isTorn ? '\n' : ''}${partName(key)}\n`, {mode: 0o600});
		this.#isTorn = false;
	}

	#read(path: string): Set<string> {
		const names = new Set<string>();
		const text = readIfThere(path) ?? '';
		this.#isTorn = text !== '' && !text.endsWith('\n');
		for (const line of text.split('\n').slice(0, -1)) {
			const key = parsePartName(line);
			if (key !== undefined && key.id <= JOB_ID_MAX) this.#take(key, names);
		}
		return names;
	}

	#take(key: PartKey, names: Set<string>): void {
		names.add(partName(key));
		if (key.id > this.#highest.id) this.#highest = key;
	}
}
