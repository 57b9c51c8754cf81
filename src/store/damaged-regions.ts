/**
 * Which stretches of a log are damaged, and what can be put there: records that the chain of hashes confirms from
 * the first good one behind, then whole ones that nothing contradicts, then bridges over what is lost.
 */
import type {Store} from '../ports/store.ts';
import {LogDamageError} from './damage.ts';
import type {Head} from './head-file.ts';
import {encodeBridge, NO_HASH, sameBytes} from './record-codec.ts';
import type {Candidate} from './raw-collection.ts';
import {scanRecords} from './record-scan.ts';

export interface Region {
	readonly fromSeq: number;
	/** Null: to the end of the log, wherever that was. */
	readonly toSeq: number | null;
	/** The chain hash before; null: the region begins the log. */
	readonly before: Uint8Array | null;
	/** The chain hash at its end, as the record behind it or HEAD names it; null: not known. */
	readonly after: Uint8Array | null;
	/** Nothing good lies behind it: whatever is there belongs to it too. */
	readonly isTail: boolean;
}

/** Whether a record that begins at `seq` is no part of the good log. */
export function isInRegion({fromSeq, toSeq, isTail}: Region, seq: number): boolean {
	return seq >= fromSeq && (isTail || toSeq === null || seq <= toSeq);
}

export interface ScannedLog {
	readonly regions: readonly Region[];
	/** Where records begin that are whole but of another course. */
	readonly strays: readonly number[];
	/** The end of what is there, behind every damage but a lost tail. */
	readonly end: {readonly seq: number; readonly hash: Uint8Array};
	/** LevelDB failed while reading: what lies behind must be found in its files. */
	readonly isUnreadable: boolean;
}

/** @param head null when HEAD says nothing about this log. */
export async function findRegions(
	store: Store | null,
	{base, head}: {base: number; head: Head | null},
): Promise<ScannedLog> {
	const regions: Region[] = [];
	let last: {seq: number; hash: Uint8Array} | null = null;
	let openFrom: number | null = null;
	let isUnreadable = false;
	const strays: number[] = [];
	const scan = {fromSeq: base, prevHash: null, toSeq: Number.POSITIVE_INFINITY};
	for await (const items of store === null ? [] : scanRecords(store, scan)) {
		for (const item of items) {
			if (item instanceof LogDamageError) {
				openFrom ??= last === null ? base : last.seq + 1;
				isUnreadable ||= item.damage.kind === 'unreadable';
				if (item.damage.kind === 'unchained') strays.push(item.damage.fromSeq!);
				continue;
			}
			if (openFrom !== null) {
				const [before, after] = [last?.hash ?? null, item.prevHash];
				regions.push({fromSeq: openFrom, toSeq: item.seq - 1, before, after, isTail: false});
				openFrom = null;
			}
			last = {seq: item.endSeq, hash: item.chainHash};
		}
	}
	const end = last ?? {seq: base - 1, hash: NO_HASH};
	const isCut = head !== null && head.seq > end.seq;
	if (openFrom !== null || isCut || last === null) {
		const [toSeq, after] = isCut ? [head.seq, head.hash] : [null, null];
		const fromSeq = openFrom ?? end.seq + 1;
		regions.push({fromSeq, toSeq, before: last?.hash ?? null, after, isTail: true});
	}
	return {regions, strays, end, isUnreadable};
}

/** One record that a salvage writes. */
export interface Filling {
	readonly seq: number;
	readonly endSeq: number;
	readonly value: Uint8Array;
	readonly chainHash: Uint8Array;
	/** Null: a bridge; its facts are lost. */
	readonly candidate: Candidate | null;
}

