/**
 * The configuration of a broker: sections, keys, units and defaults of docs/starting.md. Pure. Invariant: what leaves
 * here is complete and valid, also the keys that nothing uses yet, so that a typing error never waits for its moment.
 */
import {SystemError} from '../formats/errno.ts';
import {
	boolean,
	command,
	ConfigFault,
	durationMs,
	hostnames,
	integer,
	mustBe,
	ranks,
	sizeBytes,
	string,
	strings,
	tableAt,
	topology,
	unknownKey,
	type Reader,
} from './config-readers.ts';
import {policy, queuePolicy} from './policy-config.ts';
import type {JobPolicy} from '../services/queue/job-policy.ts';
import {bootstrapFault} from './bootstrap-fault.ts';
import {parseConfigInput, type ConfigDocument, type ConfigInput} from './config-source.ts';

export interface QueueConfig {
	/** A job of this queue runs only on ranks that have all of these properties. */
	readonly requires: readonly string[];
	/** The longest duration of a job, or null: no limit. */
	readonly durationMsMax: number | null;
	/** Over the instance's; absent: there is none. */
	readonly policy?: JobPolicy;
}

export interface BrokerConfig {
	readonly bootstrap: {
		/** One host a rank, in the order of ranks. Empty: one host, this one. */
		readonly hosts: readonly string[];
		/** The file of the instance's key for TLS (`coppice keygen`), or null. */
		readonly key: string | null;
		/** TCP ports by rank: one for all, or one each. Default [8050]. */
		readonly ports: readonly number[];
		/** The parent of a host where it is not the one that `tbon.topo` gives. */
		readonly parents: Readonly<Record<string, string>>;
	};
	readonly tbon: {
		/** `kary:N` or `custom` (flat, but for `bootstrap.parents`). Default `kary:32`. */
		readonly topo: string;
		/** Silent for so long: no new work. Default 5 s. */
		readonly torpidMs: number;
		/** Silent for so long: lost. Default 30 s. */
		readonly lostTimeoutMs: number;
		/** From one sign of life to the next. Default: a fifth of `torpidMs`. */
		readonly keepaliveMs: number;
		/** The longest pause between two attempts to connect. Default 2 s. */
		readonly reconnectMsMax: number;
	};
	readonly resource: {
		/** Cores of each broker, taken as said; null: what the system has. */
		readonly cores: number | null;
		readonly gpus: number | null;
		/** What was configured is not compared with what is there. Default false. */
		readonly noverify: boolean;
		/** Ranks (an idset) by property; null: all ranks. */
		readonly properties: Readonly<Record<string, string | null>>;
		/** Ranks, as an idset, on which nothing is ever scheduled. Default ''. */
		readonly exclude: string;
	};
	readonly exec: {
		/** From SIGTERM to SIGKILL. Default 5 s. */
		readonly killTimeoutMs: number;
		/** A job out of contact for longer is killed by its own node; null: never. */
		readonly leaseMs: number | null;
		/** Program and arguments that run before and after a job on each of its nodes. */
		readonly prolog: readonly string[] | null;
		readonly epilog: readonly string[] | null;
		/** From the start of a prolog to its end by a signal; null: none. Default 30 min, also for the epilog. */
		readonly prologTimeoutMs: number | null;
		readonly epilogTimeoutMs: number | null;
		/** Bytes kept of a task's stream, if the job does not say (`-o output.limit`); null: 1 GiB. */
		readonly outputBytesMax: number | null;
		/** A job shell that gives no sign of life for so long is replaced. Default 30 s; null: never. */
		readonly shellTimeoutMs: number | null;
	};
	readonly log: {
		/** The log keeps at least so many facts for replays of the past. Default 1,000,000. */
		readonly retentionFacts: number;
		/** A snapshot is written after so many facts, or 20 for each active job if that is more. Default 5,000. */
		readonly snapshotFacts: number;
	};
	/** What is kept of finished jobs; the rest is purged in time. */
	readonly jobManager: {
		/** Those that have been inactive for longer go; null: none. */
		readonly inactiveAgeMs: number | null;
		/** Of more than so many the oldest go; null: none. */
		readonly inactiveNum: number | null;
	};
	/** What jobs of all queues may ask for; empty: anything. */
	readonly policy: JobPolicy;
	readonly queues: Readonly<Record<string, QueueConfig>>;
}

/**
 * Merges `inputs`, a later one over an earlier one key by key, and fills in the defaults. A table of names
 * (`queues`, `resource.properties`, `bootstrap.parents`) is merged name by name.
 *
 * @throws {SystemError} EINVAL with `FILE:LINE: KEY: what is wrong`, or `--conf ARGUMENT: KEY: …`.
 */
