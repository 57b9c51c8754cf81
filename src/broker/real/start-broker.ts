/** A broker on the real ports of this machine. */
import {availableParallelism} from 'node:os';
import {RealProcessHost} from '../../exec/real/process-host.ts';
import {installedVersion} from '../../ports/real/installation.ts';
import {SystemClock} from '../../ports/real/system-clock.ts';
import {SystemError} from '../../formats/errno.ts';
import {Hostlist} from '../../formats/hostlist.ts';
import {Idset} from '../../formats/idset.ts';
import {ResourceSet} from '../../formats/resource-set.ts';
import type {OverlayOptions} from '../../net/overlay/overlay-options.ts';
import {UnixTransport} from '../../net/real/unix-transport.ts';
import {RefusalLog} from '../../net/refusal-log.ts';
import {SchemeTransport} from '../../net/scheme-transport.ts';
import type {Clock} from '../../ports/clock.ts';
import type {Transport} from '../../ports/transport.ts';
import {LevelStoreDir} from '../../store/real/level-store-dir.ts';
import type {PerilogPlan} from '../../machines/job-perilog.ts';
import {Broker} from '../broker.ts';
import {isCluster} from '../bootstrap.ts';
import type {BrokerConfig} from '../config.ts';
import {localUri, rankStatedir} from '../instance.ts';
import {overlayOptionsOf} from '../overlay-options.ts';
import {shareOfCores} from '../resource-share.ts';
import type {RunningBroker, StartBrokerOptions} from '../running-broker.ts';
import {panicFiles} from './panic-files.ts';
import {SystemRandom} from '../../ports/real/system-random.ts';

/** As `StartBroker` says. */
export async function startBroker(options: StartBrokerOptions): Promise<RunningBroker> {
	const {config, instance: info, rank, create, attributes, daemon, beforeServing, write} = options;
	const overlay = overlayOptionsOf({config, info, rank});
	const clock = new SystemClock();
	const random = new SystemRandom();
	const links = await makeTransport(options, clock);
	const transport: Transport = {
		listen: async (address, onLink) => {
			if (address === localUri(info.rundir, rank)) await beforeServing();
			return links.listen(address, onLink);
		},
		connect: (address, timing) => links.connect(address, timing),
	};
	const host = new RealProcessHost({
		...info,
		rank,
		clock,
		random,
		log: text => write(`info: ${text}`),
		shellTimeoutMs: config.exec.shellTimeoutMs ?? Infinity,
	});
	return Broker.start({
		ports: {clock, random, store: new LevelStoreDir(rankStatedir(info, rank)), transport, host},
		instance: info.instance,
		rank,
		hostname: overlay.hosts[rank]!,
		userid: process.getuid!(),
		pid: process.pid,
		version: installedVersion(),
		localUri: localUri(info.rundir, rank),
		overlay,
		create,
		resources: resourcesOf(config, {rank, size: info.size, host: overlay.hosts[rank]!}),
		scheduling: {
			exclude: Idset.parse(config.resource.exclude),
			queues: config.queues,
			policy: config.policy,
			...perilogOf(config),
		},
		killTimeoutMs: config.exec.killTimeoutMs,
		outputBytesMax: config.exec.outputBytesMax,
		retention: config.jobManager,
		leaseMs: config.exec.leaseMs,
		snapshotFacts: config.log.snapshotFacts,
		retentionFacts: config.log.retentionFacts,
		config,
		rereadConfig: options.rereadConfig,
		restart: options.restart,
		attributes: {
			...attributes,
			rundir: info.rundir,
			jobdir: info.jobdir,
			'daemon.pid': () => daemon.pid,
			...treeAttributes(overlay, {rank, topo: info.topo}),
		},
		evidence: panicFiles(rankStatedir(info, rank), line => write(`crit: ${line}`)),
		write: (line, severity) => write(`${severity}: ${line}`),
		onShutdown: () => daemon.shutdownAsked(),
	});
}

/** What the configuration runs around the tasks of jobs. */
function perilogOf({exec}: BrokerConfig): {perilog?: PerilogPlan} {
	const {prolog, epilog, prologTimeoutMs, epilogTimeoutMs} = exec;
	if (prolog === null && epilog === null) return {};
	return {
		perilog: {
			...(prolog === null ? {} : {prolog: {argv: prolog, timeoutMs: prologTimeoutMs ?? 0}}),
			...(epilog === null ? {} : {epilog: {argv: epilog, timeoutMs: epilogTimeoutMs ?? 0}}),
		},
	};
}

/** Unix sockets; where the instance has several hosts, also TLS between them. */
async function makeTransport(
	{config, instance, write}: StartBrokerOptions,
	clock: Clock,
): Promise<Transport> {
	const onAcceptError = (error: SystemError) => write(`err: ${error.toString()}`);
	const local = new UnixTransport();
	local.onAcceptError = onAcceptError;
	if (!isCluster(config)) return new SchemeTransport({local, tls: null});
	const {readInstanceKey} = await import('../../net/real/instance-key.ts');
	const {TlsTransport} = await import('../../net/real/tls-transport.ts');
	const key = await readInstanceKey(config.bootstrap.key!);
	if (key.instance !== instance.instance) {
		const of = `is that of instance ${key.instance}, not of ${instance.instance}`;
		throw new SystemError('EINVAL', `key ${config.bootstrap.key} ${of}`);
	}
	const tls = new TlsTransport(key);
	const refusals = new RefusalLog(clock, line => write(`warning: tls: ${line}`));
	tls.onRefused = refusal => refusals.add(refusal);
	tls.onAcceptError = onAcceptError;
	return new SchemeTransport({local, tls});
}

/** What attributes tell of the tree. */
function treeAttributes(
	{topology, hosts}: OverlayOptions,
	{rank, topo}: {readonly rank: number; readonly topo: string},
): Readonly<Record<string, string | number | null>> {
	const ranks = Array.from({length: topology.size}, (_, other) => other);
	return {
		size: topology.size,
		hostlist: Hostlist.from(hosts).toString(),
		'tbon.topo': topo,
		'tbon.parent': topology.parentOf(rank),
		'tbon.level': topology.depthOf(rank),
		'tbon.maxlevel': Math.max(...ranks.map(other => topology.depthOf(other))),
		'tbon.descendants': topology.subtreeOf(rank).length - 1,
	};
}

/** What this rank offers: as configured, else its share of the processors that this process may use. */
function resourcesOf(
	config: BrokerConfig,
	{rank, size, host}: {readonly rank: number; readonly size: number; readonly host: string},
): ResourceSet {
	const {cores, gpus, properties} = config.resource;
	const held = Object.entries(properties).filter(
		([, ranks]) => ranks === null || Idset.parse(ranks).has(rank),
	);
	const place = isCluster(config) ? {rank: 0, size: 1} : {rank, size};
	const share = {...place, count: availableParallelism()};
	const resources = {
		host,
		cores: cores === null ? shareOfCores(share) : firstIds(cores),
		gpus: firstIds(gpus ?? 0),
	};
	return ResourceSet.from([[rank, resources]], {
		properties: new Map(held.map(([name]) => [name, Idset.from([rank])])),
	});
}

function firstIds(count: number): Idset {
	return count === 0 ? Idset.empty : Idset.range(0, count - 1);
}
