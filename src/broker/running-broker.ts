/** One broker as its process sees it: how it is started, how it ends. */
import type {BrokerConfig} from './config.ts';
import type {InstanceInfo} from './instance.ts';

export interface StartBrokerOptions {
	readonly config: BrokerConfig;
	readonly instance: InstanceInfo;
	readonly rank: number;
	/** The log was never there: make it. */
	readonly create: boolean;
	/** `-S NAME=VALUE`. */
	readonly attributes: Readonly<Record<string, string>>;
	readonly daemon: DaemonContact;
	/** Called, and waited for, when the log is there, before clients can connect. */
	readonly beforeServing: () => Promise<void>;
	/** Reads the configuration again, from where `config` came. */
	readonly rereadConfig?: () => Promise<BrokerConfig>;
	/** Ends the process as SIGTERM does, so that it is started again. */
	readonly restart?: (reason: string) => void;
	/** A line of the broker's log. */
	readonly write: (line: string) => void;
}

/** The daemon as a broker sees it. */
export interface DaemonContact {
	/** The attribute `daemon.pid`: null while there is none. */
	readonly pid: number | null;
	/** Shutdown was asked: resolves when the daemon knows that it restarts nothing, at the latest after 1 s. */
	shutdownAsked(): Promise<void>;
}

export interface RunningBroker {
	/** Resolves when nothing is left to do but to exit. Exit status 0: shut down; 1: to be restarted. */
	readonly ended: Promise<{readonly exitCode: number; readonly reason: string}>;
	/** A clean end that leaves running jobs as they are. */
	terminate(reason: string): Promise<void>;
	/** Flushes what is owed and ends, within 200 ms. `error`, if there is one, is kept as evidence. */
	panic(reason: string, how?: {readonly error?: unknown}): void;
}

/**
 * Resolves when clients can connect. @throws {SystemError} EBUSY: another broker has the state directory; EINVAL,
 * EACCES, EPERM, ENOENT, …: it can't run like this, and a restart won't change it.
 */
export type StartBroker = (options: StartBrokerOptions) => Promise<RunningBroker>;
