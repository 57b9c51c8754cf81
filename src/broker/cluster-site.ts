/** A host's part of an instance whose brokers have a host each: pure. Invariant: a state directory keeps its rank for ever. */
import {SystemError} from '../formats/errno.ts';
import type {InstanceInfo} from './instance.ts';

/** The broker that a host of a cluster runs. */
export interface ClusterSite {
	readonly rank: number;
	/** The id of the instance, as its key names it: all hosts must have the same, before they have met. */
	readonly instance: string;
}

/**
 * Checks that what a state directory holds is what this host is to run. `site` null: all brokers are on this host. An
 * instance of one broker can become the root of a cluster.
 *
 * @throws {SystemError} EINVAL: it is another instance's, another rank's, or that of a host of a cluster.
 */
export function checkSite(info: InstanceInfo, site: ClusterSite | null): void {
	const has = `${info.statedir} belongs to instance ${info.instance}`;
	if (site === null) {
		if (info.soleRank === undefined) return;
		throw new SystemError(
			'EINVAL',
			`${has}, as rank ${info.soleRank} of ${info.size} hosts: start it with 'coppice broker' and the ` +
				'configuration that names them (bootstrap.hosts)',
		);
	}
	if (info.instance !== site.instance) {
		throw new SystemError(
			'EINVAL',
			`${has}, and bootstrap.key is that of instance ${site.instance}; for another key of this instance: ` +
				`coppice keygen --instance ${info.instance} FILE`,
		);
	}
	const grows = info.soleRank === undefined && info.size === 1 && site.rank === 0;
	if (info.soleRank === site.rank || grows) return;
	const was = info.soleRank === undefined ? `with its ${info.size} brokers` : `as rank ${info.soleRank}`;
	throw new SystemError(
		'EINVAL',
		`${has}, ${was}, and by bootstrap.hosts this host is rank ${site.rank}: add hosts at the end of the list only`,
	);
}
