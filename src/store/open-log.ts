/**
 * Opening a state directory: lock, keep the evidence, open, prove. Ends in one of two ways: a proved log that can be
 * written, or safe mode with everything readable up to the damage. Never in an empty log where one was before.
 *
 * The copy `opening` is made before LevelDB may touch a file and is discarded, fsynced, before the first append: while it
 * is there, nothing was appended since, so an opening that crashed or found damage never replaces it.
 */
import {SystemError, asSystemError} from '../formats/errno.ts';
import type {Clock} from '../ports/clock.ts';
import type {Random} from '../ports/random.ts';
import type {Store, StoreDir, StoreOp} from '../ports/store.ts';
import type {Damage} from './damage.ts';
import {HEAD_FILE, HeadFile, type Head} from './head-file.ts';
import {keyspaceRange, KEYSPACE, recordKey} from './keyspaces.ts';
import {decodeRecord, encodeGenesis} from './record-codec.ts';
import {nothing, proveLog, type Proof} from './prove-log.ts';

/** The copy of the database as it was before the opening that is not proved (yet). */
export const OPENING_COPY = 'opening';
/** Written by the owner once the instance exists; where it is, an empty start is an error. */
export const INSTANCE_FILE = 'instance.json';
/** Disk that is set aside for opening the log on a full disk: LevelDB needs its write buffer twice for that. */
export const BALLAST_BYTES = 4 * 1024 * 1024;
/** With less than this left, the log opens in safe mode; the owner leaves it when the ballast fits again too. */
export const FREE_BYTES_MIN = 1024 * 1024;

export interface OpenOptions {
	readonly clock: Clock;
	/** For the id of a new log. */
	readonly random: Random;
	/** Whether a directory that never had a log gets one. */
	readonly create: boolean;
}

export interface OpenedLog {
	/** Null: nothing can be read at all. */
	readonly store: Store | null;
	readonly proof: Proof;
	/** With the opening's own damages in front of the proof's. */
	readonly damages: readonly Damage[];
	readonly headFile: HeadFile;
	readonly head: Head | null;
}

/**
 * Takes the lock and opens; the lock is given back when this rejects.
 * @throws {SystemError} EBUSY another process has the directory; ENOENT there is no log and `create` is not set;
 * EACCES, EMFILE, ENOSPC… the directory cannot be used now. Nothing was changed in the log then.
 */
export async function openLog(dir: StoreDir, options: OpenOptions): Promise<OpenedLog> {
	await dir.lock();
	try {
		return await openLocked(dir, options);
	} catch (error) {
		await dir.unlock();
		throw asSystemError(error);
	}
}

/** Reads a directory from a private copy and changes nothing, not even the lock. */
export async function openForInspection(dir: StoreDir): Promise<OpenedLog> {
	const {headFile, head} = await readHead(dir);
	if (!(await dir.exists())) return vanished(dir, head, headFile);
	const {store, damages} = await openOrRepair(dir, async () => dir.openCopy({name: null, repair: false}));
	return finish(store, {damages, head, headFile});
}

async function openLocked(dir: StoreDir, options: OpenOptions): Promise<OpenedLog> {
	const {headFile, head} = await readHead(dir);
	const isKnown = head !== null || (await isThere(dir, HEAD_FILE)) || (await isThere(dir, INSTANCE_FILE));
	if (!(await dir.exists())) {
		if (isKnown) return vanished(dir, head, headFile);
		if (!options.create) throw new SystemError('ENOENT', `${dir.path} has no event log`);
		await createLog(dir, options);
	}
	const copies = await dir.copies();
	if (!copies.includes(OPENING_COPY)) await withBallast(dir, async () => dir.preserve(OPENING_COPY));
	let isFull = false;
	const {store, damages} = await openOrRepair(dir, async () => {
		const opened = await withBallast(dir, async () => dir.open({create: false}));
		isFull = opened.dropped;
		return opened.value;
	});
	try {
		if (store !== null && !isKnown && isNewLog(store)) return await adoptNewLog(dir, {store, headFile});
		const opened = await finish(store, {damages, head, headFile});
		if (opened.damages.length > 0) return opened;
		return await settle(dir, opened, isFull);
	} catch (error) {
		await store?.close();
		throw error;
	}
}

async function readHead(dir: StoreDir): Promise<{headFile: HeadFile; head: Head | null}> {
	const headFile = new HeadFile();
	const bytes = await dir.readFile(HEAD_FILE);
	return {headFile, head: bytes === undefined ? null : headFile.load(bytes)};
}

async function isThere(dir: StoreDir, name: string): Promise<boolean> {
	return (await dir.readFile(name)) !== undefined;
}