/** What stands for the region afterwards, ascending and without gaps. */
export function fillRegion(
	region: Region,
	{candidates, logId}: {candidates: readonly Candidate[]; logId: string},
): readonly Filling[] {
	const within = candidates.filter(({record: {seq, endSeq}}) => {
		return seq >= region.fromSeq && (region.toSeq === null || endSeq <= region.toSeq);
	});
	const chosen = chooseBackwards(region, within);
	const [lowest] = chosen;
	const isMisfit =
		lowest !== undefined && lowest.record.seq === region.fromSeq && !fitsBefore(lowest, region.before);
	if (isMisfit) chosen.shift();
	const filled = withBridges(region, chosen, logId);
	return !region.isTail || region.toSeq === null || region.after === null
		? filled
		: [...filled, ...continued({seq: region.toSeq, hash: region.after}, candidates)];
}

function fitsBefore({record}: Candidate, before: Uint8Array | null): boolean {
	return before === null ? record.kind !== 'facts' : sameBytes(record.prevHash, before);
}

/** From the end to the front: whoever is confirmed by the next one, or else the next whole one below. Ascending. */
function chooseBackwards(region: Region, within: readonly Candidate[]): Candidate[] {
	const chosen: Candidate[] = [];
	let cursor = region.toSeq ?? Number.POSITIVE_INFINITY;
	let need = region.after;
	for (;;) {
		const next: Candidate | null = linked(within, cursor, need) ?? bestBelow(within, cursor, need);
		if (next === null) return chosen.reverse();
		chosen.push(next);
		cursor = next.record.seq - 1;
		need = next.record.prevHash;
	}
}

function linked(within: readonly Candidate[], endSeq: number, need: Uint8Array | null): Candidate | null {
	if (need === null) return null;
	const fits = ({record}: Candidate) => record.endSeq === endSeq && sameBytes(record.chainHash, need);
	return within.find(fits) ?? null;
}

/** The highest whole one; of several versions the newest. One that ends right here is contradicted by `need`. */
function bestBelow(within: readonly Candidate[], cursor: number, need: Uint8Array | null): Candidate | null {
	const limit = need === null ? cursor : cursor - 1;
	let best: Candidate | null = null;
	for (const candidate of within) {
		const {endSeq} = candidate.record;
		if (candidate.isDoubtful || endSeq > limit) continue;
		const isBetter =
			best === null ||
			endSeq > best.record.endSeq ||
			(endSeq === best.record.endSeq && candidate.order > best.order);
		if (isBetter) best = candidate;
	}
	return best;
}

function withBridges(region: Region, chosen: readonly Candidate[], logId: string): Filling[] {
	const filled: Filling[] = [];
	let seq = region.fromSeq;
	let prevHash = region.before ?? NO_HASH;
	const bridge = (toSeq: number, hashAfter: Uint8Array) => {
		const reason = 'lost and given up by a salvage';
		const value = encodeBridge({toSeq, hashAfter, reason, logId}, {seq, prevHash, durableSeq: toSeq});
		filled.push({seq, endSeq: toSeq, value, chainHash: hashAfter, candidate: null});
		[seq, prevHash] = [toSeq + 1, hashAfter];
	};
	for (const candidate of chosen) {
		const {record, value} = candidate;
		if (record.seq > seq) bridge(record.seq - 1, record.prevHash);
		filled.push({seq, endSeq: record.endSeq, value, chainHash: record.chainHash, candidate});
		[seq, prevHash] = [record.endSeq + 1, record.chainHash];
	}
	if (region.toSeq !== null && region.after !== null && seq <= region.toSeq)
		bridge(region.toSeq, region.after);
	return filled;
}

/** Records behind HEAD, which is written after the commit: each must be confirmed by its place in the chain. */
function continued(end: {seq: number; hash: Uint8Array}, candidates: readonly Candidate[]): Filling[] {
	const found: Filling[] = [];
	let {seq, hash} = end;
	for (;;) {
		const follows = ({record}: Candidate) => record.seq === seq + 1 && sameBytes(record.prevHash, hash);
		const next = candidates.find(candidate => !candidate.isDoubtful && follows(candidate));
		if (next === undefined) return found;
		const {record, value} = next;
		found.push({seq: record.seq, endSeq: record.endSeq, value, chainHash: record.chainHash, candidate: next});
		({endSeq: seq, chainHash: hash} = record);
	}
}
