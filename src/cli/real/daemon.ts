/**
 * The daemon of an instance: starts its brokers, and starts them again when they die (DESIGN section 2). It is itself
 * replaced by the brokers when it dies; what a successor must know is in the run directory before it matters.
 *
 * Invariant: it holds the instance's daemon lock as long as it lives, so there is one, and only it starts brokers.
 */
import {unlink} from 'node:fs/promises';
import {createServer, type Server} from 'node:net';
import {asSystemError, SystemError} from '../../formats/errno.ts';
import {Idset} from '../../formats/idset.ts';
import {
	brokerLogPath,
	brokerPidPath,
	brokersRecordPath,
	daemonLockName,
	daemonLogPath,
	daemonPidPath,
	daemonSocketPath,
	type BrokersRecord,
	type FromDaemon,
	type StartRecord,
	type ToDaemon,
} from '../../broker/daemon-protocol.ts';
import {readStartRecord} from '../../broker/real/instance-scan.ts';
import {lockHolder, takeLock} from '../../ports/real/kernel-lock.ts';
import {LineConnection} from '../../broker/real/line-connection.ts';
import {
	asName,
	isNamedAlive,
	ownName,
	readPidFile,
	writePidFile,
	type ProcessName,
} from '../../broker/real/pid-file.ts';
import {replaceVolatileFile} from '../../broker/real/small-file.ts';
import {readBrokersRecord} from './brokers-record.ts';
import {rotateLog} from './daemon-log.ts';
import {BrokerSlot} from './daemon-slot.ts';
import {placeDefaultLink, removeRundir} from './daemon-rundir.ts';

export interface DaemonOptions {
	readonly rundir: string;
	/** Brokers may be running already. */
	readonly adoptsBrokers: boolean;
	/** A line for the daemon's log. */
	readonly log: (text: string) => void;
}

/** Brokers that do not end by SIGTERM within this get SIGKILL; what they have promised is on disk. */
const STOP_TIMEOUT_MS = 10_000;
/** The other brokers get so long to follow the root's end before they are told to. */
const FOLLOW_MS = 1000;
const ROTATE_POLL_MS = 10_000;
const SIGKILL = 9;

/**
 * Runs the daemon of the instance whose run directory is given, until all its brokers have ended for good. Resolves to
 * the exit status: 0 after a shutdown, and for a daemon that finds another one at work; 1 when the brokers refuse to run.
 *
 * @throws {SystemError} when the run directory can't be used.
 */
export async function runDaemon({rundir, adoptsBrokers, log}: DaemonOptions): Promise<number> {
	const record = await readStartRecord(rundir);
	if (record === null) throw new SystemError('ENOENT', `${rundir} has no start record`);
	const lockName = daemonLockName(record.info.instance);
	const lock = await takeLock(lockName);
	if (lock === null) {
		const holder = await lockHolder(lockName);
		log(`another daemon is at work, pid ${holder?.pid ?? 'unknown'}: nothing to do`);
		return 0;
	}
	const daemon = new Daemon(record, log);
	try {
		return await daemon.run(adoptsBrokers);
	} finally {
		await lock.release();
	}
}

class Daemon {
	readonly #record: StartRecord;
	readonly #log: (text: string) => void;
	readonly #slots: readonly BrokerSlot[];
	readonly #connections = new Set<LineConnection>();
	#server: Server | null = null;
	#isStopping = false;
	#isFollowing = false;
	#saved = '';
	#saving: Promise<void> = Promise.resolve();
	#allEnded!: () => void;
	readonly #ended: Promise<void>;