export function parseConfig(inputs: readonly ConfigInput[]): BrokerConfig {
	const settings = new Map<string, Setting>();
	for (const input of inputs) {
		const document = parseConfigInput(input);
		try {
			readDocument(document, settings);
		} catch (error) {
			if (!(error instanceof ConfigFault)) throw error;
			throw new SystemError('EINVAL', `${document.placeOf(error.path)}: ${error.message}`);
		}
	}
	const config = withDefaults(settings);
	checkTogether(config, settings);
	SETTINGS.set(config, settings);
	return config;
}

/** Where `key` of a parsed configuration was set, for an error: `FILE:LINE`, or `--conf ARGUMENT`. */
export function placeOf(config: object, key: string): string {
	return SETTINGS.get(config)?.get(key)?.place() ?? 'the configuration';
}

/** A value and where it was set. */
interface Setting {
	readonly value: unknown;
	/** `names` leads into a table of names. Finding the line costs many parses, so it is asked only for an error. */
	readonly place: (...names: string[]) => string;
}

/** Beside the configurations, not in them: those are shown to clients. */
const SETTINGS = new WeakMap<object, ReadonlyMap<string, Setting>>();

const COUNT_MAX = 2 ** 31 - 1;
/** As Flux has it for prologs. */
const SCRIPT_TIMEOUT_MS = 30 * 60_000;

const QUEUE_KEYS = {
	requires: strings,
	'duration-max': durationMs({allowsInf: true}),
	policy: queuePolicy,
} as const;

const queues: Reader<BrokerConfig['queues']> = at => {
	const entries = tableAt(at).map(([name, queueAt]) => {
		let queue: QueueConfig = {requires: [], durationMsMax: null};
		for (const [key, member] of tableAt(queueAt)) {
			if (key === 'requires') queue = {...queue, requires: strings(member)};
			else if (key === 'duration-max') {
				queue = {...queue, durationMsMax: finiteOrNull(QUEUE_KEYS['duration-max'](member))};
			} else if (key === 'policy') queue = {...queue, policy: queuePolicy(member)};
			else throw unknownKey(member.path, Object.keys(QUEUE_KEYS));
		}
		return [name, queue] as const;
	});
	return Object.fromEntries(entries);
};

const properties: Reader<BrokerConfig['resource']['properties']> = at => {
	if (Array.isArray(at.value)) return Object.fromEntries(strings(at).map(name => [name, null]));
	return Object.fromEntries(tableAt(at).map(([name, member]) => [name, ranks(member)]));
};

const parents: Reader<Readonly<Record<string, string>>> = at =>
	Object.fromEntries(tableAt(at).map(([host, member]) => [host, string(member)]));

const ports: Reader<readonly number[]> = at => {
	const port = integer(1, 65_535);
	if (!Array.isArray(at.value)) return [port(at)];
	if (at.value.length === 0) throw mustBe(at, 'a port, or an array of ports');
	return at.value.map((value: unknown, index) => port({value, path: [...at.path, index]}));
};

/** Every key of every section, and how its value is read. */
const SECTIONS: Readonly<Record<string, Readonly<Record<string, Reader<unknown>>> | Reader<unknown>>> = {
	bootstrap: {hosts: hostnames, key: string, ports, parents},
	tbon: {
		topo: topology,
		torpid: durationMs(),
		'lost-timeout': durationMs({allowsInf: true}),
		keepalive: durationMs(),
		'reconnect-max': durationMs(),
	},
	resource: {
		cores: integer(1, COUNT_MAX),
		gpus: integer(0, COUNT_MAX),
		noverify: boolean,
		properties,
		exclude: ranks,
	},
	exec: {
		'kill-timeout': durationMs({allowsZero: true}),
		lease: durationMs({allowsInf: true}),
		prolog: command,
		epilog: command,
		'prolog-timeout': durationMs({allowsInf: true}),
		'epilog-timeout': durationMs({allowsInf: true}),
		'output-limit': sizeBytes,
		'shell-timeout': durationMs({allowsInf: true}),
	},
	log: {retention: integer(0, COUNT_MAX), 'snapshot-interval': integer(1, COUNT_MAX)},
	'job-manager': {
		'inactive-age-limit': durationMs({allowsInf: true, allowsZero: true}),
		'inactive-num-limit': integer(0, COUNT_MAX),
	},
	policy,
	queues,
};

