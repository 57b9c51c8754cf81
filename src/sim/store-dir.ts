/**
 * The simulated state directory. A `SimDisk` is what survives; a `SimStoreDir` is one process' view of it, dead
 * after the process' crash. Writes without fsync are forgotten at a power cut, or a prefix of them is kept; writes can
 * be made to fail, after which the store loses later ones without a word, as LevelDB does; the disk can be damaged.
 */
import {SystemError, type ErrnoName} from '../formats/errno.ts';
import type {Clock} from '../ports/clock.ts';
import type {RawFile, Store, StoreDir, StoreEntry, StoreOp, StoreRange} from '../ports/store.ts';
import {SortedMap} from './sorted-map.ts';

export interface SimDiskOptions {
	/** For messages. Default: `sim`. */
	readonly path?: string;
	/** With a clock, writes take time on it; without, they end in a later microtask. */
	readonly clock?: Clock;
	/** Default: 0.1 and 1. */
	readonly writeMs?: number;
	readonly syncMs?: number;
	/** Free space at the beginning. Default: 1 GiB. */
	readonly freeBytes?: number;
}

export interface SimCrash {
	/**
	 * How many of the writes since the last fsync survive, in order, one under way counted last. Default: all,
	 * as when only the process dies; 0: the machine lost power at the worst moment.
	 */
	readonly keepWrites?: number;
	/** How many of the newest writes of HEAD are lost; only a power cut does that. Default: 0. */
	readonly loseHeads?: number;
}

export interface SimWriteFault {
	/** The n-th write from now on fails, 1 being the next. */
	readonly nth: number;
	readonly code: ErrnoName;
	/** Whether its data is there after a reopen all the same. Default: false. */
	readonly isApplied?: boolean;
}

/** Copies of HEAD that were overwritten and could come back at a power cut. */
const OLD_HEADS_MAX = 16;
const COPIES_MAX = 2;
const CHUNK_ENTRIES_MAX = 1000;

type Undo = readonly (readonly [key: Uint8Array, old: Uint8Array | undefined])[];

interface PendingWrite {
	readonly ops: readonly StoreOp[];
	readonly isDead: () => boolean;
}

export class SimDisk {
	readonly path: string;
	readonly #clock: Clock | null;
	readonly #writeMs: number;
	readonly #syncMs: number;
	/** The database; null: there is none. */
	database: SortedMap | null = null;
	readonly files = new Map<string, Uint8Array>();
	readonly copies = new Map<string, SortedMap>();
	freeBytes: number;
	ballastBytes = 0;
	/** When set, opening fails so until it is cleared: a removed CURRENT, a corrupt MANIFEST. */
	openError: SystemError | null = null;
	/** How many writes have been asked for. */
	writeCount = 0;
	owner: SimStoreDir | null = null;
	#fault: {at: number; code: ErrnoName; isApplied: boolean} | null = null;
	/** What takes back each unsynced write, oldest first. */
	#unsynced: Undo[] = [];
	#pending: PendingWrite[] = [];
	#oldHeads: Uint8Array[] = [];

	constructor({path = 'sim', clock, writeMs = 0.1, syncMs = 1, freeBytes = 2 ** 30}: SimDiskOptions = {}) {
		this.path = path;
		this.#clock = clock ?? null;
		this.#writeMs = writeMs;
		this.#syncMs = syncMs;
		this.freeBytes = freeBytes;
	}

	/** The directory as a process with this pid sees it. */
	dir(pid = 1): SimStoreDir {
		return new SimStoreDir(this, pid);
	}

