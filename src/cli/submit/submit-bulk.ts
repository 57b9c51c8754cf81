/** Submits many jobs, tells their ids, and stays with them as far as the options say. */
import {SystemError} from '../../formats/errno.ts';
import {encodeJobid, type JobId} from '../../formats/jobid.ts';
import {reportEnding} from '../attach/attach-job.ts';
import {followEndings} from '../attach/follow-endings.ts';
import {followEvents} from '../attach/follow-events.ts';
import {followOutput} from '../attach/follow-output.ts';
import {exitStatusOf} from '../attach/job-ending.ts';
import type {BrokerSession, PatienceOptions} from '../broker-session.ts';
import type {CliContext} from '../context.ts';
import {deferred} from '../deferred.ts';
import {showsUnicode} from '../jobid-text.ts';
import type {BulkJob} from './bulk-jobs.ts';
import type {BulkOptions} from './bulk-options.ts';
import {JobWriter, type JobSinks} from './job-writer.ts';
import {NO_PROGRESS, ProgressBar, type Progress} from './progress-bar.ts';
import {requestIds} from './request-id.ts';
import {submitAll} from './submit-all.ts';
import {CopyRequests} from './copy-requests.ts';

/** Jobs whose output or events are followed at a time; those of the others wait. */
export const WATCH_WINDOW = 128;

export interface BulkRun {
	readonly jobs: readonly BulkJob[];
	readonly options: BulkOptions;
	readonly patience: PatienceOptions;
}

/** Resolves to the exit status: 0, or with waiting the highest of the jobs'. */
export async function submitBulk(context: CliContext, {jobs, options, patience}: BulkRun): Promise<number> {
	const session = context.session(patience);
	const progress = progressOf(context, jobs.length, options);
	const writer = new JobWriter(context.world, progress);
	const submitted: SubmittedJob[] = [];
	const unnamed = new UnnamedJobs();
	const form = showsUnicode(context.env) ? 'f58' : 'f58plain';
	for await (const id of submitAll({
		session,
		clock: context.clock,
		count: jobs.length,
		requestOf: requestMaker(context, jobs),
		wantsMore: () => unnamed.isEmpty,
	})) {
		const own = jobs[submitted.length]!;
		const {isLabeled} = own.submission.options;
		const job = {id, name: encodeJobid(id, form), isLabeled, sinks: writer.of(own)};
		submitted.push(job);
		progress.submitted();
		if (!options.isQuiet) await unnamed.name(job.name, () => job.sinks.stdout.write(`${job.name}\n`));
	}
	if (!unnamed.isEmpty) throw unnamed.error();
	const following = {context, session, progress};
	let status = 0;
	if (options.waitEvent !== null) status = await awaitEvent(following, submitted, options.waitEvent);
	if (options.isWaiting)
		status = Math.max(status, await awaitEndings(following, submitted, options.isWatching));
	await progress.finish();
	return status;
}

/** Jobs whose ids could not be printed: whoever submitted them finds them in the error. */
class UnnamedJobs {
	readonly #names: string[] = [];
	#cause: SystemError | null = null;

	get isEmpty(): boolean {
		return this.#cause === null;
	}

	/** Once one failed, nothing is printed any more: ids come in order, without a gap. */
	async name(name: string, print: () => Promise<void>): Promise<void> {
		try {
			if (this.#cause === null) return await print();
		} catch (error) {
			if (!(error instanceof SystemError)) throw error;
			this.#cause = error;
		}
		this.#names.push(name);
	}

	error(): Error {
		const {code, message} = this.#cause!;
		return new SystemError(code, `${message}; submitted all the same: ${this.#names.join(' ')}`);
	}
}

interface SubmittedJob {
	readonly id: JobId;
	readonly name: string;
	readonly isLabeled: boolean;
	readonly sinks: JobSinks;
}

interface Following {
	readonly context: CliContext;
	readonly session: BrokerSession;
	readonly progress: Progress;
}

function progressOf(context: CliContext, total: number, options: BulkOptions): Progress {
	const {stderr} = context.world;
	if (!options.hasProgress || !stderr.isTerminal) return NO_PROGRESS;
	return new ProgressBar({
		sink: stderr,
		clock: context.clock,
		total,
		countsEndings: options.isWaiting,
		showsRate: options.showsRate,
		isUnicode: showsUnicode(context.env),
	});
}

function requestMaker(context: CliContext, jobs: readonly BulkJob[]) {
	const {random, userid} = context.world;
	const requests = new CopyRequests();
	return (index: number) => {
		const {submission, copy, sequence} = jobs[index]!;
		const suffixes = [sequence, copy?.cc].filter(each => each !== undefined);
		const requestId = requestIds(submission.options.requestId, random)(suffixes.join('.'));
		return requests.make(submission, {userid, requestId, copy});
	};
}

/** Returns 1 when a job ended without the event. */
async function awaitEvent(
	{context, session}: Following,
	jobs: readonly SubmittedJob[],
	name: string,
): Promise<number> {
	let status = 0;
	await forEachInWindow(jobs, async job => {
		for await (const event of followEvents(session, {id: job.id, path: 'eventlog'}))
			if (event.name === name) return;
		status = 1;
		await job.sinks.stderr.write(
			`coppice ${context.commandName}: ${job.name}: ENODATA: event '${name}' was never received\n`,
		);
	});
	return status;
}

/** Returns the highest exit status. */
async function awaitEndings(
	{context, session, progress}: Following,
	jobs: readonly SubmittedJob[],
	isWatching: boolean,
): Promise<number> {
	const byId = new Map(jobs.map(job => [job.id, {...job, ended: deferred<undefined>()}]));
	let highest = 0;
	const endings = async () => {
		for await (const {id, ending} of followEndings(
			session,
			jobs.map(job => job.id),
		)) {
			const job = byId.get(id)!;
			const status = exitStatusOf(ending);
			progress.ended(status === 0);
			job.ended.resolve(undefined);
			highest = Math.max(highest, status);
			await reportEnding(context, ending, job.name, text =>
				job.sinks.stderr.write(`coppice ${context.commandName}: ${text}\n`),
			);
		}
	};
	const watch = () =>
		forEachInWindow([...byId.values()], ({id, sinks, isLabeled, ended}) => {
			const say = (text: string) => sinks.stderr.write(`coppice ${context.commandName}: ${text}\n`);
			return followOutput({
				session,
				id,
				...sinks,
				isLabeled,
				ended: ended.promise,
				onMissing: say,
				onNotice: text => (context.isVerbose ? say(text) : Promise.resolve()),
			});
		});
	await Promise.all([endings(), isWatching ? watch() : Promise.resolve()]);
	return highest;
}

/** In order, so many at a time; the first failure is the whole's. */
async function forEachInWindow<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
	let next = 0;
	const worker = async () => {
		while (next < items.length) {
			const item = items[next]!;
			next += 1;
			await work(item);
		}
	};
	await Promise.all(Array.from({length: Math.min(WATCH_WINDOW, items.length)}, worker));
}
