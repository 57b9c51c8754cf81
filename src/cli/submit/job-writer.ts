/**
 * Where ids and output of many jobs go: to this command's stdout and stderr, or to the files of `--log` and `--log-stderr`.
 * Invariant: a file is emptied before its first write, and what goes to one file goes there in order.
 */
import type {Sink, World} from '../context.ts';
import type {BulkJob} from './bulk-jobs.ts';
import type {Progress} from './progress-bar.ts';

export interface JobSinks {
	readonly stdout: Pick<Sink, 'write'>;
	readonly stderr: Pick<Sink, 'write'>;
}

export class JobWriter {
	readonly #world: World;
	readonly #progress: Progress;
	/** The last write to each file. */
	readonly #files = new Map<string, Promise<void>>();

	constructor(world: World, progress: Progress) {
		this.#world = world;
		this.#progress = progress;
	}

	/** The sinks of one job. Rejections name the file. */
	of({logPath, errorLogPath}: BulkJob): JobSinks {
		const {stdout, stderr} = this.#world;
		const errorPath = errorLogPath ?? logPath;
		return {
			stdout: logPath === undefined ? this.#here(stdout) : this.#file(logPath),
			stderr: errorPath === undefined ? this.#here(stderr) : this.#file(errorPath),
		};
	}

	#here(sink: Sink): Pick<Sink, 'write'> {
		return {write: chunk => this.#progress.around(() => sink.write(chunk))};
	}

	#file(path: string): Pick<Sink, 'write'> {
		return {
			write: chunk => {
				const before = this.#files.get(path);
				const write = async () => {
					await before;
					await this.#world.writeFile(path, chunk, {append: before !== undefined});
				};
				const written = write();
				this.#files.set(path, written);
				return written;
			},
		};
	}
}
