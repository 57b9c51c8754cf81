/**
 * The proof of a log at its opening (DESIGN section 3.9): from the newest valid snapshot to the end every record is
 * there, is chained to the one before it, and the end is where the HEAD file says. LevelDB itself
 * opens without a word after a flipped bit or a cut tail.
 */
import type {Store, StoreEntry} from '../ports/store.ts';
import {LogDamageError, seqRangeText, type Damage} from './damage.ts';
import type {Head} from './head-file.ts';
import {keyspaceRange, KEYSPACE, META_BASE, META_CLEAN, recordKey, seqOfKey} from './keyspaces.ts';
import {readMeta} from './meta.ts';
import {decodeRecord, NO_HASH, sameBytes, type LogRecord} from './record-codec.ts';
import {recordAt, scanRecords} from './record-scan.ts';
import {findSnapshots, type Snapshot} from './snapshots.ts';

export interface Proof {
	/** From the first record, or else from HEAD; null: nobody knows. */
	readonly logId: string | null;
	/** The first sequence number that is there, or should be: reading from here meets `base-missing`. */
	readonly base: number;
	/** The last sequence number before any damage, and the chain hash there. */
	readonly end: {readonly seq: number; readonly hash: Uint8Array};
	/** The last durable fact up to `end`. */
	readonly durableSeq: number;
	/** Where replay may begin: the newest valid snapshot, or else the base checkpoint, or else null. */
	readonly snapshot: Snapshot | null;
	/** All snapshots' sequence numbers, ascending. */
	readonly snapshotSeqs: readonly number[];
	/** Empty: the log is proved. */
	readonly damages: readonly Damage[];
	/**
	 * Facts after the last fsync that a power cut tore: none of them was durable, so none was acknowledged. What is
	 * left of them has to be deleted before the next append.
	 */
	readonly torn: {readonly fromSeq: number; readonly toSeq: number} | null;
	/** The last owner closed the log. */
	readonly clean: boolean;
}

/** Never rejects for damage: what LevelDB can't read is damage too. `head`: null when there is none. */
export async function proveLog(store: Store, head: Head | null): Promise<Proof> {
	try {
		return await prove(store, head);
	} catch (error) {
		const why = error instanceof Error ? error.message : String(error);
		const sentence = `The database cannot be read: ${why}.`;
		const damage: Damage = {kind: 'unreadable', fromSeq: 0, toSeq: null, sentence};
		return {...nothing(head?.logId ?? null), damages: [damage]};
	}
}

/** The proof of a log of which nothing is left. */
export function nothing(logId: string | null): Proof {
	return {
		logId,
		base: 0,
		end: {seq: -1, hash: NO_HASH},
		durableSeq: 0,
		snapshot: null,
		snapshotSeqs: [],
		damages: [],
		torn: null,
		clean: false,
	};
}

async function prove(store: Store, head: Head | null): Promise<Proof> {
	const {base, first, damage: baseDamage} = await findBase(store);
	const damages: Damage[] = baseDamage === null ? [] : [baseDamage];
	const found = await findSnapshots(store);
	const newest = found.newest !== null && found.newest.seq >= base ? found.newest : null;
	const firstSeq = first?.seq ?? base;
	const tail = await proveTail(store, {
		head,
		fromSeq: newest === null ? firstSeq : newest.seq + 1,
		hash: newest?.hash ?? null,
		durableSeq: newest === null ? 0 : ((await recordAt(store, newest.seq))?.durableSeq ?? 0),
	});
	damages.push(...tail.damages);
	const headDamage = judgeHead(head, {
		...tail,
		logId: logIdOf(first),
		earlier: head === null ? null : await earlierHash(store, head.seq),
		isBelowBase: head !== null && head.seq < firstSeq,
		isDamaged: damages.length > 0,
	});
	const torn = tornTail(damages, {...tail, headSeq: head?.seq ?? Number.POSITIVE_INFINITY});
	if (headDamage !== null) damages.push(headDamage);
	const clean = readMeta(store, META_CLEAN);
	return {
		logId: logIdOf(first) ?? head?.logId ?? null,
		base: baseDamage === null ? firstSeq : base,
		end: tail.end,
		durableSeq: tail.durableSeq,
		snapshot: newest ?? checkpointSnapshot(first),
		snapshotSeqs: found.seqs,
		damages: torn === null ? damages : [],
		torn,
		clean: clean !== null && clean.seq === tail.end.seq && sameBytes(clean.hash, tail.end.hash),
	};
}

export interface Base {
	readonly base: number;
	/** The first record that is there; null: none, or it cannot be read. */
	readonly first: LogRecord | null;
	readonly damage: Damage | null;
}

/** The first record must be one that names the log, at the base that the last truncation noted. */
export async function findBase(store: Store): Promise<Base> {
	const base = readMeta(store, META_BASE)?.seq ?? 0;
	let found: StoreEntry | null;
	try {
		found = await firstRecord(store, base);
	} catch (error) {
		const sentence = `The beginning of the log cannot be read: ${(error as Error).message}.`;
		return {base, first: null, damage: {kind: 'unreadable', fromSeq: base, toSeq: null, sentence}};
	}
	const seq = found === null ? null : seqOfKey(found[0]);
	const first = found === null || seq === null ? null : tryDecode(seq, found[1]);
	if (first !== null && first.kind !== 'facts' && (first.seq === base || base === 0)) {
		return {base: first.seq, first, damage: null};
	}
	const toSeq = seq === null ? null : Math.max(base, seq - 1);
	const sentence = `The beginning of the log is missing: ${seqRangeText(base, toSeq)}.`;
	return {base, first, damage: {kind: 'base-missing', fromSeq: base, toSeq, sentence}};
}

