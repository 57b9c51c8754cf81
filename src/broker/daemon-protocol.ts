/**
 * What the daemon of an instance and the others say to each other: the names of its files and locks in the run
 * directory, and the messages on `<rundir>/daemon`, one JSON object a line, in both directions.
 */
import {join} from 'node:path';
import type {InstanceInfo} from './instance.ts';

/** Held by the daemon of an instance while it lives: there is one. */
export const daemonLockName = (instance: string): string => `coppice-daemon-${instance}`;
/** Held by whoever is bringing a daemon up. */
export const starterLockName = (instance: string): string => `coppice-daemon-starter-${instance}`;
/** Held by the job shell of a rank (src/exec). */
export const shellLockName = (instance: string, rank: number): string => `coppice-shell-${instance}-${rank}`;

export const daemonSocketPath = (rundir: string): string => join(rundir, 'daemon');
export const daemonPidPath = (rundir: string): string => join(rundir, 'daemon.pid');
export const daemonLogPath = (rundir: string): string => join(rundir, 'daemon.log');
/** How to start daemon and brokers: a `StartRecord`. */
export const startRecordPath = (rundir: string): string => join(rundir, 'start.json');
/** The brokers that the daemon has started or adopted: `BrokersRecord`. */
export const brokersRecordPath = (rundir: string): string => join(rundir, 'brokers.json');
export const brokerPidPath = (rundir: string, rank: number): string => join(rundir, `broker-${rank}.pid`);
export const brokerLogPath = (rundir: string, rank: number): string => join(rundir, `broker-${rank}.log`);

/** Everything that whoever restarts something must know. Written by `start`, before the daemon. */
export interface StartRecord {
	readonly version: 1;
	readonly info: InstanceInfo;
	/** The program and arguments of a broker; rank and directories are appended. */
	readonly brokerCommand: readonly string[];
	/** The program and arguments of a daemon; the run directory is appended. */
	readonly daemonCommand: readonly string[];
	/** The link to keep at this instance's socket while it runs, or null. */
	readonly defaultLink: string | null;
}

/** Names a process: its pid counts only with start ticks and boot id. */
export interface ProcessNameFields {
	readonly pid: number;
	readonly startTicks: number;
	readonly bootId: string;
}

export interface BrokersRecord {
	readonly version: 1;
	readonly brokers: readonly (ProcessNameFields & {readonly rank: number})[];
	/** Shutdown was asked: nothing is restarted. */
	readonly isStopping: boolean;
	/** Why brokers refuse to run: for a start that finds their daemon gone. */
	readonly refusals?: readonly {readonly rank: number; readonly refusal: string}[];
}

export type ToDaemon =
	/** The first line of a broker's connection, which it keeps as long as it lives. */
	| (ProcessNameFields & {readonly type: 'hello'; readonly rank: number; readonly isStopping: boolean})
	/** Somebody asked the instance to end: brokers that end from now on are not restarted. */
	| {readonly type: 'shutdown'}
	/** This broker ends by itself, with this exit status. */
	| {readonly type: 'exiting'; readonly exitCode: number; readonly reason: string}
	| {readonly type: 'status'}
	/** Ends brokers and daemon by SIGTERM; jobs stay. */
	| {readonly type: 'stop'};

export type BrokerPhase =
	/** It runs, by all we know. */
	| 'running'
	/** It ended, and is started again after a pause. */
	| 'waiting'
	/** It ended, and is not started again: shutdown, or it refused to run. */
	| 'ended';

export interface BrokerStatus {
	readonly rank: number;
	readonly phase: BrokerPhase;
	readonly pid: number | null;
	/** How often it was started again. */
	readonly restarts: number;
	/** Panics in a row, without 30 s of life between them. */
	readonly panics: number;
	/** How it ended last: `exit status 1`, `SIGKILL`; null before. */
	readonly lastEnd: string | null;
	/** Why it refuses to run (exit status 42), else null. */
	readonly refusal: string | null;
}

export type FromDaemon =
	/** The answer to `hello` and `shutdown`. */
	| {readonly type: 'welcome'; readonly pid: number}
	| {
			readonly type: 'status';
			readonly pid: number;
			readonly isStopping: boolean;
			readonly brokers: readonly BrokerStatus[];
	  };

/** A longer line ends the connection. The status of all brokers is the longest: a few hundred bytes each. */
export const LINE_BYTES_MAX = 16 * 1024 * 1024;

/**
 * The parent went away, or told this broker to go: it comes back at once, and that it ended is not held against it. As
 * many brokers as there are below a broker end so when that one dies.
 */
export const EXIT_ORPHANED = 43;

/** A restart can't cure what this exit status says (sysexits has nothing of the kind; systemd: RestartPreventExitStatus). */
export const EXIT_REFUSED = 42;
