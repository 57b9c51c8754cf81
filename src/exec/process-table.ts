/**
 * Which processes belong to which part, where no cgroup tells. Pure: it judges rows as a scan of /proc has read them.
 *
 * A process belongs to a part when it carries the part's mark, is named by a claim of it, was known to belong to it
 * before, or descends from one that does, by parent or by a session whose leader does. What belongs once, belongs until it
 * ends: a process is its pid with its start ticks.
 */

import type {ProcessId} from './task-record.ts';

/** `shim`: our own processes, which supervise a task or rescue its output. `payload`: the task, and what it started. */
export type PartRole = 'shim' | 'payload';

/** What a process says of itself. */
export interface ProcessMark {
	/** `partName` of its part, with `.prolog` or `.epilog` behind it for those. */
	readonly part: string;
	readonly role: PartRole;
}

export interface ProcessRow extends ProcessId {
	readonly parent: number;
	readonly group: number;
	readonly session: number;
	readonly mark: ProcessMark | null;
}

export interface Member extends ProcessRow, ProcessMark {}

/** A process that a claim names. */
export interface KnownProcess extends ProcessId, ProcessMark {}

/** The members of all parts among `rows`, which are alive. `known`: named by claims, or members in an earlier scan. */
export function membersOf(rows: readonly ProcessRow[], known: readonly KnownProcess[]): Map<number, Member> {
	const byPid = new Map(rows.map(row => [row.pid, row]));
	const members = new Map<number, Member>();
	const add = (row: ProcessRow, {part, role}: ProcessMark) => members.set(row.pid, {...row, part, role});
	for (const {pid, startTicks, part, role} of known) {
		const row = byPid.get(pid);
		if (row?.startTicks === startTicks) add(row, {part, role});
	}
	// What a process says of itself now is newer: the fork of a shim turns into a task.
	for (const row of rows) if (row.mark !== null) add(row, row.mark);
	// Each round finds the next generation.
	for (let found = true; found;) {
		found = false;
		for (const row of rows) {
			if (members.has(row.pid)) continue;
			const elder = members.get(row.parent) ?? leaderOf(row, members);
			if (elder === undefined) continue;
			add(row, {part: elder.part, role: 'payload'});
			found = true;
		}
	}
	return members;
}

/** Sessions of shims are left out: a task has its own, and what is in a shim's is the shim. */
function leaderOf({session}: ProcessRow, members: ReadonlyMap<number, Member>): Member | undefined {
	const leader = members.get(session);
	return leader?.role === 'payload' ? leader : undefined;
}
