/** `coppice shutdown`: ends the instance, and returns when nothing of it is left to be waited for. */
import {SystemError} from '../../formats/errno.ts';
import {formatFsd} from '../../formats/fsd.ts';
import {socketPathOf} from '../../net/address.ts';
import type {BrokerSession} from '../broker-session.ts';
import type {CommandModule} from '../command.ts';
import {CommandError} from '../command-error.ts';
import type {CliContext} from '../context.ts';
import {textField} from '../fields.ts';
import {durationOption, flagOption, operands} from '../option-value.ts';

const TIMEOUT_S = 60;
const POLL_MS = 25;
/** Lines of progress of this severity and above: info. */
const LOG_LEVEL = 6;
const CONNECT_TIMEOUT_MS = 1000;
/** A socket file that a dead broker left behind: nobody comes back to it after a shutdown. */
const REFUSED_MS = 500;

export const shutdown: CommandModule = {
	name: 'shutdown',
	describe: 'Stops the instance; running jobs are canceled, or left running for the next start.',
	example: 'coppice shutdown --keep-jobs',
	builder: yargs =>
		yargs
			.option('keep-jobs', {type: 'boolean', describe: 'leave running jobs running'})
			.option('timeout', {type: 'string', describe: `for all of it; default ${TIMEOUT_S}s`})
			.option('quiet', {alias: 'q', type: 'boolean', describe: 'no lines of progress'})
			.option('verbose', {alias: 'v', type: 'boolean', describe: 'say what happens, on stderr'}),
	handler: async (argv, context) => {
		operands(argv, []);
		const timeoutS = durationOption(argv, 'timeout') ?? TIMEOUT_S;
		const keepJobs = flagOption(argv, 'keep-jobs');
		const {clock} = context;
		const endMs = clock.monotonicMs() + timeoutS * 1000;
		const session = context.session();
		const left = await participants(context, session, keepJobs);
		const request = {loglevel: LOG_LEVEL, keep_jobs: keepJobs, timeout: timeoutS};
		let lastLine = 'nothing was reported';
		const what = () => `${left.broker}: ETIMEDOUT: not down after ${formatFsd(timeoutS)}: ${lastLine}`;
		try {
			const timeoutMs = Math.max(1, endMs - clock.monotonicMs());
			for await (const value of session.stream('shutdown.start', request, {timeoutMs})) {
				lastLine = textField(value, 'log', 'shutdown.start');
				if (!flagOption(argv, 'quiet')) await context.warn(lastLine);
			}
		} catch (error) {
			if (!(error instanceof SystemError)) throw error;
			if (error.code === 'ETIMEDOUT') throw new CommandError(what(), {cause: error});
			if (error.code !== 'ECONNRESET') throw error; // A reset: the broker is gone before its last word.
		}
		session.close();
		await waitUntil(async () => isGone(context), {context, endMs, what});
		for (const {name, pid, start} of left.processes) {
			await waitUntil(async () => (await context.world.processStart(pid)) !== start, {
				context,
				endMs,
				what: () => `${name} (pid ${pid}): ETIMEDOUT: still there after ${formatFsd(timeoutS)}`,
			});
		}
	},
};

interface Participants {
	/** The broker for messages: `rank 0 (HOST)`. */
	readonly broker: string;
	/** Who must have ended. */
	readonly processes: readonly {readonly name: string; readonly pid: number; readonly start: string}[];
}

async function participants(
	context: CliContext,
	session: BrokerSession,
	keepJobs: boolean,
): Promise<Participants> {
	const get = async (name: string): Promise<string | null> => {
		try {
			return textField(await session.call('attr.get', {name}, {idempotent: true}), 'value', 'attr.get');
		} catch (error) {
			if (error instanceof SystemError && error.code === 'ENOENT') return null;
			throw error;
		}
	};
	const [rank, hostname] = [(await get('rank')) ?? '0', (await get('hostname')) ?? 'unknown host'];
	const names = keepJobs ? ['daemon'] : ['daemon', 'shell', 'launcher'];
	const processes = [];
	for (const name of names) {
		const pid = Number((await get(`${name}.pid`)) ?? 0);
		const start = pid > 0 ? await context.world.processStart(pid) : null;
		if (start !== null) processes.push({name, pid, start});
	}
	return {broker: `rank ${rank} (${hostname})`, processes};
}

interface Wait {
	readonly context: CliContext;
	readonly endMs: number;
	readonly what: () => string;
}

async function waitUntil(isTrue: () => Promise<boolean>, {context, endMs, what}: Wait): Promise<void> {
	const {clock} = context;
	while (!(await isTrue())) {
		if (clock.monotonicMs() >= endMs) throw new CommandError(what());
		await new Promise<void>(resolve => clock.setTimer(POLL_MS, resolve));
	}
}

/** Whether no broker serves the socket, and none is about to. */
async function isGone(context: CliContext): Promise<boolean> {
	const {world, uri, clock} = context;
	const startMs = clock.monotonicMs();
	for (;;) {
		if (!(await world.exists(socketPathOf(uri)))) return true;
		try {
			(await world.transport.connect(uri, {timeoutMs: CONNECT_TIMEOUT_MS})).destroy();
			return false;
		} catch (error) {
			const {code} = error as SystemError;
			if (code === 'ENOENT') return true;
			if (code !== 'ECONNREFUSED') return false;
			if (clock.monotonicMs() - startMs >= REFUSED_MS) return true;
		}
		await new Promise<void>(resolve => clock.setTimer(POLL_MS, resolve));
	}
}