	constructor(record: StartRecord, log: (text: string) => void) {
		this.#record = record;
		this.#log = log;
		this.#ended = new Promise(resolve => (this.#allEnded = resolve));
		this.#slots = Array.from(
			{length: record.info.size},
			(_, rank) =>
				new BrokerSlot({
					record,
					rank,
					log,
					isStopping: () => this.#isStopping,
					onChange: () => this.#changed(),
				}),
		);
	}

	async run(adoptsBrokers: boolean): Promise<number> {
		const {info, defaultLink} = this.#record;
		await writePidFile(daemonPidPath(info.rundir), ownName());
		await this.#listen();
		this.#log(
			`daemon of instance ${info.instance}: pid ${process.pid}${adoptsBrokers ? ', a successor' : ''}`,
		);
		if (defaultLink !== null) await placeDefaultLink(defaultLink, info).catch(error => this.#complain(error));
		const rotation = setInterval(() => this.#rotateLogs(), ROTATE_POLL_MS);
		const found = adoptsBrokers ? await this.#findBrokers() : new Map<number, ProcessName>();
		// All at once: letting a few start at a time took longer, 32 brokers on 2 processors 9.7 s instead of 6.1 s.
		for (const slot of this.#slots) {
			const name = found.get(slot.rank);
			if (name !== undefined) slot.adopt(name);
			else if (this.#isStopping) slot.stop();
			else await slot.start();
		}
		await this.#ended;
		clearInterval(rotation);
		return this.#finish();
	}

	async #listen(): Promise<void> {
		const path = daemonSocketPath(this.#record.info.rundir);
		// We hold the lock: what is there was left by a daemon that is gone.
		await unlink(path).catch((error: NodeJS.ErrnoException) => {
			if (error.code !== 'ENOENT') throw asSystemError(error, 'EIO', `removing ${path}`);
		});
		const server = createServer(socket => this.#accept(new LineConnection(socket)));
		await new Promise<void>((resolve, reject) => {
			server.once('error', error => reject(asSystemError(error, 'EIO', `listening at ${path}`)));
			server.listen(path, resolve);
		});
		server.on('error', error => this.#complain(error));
		this.#server = server;
	}

	/** The brokers that a former daemon has left, by its record and by what they have written themselves. */
	async #findBrokers(): Promise<Map<number, ProcessName>> {
		const {rundir} = this.#record.info;
		const saved = await readBrokersRecord(rundir);
		this.#isStopping ||= saved?.isStopping ?? false;
		const found = new Map<number, ProcessName>();
		for (const {rank} of this.#slots) {
			const candidates = [
				asName(saved?.brokers.find(broker => broker.rank === rank)),
				await readPidFile(brokerPidPath(rundir, rank)),
			];
			const alive = candidates.find(name => name !== null && isNamedAlive(name));
			if (alive !== undefined && alive !== null) found.set(rank, alive);
		}
		return found;
	}

	#accept(connection: LineConnection): void {
		this.#connections.add(connection);
		let slot: BrokerSlot | undefined;
		connection.onEnd = () => this.#connections.delete(connection);
		connection.onMessage = value => {
			const message = value as ToDaemon;
			switch (message.type) {
				case 'hello': {
					const name = asName(message);
					slot = this.#slots[message.rank];
					if (slot === undefined || name === null) {
						connection.destroy();
						return;
					}
					if (message.isStopping) this.#beginStopping();
					slot.hello(connection, name);
					connection.send(this.#welcome());
					break;
				}
				case 'shutdown':
					this.#beginStopping();
					void this.#saving.then(() => connection.send(this.#welcome()));
					break;
				case 'exiting':
					slot?.exiting(message.exitCode, message.reason);
					connection.send(this.#welcome());
					break;
				case 'status':
					connection.send(this.#status());
					break;
				case 'stop':
					this.#stop();
					connection.send(this.#status());
					break;
				default:
					connection.destroy(); // From another version, or no part of the instance.
			}
		};
	}

	#welcome(): FromDaemon {
		return {type: 'welcome', pid: process.pid};
	}

	#status(): FromDaemon {
		const brokers = this.#slots.map(({status}) => status);
		return {type: 'status', pid: process.pid, isStopping: this.#isStopping, brokers};
	}

	#beginStopping(): void {
		if (this.#isStopping) return;
		this.#isStopping = true;
		this.#log('shutdown was asked: brokers that end are not started again');
		for (const slot of this.#slots) if (slot.phase === 'waiting') slot.stop();
		this.#changed();
	}

	#stop(): void {
		this.#beginStopping();
		for (const slot of this.#slots) slot.stop();
		setTimeout(() => {
			this.#logLate(STOP_TIMEOUT_MS, 'SIGKILL');
			for (const slot of this.#slots) slot.stop(SIGKILL);
		}, STOP_TIMEOUT_MS).unref();
	}

	#changed(): void {
		this.#save();
		if (this.#slots.every(({phase}) => phase === 'ended')) this.#allEnded();
		else if (this.#isStopping && this.#slots[0]?.phase === 'ended') this.#followRoot();
	}

	/** A shutdown goes down the tree; who has not heard of it, or is late, is told by a signal. */
	#followRoot(): void {
		if (this.#isFollowing) return;
		this.#isFollowing = true;
		setTimeout(() => {
			this.#logLate(FOLLOW_MS, 'SIGTERM');
			this.#stop();
		}, FOLLOW_MS);
	}

	#logLate(afterMs: number, signal: string): void {
		const late = this.#slots.filter(({phase}) => phase !== 'ended').map(({rank}) => rank);
		if (late.length === 0) return;
		this.#log(`rank ${Idset.from(late).toString()} did not end within ${afterMs / 1000} s: ${signal}`);
	}

	/** What a successor must know. Written in the order of the changes. */
	#save(): void {
		const brokers = this.#slots.flatMap(({rank, process}) => (process === null ? [] : [{...process, rank}]));
		const refusals = this.#slots.flatMap(({rank, status: {refusal}}) =>
			refusal === null ? [] : [{rank, refusal}],
		);
		const record: BrokersRecord = {version: 1, brokers, isStopping: this.#isStopping, refusals};
		const text = `${JSON.stringify(record)}\n`;
		if (text === this.#saved) return;
		this.#saved = text;
		const path = brokersRecordPath(this.#record.info.rundir);
		this.#saving = this.#saving
			.then(async () => replaceVolatileFile(path, text))
			.catch((error: unknown) => this.#complain(error));
	}

	#rotateLogs(): void {
		const {rundir} = this.#record.info;
		try {
			rotateLog(daemonLogPath(rundir));
			for (const {rank} of this.#slots) rotateLog(brokerLogPath(rundir, rank));
		} catch (error) {
			this.#complain(error);
		}
	}

	#complain(error: unknown): void {
		this.#log(asSystemError(error).toString());
	}

	async #finish(): Promise<number> {
		const hasRefused = this.#slots.some(slot => slot.hasRefused);
		await this.#saving;
		// Whoever waits for us hears how it ended.
		for (const connection of this.#connections) {
			connection.send(this.#status());
			connection.close();
		}
		this.#server?.close();
		this.#log(hasRefused ? 'no broker is left: the daemon ends' : 'all brokers have ended: the daemon ends');
		if (!hasRefused) await removeRundir(this.#record, this.#log);
		return hasRefused ? 1 : 0;
	}
}
