/** The store port on LevelDB, through `level`. Single values leave as plain Uint8Arrays, chunks as they come. */
import {Level, type Iterator} from 'level';
import {asSystemError, SystemError, type ErrnoName} from '../../formats/errno.ts';
import type {Store, StoreEntry, StoreOp, StoreRange} from '../../ports/store.ts';

type Db = Level<Uint8Array, Uint8Array>;

/** What `level` has in Node.js and leaves out of its types, which are those of browsers too. */
interface Repairer {
	repair(path: string): Promise<void>;
}

const CHUNK_ENTRIES_MAX = 1000;
/** What one chunk may hold in memory; LevelDB's default of 16 KiB costs a thread switch for each hundred records. */
const CHUNK_BYTES_MAX = 256 * 1024;

export interface LevelOpenOptions {
	readonly createIfMissing: boolean;
}

/**
 * Opens the database at `path`. Uncompressed: a flipped bit then costs one record, not a block of them, and can be
 * mended by its checksum.
 * @throws {SystemError} EBUSY another process has it; EBADMSG it is corrupt; ENOENT there is none; or the errno of
 * the file operation that failed.
 */
export async function openLevel(path: string, {createIfMissing}: LevelOpenOptions): Promise<Store> {
	const db: Db = new Level(path, {
		keyEncoding: 'view',
		valueEncoding: 'view',
		createIfMissing,
		compression: false,
	});
	try {
		await db.open();
	} catch (error) {
		throw levelError(error, `Failed opening the database ${path}`);
	}
	return new LevelStore(db, path);
}

/** Lets LevelDB rebuild what it can read. @throws {SystemError} as `openLevel` does. */
export async function repairLevel(path: string): Promise<void> {
	try {
		await (Level as unknown as Repairer).repair(path);
	} catch (error) {
		throw levelError(error, `Failed repairing the database ${path}`);
	}
}

class LevelStore implements Store {
	readonly #db: Db;
	readonly #path: string;
	#failure: SystemError | null = null;

	constructor(db: Db, path: string) {
		this.#db = db;
		this.#path = path;
	}

	get(key: Uint8Array): Uint8Array | undefined {
		try {
			const value = this.#db.getSync(key);
			return value === undefined ? undefined : plain(value);
		} catch (error) {
			throw levelError(error, `Failed reading the database ${this.#path}`);
		}
	}

	async *iterate(range: StoreRange): AsyncGenerator<StoreEntry> {
		for await (const entries of this.iterateChunks(range)) {
			for (const [key, value] of entries) yield [plain(key), plain(value)];
		}
	}

	iterateChunks(range: StoreRange): AsyncIterable<readonly StoreEntry[]> {
		// Made now and not at the first `next`, so that the snapshot is that of the call.
		const options = {...range, highWaterMarkBytes: CHUNK_BYTES_MAX};
		const iterator = this.#db.iterator<Uint8Array, Uint8Array>(options);
		return chunksOf(iterator, error => levelError(error, `Failed reading the database ${this.#path}`));
	}

	async write(ops: readonly StoreOp[], {sync}: {readonly sync: boolean}): Promise<void> {
		if (this.#failure !== null) throw this.#failure; // LevelDB would say yes and lose it.
		try {
			await this.#db.batch(ops as StoreOp[], {sync});
		} catch (error) {
			this.#failure = levelError(error, `Failed writing the database ${this.#path}`);
			throw this.#failure;
		}
	}

	async close(): Promise<void> {
		await this.#db.close();
	}
}

async function* chunksOf(
	iterator: Iterator<Db, Uint8Array, Uint8Array>,
	explain: (error: unknown) => SystemError,
): AsyncGenerator<readonly StoreEntry[]> {
	try {
		let next = iterator.nextv(CHUNK_ENTRIES_MAX);
		for (;;) {
			const entries = await next;
			if (entries.length === 0) return;
			// LevelDB reads the next chunk in its own thread while this one is worked on.
			next = iterator.nextv(CHUNK_ENTRIES_MAX);
			next.catch(() => undefined); // It is told by the `await` above, or nobody wants to know any more.
			yield entries;
		}
	} catch (error) {
		throw explain(error);
	} finally {
		await iterator.close();
	}
}

/** Without Buffer's methods, so that what is decoded from it is the same on every store. */
function plain(bytes: Uint8Array): Uint8Array {
	return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

const ERRNO_BY_TEXT: readonly (readonly [RegExp, ErrnoName])[] = [
	[/No space left on device/, 'ENOSPC'],
	[/Too many open files/, 'EMFILE'],
	[/Permission denied/, 'EACCES'],
	[/Read-only file system/, 'EROFS'],
	[/Cannot allocate memory/, 'ENOMEM'],
	[/does not exist|No such file or directory|NotFound/, 'ENOENT'],
];

const ERRNO_BY_CODE: Readonly<Record<string, ErrnoName>> = {
	LEVEL_LOCKED: 'EBUSY',
	LEVEL_CORRUPTION: 'EBADMSG',
	LEVEL_NOT_FOUND: 'ENOENT',
	LEVEL_IO_ERROR: 'EIO',
};

/** LevelDB reports an error of the system as text alone; its own codes are coarser. */
function levelError(error: unknown, what: string): SystemError {
	const {cause} = error as {cause?: unknown};
	const origin = cause instanceof Error ? cause : error;
	const text = origin instanceof Error ? origin.message : String(origin);
	const code = (origin as {code?: unknown}).code;
	const byText = ERRNO_BY_TEXT.find(([pattern]) => pattern.test(text))?.[1];
	const byCode = typeof code === 'string' ? ERRNO_BY_CODE[code] : undefined;
	const errno = byCode === 'EBUSY' ? byCode : (byText ?? byCode);
	if (errno === undefined) return asSystemError(origin, 'EIO', what);
	return new SystemError(errno, `${what}: ${text}`, {cause: error});
}
