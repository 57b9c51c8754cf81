/** Stays with a job to its end: shows its output, passes on an interrupt, and returns the status that stands for it. */
import {asSystemError, SystemError} from '../../formats/errno.ts';
import type {JobId} from '../../formats/jobid.ts';
import {formatEventBody} from '../../formats/event-text.ts';
import {LostContactError, type BrokerSession} from '../broker-session.ts';
import {EXIT_FAILURE} from '../command.ts';
import {explain} from '../command-error.ts';
import type {CliContext} from '../context.ts';
import {deferred} from '../deferred.ts';
import {jobidText} from '../jobid-text.ts';
import {followEvents} from './follow-events.ts';
import {followOutput} from './follow-output.ts';
import {EXIT_HANGUP, forwardInput, type ForwardInputOptions} from './forward-input.ts';
import {handleInterrupts} from './interrupts.ts';
import {endingText, exitStatusOf, NO_ENDING, withEvent, type JobEnding} from './job-ending.ts';

export interface AttachOptions {
	readonly session: BrokerSession;
	readonly id: JobId;
	readonly isUnbuffered?: boolean;
	readonly isLabeled: boolean;
	/** What stands for a task in its label. Default: its rank. */
	readonly labelOf?: (task: string) => string;
	/** Each event on stderr as it happens. */
	readonly showsEvents: boolean;
	/** Leave the job alone whatever comes: an interrupt ends this command. */
	readonly isReadOnly: boolean;
	/** Who gets this command's standard input; absent: nobody. */
	readonly input?: Pick<ForwardInputOptions, 'tasks' | 'isInteractive'>;
}

/**
 * Resolves to the exit status, which is no success when input was lost. Rejects with ENOENT for a job that is not known,
 * and a `LostContactError` when the instance stayed away.
 */
export async function attachJob(context: CliContext, options: AttachOptions): Promise<number> {
	const {session, id} = options;
	const detached = deferred<number>();
	const ended = deferred<undefined>();
	const started = deferred<undefined>();
	const ignore = options.isReadOnly
		? () => {}
		: interruptsOf(context, options, code => detached.resolve(code));
	const work = Promise.all([
		watchEvents(context, options, () => started.resolve(undefined)).finally(() => ended.resolve(undefined)),
		followOutput({
			session,
			id,
			stdout: context.world.stdout,
			stderr: context.world.stderr,
			isLabeled: options.isLabeled,
			isUnbuffered: options.isUnbuffered ?? false,
			...(options.labelOf === undefined ? {} : {labelOf: options.labelOf}),
			ended: ended.promise,
			onMissing: text => context.warn(text),
			onNotice: text => (context.isVerbose ? context.warn(text) : Promise.resolve()),
		}),
	]);
	work.catch(() => undefined); // It loses the race when the user detaches.
	const isForwarded = options.input !== undefined && !options.isReadOnly;
	let hasLostInput = false;
	const stopInput = isForwarded
		? forwardInput(context, {
				session,
				id,
				...options.input,
				started: started.promise,
				detach: code => detached.resolve(code),
				onLoss: () => {
					hasLostInput = true;
				},
			})
		: () => undefined;
	try {
		const first = await Promise.race([detached.promise, work]);
		stopInput(); // What is said from here on finds the terminal as it was.
		if (typeof first === 'number') {
			const name = jobidText(id, context.env);
			const advice = `detached from ${name}, which goes on; coppice job attach ${name} takes it up again`;
			if (first !== EXIT_HANGUP) await context.warn(advice);
			return first;
		}
		const status = await reportEnding(context, first[0], jobidText(id, context.env));
		return hasLostInput ? Math.max(status, EXIT_FAILURE) : status;
	} catch (error) {
		if (!(error instanceof SystemError)) throw error;
		const name = jobidText(id, context.env);
		if (error.code === 'ENOENT') throw explain(`failed to attach to ${name}`, error);
		const Kind = error instanceof LostContactError ? LostContactError : SystemError;
		throw new Kind(error.code, `${error.message}; job ${name} is left as it is`, {cause: error});
	} finally {
		stopInput();
		ignore();
	}
}

/** Follows a job to its end without its output. */
export async function watchEvents(
	context: CliContext,
	{
		session,
		id,
		showsEvents = false,
	}: Pick<AttachOptions, 'session' | 'id'> & {readonly showsEvents?: boolean},
	onStart: () => void = () => undefined,
): Promise<JobEnding> {
	let ending = NO_ENDING;
	for await (const event of followEvents(session, {id, path: 'eventlog'})) {
		ending = withEvent(ending, event);
		if (event.name === 'start') onStart();
		if (!showsEvents) continue;
		const seconds = Math.max(0, event.timestamp - ending.submitted).toFixed(3);
		await context.world.stderr.write(`${seconds}s: job.${formatEventBody(event)}\n`);
	}
	return ending;
}

/** The line that the job's end asks for, if any, and its exit status. `say`: where to; default stderr. */
export async function reportEnding(
	context: CliContext,
	ending: JobEnding,
	id: string,
	say = (text: string) => context.warn(text),
): Promise<number> {
	const exitStatus = exitStatusOf(ending);
	const text =
		endingText(ending, id) ??
		(context.isVerbose ? `${id}: task(s) exited with exit code ${exitStatus}` : null);
	if (text !== null) await say(text);
	return exitStatus;
}

function interruptsOf(
	context: CliContext,
	{session, id}: AttachOptions,
	detach: (exitCode: number) => void,
): () => void {
	const {world} = context;
	return handleInterrupts({
		clock: world.clock,
		isTerminal: world.stdout.isTerminal,
		onSignal: (name, handle) => world.onSignal(name, handle),
		detach,
		say: text => void context.warn(text),
		cancel: () => {
			const request = {id, type: 'cancel', severity: 0, note: 'interrupted by ctrl-C'};
			// Twice does no harm here: the second one finds the job canceled.
			session.call('job-manager.raise', request, {idempotent: true}).catch((error: unknown) => {
				if (error instanceof SystemError && error.code === 'ENOENT') return; // It ended by itself.
				void context.warn(`cancel: ${asSystemError(error).toString()}`);
			});
		},
	});
}
