/**
 * A state directory on disk:
 *
 * | name | what |
 * |---|---|
 * | `db/` | the LevelDB database |
 * | `HEAD`, `instance.json`, … | small files |
 * | `ballast` | room for a worse day |
 * | `copies/NAME/` | the database as it was, by hard links |
 * | `db.building/`, `private-PID-N/` | a database in the making, a private copy: left over by a crash, deleted |
 * | `db.new/` | a whole database that is about to become `db/`; does so at the next `lock` when `db/` is gone |
 */
import {
	mkdir,
	mkdtemp,
	open,
	readdir,
	readFile,
	rename,
	rm,
	stat,
	statfs,
	type FileHandle,
} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import type {RawFile, Store, StoreDir} from '../../ports/store.ts';
import {copyDirectory, linkFiles, syncDirectory} from './file-copies.ts';
import {openLevel, repairLevel} from './level-store.ts';
import type {KernelLock} from '../../ports/real/kernel-lock.ts';
import {lockDirectory} from './store-lock.ts';

const COPIES_MAX = 2;
const COPY_ATTEMPTS_MAX = 3;
const HEAD = 'HEAD';
const BALLAST = 'ballast';
const WRITE_BYTES_MAX = 1024 * 1024;

export class LevelStoreDir implements StoreDir {
	readonly path: string;
	readonly #database: string;
	readonly #copies: string;
	#lock: KernelLock | null = null;
	#head: FileHandle | null = null;
	#privateCount = 0;

	/** @param path an existing directory. */
	constructor(path: string) {
		this.path = path;
		this.#database = join(path, 'db');
		this.#copies = join(path, 'copies');
	}