/** A database appears whole, with its genesis record, or not at all: it is built aside and renamed. */
async function createLog(dir: StoreDir, {clock, random}: OpenOptions): Promise<void> {
	const value = encodeGenesis({logId: random.uuid(), createdMs: clock.epochMs()});
	await dir.replaceDatabase({
		keepAs: null,
		build: async store => store.write([{type: 'put', key: recordKey(0), value}], {sync: true}),
	});
}

/** Whether the creation was interrupted before HEAD was there: then nothing was ever acknowledged. */
function isNewLog(store: Store): boolean {
	return store.get(recordKey(0)) !== undefined && store.get(recordKey(1)) === undefined;
}

async function adoptNewLog(
	dir: StoreDir,
	{store, headFile}: {store: Store; headFile: HeadFile},
): Promise<OpenedLog> {
	const genesis = decodeRecord(0, store.get(recordKey(0))!);
	const head: Head = {logId: genesis.genesis?.logId ?? '', seq: 0, hash: genesis.chainHash, mark: null};
	const proof = await proveLog(store, head);
	if (proof.damages.length > 0) return {store, proof, damages: proof.damages, headFile, head};
	await dir.replaceFile(HEAD_FILE, headFile.next(head));
	return settle(dir, {store, proof: {...proof, clean: true}, damages: [], headFile, head}, false);
}

/** What every proved opening ends with: the torn tail and the evidence go, the ballast is there again. */
async function settle(dir: StoreDir, opened: OpenedLog, isFull: boolean): Promise<OpenedLog> {
	if (opened.proof.torn !== null && !isFull) await dropTornTail(opened.store!, opened.proof.torn.fromSeq);
	await dir.discard(OPENING_COPY);
	if (!isFull && (await dir.fillBallast(BALLAST_BYTES))) return opened;
	if (!isFull && (await dir.freeBytes()) >= FREE_BYTES_MIN) return opened;
	const sentence = `The disk of ${dir.path} is full: nothing is lost, but nothing can be written.`;
	const damage: Damage = {kind: 'full', fromSeq: null, toSeq: null, sentence};
	return {...opened, damages: [damage]};
}

async function dropTornTail(store: Store, fromSeq: number): Promise<void> {
	const ops: StoreOp[] = [];
	const range = {gte: recordKey(fromSeq), lt: keyspaceRange(KEYSPACE.record).lt};
	for await (const [key] of store.iterate(range)) ops.push({type: 'del', key});
	await store.write(ops, {sync: true});
}

/** Tries again with the ballast's room when the disk is full. */
async function withBallast<T>(dir: StoreDir, run: () => Promise<T>): Promise<{value: T; dropped: boolean}> {
	try {
		return {value: await run(), dropped: false};
	} catch (error) {
		if (asSystemError(error).code !== 'ENOSPC' || !(await dir.dropBallast())) throw error;
		return {value: await run(), dropped: true};
	}
}

const PASSING = new Set(['EBUSY', 'EACCES', 'EPERM', 'EMFILE', 'ENOMEM', 'ENOSPC', 'EROFS']);

/** Whether an error says nothing about the database itself: trying again later is the answer, not safe mode. */
export function isPassing(error: unknown): boolean {
	return PASSING.has(asSystemError(error).code);
}

async function openOrRepair(
	dir: StoreDir,
	open: () => Promise<Store>,
): Promise<{store: Store | null; damages: Damage[]}> {
	try {
		return {store: await open(), damages: []};
	} catch (error) {
		const reason = asSystemError(error);
		if (isPassing(reason)) throw reason;
		const sentence = `The database in ${dir.path} cannot be opened: ${reason.message}.`;
		const damage: Damage = {kind: 'unopenable', fromSeq: null, toSeq: null, sentence};
		return {store: await repairedCopy(dir), damages: [damage]};
	}
}

async function repairedCopy(dir: StoreDir): Promise<Store | null> {
	try {
		return await dir.openCopy({name: null, repair: true});
	} catch (error) {
		if (isPassing(error)) throw error;
		return null; // The damage `unopenable` stands for it.
	}
}

async function finish(
	store: Store | null,
	{damages, head, headFile}: {damages: readonly Damage[]; head: Head | null; headFile: HeadFile},
): Promise<OpenedLog> {
	const proof = store === null ? nothing(head?.logId ?? null) : await proveLog(store, head);
	return {store, proof, damages: [...damages, ...proof.damages], headFile, head};
}

function vanished(dir: StoreDir, head: Head | null, headFile: HeadFile): OpenedLog {
	const toSeq = head?.seq ?? null;
	const known = toSeq === null ? '' : `, which held facts up to ${toSeq}`;
	const sentence = `The database in ${dir.path} has vanished${known}.`;
	const damage: Damage = {kind: 'vanished', fromSeq: 0, toSeq, sentence};
	return {store: null, proof: nothing(head?.logId ?? null), damages: [damage], headFile, head};
}
