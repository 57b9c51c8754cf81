/** The attributes of a broker that come from itself. */
import {Hostlist} from '../formats/hostlist.ts';
import type {ServiceRegistry} from '../net/service-registry.ts';
import {Attributes} from '../services/broker-info/attributes.ts';
import type {EventLog} from '../store/event-log.ts';
import type {BrokerOptions} from './broker-options.ts';
import type {Runtime} from './runtime.ts';

/** What `getattr` tells of a broker. */
export function brokerAttributes(
	options: BrokerOptions,
	{
		runtime,
		log,
		registry,
	}: {readonly runtime: Runtime; readonly log: EventLog; readonly registry: ServiceRegistry},
): Attributes {
	const {rank, instance, hostname, userid, pid, version, localUri, ports} = options;
	const attributes = new Attributes();
	const hostAttribute = (name: 'shellPid' | 'launcherPid' | 'jobCgroup' | 'tracking') => () =>
		ports.host.attributes()[name] === '' ? null : ports.host.attributes()[name];
	attributes.add({
		rank,
		size: options.overlay.topology.size,
		'instance-id': instance,
		'instance-level': 0,
		hostname,
		hostlist: Hostlist.from(options.overlay.hosts).toString(),
		version,
		statedir: ports.store.path,
		'local-uri': localUri,
		'security.owner': userid,
		'broker.pid': pid,
		'broker.boot-count': () => runtime.state.broker.context.epoch,
		'broker.starttime': () => runtime.state.broker.context.startMs / 1000,
		'broker.mode': log.mode,
		'process-tracking': hostAttribute('tracking'),
		'job-cgroup': hostAttribute('jobCgroup'),
		'shell.pid': hostAttribute('shellPid'),
		'launcher.pid': hostAttribute('launcherPid'),
		...options.attributes,
	});
	attributes.addSettable('debug.hang', {
		get: () => registry.hung,
		set: topic => void (registry.hung = topic),
	});
	return attributes;
}
