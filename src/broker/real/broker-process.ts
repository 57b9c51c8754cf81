/**
 * The process of one broker: from its command line to its exit status. Invariant: it ends as the daemon (or systemd)
 * must understand it. By a signal when a signal asked; 0 after a shutdown; 42 when a restart can't help; 1 for a panic,
 * within 200 ms of its cause.
 */
import {writeSync} from 'node:fs';
import {unlink} from 'node:fs/promises';
import {join} from 'node:path';
import {SystemError, type ErrnoName} from '../../formats/errno.ts';
import {HEAD_FILE} from '../../store/head-file.ts';
import {brokerPidPath, EXIT_REFUSED} from '../daemon-protocol.ts';
import {INSTANCE_FILE, parseRankRecord, rankStatedir, type InstanceInfo} from '../instance.ts';
import type {RunningBroker, StartBroker} from '../running-broker.ts';
import {markLogMade, readInstance, readRankRecord} from './instance-dirs.ts';
import {pause} from './pause.ts';
import {ownName, writePidFile} from './pid-file.ts';
import {readConfig} from './read-config.ts';
import {readSmallFile} from './small-file.ts';
import {superviseDaemon, type DaemonSupervision} from './supervise-daemon.ts';

export interface BrokerProcessOptions {
	readonly info: InstanceInfo;
	readonly rank: number;
	/** The values of `--conf`. */
	readonly confs: readonly string[];
	readonly attributes: Readonly<Record<string, string>>;
	/** A daemon started us, and we bring it back when it dies; false under systemd. */
	readonly hasDaemon: boolean;
	readonly startBroker: StartBroker;
}

/** Runs a broker until it ends. Resolves to the exit status; where a signal asked for the end, the process dies by it. */
export async function runBrokerProcess(options: BrokerProcessOptions): Promise<number> {
	const {info, rank, hasDaemon} = options;
	const life = new BrokerLife();
	life.catchPanics();
	life.catchSignals();
	let status: number;
	try {
		const create = await judgeLog(info, rank);
		await writePidFile(brokerPidPath(info.rundir, rank), ownName());
		if (hasDaemon) {
			life.supervision = superviseDaemon({
				instance: info.instance,
				rundir: info.rundir,
				rank,
				log: writeLine,
			});
		}
		status = await life.run(options, create);
	} catch (error) {
		status = await life.failed(error);
	}
	life.supervision?.close();
	if (life.signal !== null) await dieBy(life.signal);
	if (status === 0) await unlink(brokerPidPath(info.rundir, rank)).catch(() => undefined);
	return status;
}

/** From the answer to a request that asks for a restart to that restart. */
const RESTART_MS = 50;
/** A panic may flush for so long. */
const PANIC_MS = 200;
/** A clean end by a signal may take so long; then the log is left as a crash leaves it. */
const TERMINATE_MS = 10_000;
/** Before clients were served there is nothing to end cleanly. */
const STARTING_MS = 2000;
const NONE: DaemonSupervision = {
	pid: null,
	shutdownAsked: async () => {},
	exiting: async () => {},
	close: () => {},
};

/** With these a restart changes nothing; everything else may pass. */
const REFUSALS: readonly ErrnoName[] = [
	'EACCES',
	'EBADMSG',
	'EEXIST',
	'EINVAL',
	'EISDIR',
	'ELOOP',
	'ENOENT',
	'ENOTDIR',
	'ENOTEMPTY',
	'ENOTSUP',
	'EPERM',
	'EPROTONOSUPPORT',
	'EROFS',
];

/** The ways in which a broker's process can end, brought together. */
class BrokerLife {
	signal: NodeJS.Signals | null = null;
	supervision: DaemonSupervision | null = null;
	#running: RunningBroker | null = null;
	#isPanicking = false;

	async run(
		{info, rank, confs, attributes, startBroker}: BrokerProcessOptions,
		create: boolean,
	): Promise<number> {
		const config = await readConfig(confs);
		if (this.signal !== null) return 1;
		const daemon = this.supervision ?? NONE;
		const running = await startBroker({
			config,
			instance: info,
			rank,
			create,
			attributes,
			daemon,
			// Before anything can be promised: a log that then goes missing was lost, and is not made again.
			beforeServing: async () => (create ? markLogMade(info, rank) : undefined),
			rereadConfig: () => readConfig(confs),
			restart: reason => {
				writeLine(`${reason}: beginning anew`);
				setTimeout(() => process.kill(process.pid, 'SIGTERM'), RESTART_MS); // The answer leaves before that.
			},
			write: writeLine,
		});
		this.#running = running;
		if (this.signal !== null) void this.#terminate(running, this.signal);
		const {exitCode, reason} = await running.ended;
		if (exitCode !== 0) await daemon.exiting(exitCode, reason);
		return exitCode;
	}

