/**
 * Deletes what forgotten parts left on disk, a few at a time, each only after its name was written down. What can't be deleted or
 * written now is tried again until it can.
 */

import {SystemError} from '../../formats/errno.ts';
import type {Clock, Timer} from '../../ports/clock.ts';
import {partName, type PartKey} from '../../ports/process-host.ts';
import type {RankSite} from '../part-paths.ts';
import {ForgottenParts} from './forgotten-parts.ts';
import {removePartDir, removeSpools} from './part-dir.ts';
import {scriptSpecsOf} from './part-script.ts';
import type {PartSupervisor} from './part-supervisor.ts';
import type {SpareDirs} from './spare-dirs.ts';

/** Directories deleted in one turn of the event loop. */
const REMOVALS_PER_TURN = 16;
const RETRY_MS = 1000;

export interface PartRemovalsOptions {
	readonly site: RankSite;
	readonly clock: Clock;
	/** Takes directories that the next parts can use. */
	readonly spares: SpareDirs;
	/** Runs the action, and tells whether it succeeded; its error is dealt with. */
	readonly guard: (key: PartKey, action: () => void) => boolean;
}

export class PartRemovals {
	readonly #options: PartRemovalsOptions;
	readonly #forgotten: ForgottenParts;
	/** Those whose directories are still to be deleted, by name. */
	readonly #pending = new Map<string, PartSupervisor>();
	/** Those of which a file could not be deleted or written. */
	readonly #stuck = new Map<string, PartSupervisor>();
	#retryTimer: Timer | null = null;
	#isScheduled = false;

	/** @throws {SystemError} when the names of those deleted before can't be read. */
	constructor(options: PartRemovalsOptions) {
		this.#options = options;
		this.#forgotten = new ForgottenParts(options.site);
	}

	/** The highest id of any part that was ever deleted, or 0n. */
	get highestJobId(): bigint {
		return this.#forgotten.highestJobId;
	}

	/** Something is to be deleted at once, not only to be tried again. */
	get isBusy(): boolean {
		return this.#pending.size > 0;
	}

	/** The part was forgotten and still has its directory and cgroup. */
	isLeaving(key: PartKey): boolean {
		return this.#pending.has(partName(key)) || this.#stuck.has(partName(key));
	}

	/** The part was forgotten, now or by an earlier shell: it must not be started again. */
	has(key: PartKey): boolean {
		return this.isLeaving(key) || this.#forgotten.has(key);
	}

	add(part: PartSupervisor): void {
		this.#pending.set(partName(part.spec), part);
		this.#removeSoon();
	}

	#removeSoon(): void {
		if (this.#isScheduled) return;
		this.#isScheduled = true;
		setImmediate(() => {
			this.#isScheduled = false;
			const batch: PartSupervisor[] = [];
			for (const part of this.#pending.values()) if (batch.push(part) === REMOVALS_PER_TURN) break;
			for (const part of batch) {
				this.#pending.delete(partName(part.spec));
				if (!this.#options.guard(part.spec, () => this.#remove(part)))
					this.#stuck.set(partName(part.spec), part);
			}
			if (this.#pending.size > 0) this.#removeSoon();
			if (this.#stuck.size > 0) this.#retryLater();
		});
	}

	#retryLater(): void {
		if (this.#retryTimer !== null) return;
		this.#retryTimer = this.#options.clock.setTimer(RETRY_MS, () => {
			this.#retryTimer = null;
			for (const [name, part] of this.#stuck) this.#pending.set(name, part);
			this.#stuck.clear();
			this.#removeSoon();
		});
	}

	#remove(part: PartSupervisor): void {
		// Without a cgroup there is nothing to remove: it was empty, and every claim taken, when it exited.
		if (part.spec.cgroup !== '' && !part.processes.remove())
			throw new SystemError('EBUSY', `${part.spec.cgroup} is not empty, so its directory stays`);
		part.processes.close();
		try {
			this.#forgotten.add(part.spec);
		} catch {
			removeSpools(part.dir); // On a full disk their room is needed for it.
			this.#forgotten.add(part.spec);
		}
		const isReusable = part.spec.cgroup !== '' && scriptSpecsOf(part.spec).length === 0;
		if (!isReusable || !this.#options.spares.give(part.dir)) removePartDir(part.dir);
	}
}
