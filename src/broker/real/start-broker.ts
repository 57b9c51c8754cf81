/** A broker on the real ports of this machine. */
import {readFileSync} from 'node:fs';
import {availableParallelism} from 'node:os';
import {RealProcessHost} from '../../exec/real/process-host.ts';
import {SystemClock} from '../../ports/real/system-clock.ts';
import {Idset} from '../../formats/idset.ts';
import {ResourceSet} from '../../formats/resource-set.ts';
import {UnixTransport} from '../../net/real/unix-transport.ts';
import type {Transport} from '../../ports/transport.ts';
import {LevelStoreDir} from '../../store/real/level-store-dir.ts';
import {Broker} from '../broker.ts';
import type {BrokerConfig} from '../config.ts';
import {localUri, type InstanceInfo} from '../instance.ts';
import {overlayOptionsOf} from '../overlay-options.ts';
import type {RunningBroker, StartBrokerOptions} from '../running-broker.ts';
import {SystemRandom} from '../../ports/real/system-random.ts';

/** As `StartBroker` says. */
export async function startBroker(options: StartBrokerOptions): Promise<RunningBroker> {
	const {config, instance: info, rank, create, attributes, daemon, beforeServing, write} = options;
	const clock = new SystemClock();
	const random = new SystemRandom();
	const sockets = new UnixTransport();
	sockets.onAcceptError = error => write(`err: ${error.toString()}`);
	const transport: Transport = {
		listen: async (address, onLink) => {
			if (address === localUri(info.rundir, rank)) await beforeServing();
			return sockets.listen(address, onLink);
		},
		connect: (address, timing) => sockets.connect(address, timing),
	};
	const host = new RealProcessHost({...info, rank, clock, random, log: text => write(`info: ${text}`)});
	return Broker.start({
		ports: {clock, random, store: new LevelStoreDir(info.statedir), transport, host},
		instance: info.instance,
		rank,
		hostname: info.hostname,
		userid: process.getuid!(),
		pid: process.pid,
		version: packageVersion(),
		localUri: localUri(info.rundir, rank),
		overlay: overlayOptionsOf({config, info, rank}),
		create,
		resources: resourcesOf(config.resource, {rank, info}),
		killTimeoutMs: config.exec.killTimeoutMs,
		leaseMs: config.exec.leaseMs,
		snapshotFacts: config.log.snapshotFacts,
		retentionFacts: config.log.retentionFacts,
		config,
		attributes: {
			...attributes,
			rundir: info.rundir,
			jobdir: info.jobdir,
			'daemon.pid': () => daemon.pid,
			'tbon.topo': info.topo,
		},
		write: (line, severity) => write(`${severity}: ${line}`),
		onShutdown: () => daemon.shutdownAsked(),
	});
}

/** What this rank offers: as configured, else the processors that this process may use. */
function resourcesOf(
	{cores, gpus, properties}: BrokerConfig['resource'],
	{rank, info}: {readonly rank: number; readonly info: InstanceInfo},
): ResourceSet {
	const held = Object.entries(properties).filter(
		([, ranks]) => ranks === null || Idset.parse(ranks).has(rank),
	);
	const resources = {
		host: info.hostname,
		cores: firstIds(cores ?? availableParallelism()),
		gpus: firstIds(gpus ?? 0),
	};
	return ResourceSet.from([[rank, resources]], {
		properties: new Map(held.map(([name]) => [name, Idset.from([rank])])),
	});
}

function firstIds(count: number): Idset {
	return count === 0 ? Idset.empty : Idset.parse(`0-${count - 1}`.replace(/^0-0$/, '0'));
}

function packageVersion(): string {
	const text = readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8');
	return (JSON.parse(text) as {readonly version: string}).version;
}