	/** The process that has the directory dies, and the machine with it unless everything is kept. */
	crash({keepWrites = Number.POSITIVE_INFINITY, loseHeads = 0}: SimCrash = {}): void {
		this.owner?.die();
		this.owner = null;
		for (let kept = this.#unsynced.length; kept > keepWrites; kept -= 1) this.#undo(this.#unsynced.pop()!);
		const room = Math.max(0, keepWrites - this.#unsynced.length);
		for (const {ops} of this.#pending.splice(0, this.#pending.length).slice(0, room)) this.#apply(ops);
		this.#unsynced = [];
		for (let lost = 0; lost < loseHeads && this.#oldHeads.length > 0; lost += 1) {
			this.files.set('HEAD', this.#oldHeads.pop()!);
		}
		this.#oldHeads = [];
		this.#fault = null;
	}

	/** How many writes a crash now could keep: the bound of `keepWrites`. */
	get unsyncedCount(): number {
		return this.#unsynced.length + this.#pending.length;
	}

	failWrite({nth, code, isApplied = false}: SimWriteFault): void {
		this.#fault = {at: this.writeCount + nth, code, isApplied};
	}

	/** Flips one bit of the value at `key`; false: there is none. */
	flipBit(key: Uint8Array, bit: number): boolean {
		const value = this.database?.get(key);
		if (value === undefined) return false;
		const changed = Uint8Array.from(value);
		const at = (bit >>> 3) % changed.length;
		changed[at] = changed[at]! ^ (1 << (bit & 7));
		this.database?.set(key, changed);
		return true;
	}

	/** Deletes entries of `range`, as a bad block does; how many were there. */
	drop(range: StoreRange): number {
		const entries = this.database?.range(range) ?? [];
		for (const [key] of entries) this.database?.delete(key);
		return entries.length;
	}

	/** Ends when a write of this kind would be done; for the store. */
	async write(ops: readonly StoreOp[], options: {sync: boolean; isDead: () => boolean}): Promise<void> {
		if (options.isDead()) return never(); // A process that died between its call and this turn.
		this.writeCount += 1;
		const fault = this.#fault?.at === this.writeCount ? this.#fault : null;
		const pending: PendingWrite = {ops, isDead: options.isDead};
		this.#pending.push(pending);
		await this.#delay(options.sync ? this.#syncMs : this.#writeMs);
		if (options.isDead()) return never();
		this.#pending = this.#pending.filter(other => other !== pending);
		const bytes = ops.reduce((sum, op) => sum + op.key.length + (op.type === 'put' ? op.value.length : 0), 0);
		if (bytes > this.freeBytes) throw new SystemError('ENOSPC', `${this.path}: no space left`);
		if (fault !== null) {
			if (fault.isApplied) this.#unsynced.push(this.#apply(ops));
			throw new SystemError(fault.code, `${this.path}: write ${this.writeCount} failed`);
		}
		this.freeBytes -= bytes;
		this.#unsynced.push(this.#apply(ops));
		if (options.sync) this.#unsynced = [];
	}

	/** An opening replays and fsyncs what it finds. */
	settle(): void {
		this.#unsynced = [];
	}

	writeHead(bytes: Uint8Array): void {
		const old = this.files.get('HEAD');
		if (old !== undefined) this.#oldHeads.push(old);
		if (this.#oldHeads.length > OLD_HEADS_MAX) this.#oldHeads.shift();
		this.files.set('HEAD', Uint8Array.from(bytes));
	}

	async #delay(delayMs: number): Promise<void> {
		if (this.#clock === null) return;
		await new Promise<void>(resolve => void this.#clock!.setTimer(delayMs, resolve));
	}

	#apply(ops: readonly StoreOp[]): Undo {
		const {database} = this;
		if (database === null) return [];
		return ops.map(op => {
			const old = database.get(op.key);
			if (op.type === 'put') database.set(op.key, op.value);
			else database.delete(op.key);
			return [op.key, old] as const;
		});
	}

	#undo(undo: Undo): void {
		for (const [key, old] of [...undo].reverse()) {
			if (old === undefined) this.database?.delete(key);
			else this.database?.set(key, old);
		}
	}
}

export class SimStoreDir implements StoreDir {
	readonly path: string;
	readonly #disk: SimDisk;
	readonly #pid: number;
	#isDead = false;
	#openStores = 0;

	/** Use `SimDisk.dir`. */
	constructor(disk: SimDisk, pid: number) {
		this.#disk = disk;
		this.#pid = pid;
		this.path = disk.path;
	}

	get pid(): number {
		return this.#pid;
	}

	/** The process is gone: nothing that it still does has an effect, and what it waits for never comes. */
	die(): void {
		this.#isDead = true;
	}

	async lock(): Promise<void> {
		await this.#alive();
		const {owner} = this.#disk;
		if (owner === this) return;
		if (owner !== null) {
			throw new SystemError('EBUSY', `${this.path} is in use by process ${owner.pid}`);
		}
		this.#disk.owner = this;
	}

	async unlock(): Promise<void> {
		await this.#alive();
		if (this.#disk.owner === this) this.#disk.owner = null;
	}

	async exists(): Promise<boolean> {
		await this.#alive();
		return this.#disk.database !== null;
	}

	async preserve(name: string): Promise<void> {
		await this.#alive();
		const {copies, database} = this.#disk;
		if (database === null) throw new SystemError('ENOENT', `${this.path} has no database`);
		copies.delete(name);
		copies.set(name, database.clone());
		const own = [...copies.keys()].filter(other => !other.startsWith('damaged'));
		for (const old of own.slice(0, -COPIES_MAX)) copies.delete(old);
	}

	async discard(name: string): Promise<void> {
		await this.#alive();
		this.#disk.copies.delete(name);
	}

	async renameCopy(name: string, newName: string): Promise<void> {
		await this.#alive();
		const copy = this.#disk.copies.get(name);
		if (copy === undefined) throw new SystemError('ENOENT', `${this.path} has no copy ${name}`);
		this.#disk.copies.delete(name);
		this.#disk.copies.set(newName, copy);
	}

	async copies(): Promise<readonly string[]> {
		await this.#alive();
		return [...this.#disk.copies.keys()];
	}

	async open({create}: {readonly create: boolean}): Promise<Store> {
		await this.#alive();
		const disk = this.#disk;
		if (disk.openError !== null) throw disk.openError;
		if (disk.database === null && !create) throw new SystemError('ENOENT', `${this.path} has no database`);
		if (this.#openStores > 0) throw new SystemError('EBUSY', `${this.path} is open already`);
		disk.database ??= new SortedMap();
		disk.settle();
		this.#openStores += 1;
		return new SimStore({
			map: () => disk.database ?? new SortedMap(),
			write: async (ops, options) => disk.write(ops, {...options, isDead: () => this.#isDead}),
			onClose: () => (this.#openStores -= 1),
			isDead: () => this.#isDead,
		});
	}

	async openCopy({name, repair}: {readonly name: string | null; readonly repair: boolean}): Promise<Store> {
		await this.#alive();
		if (name === null && !repair && this.#disk.openError !== null) throw this.#disk.openError;
		const original = name === null ? this.#disk.database : this.#disk.copies.get(name);
		if (!original) throw new SystemError('ENOENT', `${this.path} has no copy ${name ?? 'of a database'}`);
		return memoryStore(original.clone(), () => this.#isDead);
	}

	// eslint-disable-next-line require-yield
	async *rawFiles(): AsyncGenerator<RawFile> {
		await this.#alive();
	}

	async replaceDatabase({
		keepAs,
		build,
	}: {
		readonly keepAs: string | null;
		readonly build: (store: Store) => Promise<void>;
	}): Promise<void> {
		await this.#alive();
		const map = new SortedMap();
		await build(memoryStore(map, () => this.#isDead));
		await this.#alive();
		if (keepAs !== null && this.#disk.database !== null) this.#disk.copies.set(keepAs, this.#disk.database);
		this.#disk.database = map;
		this.#disk.openError = null;
		this.#disk.settle();
	}

	async readFile(name: string): Promise<Uint8Array | undefined> {
		await this.#alive();
		return this.#disk.files.get(name)?.slice();
	}

	async replaceFile(name: string, bytes: Uint8Array): Promise<void> {
		await this.#alive();
		this.#disk.files.set(name, Uint8Array.from(bytes));
	}

	async writeHead(bytes: Uint8Array): Promise<void> {
		await this.#alive();
		this.#disk.writeHead(bytes);
	}

	async fillBallast(sizeBytes: number): Promise<boolean> {
		await this.#alive();
		if (this.#disk.ballastBytes >= sizeBytes) return true;
		if (this.#disk.freeBytes < sizeBytes) return false;
		this.#disk.freeBytes -= sizeBytes;
		this.#disk.ballastBytes = sizeBytes;
		return true;
	}

	async dropBallast(): Promise<boolean> {
		await this.#alive();
		const had = this.#disk.ballastBytes > 0;
		this.#disk.freeBytes += this.#disk.ballastBytes;
		this.#disk.ballastBytes = 0;
		return had;
	}

	async freeBytes(): Promise<number> {
		await this.#alive();
		return this.#disk.freeBytes;
	}

	async #alive(): Promise<void> {
		if (this.#isDead) await never();
	}
}

interface SimStoreParts {
	readonly map: () => SortedMap;
	readonly write: (ops: readonly StoreOp[], options: {sync: boolean}) => Promise<void>;
	readonly onClose: () => void;
	readonly isDead: () => boolean;
}

class SimStore implements Store {
	readonly #parts: SimStoreParts;
	#isOpen = true;
	#hasFailed = false;
	#underWay: Promise<unknown> = Promise.resolve();

	constructor(parts: SimStoreParts) {
		this.#parts = parts;
	}

	get(key: Uint8Array): Uint8Array | undefined {
		this.#assertOpen();
		return this.#parts.map().get(key);
	}

	async *iterate(range: StoreRange): AsyncGenerator<StoreEntry> {
		for await (const entries of this.iterateChunks(range)) yield* entries;
	}

	iterateChunks(range: StoreRange): AsyncIterable<readonly StoreEntry[]> {
		this.#assertOpen();
		return chunksOf(this.#parts.map().range(range), this.#parts.isDead);
	}

	async write(ops: readonly StoreOp[], {sync}: {readonly sync: boolean}): Promise<void> {
		this.#assertOpen();
		if (this.#hasFailed) return; // LevelDB answers yes and loses it (measured).
		const write = this.#underWay.then(async () => this.#parts.write(ops, {sync}));
		this.#underWay = write.catch(() => undefined); // The caller sees it; the next write only waits for it.
		try {
			await write;
		} catch (error) {
			this.#hasFailed = true;
			throw error;
		}
	}

	async close(): Promise<void> {
		if (!this.#isOpen) return;
		this.#isOpen = false;
		await this.#underWay;
		this.#parts.onClose();
	}

	#assertOpen(): void {
		if (!this.#isOpen) throw new SystemError('EINVAL', 'The store is closed');
	}
}

function memoryStore(map: SortedMap, isDead: () => boolean): Store {
	const write = async (ops: readonly StoreOp[]) => {
		for (const op of ops) {
			if (op.type === 'put') map.set(op.key, op.value);
			else map.delete(op.key);
		}
	};
	return new SimStore({map: () => map, write, onClose: () => undefined, isDead});
}

async function* chunksOf(
	entries: readonly StoreEntry[],
	isDead: () => boolean,
): AsyncGenerator<readonly StoreEntry[]> {
	for (let at = 0; at < entries.length; at += CHUNK_ENTRIES_MAX) {
		if (isDead()) await never();
		yield entries.slice(at, at + CHUNK_ENTRIES_MAX);
	}
}

/** What a dead process waits for. */
async function never(): Promise<never> {
	return new Promise<never>(() => undefined);
}
