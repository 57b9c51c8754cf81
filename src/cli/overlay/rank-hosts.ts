/** Ranks and their hosts, as the configuration names them, so that either may be typed. */
import {Hostlist} from '../../formats/hostlist.ts';
import {SystemError} from '../../formats/errno.ts';
import type {BrokerSession} from '../broker-session.ts';
import {textField} from '../fields.ts';

export class RankHosts {
	readonly hosts: readonly string[];

	constructor(hosts: readonly string[]) {
		this.hosts = hosts;
	}

	static async fetch(session: BrokerSession): Promise<RankHosts> {
		const answer = await session.call('attr.get', {name: 'hostlist'}, {idempotent: true});
		return new RankHosts(Hostlist.parse(textField(answer, 'value', 'attr.get')).hosts);
	}

	/** `rank 3 (node3)`. */
	nameOf(rank: number): string {
		return `rank ${rank} (${this.hostOf(rank)})`;
	}

	/** @throws {SystemError} ENOENT: no such rank. */
	hostOf(rank: number): string {
		const host = this.hosts[rank];
		if (host === undefined) {
			throw new SystemError(
				'ENOENT',
				`rank ${rank}: the instance has the ranks 0 to ${this.hosts.length - 1}`,
			);
		}
		return host;
	}

	/** The rank that a number or a host name means. @throws {SystemError} ENOENT */
	rankOf(target: string): number {
		if (/^[0-9]+$/.test(target)) {
			this.hostOf(Number(target));
			return Number(target);
		}
		const rank = this.hosts.indexOf(target);
		if (rank < 0) throw new SystemError('ENOENT', `no host '${target}' in this instance`);
		return rank;
	}
}