	/** The exit status for a broker that could not start. */
	async failed(error: unknown): Promise<number> {
		if (!(error instanceof SystemError)) {
			this.#panic(error);
			await pause(PANIC_MS * 2);
			return 1;
		}
		writeLine(`rank could not start: ${error.toString()}`);
		const status = REFUSALS.includes(error.code) ? EXIT_REFUSED : 1;
		await this.supervision?.exiting(status, error.toString());
		return status;
	}

	catchPanics(): void {
		process.on('uncaughtException', error => this.#panic(error));
		process.on('unhandledRejection', error => this.#panic(error));
	}

	catchSignals(): void {
		for (const signal of ['SIGTERM', 'SIGINT'] as const) {
			process.on(signal, () => {
				if (this.signal !== null) return;
				this.signal = signal;
				writeLine(`${signal}: ending, running jobs are left as they are`);
				// What never comes back must not hold the signal up.
				const graceMs = this.#running === null ? STARTING_MS : TERMINATE_MS;
				setTimeout(() => void dieBy(signal), graceMs).unref();
				if (this.#running !== null) void this.#terminate(this.#running, signal);
			});
		}
		// Asks daemons for something that there is not yet; it must not kill.
		process.on('SIGHUP', () => writeLine('SIGHUP ignored'));
	}

	async #terminate(running: RunningBroker, signal: string): Promise<void> {
		try {
			await running.terminate(signal);
		} catch (error) {
			this.#panic(error);
		}
	}

	#panic(error: unknown): void {
		const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
		writeLine(`panic: ${text}`);
		if (this.#isPanicking) return;
		this.#isPanicking = true;
		const [reason = 'panic'] = text.split('\n', 1);
		setTimeout(() => process.exit(1), PANIC_MS);
		const told = this.supervision?.exiting(1, reason) ?? Promise.resolve();
		try {
			this.#running?.panic(reason, {error});
		} catch (second) {
			writeLine(`panic while panicking: ${String(second)}`);
		}
		const flushed = this.#running?.ended ?? Promise.resolve();
		Promise.all([told, flushed]).then(
			() => process.exit(1),
			() => process.exit(1),
		);
	}
}

/**
 * Whether the log of this rank is to be made.
 *
 * @throws {SystemError} ENOENT: it was there once, and its directory is gone or empty (not mounted?): that is never an
 * empty start. EINVAL: the directory belongs to another instance, or another rank.
 */
async function judgeLog(info: InstanceInfo, rank: number): Promise<boolean> {
	const statedir = rankStatedir(info, rank);
	const [record, inState] = await Promise.all([readRankRecord(info, rank), readInstance(statedir)]);
	if (inState !== null && inState.instance !== info.instance) {
		throw new SystemError(
			'EINVAL',
			`${statedir} belongs to instance ${inState.instance}, not to ${info.instance}`,
		);
	}
	if (rank > 0 && inState !== null) await refuseOtherRank(statedir, rank);
	if (record !== null && record.instance !== info.instance) {
		throw new SystemError(
			'EINVAL',
			`the job directory of rank ${rank} belongs to instance ${record.instance}`,
		);
	}
	if (record?.log === 'new') return inState === null;
	if (inState === null && (await readSmallFile(join(statedir, HEAD_FILE))) === null) {
		throw new SystemError(
			'ENOENT',
			`${statedir} has neither ${INSTANCE_FILE} nor a log, but ${rank === 0 ? '' : `rank ${rank} of `}the instance ` +
				`${info.instance} had one: it is not mounted, or it was moved or lost; jobs are untouched. Bring it back and ` +
				'start again, or take the jobs over with coppice start --adopt',
		);
	}
	return false;
}

/** Two directories of ranks that were exchanged would have each rank do the other's work. */
async function refuseOtherRank(statedir: string, rank: number): Promise<void> {
	const path = join(statedir, INSTANCE_FILE);
	const text = await readSmallFile(path);
	const other = text === null ? rank : parseRankRecord(text, path).rank;
	if (other !== rank)
		throw new SystemError('EINVAL', `${statedir} is that of rank ${other}, not of rank ${rank}`);
}

/** Ends the process by `signal`, so that whoever watches sees that it was asked to. */
async function dieBy(signal: NodeJS.Signals): Promise<never> {
	process.removeAllListeners(signal);
	process.kill(process.pid, signal);
	await pause(1000);
	process.exit(1); // The signal is blocked, which no shell does by accident.
}

/** One line to stderr, at once: what is queued would be lost with the process. */
function writeLine(line: string): void {
	try {
		writeSync(2, `${new Date().toISOString()} broker[${process.pid}]: ${line}\n`);
	} catch (error) {
		// A full disk or a closed pipe is no reason to end.
		if (!(error instanceof Error && 'code' in error)) throw error;
	}
}
