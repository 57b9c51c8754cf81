/**
 * Brings an instance up: directories, daemon, and then the wait until its brokers answer. Invariant: when this fails,
 * what it started has been told to end; jobs are never touched.
 */
import {rm} from 'node:fs/promises';
import {hostname} from 'node:os';
import {randomUUID} from 'node:crypto';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {
	brokerLogPath,
	brokersRecordPath,
	daemonLockName,
	daemonLogPath,
	daemonSocketPath,
	startRecordPath,
	type BrokerStatus,
	type FromDaemon,
	type StartRecord,
} from '../../broker/daemon-protocol.ts';
import {isCluster} from '../../broker/bootstrap.ts';
import {placeOf, type BrokerConfig} from '../../broker/config.ts';
import {defaultLink, localUri, rankHostname, type InstanceInfo} from '../../broker/instance.ts';
import {withPreparedInstance, type PreparedInstance} from '../../broker/real/instance-dirs.ts';
import {lockHolder} from '../../ports/real/kernel-lock.ts';
import type {LineConnection} from '../../broker/real/line-connection.ts';
import {pause, settlesWithin} from '../../broker/real/pause.ts';
import {absoluteConf, readConfig} from '../../broker/real/read-config.ts';
import {replaceSmallFile} from '../../broker/real/small-file.ts';
import {spawnDaemon} from '../../broker/real/spawn-daemon.ts';
import {connectWithin} from '../../broker/real/supervise-daemon.ts';
import {programCommand} from '../../ports/real/installation.ts';
import {readBrokersRecord} from './brokers-record.ts';
import {lastLines} from './daemon-log.ts';

export interface StartOptions {
	/** As given, absolute; null: the default. */
	readonly statedir: string | null;
	readonly jobdir: string | null;
	readonly rundir: string | null;
	readonly adopt: boolean;
	/** The number of brokers; null: as many as the instance had, or 1. */
	readonly size: number | null;
	/** Overrides `tbon.topo`. */
	readonly topo: string | null;
	/** The values of `--conf`, in order. */
	readonly confs: readonly string[];
	/** The values of `-S`: `NAME=VALUE`. */
	readonly attributes: readonly string[];
	readonly env: Readonly<Record<string, string | undefined>>;
	readonly cwd: string;
	readonly warn: (text: string) => void;
	/** The state of the broker that listens at a URI (`state-machine.get`). Rejects while nobody answers. */
	readonly probe: (uri: string) => Promise<string>;
	/** Gives up: whatever was started is told to end. */
	readonly signal?: AbortSignal;
	/** From now to the answer of the last broker. Default 60 s. */
	readonly timeoutMs?: number;
	/** The program and arguments of a broker, of a daemon. Default: those of this installation. */
	readonly brokerCommand?: readonly string[];
	readonly daemonCommand?: readonly string[];
}

export interface StartedInstance {
	readonly info: InstanceInfo;
	readonly uri: string;
	/** Of brokers that are up in safe mode. */
	readonly safeUris: readonly string[];
}

export const START_TIMEOUT_MS = 60_000;

/**
 * Starts an instance on fresh or used directories; resolves when all its brokers serve clients.
 *
 * @throws {SystemError} as `withPreparedInstance` (refusals, EBUSY with uri and pids when it runs already), EINVAL for
 * the configuration; ETIMEDOUT, ECONNABORTED with the last lines of a broker's log when it does not come up.
 */
export async function startInstance(options: StartOptions): Promise<StartedInstance> {
	const untilMs = performance.now() + (options.timeoutMs ?? START_TIMEOUT_MS);
	const confs = options.confs.map(conf => absoluteConf(conf, options.cwd));
	const config = await readConfig(confs);
	refuseCluster(config);
	const userid = process.getuid!();
	const {info} = await withPreparedInstance(
		{
			...options,
			topo: options.topo ?? config.tbon.topo,
			hostname: hostname(),
			userid,
			nowMs: Date.now(),
			uuid: randomUUID,
		},
		async prepared => {
			if (prepared.isAdopted) {
				options.warn(
					`instance ${prepared.info.instance} is taken over; its state begins anew, its jobs go on`,
				);
			}
			for (const rank of prepared.adoptedRanks) {
				options.warn(`rank ${rank} (${rankHostname(prepared.info, rank)}) begins anew; its jobs go on`);
			}
			await bringDaemonUp(prepared, {...options, confs, userid});
			return prepared;
		},
	);
	try {
		const safeUris = await waitUntilUp(info, {...options, untilMs});
		return {info, uri: localUri(info.rundir, 0), safeUris};
	} catch (error) {
		await stopDaemon(info);
		throw error;
	}
}

