/**
 * The way out of safe mode. A plan says what is damaged, what can be recovered from where, and what would be given
 * up; executing it builds a new database and keeps the damaged one. Nothing that was acknowledged is given up while
 * its bytes can be found.
 */
import {asSystemError, SystemError} from '../formats/errno.ts';
import type {Store, StoreDir, StoreOp} from '../ports/store.ts';
import {seqRangeText} from './damage.ts';
import {fillRegion, findRegions, isInRegion, type Filling} from './damaged-regions.ts';
import {HEAD_FILE, HeadFile, type Head} from './head-file.ts';
import {ALL_ROWS, keyspaceRange, KEYSPACE, keyText, recordKey, seqOfKey} from './keyspaces.ts';
import {isPassing, OPENING_COPY} from './open-log.ts';
import {findBase, logIdOf} from './prove-log.ts';
import {
	collectRaw,
	type Candidate,
	type CollectOptions,
	type FoundRow,
	type RawCollection,
} from './raw-collection.ts';
import {decodeRecord, sameBytes, sha256} from './record-codec.ts';
import {rebuildDatabase, type Rebuilding} from './rebuild-database.ts';
import {isWholeRow} from './rows.ts';

/** The damaged database is kept under this name and a number. */
export const DAMAGED_COPY = 'damaged';
/** Of both kinds together: the database that was replaced, and its evidence. */
export const DAMAGED_COPIES_MAX = 4;

export interface SalvagePlan {
	/** What is wrong and what would be done, as a person reads it. */
	readonly sentences: readonly string[];
	readonly lost: readonly {readonly fromSeq: number; readonly toSeq: number}[];
	readonly recovered: readonly {readonly fromSeq: number; readonly toSeq: number; readonly source: string}[];
	/** False: there is nothing to do. */
	readonly isNeeded: boolean;
	/** False: the log's id is not known, and nothing of it is left. */
	readonly isPossible: boolean;
	/** For `executeSalvage`. */
	readonly work: SalvageWork;
}

interface SalvageWork extends Rebuilding {
	/** Whether a new database is needed at all; HEAD may be all that is wrong. */
	readonly rebuild: boolean;
	readonly main: 'none' | 'copy' | 'repaired';
	/** What HEAD is to say; null: what it says. */
	readonly head: Head | null;
}

/**
 * Looks at everything that is there and changes nothing. The owner may call it in safe mode, beside its open log.
 * @throws {SystemError} when private copies cannot be made (ENOSPC, EACCES).
 */
export async function planSalvage(dir: StoreDir): Promise<SalvagePlan> {
	const headBytes = await dir.readFile(HEAD_FILE);
	const writtenHead = headBytes === undefined ? null : new HeadFile().load(headBytes);
	const {store, main, why} = await openMain(dir);
	try {
		const sources = [null, ...(await dir.copies()).filter(name => name === OPENING_COPY)];
		const exists = await dir.exists();
		return await makePlan(dir, {store, main, why, writtenHead, sources: exists ? sources : sources.slice(1)});
	} finally {
		await store?.close();
	}
}

/**
 * Does what the plan says; the caller holds the lock and has no store open. After a rejection the damaged database
 * is still in its place.
 * @throws {SystemError} ENODATA when the plan is not possible.
 */
export async function executeSalvage(dir: StoreDir, plan: SalvagePlan): Promise<void> {
	if (!plan.isPossible) throw new SystemError('ENODATA', plan.sentences.join(' '));
	if (!plan.isNeeded) return;
	const {work} = plan;
	if (work.rebuild) {
		const repair = work.main === 'repaired';
		const source = work.main === 'none' ? null : await dir.openCopy({name: null, repair});
		try {
			const keepAs = await freeCopyName(dir);
			await dir.replaceDatabase({keepAs, build: async fresh => rebuildDatabase(fresh, source, work)});
			await keepEvidence(dir, keepAs);
		} finally {
			await source?.close();
		}
	}
	if (work.head !== null) await dir.replaceFile(HEAD_FILE, new HeadFile().next(work.head));
}

interface Found {
	readonly store: Store | null;
	readonly main: SalvageWork['main'];
	/** Why LevelDB itself does not open the database; null: it does. */
	readonly why: string | null;
	readonly writtenHead: Head | null;
	readonly sources: readonly (string | null)[];
}

async function openMain(dir: StoreDir): Promise<Pick<Found, 'store' | 'main' | 'why'>> {
	if (!(await dir.exists())) return {store: null, main: 'none', why: 'The database has vanished.'};
	try {
		return {store: await dir.openCopy({name: null, repair: false}), main: 'copy', why: null};
	} catch (error) {
		if (isPassing(error)) throw error;
		const why = `The database cannot be opened: ${asSystemError(error).message}.`;
		try {
			return {store: await dir.openCopy({name: null, repair: true}), main: 'repaired', why};
		} catch (repairError) {
			if (isPassing(repairError)) throw repairError;
			return {store: null, main: 'none', why};
		}
	}
}

