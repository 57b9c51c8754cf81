/**
 * The way of clients' input to the tasks of a job: from the root to every rank of it. Nothing is kept here: each rank keeps
 * how far each writer has come, and the writer sends again what is not taken everywhere.
 */
import {f58} from '../../formats/jobid.ts';
import {SystemError} from '../../formats/errno.ts';
import type {JobSnapshot} from '../../machines/job.ts';
import type {InputAnswer, InputWrite} from '../../ports/process-host.ts';
import type {Archive} from '../archive.ts';
import type {Core} from '../core.ts';
import {INPUT_PATIENCE_MS} from '../job-exec/input-writer.ts';
import {CONTACT_ERRORS, type Peers} from '../peers.ts';

export interface JobInputOptions {
	readonly core: Core;
	readonly peers: Peers;
	readonly archive: Archive;
	/** Something was taken. */
	readonly onInput: (id: bigint) => void;
}

/** From here to the ranks and back, beyond their patience. */
const RANK_TIMEOUT_MS = INPUT_PATIENCE_MS + 8000;
const OVER: InputAnswer = {offset: 0, isTaken: false, isClosed: true};

export class JobInput {
	readonly #options: JobInputOptions;

	constructor(options: JobInputOptions) {
		this.#options = options;
	}

	/**
	 * Gives a write to all ranks of a job; resolves to what all of them have taken. Waits a while for a job that does
	 * not run yet. Rejects with ENOENT for a job that is not known, with EAGAIN when it is to be asked again, with
	 * EHOSTUNREACH when a rank is away.
	 */
	async write(id: bigint, write: InputWrite): Promise<InputAnswer> {
		const {core, peers, archive, onInput} = this.#options;
		const job = await this.#running(id);
		if (job === null) {
			if (!core.state.jobs.has(id) && !core.state.lost.has(id) && archive.job(id) === undefined)
				throw new SystemError('ENOENT', `no job ${f58(id)}`);
			return {...OVER, offset: write.offset};
		}
		const {attempt, ranks} = job.context;
		const open = Object.entries(ranks).filter(([, {state}]) => state !== 'exited');
		const message = {id, attempt, ...write};
		const options = {timeoutMs: RANK_TIMEOUT_MS};
		const answers = await peers.requestAll(
			open.map(([rank]) => Number(rank)),
			'job-exec.input',
			message,
			options,
		);
		onInput(id);
		const given: InputAnswer[] = [];
		for (const {error, payload} of answers.values()) {
			if (error === null) given.push(payload as InputAnswer);
			else throw error.code === 'EIO' || !CONTACT_ERRORS.has(error.code) ? error : again(error);
		}
		return joined(given, write);
	}

	/** Resolves to the job once it runs, to null when it does not run any more. */
	async #running(id: bigint): Promise<JobSnapshot | null> {
		const {core} = this.#options;
		const now = core.state.jobs.get(id);
		if (now === undefined || now.value === 'run') return now ?? null;
		if (now.value === 'cleanup' || now.value === 'inactive') return null;
		return new Promise((resolve, reject) => {
			const stop = (settle: () => void) => {
				timer.cancel();
				unsubscribe();
				settle();
			};
			const timer = core.clock.setTimer(INPUT_PATIENCE_MS, () =>
				stop(() => reject(new SystemError('EAGAIN', `job ${f58(id)} does not run yet`))),
			);
			const unsubscribe = core.onJob(id, ({snapshot}) => {
				const {value} = snapshot;
				if (value === 'run') stop(() => resolve(snapshot));
				else if (value === 'cleanup' || value === 'inactive') stop(() => resolve(null));
			});
		});
	}
}

/** What every rank has that still takes something. */
function joined(answers: readonly InputAnswer[], write: InputWrite): InputAnswer {
	const open = answers.filter(({isClosed}) => !isClosed);
	if (open.length === 0) {
		const isTaken = answers.some(answer => answer.isTaken);
		return {offset: Math.max(write.offset, ...answers.map(({offset}) => offset)), isTaken, isClosed: true};
	}
	return {
		offset: Math.min(...open.map(({offset}) => offset)),
		isTaken: open.every(({isTaken}) => isTaken),
		isClosed: false,
	};
}

function again(error: SystemError): SystemError {
	return new SystemError('EAGAIN', error.toString());
}
