/** Writes the HEAD file after commits: one write under way at a time, and only the newest head waits for it. */
import type {StoreDir} from '../ports/store.ts';
import type {Head, HeadFile} from './head-file.ts';

export class HeadWriter {
	readonly #dir: StoreDir;
	readonly #file: HeadFile;
	readonly #onError: (error: unknown) => void;
	#next: Head | null = null;
	#running: Promise<void> | null = null;

	constructor(dir: StoreDir, file: HeadFile, onError: (error: unknown) => void) {
		this.#dir = dir;
		this.#file = file;
		this.#onError = onError;
	}

	write(head: Head): void {
		this.#next = head;
		this.#running ??= this.#run();
	}

	/** Resolves when nothing is being written. */
	async idle(): Promise<void> {
		await this.#running;
	}

	async #run(): Promise<void> {
		try {
			while (this.#next !== null) {
				const head = this.#next;
				this.#next = null;
				await this.#dir.writeHead(this.#file.next(head));
			}
		} catch (error) {
			this.#onError(error);
		} finally {
			this.#running = null;
		}
	}
}
