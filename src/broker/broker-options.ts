/** What a broker is given, and how it ends. */
import type {ResourceSet} from '../formats/resource-set.ts';
import type {OverlayOptions} from '../net/overlay/overlay-options.ts';
import type {Clock} from '../ports/clock.ts';
import type {ProcessHost} from '../ports/process-host.ts';
import type {Random} from '../ports/random.ts';
import type {StoreDir} from '../ports/store.ts';
import type {Transport} from '../ports/transport.ts';
import type {Severity} from '../services/core.ts';
import type {PurgeLimits} from '../services/job-manager/job-purge.ts';
import type {SchedulingPolicy} from '../services/scheduling.ts';
import type {PanicEvidence} from './panic-evidence.ts';

export interface BrokerPorts {
	readonly clock: Clock;
	readonly random: Random;
	readonly store: StoreDir;
	readonly transport: Transport;
	readonly host: ProcessHost;
}

export interface BrokerOptions {
	readonly ports: BrokerPorts;
	readonly instance: string;
	readonly rank: number;
	readonly hostname: string;
	readonly userid: number;
	readonly pid: number;
	readonly version: string;
	/** `local://` address of the socket for this rank's clients. */
	readonly localUri: string;
	/** Its place in the tree. */
	readonly overlay: OverlayOptions;
	/** Make a new log; false: one must be there. */
	readonly create: boolean;
	/** What this rank has, as R. */
	readonly resources: ResourceSet;
	/** Default: nothing is excluded, and there is one queue. */
	readonly scheduling?: SchedulingPolicy;
	readonly killTimeoutMs: number;
	/** `exec.output-limit`; null, or absent: the default. */
	readonly outputBytesMax?: number | null;
	/** `[job-manager]`: which finished jobs are kept; absent: all. */
	readonly retention?: PurgeLimits;
	/** `exec.lease`; null, or absent: none. */
	readonly leaseMs?: number | null;
	readonly snapshotFacts: number;
	readonly retentionFacts: number;
	/** The configuration as clients may see it. */
	readonly config: object;
	/** For `config.reload`: reads it again, and ends the broker so that it is started again. Absent: not possible. */
	readonly rereadConfig?: (() => Promise<object>) | undefined;
	readonly restart?: ((reason: string) => void) | undefined;
	/** More attributes: paths, the daemon's pid. */
	readonly attributes: Readonly<Record<string, string | number | null | (() => string | number | null)>>;
	/** Where panics are kept; absent: nowhere. */
	readonly evidence?: PanicEvidence;
	/** Each line of the broker's log. */
	readonly write: (line: string, severity: Severity) => void;
	/** Someone asked for the end of the instance: whoever restarts brokers must know before this one ends. */
	readonly onShutdown: () => Promise<void>;
}

export interface BrokerEnd {
	/** 0: shut down; 1: a panic, to be restarted; 43: it lost its parent, to be restarted at once. */
	readonly exitCode: number;
	readonly reason: string;
}
