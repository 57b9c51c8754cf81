/** Finds an instance that a start has prepared, for one of its brokers. */
import {SystemError} from '../../formats/errno.ts';
import type {InstanceInfo} from '../instance.ts';
import {readInstance, readRankRecord} from './instance-dirs.ts';
import {readStartRecord} from './instance-scan.ts';

export interface KnownPlace {
	readonly instance: string;
	readonly rank: number;
	readonly statedir: string;
	readonly jobdir: string;
	readonly rundir: string;
}

/** The instance as its directories know it. @throws {SystemError} ENOENT: none of them does; EBADMSG: a record is damaged. */
export async function findKnownInstance(place: KnownPlace): Promise<InstanceInfo> {
	const {instance, rank, statedir, jobdir, rundir} = place;
	const started = await readStartRecord(rundir);
	if (started?.info.instance === instance) return started.info;
	const candidates = [
		await readRankRecord({instance, jobdir, rundir, cgroupBase: ''}, rank),
		await readInstance(statedir),
	];
	const found = candidates.find(info => info?.instance === instance);
	if (found !== undefined && found !== null) return found;
	throw new SystemError(
		'ENOENT',
		`neither ${rundir}, ${jobdir} nor ${statedir} knows the instance ${instance}`,
	);
}
