/**
 * The store port: one ordered key-value database with atomic, optionally fsynced batches (LevelDB), and the few
 * files beside it that prove it. One process at a time owns a state directory.
 */

export type StoreOp =
	| {readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array}
	| {readonly type: 'del'; readonly key: Uint8Array};

export type StoreEntry = readonly [key: Uint8Array, value: Uint8Array];

export interface StoreRange {
	readonly gte: Uint8Array;
	readonly lt: Uint8Array;
	readonly reverse?: boolean;
	/** The most entries to yield; absent: all. */
	readonly limit?: number;
}

export interface Store {
	/** The value of `key`, read at once (a point read of LevelDB takes microseconds), or undefined. */
	get(key: Uint8Array): Uint8Array | undefined;
	/** Entries of `range` in key order, from a snapshot taken at the call. */
	iterate(range: StoreRange): AsyncIterable<StoreEntry>;
	/** `iterate`, many entries at a time: what reads a whole log cannot afford a promise for each record. */
	iterateChunks(range: StoreRange): AsyncIterable<readonly StoreEntry[]>;
	/**
	 * Writes all of `ops` or nothing. With `sync` it resolves after the fsync; without, what was written
	 * survives the death of the process but perhaps not that of the machine. After any rejection the caller must
	 * close the store and may not write again: LevelDB would silently lose later writes (DESIGN section 3.8).
	 */
	write(ops: readonly StoreOp[], options: {readonly sync: boolean}): Promise<void>;
	/** Ends use; resolves when all is closed. Idempotent. */
	close(): Promise<void>;
}

export interface RawFile {
	readonly name: string;
	readonly type: 'log' | 'table';
	readonly bytes: Uint8Array;
}

/** A state directory. Everything but the database itself is a small file that is read and replaced whole. */
export interface StoreDir {
	/** Where it is, for messages to people. */
	readonly path: string;
	/**
	 * Takes the directory for this process; the kernel (or the simulator's crash) gives it back when the process
	 * dies. @throws {SystemError} EBUSY when another process has it, with that process' pid when it is known.
	 */
	lock(): Promise<void>;
	/** Whether a database is there at all, even a damaged one. */
	exists(): Promise<boolean>;
	/**
	 * Keeps the database's files as they are (hard links where possible) below `copies/NAME`, before an opening
	 * that would delete evidence. Keeps at most the two newest copies beside those named `damaged…`.
	 */
	preserve(name: string): Promise<void>;
	/** Deletes the copy again. Does nothing where there is none. */
	discard(name: string): Promise<void>;
	/** Gives the copy another name, in place of a copy that has it. @throws {SystemError} ENOENT */
	renameCopy(name: string, newName: string): Promise<void>;
	/** The names of the copies that are kept, oldest first. */
	copies(): Promise<readonly string[]>;
	/**
	 * Opens the database; `create` makes a missing one.
	 * @throws {SystemError} with the errno name and LevelDB's words; nothing was changed beyond LevelDB's doing.
	 */
	open(options: {readonly create: boolean}): Promise<Store>;
	/**
	 * Opens a private copy of the database, or of the copy `name`, that `close` deletes again: the directory itself
	 * stays as it is, whatever LevelDB does to the files that it opens. `repair` rebuilds the copy's tables from
	 * whatever LevelDB can read of them first.
	 * @throws {SystemError} as `open` does; ENOENT when there is no such copy.
	 */
	openCopy(options: {readonly name: string | null; readonly repair: boolean}): Promise<Store>;
	/**
	 * The files of the database, or of the copy `name`, as bytes, in the order in which they were made: LevelDB's
	 * write-ahead logs (`log`) and tables (`table`). A store that is no LevelDB has none.
	 */
	rawFiles(name: string | null): AsyncIterable<RawFile>;
	/**
	 * Lets `build` fill a new database and puts it in the place of the old one by two renames, with everything
	 * fsynced; the old one is kept as the copy `keepAs` (`damaged…`), or deleted when that is null.
	 * No store may be open. After a rejection the old database is still there.
	 */
	replaceDatabase(options: {
		readonly keepAs: string | null;
		readonly build: (store: Store) => Promise<void>;
	}): Promise<void>;
	/** Reads a small file (`HEAD`, `instance.json`), or undefined when it is not there. */
	readFile(name: string): Promise<Uint8Array | undefined>;
	/** Replaces a small file atomically (write, fsync, rename, fsync of the directory). */
	replaceFile(name: string, bytes: Uint8Array): Promise<void>;
	/** Overwrites the HEAD file in place, without fsync: needs no free space, and is cheap enough for every commit. */
	writeHead(bytes: Uint8Array): Promise<void>;
	/** Sets aside `sizeBytes` of disk for a worse day; returns false when there is no room for it. Idempotent. */
	fillBallast(sizeBytes: number): Promise<boolean>;
	/** Gives the ballast up; returns false when there was none. */
	dropBallast(): Promise<boolean>;
	/** Bytes that a writer could still use on the file system of the directory. */
	freeBytes(): Promise<number>;
	/** Gives the directory back. Idempotent. */
	unlock(): Promise<void>;
}
