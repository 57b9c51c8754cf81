/** What is known of one job: its eventlogs, jobspec, R and output; looked up, or followed. */
import {f58} from '../../formats/jobid.ts';
import {SystemError} from '../../formats/errno.ts';
import {stringifyJson} from '../../formats/json.ts';
import {requestOf, type Jobspec} from '../../formats/jobspec.ts';
import {outputPaths, shellOptionsOf} from '../../formats/shell-options.ts';
import {wrapSigned} from '../../formats/sign-none.ts';
import {outlineOf, readJobspec} from '../../formats/stored-jobspec.ts';
import type {ArchiveRow} from '../../machines/archive-row.ts';
import type {JobContext} from '../../machines/job.ts';
import type {OutputStream} from '../../ports/process-host.ts';
import type {Archive} from '../archive.ts';
import type {Core} from '../core.ts';
import type {Peers} from '../peers.ts';
import {watchEndings, type EndingsWatch} from './endings-watch.ts';
import {eventLine, watchEventlog} from './eventlog-watch.ts';
import {readExecEventlogs, watchExecEventlog} from './exec-eventlog-watch.ts';
import {OutputReader} from './output-reader.ts';
import {OutputWatch} from './output-watch.ts';
import type {Sink} from './sink.ts';

export interface JobInfoOptions {
	readonly core: Core;
	readonly peers: Peers;
	readonly archive: Archive;
}

export class JobInfo {
	readonly #options: JobInfoOptions;
	readonly #reader: OutputReader;
	/** Who follows the output of a job. */
	readonly #outputs = new Map<bigint, Set<OutputWatch>>();

	constructor(options: JobInfoOptions) {
		this.#options = options;
		this.#reader = new OutputReader(options.core, options.peers, options.archive);
	}

	/** @throws {SystemError} ENOENT (the job, or a key that it does not have), EINVAL (a key that no job has). */
	async lookup(id: bigint, keys: readonly string[]): Promise<Record<string, unknown>> {
		const job = this.#job(id);
		const found: Record<string, unknown> = {id};
		for (const key of keys) found[key] = await this.#lookupOne(job, key);
		return found;
	}

	archived(id: bigint): ArchiveRow | undefined {
		return this.#options.archive.job(id);
	}

	/** As `watchEndings`. */
	watchEndings(watch: EndingsWatch): () => void {
		return watchEndings(this.#options, watch);
	}

	/** Follows `path` into `sink`. @throws {SystemError} ENOENT, EINVAL. Returns how to stop. */
	watch(
		id: bigint,
		{path, offsets, sink}: {readonly path: string; readonly offsets: unknown; readonly sink: Sink},
	): () => void {
		const {core} = this.#options;
		const job = this.#job(id);
		const isActive = core.state.jobs.has(id);
		switch (path) {
			case 'eventlog':
				return watchEventlog(core, id, {sink, finished: isActive ? null : job.events});
			case 'guest.exec.eventlog':
				return watchExecEventlog({...this.#options, id}, sink);
			case 'guest.output': {
				const jobspec = outlineOf(job.jobspec);
				const watch = new OutputWatch({
					core,
					reader: this.#reader,
					sink,
					id,
					ntasks: requestOf(jobspec).ntasks,
					redirects: redirectsOf(jobspec),
					offsets: checkOffsets(offsets),
				});
				return this.#kept(id, watch);
			}
			default:
				throw new SystemError('EINVAL', `a job has no eventlog '${path}'`);
		}
	}

	/** Somebody has written to a job's stdin, and waits for what it has to say: its output is looked at more often for a while. */
	expectOutput(id: bigint): void {
		for (const watch of this.#outputs.get(id) ?? []) watch.hasten();
	}

	#kept(id: bigint, watch: OutputWatch): () => void {
		const watches = this.#outputs.get(id) ?? new Set();
		this.#outputs.set(id, watches.add(watch));
		return () => {
			watch.stop();
			watches.delete(watch);
			if (watches.size === 0 && this.#outputs.get(id) === watches) this.#outputs.delete(id);
		};
	}

	#job(id: bigint): JobContext {
		const {core, archive} = this.#options;
		const job = core.state.jobs.get(id)?.context ?? core.state.lost.get(id)?.job?.context ?? archive.job(id);
		if (job === undefined) throw new SystemError('ENOENT', `no job ${f58(id)}`);
		return job;
	}

	async #lookupOne(job: JobContext, key: string): Promise<string> {
		switch (key) {
			case 'eventlog':
				return job.events.map(eventLine).join('');
			case 'jobspec':
				return stringifyJson(withoutEnvironment(readJobspec(job.jobspec)));
			case 'J':
				return wrapSigned(job.userid, stringifyJson(readJobspec(job.jobspec)));
			case 'R':
				if (job.R === null)
					throw new SystemError('ENOENT', `job ${f58(job.id)} has no R: it was not allocated`);
				return stringifyJson(job.R);
			case 'guest.exec.eventlog': {
				const {byRank} = await readExecEventlogs({...this.#options, id: job.id});
				return Object.values(byRank).join('');
			}
			default:
				throw new SystemError('EINVAL', `a job has no '${key}'`);
		}
	}
}

function withoutEnvironment(jobspec: Jobspec): object {
	const {environment: _, ...system} = jobspec.attributes.system;
	return {...jobspec, attributes: {...jobspec.attributes, system}};
}

/** Streams that the user has sent to files. Without a file of its own stderr follows stdout, as in Flux. */
export function redirectsOf(jobspec: Jobspec): Partial<Record<OutputStream, string>> {
	const {stdout, stderr} = outputPaths(shellOptionsOf(jobspec));
	return {...(stdout === null ? {} : {stdout}), ...(stderr === null ? {} : {stderr})};
}

function checkOffsets(offsets: unknown): Record<string, number> {
	const checked: Record<string, number> = {};
	for (const [name, value] of Object.entries((offsets ?? {}) as Record<string, unknown>)) {
		const offset = Number(value);
		if (!/^\d+\.(stdout|stderr)$/.test(name) || !Number.isSafeInteger(offset) || offset < 0) {
			throw new SystemError('EINVAL', `offsets: '${name}': ${String(value)} is no TASK.STREAM: bytes`);
		}
		checked[name] = offset;
	}
	return checked;
}