async function makePlan(dir: StoreDir, found: Found): Promise<SalvagePlan> {
	const {store, writtenHead} = found;
	const {base, first} = store === null ? {base: 0, first: null} : await findBase(store);
	const logId = logIdOf(first) ?? writtenHead?.logId ?? null;
	const head = writtenHead !== null && writtenHead.logId === logId ? writtenHead : null;
	const scanned = await findRegions(store, {base, head});
	const strays = new Set(scanned.strays);
	const wants = (seq: number) => scanned.regions.some(region => isInRegion(region, seq));
	const rows = await checkRows(store);
	const isBroken = found.main !== 'copy' || scanned.isUnreadable || rows.isUnreadable;
	const raw = await collect(dir, {sources: found.sources, wants, allTables: isBroken});
	const candidates = [...raw.current(), ...(await ownCandidates(store, {wants, strays}))];
	const knownId = logId ?? candidates.map(({record}) => logIdOf(record)).find(id => id !== null) ?? null;
	const fillings = scanned.regions.flatMap(region => fillRegion(region, {candidates, logId: knownId ?? ''}));
	const rowFixes = fixRows(rows, [...raw.rows.values()]);
	const end = endOf(scanned.end, fillings);
	const isHeadGood = head !== null && (await endsAt(store, fillings, head));
	const newHead: Head = {logId: knownId ?? '', seq: end.seq, hash: end.hash, mark: writtenHead?.mark ?? null};
	const isRebuilt = found.main !== 'copy' || fillings.length > 0 || rowFixes.length > 0;
	return describePlan({
		why: found.why,
		fillings,
		damagedRows: rows.damaged.length,
		fixedRows: rowFixes.filter(({type}) => type === 'put').length,
		headSentence: isHeadGood ? null : headSentence(writtenHead, knownId),
		isPossible: knownId !== null,
		work: {
			base,
			regions: scanned.regions,
			strays,
			fillings,
			rowFixes,
			rebuild: isRebuilt || scanned.regions.length > 0,
			main: found.main,
			head: isHeadGood && !isRebuilt ? null : newHead,
		},
	});
}

/** A damaged table may hide what intact ones behind it hold: then all are read. */
async function collect(dir: StoreDir, options: CollectOptions): Promise<RawCollection> {
	const raw = await collectRaw(dir, options);
	return raw.damagedTables.size === 0 || options.allTables
		? raw
		: collectRaw(dir, {...options, allTables: true});
}

function endOf(
	end: {seq: number; hash: Uint8Array},
	fillings: readonly Filling[],
): {seq: number; hash: Uint8Array} {
	const last = fillings.at(-1);
	return last !== undefined && last.endSeq > end.seq ? {seq: last.endSeq, hash: last.chainHash} : end;
}

/** Whether HEAD names a place in the log as it will be. */
async function endsAt(store: Store | null, fillings: readonly Filling[], head: Head): Promise<boolean> {
	const filling = fillings.find(({endSeq}) => endSeq === head.seq);
	if (filling !== undefined) return sameBytes(filling.chainHash, head.hash);
	if (store === null) return false;
	const range = {gte: recordKey(0), lt: recordKey(head.seq + 1), reverse: true, limit: 1};
	try {
		for await (const [key, value] of store.iterate(range)) {
			const {endSeq, chainHash} = decodeRecord(seqOfKey(key) ?? 0, value);
			return endSeq === head.seq && sameBytes(chainHash, head.hash);
		}
	} catch {
		return false;
	}
	return false;
}

/** The database's own records in damaged stretches. */
async function ownCandidates(
	store: Store | null,
	{wants, strays}: {wants: (seq: number) => boolean; strays: ReadonlySet<number>},
): Promise<Candidate[]> {
	const found: Candidate[] = [];
	if (store === null) return found;
	try {
		for await (const [key, value] of store.iterate(keyspaceRange(KEYSPACE.record))) {
			const seq = seqOfKey(key);
			if (seq === null || !wants(seq)) continue;
			try {
				const record = decodeRecord(seq, value);
				const source = 'the database';
				const isDoubtful = strays.has(seq);
				found.push({record, value, isDoubtful, isMended: false, order: 0n, source});
			} catch {
				// Not a record: it is what the region is about.
			}
		}
	} catch {
		// LevelDB cannot read on; the raw files are all that is left.
	}
	return found;
}

interface CheckedRows {
	/** Rows whose checksum fails. */
	readonly damaged: readonly Uint8Array[];
	/** The hash of every other row that an iteration reaches, by key text: what it does not reach is not copied. */
	readonly whole: ReadonlyMap<string, Uint8Array>;
	readonly isUnreadable: boolean;
}