/**
 * Tells the daemon to end with its brokers, by SIGTERM: jobs go on. Waits for it.
 *
 * @throws {SystemError} ETIMEDOUT with its pid when it does not end.
 */
export async function stopDaemon(info: InstanceInfo): Promise<void> {
	const connection = await connectWithin(daemonSocketPath(info.rundir), CONNECT_MS).catch(() => null);
	connection?.send({type: 'stop'});
	await awaitDaemonEnd(info, STOP_TIMEOUT_MS);
	connection?.destroy();
}

/** Waits until the instance has no daemon. @throws {SystemError} ETIMEDOUT with its pid. */
export async function awaitDaemonEnd(info: InstanceInfo, timeoutMs: number): Promise<void> {
	const untilMs = performance.now() + timeoutMs;
	for (;;) {
		const holder = await lockHolder(daemonLockName(info.instance));
		if (holder === null) return;
		if (performance.now() > untilMs) {
			const who = `daemon (pid ${holder.pid ?? 'unknown'}) of instance ${info.instance}`;
			throw new SystemError('ETIMEDOUT', `the ${who} did not end within ${timeoutMs / 1000} s`);
		}
		await pause(POLL_MS);
	}
}

const CONNECT_MS = 1000;
const DAEMON_UP_MS = 15_000;
const STOP_TIMEOUT_MS = 20_000;
const POLL_MS = 25;
/** The daemon is asked so often at most: it has brokers to start. */
const ASK_MS = 100;
const STATUS_MS = 2000;
/** A broker that panics so often in a row does not come up. */
const PANICS_MAX = 5;
const TAIL_LINES = 15;
/** So many attempts of CONNECT_MS each; a daemon that was killed is brought back sooner. */
const MISSES_MAX = 5;

async function bringDaemonUp(
	{info, isDefault}: PreparedInstance,
	options: StartOptions & {readonly userid: number},
): Promise<void> {
	const {confs, attributes, env, userid} = options;
	const brokerCommand = options.brokerCommand ?? programCommand('broker');
	const record: StartRecord = {
		version: 1,
		info,
		brokerCommand: [
			...brokerCommand,
			...['--instance', info.instance, '--statedir', info.statedir],
			...['--jobdir', info.jobdir, '--rundir', info.rundir, '--daemon'],
			...confs.flatMap(conf => ['--conf', conf]),
			...attributes.flatMap(attribute => ['-S', attribute]),
		],
		daemonCommand: options.daemonCommand ?? programCommand('daemon'),
		defaultLink: isDefault ? defaultLink(env, userid) : null,
	};
	await replaceSmallFile(startRecordPath(info.rundir), `${JSON.stringify(record, null, 2)}\n`);
	// Of an earlier life, and nothing of that is alive.
	await rm(brokersRecordPath(info.rundir), {force: true});
	const child = await spawnDaemon(record, {adoptsBrokers: false});
	const ended = new Promise<never>((_, reject) => {
		child.once('exit', (code, signal) => {
			daemonFailure(info, `the daemon ended by ${signal ?? `exit status ${code}`}`).then(reject, reject);
		});
	});
	ended.catch(() => undefined); // Later ends are seen by other means.
	const connection = await Promise.race([connectWithin(daemonSocketPath(info.rundir), DAEMON_UP_MS), ended]);
	connection.close();
}

/** Brokers of several hosts can't be started from one of them. */
function refuseCluster(config: BrokerConfig): void {
	if (!isCluster(config)) return;
	const {hosts} = config.bootstrap;
	throw new SystemError(
		'EINVAL',
		`${placeOf(config, 'bootstrap.hosts')}: bootstrap.hosts names ${hosts.length} hosts: run 'coppice broker' on each ` +
			'of them; coppice start is for the brokers of one host',
	);
}

interface WaitOptions extends Pick<StartOptions, 'probe' | 'signal' | 'timeoutMs'> {
	readonly untilMs: number;
}

