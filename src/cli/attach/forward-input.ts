/** Standard input of this command as that of a job: read no faster than the job's tasks do, its end told once. */
import type {JobId} from '../../formats/jobid.ts';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {isObject} from '../../formats/shape.ts';
import {LostContactError, type BrokerSession} from '../broker-session.ts';
import type {CliContext, Source} from '../context.ts';
import {InputSender, type InputRequest, type InputResponse} from './input-sender.ts';

/** Ctrl-] ends this command and not the job, once what was typed before it is taken. */
export const DETACH_KEY = 0x1d;

export interface ForwardInputOptions {
	readonly session: BrokerSession;
	readonly id: JobId;
	/** The tasks that get it: an idset, or `all`. */
	readonly tasks: string;
	/** Pass the terminal on as it is: raw, with its size. */
	readonly isInteractive: boolean;
	/** Resolves when the job has started, or never will: before that nothing is read, and a terminal is left as it is. */
	readonly started: Promise<unknown>;
	/** The person asked for it, or the terminal is gone. */
	readonly detach: (exitCode: number) => void;
	/** Not all of it could be read or passed on: that is told, and the tasks get the end of it. */
	readonly onLoss: () => void;
}

const TOPIC = 'job-input.write';
const NOTHING = new Uint8Array(0);
/** 128 + SIGHUP: the terminal is gone. */
export const EXIT_HANGUP = 129;

/** Begins; the function returned ends it, and gives the terminal back as it was. */
export function forwardInput(context: CliContext, options: ForwardInputOptions): () => void {
	const {stdin} = context.world;
	let isStopped = false;
	const undo: (() => void)[] = [() => stdin.stop()];
	const stop = () => {
		isStopped = true;
		for (const each of undo.splice(0)) each();
	};
	const sender = new InputSender({
		ask: inputAsker(context, options),
		pause: ms => new Promise(resolve => context.clock.setTimer(ms, resolve)),
		isStopped: () => isStopped,
	});
	const forward = async () => {
		await options.started;
		if (isStopped) return;
		if (!options.isInteractive || stdin.kind !== 'terminal')
			return forwardBytes(stdin, sender, text => context.warn(text));
		undo.push(stdin.makeRaw());
		await forwardTerminal({context, options, sender, undo});
	};
	const giveUp = async (error: unknown) => {
		// Who follows the job's events says that contact was lost; that the job is over, they say as well.
		if (isStopped || error instanceof LostContactError) return;
		if (error instanceof SystemError && error.code === 'ENOENT') return;
		options.onLoss();
		await context.warn(`standard input: ${asSystemError(error).toString()}`);
		await sender.send({data: NOTHING, isEnd: true});
	};
	forward()
		.catch(giveUp)
		.catch(() => undefined); // The end can't be passed on either, and what went wrong is told.
	return stop;
}

async function forwardBytes(
	stdin: Source,
	sender: InputSender,
	warn: (text: string) => Promise<void>,
): Promise<void> {
	for await (const data of stdin.chunks()) {
		const outcome = await sender.send({data});
		if (outcome === 'closed') return stdin.stop();
		if (outcome === 'restarted') return endRestarted(sender, warn);
	}
	if ((await sender.send({data: NOTHING, isEnd: true})) === 'restarted') await endRestarted(sender, warn);
}

async function endRestarted(sender: InputSender, warn: (text: string) => Promise<void>): Promise<void> {
	await warn('the job runs again, and what was read of standard input is lost: its tasks get the end of it');
	await sender.endAnew();
}

interface TerminalForward {
	readonly context: CliContext;
	readonly options: ForwardInputOptions;
	readonly sender: InputSender;
	readonly undo: (() => void)[];
}

/** What is typed and the size of the terminal take one way, so that they arrive in order. A terminal has no end: it goes away. */
async function forwardTerminal({context, options, sender, undo}: TerminalForward): Promise<void> {
	const {world} = context;
	const {stdin} = world;
	let last: Promise<unknown> = Promise.resolve();
	const enqueue = <T>(send: () => Promise<T>): Promise<T> => {
		const sent = last.then(send);
		last = sent;
		return sent;
	};
	const tellSize = () => {
		const size = stdin.size();
		if (size !== null) enqueue(() => sender.send({data: NOTHING, size})).catch(() => undefined); // The next one finds out too.
	};
	undo.push(world.onSignal('SIGWINCH', tellSize));
	undo.push(world.onSignal('SIGHUP', () => options.detach(EXIT_HANGUP)));
	tellSize();
	for await (const data of stdin.chunks()) {
		const key = data.indexOf(DETACH_KEY);
		const typed = key === -1 ? data : data.subarray(0, key);
		const outcome = typed.length === 0 ? 'taken' : await enqueue(() => sender.send({data: typed}));
		if (key !== -1) return options.detach(0);
		// A job that runs again has a terminal again, with nothing in it.
		if (outcome === 'restarted') return endRestarted(sender, text => context.warn(text));
		if (outcome === 'closed') return;
	}
	options.detach(EXIT_HANGUP);
}

function inputAsker(
	{world}: CliContext,
	{session, id, tasks}: ForwardInputOptions,
): (request: InputRequest) => Promise<InputResponse> {
	const writer = world.random.uuid();
	return async ({offset, data, isEnd, size}) => {
		const answer = await session.call(
			TOPIC,
			{
				id,
				stream: 'stdin',
				rank: tasks,
				writer,
				offset,
				...(data.length === 0 ? {} : {data: Buffer.from(data).toString('base64'), encoding: 'base64'}),
				...(isEnd ? {eof: true} : {}),
				...(size === undefined ? {} : {winsize: {rows: size.rows, cols: size.columns}}),
			},
			{idempotent: true},
		);
		if (!isObject(answer)) throw new SystemError('EPROTO', `${TOPIC}: malformed answer`);
		return {
			offset: Number(answer['offset']),
			isTaken: answer['taken'] === true,
			isClosed: answer['closed'] === true,
		};
	};
}