async function checkRows(store: Store | null): Promise<CheckedRows> {
	const damaged: Uint8Array[] = [];
	const whole = new Map<string, Uint8Array>();
	let isUnreadable = false;
	try {
		for await (const [key, stored] of store === null ? [] : store.iterate(ALL_ROWS)) {
			if (isWholeRow(key, stored)) whole.set(keyText(key), sha256(stored));
			else damaged.push(key);
		}
	} catch {
		isUnreadable = true;
	}
	return {damaged, whole, isUnreadable};
}

/** What the rows of the database need: writes that LevelDB dropped, whole versions of damaged ones, or deletion. */
function fixRows({damaged, whole}: CheckedRows, found: readonly FoundRow[]): readonly StoreOp[] {
	const fixes: StoreOp[] = damaged.map(key => ({type: 'del', key}));
	for (const {key, stored, isFromLog} of found) {
		const current = whole.get(keyText(key));
		if (stored === null) {
			if (isFromLog && current !== undefined) fixes.push({type: 'del', key});
		} else if (current === undefined || (isFromLog && !sameBytes(current, sha256(stored)))) {
			fixes.push({type: 'put', key, value: stored});
		}
	}
	return fixes;
}

interface PlanParts {
	readonly why: string | null;
	readonly fillings: readonly Filling[];
	readonly damagedRows: number;
	readonly fixedRows: number;
	readonly headSentence: string | null;
	readonly isPossible: boolean;
	readonly work: SalvageWork;
}

function describePlan(parts: PlanParts): SalvagePlan {
	const {why, fillings, damagedRows, fixedRows, headSentence: head, isPossible, work} = parts;
	const lost = fillings.flatMap(({seq, endSeq, candidate}) => {
		return candidate === null ? [{fromSeq: seq, toSeq: endSeq}] : [];
	});
	const recovered = merged(fillings);
	const sentences = [
		...(why === null ? [] : [why]),
		...recovered.map(
			({fromSeq, toSeq, source}) => `Recovered: ${seqRangeText(fromSeq, toSeq)}, from ${source}.`,
		),
		...lost.map(({fromSeq, toSeq}) => `Lost, and given up: ${seqRangeText(fromSeq, toSeq)}.`),
		...(damagedRows === 0 ? [] : [`Rows that are damaged: ${damagedRows}.`]),
		...(fixedRows === 0 ? [] : [`Rows that are recovered: ${fixedRows}.`]),
		...(head === null ? [] : [head]),
		...(isPossible ? [] : ["Nothing is left that tells the log's id: begin with an empty state directory."]),
	];
	const isNeeded = work.rebuild || work.head !== null;
	if (!isNeeded) sentences.push('The event log is whole: there is nothing to salvage.');
	else if (isPossible && work.rebuild) {
		const loss = lost.length === 0 && damagedRows === 0 ? 'nothing is lost' : 'the rest is kept';
		sentences.push(
			`The database is built anew from its tables and logs, ${loss}; the damaged one is set aside.`,
		);
	}
	return {sentences, lost, recovered, isNeeded, isPossible, work};
}

/** Neighbours from the same source as one range. */
function merged(fillings: readonly Filling[]): {fromSeq: number; toSeq: number; source: string}[] {
	const ranges: {fromSeq: number; toSeq: number; source: string}[] = [];
	for (const {seq, endSeq, candidate} of fillings) {
		if (candidate === null) continue;
		const source = candidate.isMended ? `${candidate.source}, with one flipped bit mended` : candidate.source;
		const last = ranges.at(-1);
		if (last !== undefined && last.source === source && last.toSeq === seq - 1) last.toSeq = endSeq;
		else ranges.push({fromSeq: seq, toSeq: endSeq, source});
	}
	return ranges;
}

function headSentence(head: Head | null, logId: string | null): string {
	if (head === null)
		return 'HEAD is missing or unreadable and will be written anew: whether a tail is lost, nobody knows.';
	if (head.logId !== logId) return `HEAD belongs to log ${head.logId} and will be written anew for this one.`;
	return `HEAD, at ${head.seq}, belongs to another course of this log and will be written anew.`;
}

/** What was there before LevelDB opened it stays beside the damaged database; older salvages' copies go. */
async function keepEvidence(dir: StoreDir, keepAs: string): Promise<void> {
	if ((await dir.copies()).includes(OPENING_COPY)) await dir.renameCopy(OPENING_COPY, `${keepAs}-evidence`);
	const kept = (await dir.copies()).filter(name => name.startsWith(DAMAGED_COPY));
	for (const name of kept.slice(0, -DAMAGED_COPIES_MAX)) await dir.discard(name);
}

async function freeCopyName(dir: StoreDir): Promise<string> {
	const taken = await dir.copies();
	for (let n = 1; ; n += 1) {
		if (!taken.includes(`${DAMAGED_COPY}-${n}`)) return `${DAMAGED_COPY}-${n}`;
	}
}