async function firstRecord(store: Store, fromSeq: number): Promise<StoreEntry | null> {
	const range = {gte: recordKey(fromSeq), lt: keyspaceRange(KEYSPACE.record).lt, limit: 1};
	for await (const entry of store.iterate(range)) return entry;
	return null;
}

function tryDecode(seq: number, value: Uint8Array): LogRecord | null {
	try {
		return decodeRecord(seq, value);
	} catch {
		return null;
	}
}

/** The log's id as its first record names it. */
export function logIdOf(first: LogRecord | null): string | null {
	return first?.genesis?.logId ?? first?.checkpoint?.logId ?? first?.bridge?.logId ?? null;
}

function checkpointSnapshot(first: LogRecord | null): Snapshot | null {
	if (first === null || first.checkpoint === null) return null;
	return {seq: first.seq, bytes: first.checkpoint.state, hash: first.chainHash};
}

interface Tail {
	readonly damages: readonly Damage[];
	readonly end: {readonly seq: number; readonly hash: Uint8Array};
	readonly durableSeq: number;
	/** The last sequence number of any record that is there, also behind damage, and its `durableSeq`. */
	readonly lastSeq: number;
	readonly lastDurableSeq: number;
	/** The chain hash of the record that ends at HEAD's sequence number, when it was scanned. */
	readonly hashAtHead: Uint8Array | null;
}

async function proveTail(
	store: Store,
	start: {head: Head | null; fromSeq: number; hash: Uint8Array | null; durableSeq: number},
): Promise<Tail> {
	const {head, fromSeq, hash: prevHash} = start;
	const damages: Damage[] = [];
	let end = {seq: fromSeq - 1, hash: prevHash ?? NO_HASH};
	let {durableSeq} = start;
	let [lastSeq, lastDurableSeq] = [end.seq, durableSeq];
	let hashAtHead = head !== null && head.seq === end.seq ? end.hash : null;
	for await (const items of scanRecords(store, {fromSeq, prevHash, toSeq: Number.POSITIVE_INFINITY})) {
		for (const item of items) {
			if (item instanceof LogDamageError) {
				damages.push(item.damage);
				lastSeq = Math.max(lastSeq, item.damage.toSeq ?? item.damage.fromSeq ?? 0);
				continue;
			}
			[lastSeq, lastDurableSeq] = [item.endSeq, item.durableSeq];
			if (head?.seq === item.endSeq) hashAtHead = item.chainHash;
			if (damages.length > 0) continue;
			end = {seq: item.endSeq, hash: item.chainHash};
			durableSeq = item.durableSeq;
		}
	}
	return {damages, end, durableSeq, lastSeq, lastDurableSeq, hashAtHead};
}

/** The chain hash at `seq` in the part that the scan may not have read. */
async function earlierHash(store: Store, seq: number): Promise<Uint8Array | null> {
	const record = await recordAt(store, seq);
	return record?.endSeq === seq ? record.chainHash : null;
}

interface HeadContext {
	readonly lastSeq: number;
	readonly hashAtHead: Uint8Array | null;
	readonly logId: string | null;
	readonly earlier: Uint8Array | null;
	readonly isBelowBase: boolean;
	readonly isDamaged: boolean;
}

function judgeHead(head: Head | null, log: HeadContext): Damage | null {
	if (head === null) {
		const sentence = 'The HEAD file is missing or unreadable: nothing proves where the log ended.';
		return {kind: 'head-missing', fromSeq: null, toSeq: null, sentence};
	}
	if (log.logId !== null && head.logId !== log.logId) {
		const sentence = `The HEAD file belongs to log ${head.logId}, but the database is log ${log.logId}.`;
		return {kind: 'foreign-head', fromSeq: null, toSeq: null, sentence};
	}
	if (head.seq > log.lastSeq) {
		const [fromSeq, toSeq] = [log.lastSeq + 1, head.seq];
		const sentence =
			`The log ends at ${log.lastSeq}, but ${head.seq} was acknowledged: ${toSeq - fromSeq + 1} facts were ` +
			'cut off, or the database was replaced by an older copy.';
		return {kind: 'lost-tail', fromSeq, toSeq, sentence};
	}
	const hash = log.hashAtHead ?? log.earlier;
	if (log.isDamaged || log.isBelowBase || (hash !== null && sameBytes(hash, head.hash))) return null;
	const sentence = `The log is not the one that HEAD was written for: they differ at fact ${head.seq}.`;
	return {kind: 'foreign-head', fromSeq: null, toSeq: null, sentence};
}

/**
 * A machine that loses power may keep later unsynced pages and lose earlier ones. That is no damage when
 * 1. the first thing wrong is a gap, 2. HEAD, written after each fsync, ends before it, and 3. no record behind it
 * knows of a durable fact in the gap or later.
 */
function tornTail(
	damages: readonly Damage[],
	log: {lastSeq: number; lastDurableSeq: number; headSeq: number},
): Proof['torn'] {
	const [first] = damages;
	if (first?.kind !== 'gap' || first.fromSeq === null) return null;
	if (damages.some(damage => damage.kind !== 'gap')) return null;
	if (log.headSeq >= first.fromSeq || log.lastDurableSeq >= first.fromSeq) return null;
	return {fromSeq: first.fromSeq, toSeq: log.lastSeq};
}
