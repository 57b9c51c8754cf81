/**
 * The tree as it is, from what its brokers say (docs/services.md, `overlay.status`). Pure. Invariant: each rank of the topology at or
 * below `top` has exactly one entry, whoever answered: a rank that is silent is judged by its parent's word, and
 * one whose parent is silent stands behind it.
 */
import {SystemError} from '../../formats/errno.ts';
import type {Topology} from '../../net/overlay/topology.ts';
import type {ChildReport, RankIdentity, RankReport} from './rank-report.ts';

/**
 * As in Flux: `full`: it and all below are online; `partial`: some below are offline; `degraded`: some below are lost or torpid.
 * `torpid`: it is silent; `lost`: contact was lost, or it was declared dead; `offline`: it has gone in good order, or was not
 * seen since its parent's start.
 */
export type TreeStatus = 'full' | 'partial' | 'degraded' | 'torpid' | 'lost' | 'offline';

/** A field without a value is null. */
export interface StatusEntry {
	readonly rank: number;
	readonly hostname: string;
	readonly parent: number | null;
	/** Of its newest life that is known. */
	readonly pid: number | null;
	readonly uuid: string | null;
	readonly boot_count: number | null;
	readonly status: TreeStatus;
	/** Epoch seconds. Of one that is online: the newest change at or below it. */
	readonly since: number;
	readonly version: string | null;
	readonly error: string | null;
}

export interface TreeQuestion {
	/** Whose subtree. */
	readonly top: number;
	readonly topology: Topology;
	readonly hosts: readonly string[];
	/** By rank: what it said, or why it did not. */
	readonly answers: ReadonlyMap<number, RankReport | SystemError>;
	readonly nowS: number;
}

/** One entry a rank, ascending by rank. */
export function judgeTree(question: TreeQuestion): readonly StatusEntry[] {
	const entries = new Map<number, StatusEntry>();
	judge(question, question.top, {record: null, parent: null, entries});
	return [...entries.values()].sort((a, b) => a.rank - b.rank);
}

/** Whether a rank with this status answers requests. */
export function isOnline(status: TreeStatus): boolean {
	return status === 'full' || status === 'partial' || status === 'degraded';
}

interface Above {
	/** What the parent says of it; null: nothing. */
	readonly record: ChildReport | null;
	/** The parent's report, when it answered. */
	readonly parent: RankReport | null;
	readonly entries: Map<number, StatusEntry>;
}

function judge(question: TreeQuestion, rank: number, above: Above): StatusEntry {
	const {topology, answers} = question;
	const answer = answers.get(rank);
	if (answer === undefined || answer instanceof SystemError) return judgeSilent(question, rank, above);
	const records = new Map(answer.children.map(child => [child.rank, child]));
	const below = topology
		.childrenOf(rank)
		.map(child =>
			judge(question, child, {record: records.get(child) ?? null, parent: answer, entries: above.entries}),
		);
	const joinedS = present(above.record)?.since ?? answer.since;
	const entry: StatusEntry = {
		...identityOf(question, rank, answer),
		status: statusOver(below),
		since: Math.max(joinedS, ...below.map(({since}) => since)),
		error: null,
	};
	above.entries.set(rank, entry);
	return entry;
}

function judgeSilent(question: TreeQuestion, rank: number, above: Above): StatusEntry {
	const {answers, nowS} = question;
	const {record, parent, entries} = above;
	const answer = answers.get(rank);
	const failure = answer instanceof SystemError ? answer : null;
	let state: Pick<StatusEntry, 'status' | 'since' | 'error'>;
	const connected = present(record);
	if (connected !== null) {
		// Its parent may have spoken before it was lost.
		const status = failure?.code === 'EHOSTUNREACH' ? 'lost' : 'torpid';
		const isKnown = status === connected.state;
		state = {
			status,
			since: isKnown ? connected.since : nowS,
			error: isKnown ? 'silent' : (failure?.toString() ?? 'silent'),
		};
	} else if (record !== null && record.state === 'lost') {
		state = {status: 'lost', since: record.since, error: record.error};
	} else {
		state = {status: 'offline', since: record?.since ?? parent?.since ?? nowS, error: null};
	}
	const entry = {...identityOf(question, rank, record), ...state};
	entries.set(rank, entry);
	for (const child of question.topology.childrenOf(rank))
		standBehind(question, child, {culprit: entry, entries});
	return entry;
}

/** Nobody can say more of it than that a broker on the way to it is out of reach. */
function standBehind(
	question: TreeQuestion,
	rank: number,
	{culprit, entries}: {readonly culprit: StatusEntry; readonly entries: Map<number, StatusEntry>},
): void {
	const {status, since, hostname} = culprit;
	const error = status === 'offline' ? null : `behind rank ${culprit.rank} (${hostname}), which is ${status}`;
	entries.set(rank, {...identityOf(question, rank, null), status, since, error});
	for (const child of question.topology.childrenOf(rank)) standBehind(question, child, {culprit, entries});
}

function statusOver(below: readonly StatusEntry[]): TreeStatus {
	const isAny = (...wanted: TreeStatus[]) => below.some(({status}) => wanted.includes(status));
	if (isAny('degraded', 'lost', 'torpid')) return 'degraded';
	return isAny('partial', 'offline') ? 'partial' : 'full';
}

/** The record of a child that is connected, or null. */
function present(record: ChildReport | null): ChildReport | null {
	return record?.state === 'online' || record?.state === 'torpid' ? record : null;
}

function identityOf({topology, hosts}: TreeQuestion, rank: number, known: RankIdentity | null) {
	// A record without a hello knows no more than the configuration.
	const identity = known === null || known.uuid === '' ? null : known;
	return {
		rank,
		hostname: hosts[rank] ?? '',
		parent: topology.parentOf(rank),
		pid: identity?.pid ?? null,
		uuid: identity?.uuid ?? null,
		boot_count: identity?.boot_count ?? null,
		version: identity?.version ?? null,
	};
}
