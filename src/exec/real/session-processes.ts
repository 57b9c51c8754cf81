/**
 * The processes of a part without a cgroup. In the common case its shims know: each has adopted what its task left behind,
 * and says in the exit record when nothing is left. Where a shim was killed, and to end what is left, /proc is searched.
 *
 * Invariant: a role counts as empty only by the word of all shims, or when two scans in a row, both begun after the question
 * was first asked, have found nothing; and a part only when every claim is taken, so that a late shim finds nothing to do.
 */

import {asSystemError} from '../../formats/errno.ts';
import type {ExitRecord, Claim} from '../task-record.ts';
import type {KnownProcess, PartRole} from '../process-table.ts';
import {readClaimAndExit, takeClaim} from './part-dir.ts';
import type {PartProcesses} from './part-processes.ts';
import {isAlive} from './proc.ts';
import {signalAll} from './process-scanner.ts';
import type {SessionTracking} from './session-tracking.ts';

/** Scans without a find after which nothing is there: one alone may have passed a parent and missed its child. */
const EMPTY_SCANS_MIN = 2;

export interface SessionPart {
	/** `partName`, as in marks. */
	readonly name: string;
	readonly dir: string;
	/** Its tasks; none when nobody knows: then only scans count. */
	readonly tasks: readonly number[];
}

type TaskRecord = {readonly claim: Claim; readonly exit: ExitRecord | null} | null;

export class SessionProcesses implements PartProcesses {
	readonly #part: SessionPart;
	readonly #tracking: SessionTracking;
	/** Tasks of which nothing is alive nor can come, their shims aside. */
	readonly #over = new Set<number>();
	/** As the claims have named them last. */
	readonly #claimed = new Map<number, readonly KnownProcess[]>();
	/** By role: the last scan without a find, and how many there were. */
	readonly #empty = new Map<PartRole, {generation: number; count: number}>();

	constructor(part: SessionPart, tracking: SessionTracking) {
		this.#part = part;
		this.#tracking = tracking;
	}

	/** Whether its directory is known. */
	get isKnown(): boolean {
		return this.#part.tasks.length > 0;
	}

	/** The processes that its claims have named so far. */
	get claimed(): readonly KnownProcess[] {
		return [...this.#claimed.values()].flat();
	}

	prepare(): void {
		// Its directory is all that a part needs.
	}

	isPopulated(role?: PartRole): boolean {
		if (role === undefined) return this.isPopulated('payload') || this.isPopulated('shim');
		const records = this.#part.tasks.map(task => this.#read(task));
		const isCertain = records.length > 0 && records.every(record => record !== null && isLed(record));
		if (isCertain && role === 'payload' && records.every(record => isOver(record!))) return false;
		if (isCertain && role === 'shim') {
			if (records.some(record => isShimAlive(record!.claim))) return true;
			// Those who rescue output are there only where a shim was killed.
			if (records.every(record => isOver(record!))) return false;
		}
		return !this.#isFoundEmpty(role);
	}

	pids(role: PartRole): readonly number[] {
		return this.#tracking.membersOf(this.#part.name, role).map(({pid}) => pid);
	}

	remember(): void {
		for (const task of this.#part.tasks) this.#read(task);
		this.#tracking.lookAnew();
	}

	signal(role: PartRole, signum: number): number {
		for (const task of this.#part.tasks) this.#read(task);
		return signalAll(this.#tracking.freshMembersOf(this.#part.name, role), signum);
	}

	kill(role?: PartRole): void {
		for (const task of this.#part.tasks) this.#read(task);
		this.#tracking.doom({part: this.#part.name, role: role ?? null});
	}

	remove(role?: PartRole): boolean {
		if (role !== undefined) return !this.isPopulated(role);
		return this.#areClaimsTaken() && !this.isPopulated();
	}

	watch(): {close(): void} {
		return {close: () => undefined};
	}

	close(): void {
		this.#tracking.release(this.#part.name);
	}

	#read(task: number): TaskRecord {
		if (this.#over.has(task)) return OVER;
		const record = readClaimAndExit(this.#part.dir, task);
		if (record === null) return null;
		const {claim} = record;
		if (isOver(record) && !isShimAlive(claim)) {
			this.#over.add(task);
			this.#claimed.delete(task);
			return OVER;
		}
		if (claim.kind === 'void') return record;
		const named = [
			...(claim.shim === null ? [] : [{...claim.shim, role: 'shim' as const}]),
			...(claim.task === null ? [] : [{...claim.task, role: 'payload' as const}]),
		];
		this.#claimed.set(
			task,
			named.map(({pid, startTicks, role}) => ({pid, startTicks, role, part: this.#part.name})),
		);
		return record;
	}

	#isFoundEmpty(role: PartRole): boolean {
		const {generation, members} = this.#tracking.look();
		const isEmpty = !members.some(member => member.part === this.#part.name && member.role === role);
		const before = this.#empty.get(role);
		if (!isEmpty) this.#empty.delete(role);
		else if (before === undefined) {
			// A scan that was there before may be older than what is looked for.
			this.#empty.set(role, {generation, count: 0});
		} else if (before.generation !== generation) {
			this.#empty.set(role, {generation, count: before.count + 1});
		}
		return (this.#empty.get(role)?.count ?? 0) >= EMPTY_SCANS_MIN;
	}

	/** Takes those that are free. False: the disk is full, say, and a late shim could still take one. */
	#areClaimsTaken(): boolean {
		try {
			for (const task of this.#part.tasks) {
				if (!this.#over.has(task) && readClaimAndExit(this.#part.dir, task) === null)
					takeClaim(this.#part.dir, task);
			}
			return true;
		} catch (error) {
			this.#tracking.log(`part ${this.#part.name}: ${asSystemError(error).toString()}`);
			return false;
		}
	}
}

const OVER: TaskRecord = {claim: {kind: 'void'}, exit: null};

/** Whether the shim has written its name: before that it can't have started anything. */
function isLed({claim}: NonNullable<TaskRecord>): boolean {
	return claim.kind === 'void' || claim.shim !== null;
}

/** Whether nothing is left of what the task has started, by the word of its shim. */
function isOver({claim, exit}: NonNullable<TaskRecord>): boolean {
	return claim.kind === 'void' || exit?.isAlone === true;
}

function isShimAlive(claim: Claim): boolean {
	return claim.kind === 'claimed' && claim.shim !== null && isAlive(claim.shim);
}
