/**
 * Session tracking of one rank: one scanner for all its parts, and one sweep for all that are to be ended, a moment after
 * they were asked for, so that a thousand of them cost as much as one.
 */

import type {Clock, Timer} from '../../ports/clock.ts';
import {partName, type PartKey} from '../../ports/process-host.ts';
import {rankDir, type RankSite} from '../part-paths.ts';
import {partOfMark} from '../process-mark.ts';
import type {Member, PartRole} from '../process-table.ts';
import {ProcessScanner, type Doomed, type ProcessScan} from './process-scanner.ts';
import {SessionProcesses, type SessionPart} from './session-processes.ts';

/** From the first order to kill to the sweep: most tasks end of SIGKILL to their leader, and their shim says so. */
const SWEEP_DELAY_MS = 5;
/** The pause after a sweep, in times of its length. */
const SWEEP_PAUSE_FACTOR = 2;
/** How often all parts are searched for without a reason; and while one of them has lost a shim. */
const REMEMBER_MS = 10_000;
const REMEMBER_URGENT_MS = 1000;

export class SessionTracking {
	readonly log: (text: string) => void;
	readonly #clock: Clock;
	readonly #scanner: ProcessScanner;
	readonly #parts = new Map<string, SessionProcesses>();
	readonly #doomed = new Map<string, Doomed>();
	#timer: Timer | null = null;
	#nextSweepMs = 0;
	#rememberedMs = 0;

	constructor({
		site,
		clock,
		log,
	}: {
		readonly site: RankSite;
		readonly clock: Clock;
		readonly log: (text: string) => void;
	}) {
		this.log = log;
		this.#clock = clock;
		const claimed = () => [...this.#parts.values()].flatMap(part => part.claimed);
		this.#scanner = new ProcessScanner(rankDir(site).slice(site.jobdir.length + 1), clock, claimed);
	}

	/** The processes of a part; the same object each time, until it is released. */
	of(part: SessionPart): SessionProcesses {
		const known = this.#parts.get(part.name);
		if (known?.isKnown === part.tasks.length > 0) return known;
		const processes = new SessionProcesses(part, this);
		this.#parts.set(part.name, processes);
		return processes;
	}

	release(name: string): void {
		this.#parts.delete(name);
		this.#doomed.delete(name);
	}

	/**
	 * Looks who is there, so that what is a job's now is known as such when it has left its parent, its session and its
	 * environment. Called often; `isUrgent`: the shim of a running task is dead.
	 */
	remember(isUrgent: boolean): void {
		if (this.#parts.size === 0) return;
		const nowMs = this.#clock.monotonicMs();
		if (nowMs - this.#rememberedMs < (isUrgent ? REMEMBER_URGENT_MS : REMEMBER_MS)) return;
		this.#rememberedMs = nowMs;
		this.#scanner.look();
	}

	/** As `ProcessScanner.look`. */
	look(): ProcessScan {
		return this.#scanner.look();
	}

	/** As `ProcessScanner.lookAnew`. */
	lookAnew(): ProcessScan {
		return this.#scanner.lookAnew();
	}

	/** As of the last scan, which may be up to a second old. */
	membersOf(name: string, role: PartRole): Member[] {
		return this.#scanner.look().members.filter(member => member.part === name && member.role === role);
	}

	freshMembersOf(name: string, role: PartRole): Member[] {
		return this.#scanner.scan().members.filter(member => member.part === name && member.role === role);
	}

	/** The parts of which anything is alive, known or not. */
	livingParts(): PartKey[] {
		const names = new Set(this.#scanner.scan().members.map(({part}) => part));
		return [...names].map(partOfMark).filter(key => key !== undefined);
	}

	/** Has these processes ended by the next sweep. */
	doom({part, role}: Doomed): void {
		const before = this.#doomed.get(part);
		this.#doomed.set(part, {part, role: before === undefined || before.role === role ? role : null});
		const delayMs = Math.max(SWEEP_DELAY_MS, this.#nextSweepMs - this.#clock.monotonicMs());
		this.#timer ??= this.#clock.setTimer(delayMs, () => this.#sweep());
	}

	close(): void {
		this.#timer?.cancel();
	}

	#sweep(): void {
		this.#timer = null;
		const doomed = [...this.#doomed.values()];
		this.#doomed.clear();
		if (doomed.length === 0) return;
		const startMs = this.#clock.monotonicMs();
		try {
			this.#scanner.sweep(doomed);
		} catch (error) {
			this.log(`sweep of ${doomed.length} parts: ${String(error)}`);
		}
		const endMs = this.#clock.monotonicMs();
		this.#nextSweepMs = endMs + (endMs - startMs) * SWEEP_PAUSE_FACTOR;
	}
}

/** The parts of a rank of which something is alive, with the pids of it, found once without a clock's help. */
export function livingMembers(site: RankSite, clock: Clock): Map<string, number[]> {
	const scanner = new ProcessScanner(rankDir(site).slice(site.jobdir.length + 1), clock);
	const found = new Map<string, number[]>();
	for (const {part: mark, pid} of scanner.scan().members) {
		const key = partOfMark(mark);
		const part = key === undefined ? mark : partName(key);
		found.set(part, [...(found.get(part) ?? []), pid]);
	}
	return found;
}