	async lock(): Promise<void> {
		if (this.#lock !== null) return;
		try {
			this.#lock = await lockDirectory(this.path);
			await this.#removeLeftovers();
		} catch (error) {
			await this.unlock();
			throw asSystemError(error);
		}
	}

	async unlock(): Promise<void> {
		await this.#head?.close();
		this.#head = null;
		const lock = this.#lock;
		this.#lock = null;
		await lock?.release();
	}

	async exists(): Promise<boolean> {
		const names = await namesIn(this.#database);
		return names.some(name => /^(CURRENT|MANIFEST-.*|.*\.(log|ldb|sst))$/.test(name));
	}

	async preserve(name: string): Promise<void> {
		await system(`Failed keeping a copy of ${this.#database}`, async () => {
			await mkdir(this.#copies, {recursive: true});
			await copyDirectory(this.#database, join(this.#copies, name));
			await syncDirectory(this.#copies);
			const own = (await this.copies()).filter(other => !other.startsWith('damaged'));
			for (const old of own.slice(0, -COPIES_MAX)) await this.discard(old);
		});
	}

	async discard(name: string): Promise<void> {
		await system(`Failed deleting the copy ${name} in ${this.path}`, async () => {
			if (!(await namesIn(this.#copies)).includes(name)) return;
			// Renamed first, so that half of a copy is never taken for one.
			const doomed = join(this.#copies, `${name}.old`);
			await rename(join(this.#copies, name), doomed);
			await syncDirectory(this.#copies);
			await rm(doomed, {recursive: true, force: true});
		});
	}

	async renameCopy(name: string, newName: string): Promise<void> {
		await system(`Failed renaming the copy ${name} in ${this.path}`, async () => {
			await this.discard(newName);
			await rename(join(this.#copies, name), join(this.#copies, newName));
			await syncDirectory(this.#copies);
		});
	}

	async copies(): Promise<readonly string[]> {
		const found: {name: string; atNs: bigint}[] = [];
		for (const name of await namesIn(this.#copies)) {
			if (name.endsWith('.new') || name.endsWith('.old')) continue;
			found.push({name, atNs: (await stat(join(this.#copies, name), {bigint: true})).mtimeNs});
		}
		return found.sort((a, b) => (a.atNs < b.atNs ? -1 : 1)).map(({name}) => name);
	}

	async open({create}: {readonly create: boolean}): Promise<Store> {
		// LevelDB that creates a database deletes files that no manifest lists: a damaged one would be gone.
		const exists = await this.exists();
		if (!exists && !create) throw new SystemError('ENOENT', `There is no database in ${this.path}`);
		return openLevel(this.#database, {createIfMissing: !exists});
	}

	async openCopy(options: {readonly name: string | null; readonly repair: boolean}): Promise<Store> {
		for (let attempt = 1; ; attempt += 1) {
			try {
				return await this.#openCopy(options);
			} catch (error) {
				// A database in use may compact while its files are linked; a copy of the next moment is whole.
				const {code} = asSystemError(error);
				if (attempt === COPY_ATTEMPTS_MAX || (code !== 'ENOENT' && code !== 'EBADMSG')) throw error;
			}
		}
	}

	async #openCopy({name, repair}: {readonly name: string | null; readonly repair: boolean}): Promise<Store> {
		const path = await this.#privateCopy(name);
		try {
			if (repair) await repairLevel(path);
			const store = await openLevel(path, {createIfMissing: false});
			return withCleanup(store, async () => rm(path, {recursive: true, force: true}));
		} catch (error) {
			await rm(path, {recursive: true, force: true});
			throw error;
		}
	}

	async *rawFiles(name: string | null): AsyncGenerator<RawFile> {
		const directory = this.#directoryOf(name);
		const files = (await namesIn(directory)).flatMap(file => {
			const match = /^(\d+)\.(log|ldb|sst)$/.exec(file);
			if (match === null) return [];
			const type = match[2] === 'log' ? ('log' as const) : ('table' as const);
			return [{name: file, number: Number(match[1]), type}];
		});
		for (const {name: file, type} of files.sort((a, b) => a.number - b.number)) {
			yield {name: file, type, bytes: await readFile(join(directory, file))};
		}
	}

	async replaceDatabase({
		keepAs,
		build,
	}: {
		readonly keepAs: string | null;
		readonly build: (store: Store) => Promise<void>;
	}): Promise<void> {
		const fresh = `${this.#database}.building`;
		await system(`Failed building a new database in ${this.path}`, async () => {
			await rm(fresh, {recursive: true, force: true});
			const store = await openLevel(fresh, {createIfMissing: true});
			try {
				await build(store);
			} finally {
				await store.close();
			}
			await syncDirectory(fresh);
			await this.#swapIn(fresh, keepAs);
		});
	}

	async readFile(name: string): Promise<Uint8Array | undefined> {
		try {
			return await readFile(join(this.path, name));
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
			throw asSystemError(error, 'EIO', `Failed reading ${name} in ${this.path}`);
		}
	}

	async replaceFile(name: string, bytes: Uint8Array): Promise<void> {
		await system(`Failed writing ${name} in ${this.path}`, async () => {
			const unfinished = join(this.path, `${name}.new`);
			const file = await open(unfinished, 'w', 0o600);
			try {
				await file.writeFile(bytes);
				await file.sync();
			} finally {
				await file.close();
			}
			await rename(unfinished, join(this.path, name));
			await syncDirectory(this.path);
		});
		if (name === HEAD) await this.#closeHead(); // It is another file now.
	}

	async writeHead(bytes: Uint8Array): Promise<void> {
		await system(`Failed writing HEAD in ${this.path}`, async () => {
			this.#head ??= await this.#openHead();
			await this.#head.write(bytes, 0, bytes.length, 0);
		});
	}

	async fillBallast(sizeBytes: number): Promise<boolean> {
		const path = join(this.path, BALLAST);
		if ((await sizeOf(path)) >= sizeBytes) return true;
		try {
			await writeZeros(path, sizeBytes);
			return true;
		} catch (error) {
			await rm(path, {force: true});
			if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
			throw asSystemError(error, 'EIO', `Failed setting disk aside in ${this.path}`);
		}
	}

	async dropBallast(): Promise<boolean> {
		const path = join(this.path, BALLAST);
		const had = (await sizeOf(path)) > 0;
		await rm(path, {force: true});
		return had;
	}

	async freeBytes(): Promise<number> {
		const {bavail, bsize} = await statfs(this.path);
		return bavail * bsize;
	}

	async #openHead(): Promise<FileHandle> {
		const path = join(this.path, HEAD);
		// 'r+' keeps what is there; a file that is not there yet is made.
		return open(path, (await sizeOf(path)) < 0 ? 'w+' : 'r+', 0o600);
	}

	async #closeHead(): Promise<void> {
		await this.#head?.close();
		this.#head = null;
	}

	async #removeLeftovers(): Promise<void> {
		const names = await namesIn(this.path);
		if (names.includes('db.new') && !names.includes('db')) {
			await rename(`${this.#database}.new`, this.#database);
			await syncDirectory(this.path);
		}
		const doomed = names.filter(name => /^(db\.new|db\.building|private-.*)$/.test(name));
		for (const name of doomed) await rm(join(this.path, name), {recursive: true, force: true});
		for (const name of await namesIn(this.#copies)) {
			if (/\.(new|old)$/.test(name)) await rm(join(this.#copies, name), {recursive: true, force: true});
		}
	}

	/** Between any two of its steps the next `lock` finds either the old database or the new one. */
	async #swapIn(fresh: string, keepAs: string | null): Promise<void> {
		const ready = `${this.#database}.new`;
		await rm(ready, {recursive: true, force: true});
		await rename(fresh, ready);
		await syncDirectory(this.path);
		const replaced = join(this.#copies, keepAs ?? 'replaced.old');
		if ((await sizeOf(this.#database)) >= 0) {
			await mkdir(this.#copies, {recursive: true});
			await rename(this.#database, replaced);
			await syncDirectory(this.#copies);
		}
		await rename(ready, this.#database);
		await syncDirectory(this.path);
		if (keepAs === null) await rm(replaced, {recursive: true, force: true});
	}

	#directoryOf(name: string | null): string {
		return name === null ? this.#database : join(this.#copies, name);
	}

	/** In the temporary directory, so that nothing changes here; beside the database when links need that. */
	async #privateCopy(name: string | null): Promise<string> {
		return system(`Failed copying the database in ${this.path}`, async () => {
			const from = this.#directoryOf(name);
			if ((await sizeOf(from)) < 0) throw new SystemError('ENOENT', `There is no ${from}`);
			this.#privateCount += 1;
			const own = join(this.path, `private-${process.pid}-${this.#privateCount}`);
			const to = this.#lock === null ? await mkdtemp(join(tmpdir(), 'coppice-log-')) : own;
			await mkdir(to, {recursive: true});
			await linkFiles(from, to);
			return to;
		});
	}
}

async function system<T>(what: string, run: () => Promise<T>): Promise<T> {
	try {
		return await run();
	} catch (error) {
		throw error instanceof SystemError ? error : asSystemError(error, 'EIO', what);
	}
}

async function namesIn(path: string): Promise<readonly string[]> {
	try {
		return await readdir(path);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
		throw asSystemError(error, 'EIO', `Failed reading ${path}`);
	}
}

/** The size in bytes, or -1 when nothing is there. */
async function sizeOf(path: string): Promise<number> {
	try {
		return (await stat(path)).size;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return -1;
		throw asSystemError(error, 'EIO', `Failed looking at ${path}`);
	}
}

/** Real bytes, not a hole: a sparse file would set nothing aside. */
async function writeZeros(path: string, sizeBytes: number): Promise<void> {
	const zeros = new Uint8Array(WRITE_BYTES_MAX);
	const file = await open(path, 'w', 0o600);
	try {
		for (let left = sizeBytes; left > 0; left -= zeros.length) {
			await file.writeFile(zeros.subarray(0, Math.min(left, zeros.length)));
		}
		await file.sync();
	} finally {
		await file.close();
	}
}

function withCleanup(store: Store, cleanup: () => Promise<void>): Store {
	return {
		get: key => store.get(key),
		iterate: range => store.iterate(range),
		iterateChunks: range => store.iterateChunks(range),
		write: async (ops, options) => store.write(ops, options),
		async close() {
			await store.close();
			await cleanup();
		},
	};
}