function readDocument(document: ConfigDocument, settings: Map<string, Setting>): void {
	for (const [section, at] of tableAt({value: document.values, path: []})) {
		const keys = Object.hasOwn(SECTIONS, section) ? SECTIONS[section] : undefined;
		if (keys === undefined) throw unknownKey(at.path, Object.keys(SECTIONS));
		if (typeof keys === 'function') {
			const place = (...names: string[]) => document.placeOf([...at.path, ...names]);
			set(settings, section, {value: keys(at), place});
			continue;
		}
		for (const [key, member] of tableAt(at)) {
			const reader = Object.hasOwn(keys, key) ? keys[key] : undefined;
			if (reader === undefined) throw unknownKey(member.path, Object.keys(keys));
			const place = (...names: string[]) => document.placeOf([...member.path, ...names]);
			set(settings, `${section}.${key}`, {value: reader(member), place});
		}
	}
}

const MERGED_BY_NAME: readonly string[] = ['queues', 'resource.properties', 'bootstrap.parents'];

function set(settings: Map<string, Setting>, key: string, {value, place}: Setting): void {
	const before = MERGED_BY_NAME.includes(key) ? settings.get(key) : undefined;
	if (before === undefined) {
		settings.set(key, {value, place});
		return;
	}
	const added = value as object;
	settings.set(key, {
		value: {...(before.value as object), ...added},
		place: (...names) =>
			(names[0] === undefined || Object.hasOwn(added, names[0]) ? place : before.place)(...names),
	});
}

function withDefaults(settings: ReadonlyMap<string, Setting>): BrokerConfig {
	// The readers of SECTIONS have made each value what the type of its place says.
	const get = <T>(key: string, fallback: T): T => (settings.get(key)?.value as T | undefined) ?? fallback;
	const torpidMs = get('tbon.torpid', 5000);
	return {
		bootstrap: {
			hosts: get('bootstrap.hosts', []),
			key: get<string | null>('bootstrap.key', null),
			ports: get('bootstrap.ports', [8050]),
			parents: get('bootstrap.parents', {}),
		},
		tbon: {
			topo: get('tbon.topo', 'kary:32'),
			torpidMs,
			lostTimeoutMs: get('tbon.lost-timeout', 30_000),
			keepaliveMs: get('tbon.keepalive', torpidMs / 5),
			reconnectMsMax: get('tbon.reconnect-max', 2000),
		},
		resource: {
			cores: get<number | null>('resource.cores', null),
			gpus: get<number | null>('resource.gpus', null),
			noverify: get('resource.noverify', false),
			properties: get('resource.properties', {}),
			exclude: get('resource.exclude', ''),
		},
		exec: {
			killTimeoutMs: get('exec.kill-timeout', 5000),
			leaseMs: finiteOrNull(get('exec.lease', Infinity)),
			prolog: get<readonly string[] | null>('exec.prolog', null),
			epilog: get<readonly string[] | null>('exec.epilog', null),
			prologTimeoutMs: finiteOrNull(get('exec.prolog-timeout', SCRIPT_TIMEOUT_MS)),
			epilogTimeoutMs: finiteOrNull(get('exec.epilog-timeout', SCRIPT_TIMEOUT_MS)),
			outputBytesMax: get<number | null>('exec.output-limit', null),
			shellTimeoutMs: finiteOrNull(get('exec.shell-timeout', 30_000)),
		},
		log: {
			retentionFacts: get('log.retention', 1_000_000),
			snapshotFacts: get('log.snapshot-interval', 5000),
		},
		jobManager: {
			inactiveAgeMs: finiteOrNull(get('job-manager.inactive-age-limit', Infinity)),
			inactiveNum: get<number | null>('job-manager.inactive-num-limit', null),
		},
		policy: get('policy', {}),
		queues: get('queues', {}),
	};
}

function finiteOrNull(value: number): number | null {
	return value === Infinity ? null : value;
}

/** What single values can't show. */
function checkTogether(config: BrokerConfig, settings: ReadonlyMap<string, Setting>): void {
	const {tbon} = config;
	const refuse = (at: readonly (readonly [key: string, ...names: string[]])[], text: string): never => {
		const places = [...new Set(at.flatMap(([key, ...names]) => settings.get(key)?.place(...names) ?? []))];
		throw new SystemError('EINVAL', `${places.join(', ')}: ${text}`);
	};
	if (tbon.keepaliveMs >= tbon.torpidMs) {
		refuse([['tbon.keepalive'], ['tbon.torpid']], 'tbon.keepalive: must be shorter than tbon.torpid');
	}
	if (tbon.torpidMs >= tbon.lostTimeoutMs) {
		refuse([['tbon.torpid'], ['tbon.lost-timeout']], 'tbon.torpid: must be shorter than tbon.lost-timeout');
	}
	const {queueDefault} = config.policy;
	if (queueDefault !== undefined && !Object.hasOwn(config.queues, queueDefault)) {
		refuse([['policy']], `policy.jobspec.defaults.system.queue: there is no queue ${queueDefault}`);
	}
	const fault = bootstrapFault(config);
	if (fault !== null) refuse(fault.at, fault.text);
}