/** Resolves to the URIs of brokers in safe mode when all ranks are up. */
async function waitUntilUp(
	info: InstanceInfo,
	{probe, signal, untilMs, timeoutMs}: WaitOptions,
): Promise<string[]> {
	const daemon = new DaemonWatch(info);
	const safeUris: string[] = [];
	let rank = 0;
	let last: string;
	try {
		for (;;) {
			for (const status of await daemon.ask()) throwIfHopeless(info, status);
			try {
				// In order: a tree comes up from its root. Those that are up by then are asked without a pause.
				for (; rank < info.size; rank += 1) {
					const uri = localUri(info.rundir, rank);
					const state = await probe(uri);
					if (state !== 'run' && state !== 'safe') break;
					if (state === 'safe') safeUris.push(uri);
				}
				if (rank === info.size) return safeUris;
				last = `it has not joined the tree, or its jobs are not found again yet`;
			} catch (error) {
				last = asSystemError(error).toString();
			}
			if (signal?.aborted === true)
				throw new SystemError('ECANCELED', 'interrupted while the instance came up');
			if (performance.now() > untilMs) {
				const seconds = (timeoutMs ?? START_TIMEOUT_MS) / 1000;
				const what = `${nameOf(info, rank)} is not up within ${seconds} s: ${last}`;
				throw failure('ETIMEDOUT', what, lastLines(brokerLogPath(info.rundir, rank), TAIL_LINES));
			}
			await pause(POLL_MS);
		}
	} finally {
		daemon.close();
	}
}

function throwIfHopeless(info: InstanceInfo, {refusal, panics, lastEnd, rank}: BrokerStatus): void {
	const who = nameOf(info, rank);
	if (refusal !== null) throw refused(info, rank, refusal);
	if (panics < PANICS_MAX) return;
	const tail = lastLines(brokerLogPath(info.rundir, rank), TAIL_LINES);
	throw failure('ECONNABORTED', `${who} ended ${panics} times in a row, at last by ${lastEnd}`, tail);
}

/** Why there is no daemon any more: it may have come and gone before it could be asked. */
async function daemonFailure(info: InstanceInfo, what: string): Promise<SystemError> {
	const tail = lastLines(daemonLogPath(info.rundir), TAIL_LINES);
	return (await recordedRefusal(info)) ?? failure('ECONNABORTED', what, tail);
}

async function recordedRefusal(info: InstanceInfo): Promise<SystemError | null> {
	const found = (await readBrokersRecord(info.rundir))?.refusals?.[0];
	return found === undefined ? null : refused(info, found.rank, found.refusal);
}

function refused(info: InstanceInfo, rank: number, refusal: string): SystemError {
	return new SystemError('ECONNABORTED', `${nameOf(info, rank)} refuses to run: ${refusal}`);
}

function nameOf(info: InstanceInfo, rank: number): string {
	return `rank ${rank} (${rankHostname(info, rank)})`;
}

function failure(code: 'ETIMEDOUT' | 'ECONNABORTED', what: string, tail: readonly string[]): SystemError {
	const lines =
		tail.length === 0
			? '; its log is empty'
			: `; the end of its log:\n${tail.map(line => `  ${line}`).join('\n')}`;
	return new SystemError(code, `${what}${lines}`);
}

/** What the daemon says about the brokers, over a connection that is made again when the daemon is replaced. */
class DaemonWatch {
	readonly #info: InstanceInfo;
	#misses = 0;
	#connection: LineConnection | null = null;
	#askedMs = -Infinity;
	#last: readonly BrokerStatus[] = [];

	constructor(info: InstanceInfo) {
		this.#info = info;
	}

	/**
	 * The newest status of each broker; none when there was none so far.
	 * @throws {SystemError} ECONNABORTED when the daemon is gone for good.
	 */
	async ask(): Promise<readonly BrokerStatus[]> {
		if (performance.now() - this.#askedMs < ASK_MS) return this.#last;
		this.#askedMs = performance.now();
		this.#connection ??= await this.#connect();
		if (this.#connection === null) {
			this.#misses += 1;
			const isDecided = this.#last.some(({refusal}) => refusal !== null);
			if (isDecided) return this.#last;
			const refusal = await recordedRefusal(this.#info);
			if (refusal !== null) throw refusal;
			if (this.#misses < MISSES_MAX) return this.#last;
			throw await daemonFailure(this.#info, 'the daemon is gone, and nobody brings it back');
		}
		this.#misses = 0;
		const answered = new Promise<void>(resolve => (this.#answered = resolve));
		this.#connection.send({type: 'status'});
		await settlesWithin(answered, STATUS_MS);
		return this.#last;
	}

	close(): void {
		this.#connection?.close();
	}

	#answered: () => void = () => {};

	async #connect(): Promise<LineConnection | null> {
		const connection = await connectWithin(daemonSocketPath(this.#info.rundir), CONNECT_MS).catch(() => null);
		if (connection === null) return null;
		connection.onMessage = value => {
			const message = value as FromDaemon;
			if (message.type === 'status') this.#last = message.brokers;
			this.#answered();
		};
		connection.onEnd = () => {
			this.#connection = null;
			this.#answered();
		};
		return connection;
	}
}
